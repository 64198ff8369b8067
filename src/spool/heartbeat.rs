//! What the sender publishes for all other processes of its spool, in `sender.json`.
//!
//! It is a file because readers must not need the store: a php-fpm worker reads it to respect
//! `max_spool_bytes`, and a `flush` that waits for the sender of another process reads its
//! progress.

use std::io::ErrorKind as IoKind;

use serde::{Deserialize, Serialize};

use super::dir::Safety;
use super::open::Spool;
use crate::clock::{self, BootTime};
use crate::error::{Error, ErrorKind, PauseReason, Result, is_full};
use crate::event;

const NAME: &str = "sender.json";
pub(super) const BYTES_AT_MOST: usize = 64 * 1024;

/// The sender's process, its progress, and the bytes that are pending.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Heartbeat {
    pub pid: u32,
    /// The namespace that `pid` belongs to, if it is known.
    pub pid_namespace: Option<u64>,
    /// Wall time of this heartbeat, in milliseconds.
    pub seen_ms: i64,
    /// Everything enqueued before `taken_upto_boot_ns` of this boot has been taken over.
    pub boot_count: u32,
    pub taken_upto_boot_ns: u64,
    /// The disk is so full that only a part of the journal is taken over.
    pub take_over_is_limited: bool,
    /// Bytes of events that are pending in the store.
    pub pending_bytes: u64,
    /// Bytes of segments that were taken over and are still in the journal.
    pub taken_bytes: u64,
    /// Why delivery is paused, if it is.
    pub paused: Option<String>,
    /// Since when delivery is paused: wall time in milliseconds.
    pub paused_since_ms: Option<i64>,
    /// When the API last answered a request, and when it last accepted one; of this sender or one before.
    pub answered_ms: Option<i64>,
    pub accepted_ms: Option<i64>,
    /// The last request that came to nothing, of this sender or one before. Here, and not in the store: so it
    /// costs no write, however many requests fail.
    pub last_failure: Option<FailedRequest>,
}

/// A request that delivered nothing and says nothing of its events: it was not sent, not answered, or answered
/// with what makes delivery wait.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FailedRequest {
    /// When it ended, wall time in milliseconds.
    pub at_ms: i64,
    /// How many events it had.
    pub events: u64,
    /// The HTTP status of the answer; `None`: there was none.
    pub http_status: Option<u16>,
    /// The API's code in the answer.
    pub api_code: Option<String>,
    /// What was said or observed, for people.
    pub message: String,
}

impl Heartbeat {
    /// Reads the last heartbeat; `None` if there has never been a sender, or if a power cut has
    /// torn the file. The next sender writes a new one, and no reader depends on an old one.
    pub(crate) fn read(spool: &Spool) -> Result<Option<Self>> {
        let dir = spool.held_dir()?;
        match dir.read(NAME, BYTES_AT_MOST) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(e) if e.kind() == IoKind::NotFound => Ok(None),
            Err(e) => Err(dir.error(NAME, e)),
        }
    }

    /// The last heartbeat, but with this reason why delivery is paused, or none.
    pub(crate) fn paused(spool: &Spool, reason: Option<PauseReason>) -> Result<Self> {
        let mut last = Self::read(spool)?.unwrap_or_default();
        if last.pause_reason() != reason {
            last.paused_since_ms = reason.map(|_| clock::wall_ms());
        }
        last.paused = reason.map(|reason| reason.name().to_owned());
        Ok(last)
    }

    /// Everything enqueued before this time has been taken over.
    pub(crate) fn taken_upto(&self) -> BootTime {
        BootTime {
            boot_count: self.boot_count,
            boot_ns: self.taken_upto_boot_ns,
        }
    }

    /// Why delivery is paused, if it is.
    pub(crate) fn pause_reason(&self) -> Option<PauseReason> {
        self.paused.as_deref().and_then(PauseReason::from_name)
    }

    /// Since when the store is damaged, if the sender has found it damaged.
    pub(crate) fn damaged_since_ms(&self) -> Option<i64> {
        let damaged = self.pause_reason() == Some(PauseReason::StoreDamaged);
        self.paused_since_ms.filter(|_| damaged)
    }

    /// Whether the last heartbeat names a user.
    #[cold]
    pub(crate) fn names_user(spool: &Spool, user: &str) -> Result<bool> {
        let last = Self::read(spool)?.and_then(|heartbeat| heartbeat.last_failure);
        Ok(last.is_some_and(|failure| event::names_user(&failure.message, user)))
    }

    /// Takes a user out of the last heartbeat.
    #[cold]
    pub(crate) fn leave_user_out(spool: &Spool, user: &str) -> Result<()> {
        let Some(mut heartbeat) = Self::read(spool)? else {
            return Ok(());
        };
        let failure = heartbeat.last_failure.as_mut();
        match failure.is_some_and(|failure| event::leave_user_out(&mut failure.message, user)) {
            true => heartbeat.write(spool),
            false => Ok(()),
        }
    }

    /// Replaces the published heartbeat. Not synced: after a power cut the next sender writes a new
    /// one.
    pub(crate) fn write(&self, spool: &Spool) -> Result<()> {
        let text = serde_json::to_vec(self)
            .map_err(|e| Error::new(ErrorKind::Internal, format!("heartbeat: {e}")))?;
        let dir = spool.held_dir()?;
        match dir.replace(NAME, &text, Safety::Process) {
            // There is no room for another file, not even an inode.
            Err(e) if is_full(&e) => dir.overwrite(NAME, text).map_err(|_| e),
            replaced => replaced,
        }
        .map_err(|e| dir.error(NAME, e))
    }
}
