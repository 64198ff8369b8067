//! What the forwarder tells other processes: that it is alive, and whether the database can be reached.

use std::time::{Duration, Instant};

use super::Forwarding;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::process::pid;
use crate::sender::election::pid_namespace;
use crate::spool::{FailedRequest, Heartbeat};

/// How often a heartbeat says that the forwarder is alive.
const ALIVE_EVERY: Duration = Duration::from_secs(1);

impl Forwarding {
    /// The database has answered: nothing fails any more.
    pub(super) fn reached(&mut self) -> Result<()> {
        self.note_reached();
        self.write_record()
    }

    /// The same, and somebody else writes the record.
    pub(super) fn note_reached(&mut self) {
        self.record.forwarded_ms = Some(clock::wall_ms());
        self.record.failing_since_ms = None;
        self.record.failure = None;
    }

    /// An attempt has failed, for this reason; says since when all have.
    pub fn failed(&mut self, why: &str) -> Result<i64> {
        let since = *self
            .record
            .failing_since_ms
            .get_or_insert_with(clock::wall_ms);
        self.record.failure = Some(why.to_owned());
        self.write_record()?;
        let pending = self.pending.as_ref();
        let mut heartbeat = self.heartbeat()?;
        heartbeat.last_failure = Some(FailedRequest {
            at_ms: clock::wall_ms(),
            events: pending.map_or(0, |pending| pending.handover.events),
            message: why.to_owned(),
            ..FailedRequest::default()
        });
        heartbeat.write(&self.spool)?;
        Ok(since)
    }

    /// Tells other processes that the forwarder is alive, if the last heartbeat is a second old, and makes sure
    /// that it still is the only one.
    pub fn alive(&mut self) -> Result<()> {
        if self.told.is_some_and(|at| at.elapsed() < ALIVE_EVERY) {
            return Ok(());
        }
        if !self.election.keep(&self.spool)? {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "{}: sender.lock was removed, and another process has locked a new one; it may forward",
                    self.spool.name()
                ),
            ));
        }
        self.spool.check_path()?;
        self.told = Some(Instant::now());
        self.heartbeat()?.write(&self.spool)
    }

    pub(super) fn heartbeat(&self) -> Result<Heartbeat> {
        let last = Heartbeat::read(&self.spool)?.unwrap_or_default();
        Ok(Heartbeat {
            pid: pid().cast_unsigned(),
            pid_namespace: pid_namespace(),
            seen_ms: clock::wall_ms(),
            take_over_is_limited: false,
            pending_bytes: 0,
            paused: None,
            paused_since_ms: None,
            ..last
        })
    }
}
