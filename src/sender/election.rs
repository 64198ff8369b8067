//! One sender per spool: whoever holds the `flock` on the spool's directory.
//!
//! The lock dies with its process, so a successor needs nobody's word; a child of the sender closes
//! its copy at fork. A lock on the directory itself cannot be recreated beside its holder.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use rustix::fs::FlockOperation;

use crate::error::{Error, ErrorKind, Result};
use crate::journal::heartbeat::Heartbeat;
use crate::journal::process::ForkClosed;
use crate::spool::{Spool, open_dir};

/// The right to send, held while it lives.
#[derive(Debug)]
pub(crate) struct Seat {
    _lock: ForkClosed,
}

impl Seat {
    /// Takes the right to send if nobody has it.
    ///
    /// Errors: [`ErrorKind::Io`]; [`ErrorKind::SpoolMismatch`] if another directory stands at the
    /// spool's path by now.
    pub(crate) fn try_take(spool: &Arc<Spool>) -> Result<Option<Self>> {
        let dir = ForkClosed::new(open_dir(spool.dir())?)?;
        match rustix::fs::flock(&*dir, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(e) if e == rustix::io::Errno::WOULDBLOCK => return Ok(None),
            Err(e) => return Err(Error::io(spool.name(), e)),
        }
        let about = dir.metadata().map_err(|e| Error::io(spool.name(), e))?;
        check(spool, &about)?;
        Ok(Some(Self { _lock: dir }))
    }
}

/// Checks that the spool still stands at its path. The lock is on the directory, but journal and
/// heartbeat are found by path: those of a directory made in its place are another sender's.
///
/// Errors: [`ErrorKind::SpoolMismatch`]; [`ErrorKind::Io`] if nothing stands there.
pub(crate) fn check_place(spool: &Spool) -> Result<()> {
    let about = fs::metadata(spool.dir()).map_err(|e| Error::io(spool.name(), e))?;
    check(spool, &about)
}

fn check(spool: &Spool, about: &Metadata) -> Result<()> {
    if (about.dev(), about.ino()) == spool.place() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::SpoolMismatch,
        format!(
            "{}: another directory stands there now; open it again",
            spool.name()
        ),
    ))
}

/// Who sends from `spool`, for messages.
pub(crate) fn holder(spool: &Spool) -> String {
    match Heartbeat::read(spool) {
        Ok(Some(heartbeat)) => format!("pid {}", heartbeat.pid),
        _ => "another process".to_owned(),
    }
}
