//! One sender per spool: whoever holds the `flock` on the spool's directory.
//!
//! The lock dies with its process, so a successor needs nobody's word; a child of the sender closes
//! its copy at fork. A lock on the directory itself cannot be recreated beside its holder.

use std::sync::Arc;

use rustix::fs::FlockOperation;

use crate::error::{Error, Result};
use crate::journal::fork_closed::{Announced, ForkClosed, Known};
use crate::journal::heartbeat::Heartbeat;
use crate::spool::{Spool, open_dir};

/// The right to send, held while it lives.
#[derive(Debug)]
pub(crate) struct Seat {
    _lock: ForkClosed,
}

impl Seat {
    /// Takes the right to send if nobody has it.
    ///
    /// Errors: [`Io`](crate::error::ErrorKind::Io); [`SpoolMismatch`](crate::error::ErrorKind::SpoolMismatch) if another directory stands at the
    /// spool's path by now.
    pub(crate) fn try_take(spool: &Arc<Spool>) -> Result<Option<Self>> {
        let announced = Announced::new(Known::Inode(spool.inode()))?;
        let dir = announced.opened(open_dir(spool.dir())?);
        match rustix::fs::flock(&*dir, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(e) if e == rustix::io::Errno::WOULDBLOCK => return Ok(None),
            Err(e) => return Err(Error::io(spool.name(), e)),
        }
        spool.check_place(dir.metadata())?;
        Ok(Some(Self { _lock: dir }))
    }
}

/// Who sends from `spool`, for messages.
pub(crate) fn holder(spool: &Spool) -> String {
    match Heartbeat::read(spool) {
        Ok(Some(heartbeat)) => format!("pid {}", heartbeat.pid),
        _ => "another process".to_owned(),
    }
}
