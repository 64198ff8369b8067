//! The erasure of a user, for an operator who has to answer a request for it.
//!
//! The sender erases; here is looked what is left, in every file below the spool.

use std::time::{Duration, Instant};

use super::spool_client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::event;
use crate::sender::bad_commands_naming;
use crate::spool::{Dir, Heartbeat, Subdirectory};
use crate::store::erasure::{has_mark, ledgers_naming};

/// The directories of a spool that hold events.
const HOLD_EVENTS: [&str; 5] = ["journal", "queues", "rejected", "damaged", "import"];
/// So many names of files are told.
const NAMES_AT_MOST: usize = 100;

/// What an erasure has done, and what is left of the user in the spool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Erasure {
    /// Events that waited to be sent, and are erased.
    pub pending: u64,
    /// Rejected events that are erased.
    pub rejected: u64,
    /// Receipts that named the user, and do not any more.
    pub receipts: u64,
    /// Events that a request under way has, or one that no answer has settled: they cannot be taken back.
    pub in_flight: u64,
    /// Files below the spool in which the user still stands, of those with events the first hundred: of those in flight,
    /// of what was enqueued meanwhile, and what is no part of the queue, such as damage that was set aside.
    pub files: Vec<String>,
}

impl Erasure {
    /// Whether nothing of the user is left in the spool.
    pub fn is_complete(&self) -> bool {
        self.in_flight == 0 && self.files.is_empty()
    }
}

impl Client {
    /// Erases the waiting and rejected events of `user` that were enqueued before the call, and the user's receipts.
    /// An event that is enqueued during the call may be erased or stay. When it returns, the bytes of what is erased
    /// are in no file of the spool, but for what the result says.
    ///
    /// An event that a request under way has, or one in doubt, cannot be taken back. The call waits for it, at most
    /// until `timeout` is over. With a `timeout` of 0 it erases only if no sender runs, else it is
    /// [`ErrorKind::Timeout`]. Events of other users are sent meanwhile, in their order.
    ///
    /// Errors: as [`hold`](Self::hold); [`ErrorKind::InvalidArgument`] for an empty `user`;
    /// [`ErrorKind::SpoolFull`] if there was no room to look at all of it. Whatever the error is, the same call goes on
    /// where this one ended.
    #[cold]
    pub fn forget_user(&self, user: &str, timeout: Duration) -> Result<Erasure> {
        if user.is_empty() {
            let what = "partner_user_id: is empty";
            return Err(Error::new(ErrorKind::InvalidArgument, what));
        }
        let core = self.core()?;
        let erased = core.sender.erase(user, Instant::now() + timeout)?;
        let escaped = event::escaped_user(user);
        let mark = event::mark_of_user(&escaped);
        let mut files = ledgers_naming(&core.spool, &escaped)?;
        for name in HOLD_EVENTS {
            find_mark(
                &core.spool.held().subdirectory(name),
                name,
                &mark,
                &mut files,
            )?;
        }
        let bad = bad_commands_naming(&core.spool, user)?;
        files.extend(bad.iter().map(|name| format!("commands/{name}")));
        if Heartbeat::names_user(&core.spool, user)? {
            files.push("sender.json".to_owned());
        }
        files.sort_unstable();
        Ok(Erasure {
            pending: erased.pending,
            rejected: erased.rejected,
            receipts: erased.receipts,
            in_flight: erased.in_flight,
            files,
        })
    }
}

/// Adds the names of files in and below a directory in which the mark stands.
#[cold]
fn find_mark(
    place: &Subdirectory,
    shown: &str,
    mark: &[u8],
    files: &mut Vec<String>,
) -> Result<()> {
    let Some(dir) = place.open()? else {
        return Ok(());
    };
    let mut below = Vec::new();
    for entry in dir.entries().map_err(|e| dir.own_error(e))? {
        let entry = entry.map_err(|e| dir.own_error(e))?;
        let Some(name) = entry.name() else { continue };
        if !entry.is_file(&dir) {
            below.push(name.to_owned());
        } else if files.len() < NAMES_AT_MOST && file_has_mark(&dir, name, mark)? {
            files.push(format!("{shown}/{name}"));
        }
    }
    for name in below {
        // What is no directory is no file of a spool either.
        if dir.subdir(&name).is_ok() {
            find_mark(&place.below(&name), &format!("{shown}/{name}"), mark, files)?;
        }
    }
    Ok(())
}

#[cold]
fn file_has_mark(dir: &Dir, name: &str, mark: &[u8]) -> Result<bool> {
    use std::os::unix::fs::FileExt;
    let file = match dir.open(name) {
        // Gone meanwhile.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        opened => opened.map_err(|e| dir.error(name, e))?,
    };
    has_mark(|buffer, at| file.read_at(buffer, at), (0, u64::MAX), mark)
        .map_err(|e| dir.error(name, e))
}
