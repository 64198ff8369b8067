//! What a spool knows of its forwarding, in `forward.json`: the id that the database knows it by, and which
//! statement of it was the last.
//!
//! The file also marks the spool: no sender of this host sends from it ([`Spool::refuse_forwarded`]).
//!
//! A statement moves the spool in the database from a step to the next one, and the file says so before the
//! statement leaves. So after any death a forwarder knows whether the step that it finds is its own work.
//! The file is synced before it replaces the one before it: otherwise some file systems have an empty file after
//! a power cut, and the spool's id would be lost. A restored disk may still have an older state; after another
//! boot a step that is further is believed.

use std::io::ErrorKind as IoKind;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::process::random_uuid;
use crate::spool::{FORWARDING, Safety, Spool};

const FORMAT: u32 = 1;
const BYTES_AT_MOST: usize = 1024 * 1024;
/// Of so many statements from one step the nonces are remembered.
const SENT_AT_MOST: usize = 64;
/// The step of a spool that the database has not been asked for.
const UNKNOWN: i64 = -1;

/// What of the forwarding outlasts the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    format: u32,
    /// The spool's id in the database: 32 hexadecimal digits, drawn once.
    pub id: String,
    /// The boot in which the file was written.
    pub boot_count: u32,
    /// The step after the last statement that is known to be committed; -1: the database was not asked yet.
    pub step: i64,
    /// The nonce of that statement.
    pub nonce: u64,
    /// The nonces of the statements that were sent from that step on, and may still be committed.
    pub(super) sent: Vec<u64>,
    /// The database, without any password.
    pub store: String,
    /// When the database last took events or said that it has them: wall time in milliseconds.
    pub forwarded_ms: Option<i64>,
    /// Since when every attempt has failed.
    pub failing_since_ms: Option<i64>,
    /// How the last attempt failed.
    pub failure: Option<String>,
    /// Whether the spool was drained for good: no pod uses it any more.
    pub closed: bool,
    /// So much of what was forwarded is still in the journal, and since when.
    pub kept_bytes: u64,
    /// Since when what is kept was forwarded.
    pub kept_since_ms: Option<i64>,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            format: FORMAT,
            id: String::new(),
            boot_count: 0,
            step: UNKNOWN,
            nonce: 0,
            sent: Vec::new(),
            store: String::new(),
            forwarded_ms: None,
            failing_since_ms: None,
            failure: None,
            closed: false,
            kept_bytes: 0,
            kept_since_ms: None,
        }
    }
}

/// What a step that was read from the database means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The database has made the spool just now, and has no events of it to come back to.
    New,
    /// Nothing was committed since.
    Unchanged,
    /// The statement that was sent is committed.
    Committed,
    /// The database has been set back.
    Older,
    /// Another forwarder has taken it.
    Foreign,
}

impl Record {
    /// The record of a spool that was never forwarded.
    pub fn draw() -> Self {
        Self {
            id: random_uuid(),
            ..Self::default()
        }
    }

    /// `None`: the spool is not forwarded.
    pub(crate) fn read(spool: &Spool) -> Result<Option<Self>> {
        let dir = spool.held_dir()?;
        let text = match dir.read(FORWARDING, BYTES_AT_MOST) {
            Ok(text) => text,
            Err(e) if e.kind() == IoKind::NotFound => return Ok(None),
            Err(e) => return Err(dir.error(FORWARDING, e)),
        };
        let wrong = |what: &str| {
            let path = dir.path(FORWARDING);
            Error::new(ErrorKind::Store, format!("{}: {what}", path.display()))
        };
        let record: Self = serde_json::from_slice(&text)
            .map_err(|e| wrong(&format!("cannot be read: {e}; restore the file, or see docs/fleet.md for a spool that has lost it")))?;
        if record.format > FORMAT {
            return Err(wrong(
                "written by a newer libmeditopia; forward with that version",
            ));
        }
        Ok(Some(record))
    }

    /// Writes the file, and syncs it before it replaces the one before it.
    pub(super) fn write(&self, spool: &Spool) -> Result<()> {
        let text = serde_json::to_vec(self)
            .map_err(|e| Error::new(ErrorKind::Internal, format!("{FORWARDING}: {e}")))?;
        let dir = spool.held_dir()?;
        let written = dir.replace(FORWARDING, &text, Safety::Power);
        written.map_err(|e| dir.error(FORWARDING, e))
    }

    /// A statement with this nonce is about to leave; says whether the file does not know it yet.
    pub fn send(&mut self, nonce: u64) -> bool {
        if self.sent.contains(&nonce) {
            return false;
        }
        if self.sent.len() == SENT_AT_MOST {
            self.sent.remove(0);
        }
        self.sent.push(nonce);
        true
    }

    /// The database is at this step, by the statement of this nonce.
    pub fn settle(&mut self, step: i64, nonce: u64) {
        self.step = step;
        self.nonce = nonce;
        self.sent.clear();
    }

    /// What it means that the database is at `step`, by a statement of `nonce`, in the boot `boot_count`.
    pub fn judge(&self, (step, nonce): (i64, u64), boot_count: u32) -> Found {
        // What was written last may not have reached the disk.
        let may_be_behind = boot_count != self.boot_count;
        match step - self.step {
            1 if self.step == UNKNOWN && nonce == 0 => Found::New,
            1 if self.sent.contains(&nonce) => Found::Committed,
            0 if nonce == self.nonce => Found::Unchanged,
            // The database has forgotten a spool that was closed long ago. Everything was delivered by then.
            ..0 if self.closed && (step, nonce) == (0, 0) => Found::New,
            ..0 => Found::Older,
            _ if may_be_behind => Found::Committed,
            _ => Found::Foreign,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(step: i64, sent: &[u64]) -> Record {
        Record {
            step,
            nonce: 5,
            sent: sent.to_vec(),
            boot_count: 3,
            ..Record::draw()
        }
    }

    #[test]
    fn a_step_is_judged_by_whose_statement_has_set_it() {
        for (found, expected) in [
            ((7, 5), Found::Unchanged),
            ((8, 21), Found::Committed),
            ((8, 22), Found::Committed),
            ((8, 23), Found::Foreign),
            ((7, 6), Found::Foreign),
            ((9, 22), Found::Foreign),
            ((6, 5), Found::Older),
            ((-1, 0), Found::Older),
        ] {
            let record = at(7, &[21, 22]);
            assert_eq!(record.judge(found, 3), expected, "{found:?}");
        }
    }

    #[test]
    fn after_another_boot_a_step_that_is_further_is_believed() {
        let record = at(7, &[21]);
        for found in [(8, 23), (9, 1), (7, 6)] {
            assert_eq!(record.judge(found, 4), Found::Committed, "{found:?}");
        }
        assert_eq!(record.judge((6, 5), 4), Found::Older);
        assert_eq!(record.judge((7, 5), 4), Found::Unchanged);
    }

    #[test]
    fn a_spool_that_the_database_has_just_made_is_new_only_to_a_record_that_knows_no_step() {
        let fresh = Record::draw();
        assert_eq!(fresh.judge((0, 0), 0), Found::New);
        assert_eq!(fresh.judge((1, 9), 0), Found::Foreign);
        assert_eq!(at(7, &[]).judge((0, 0), 3), Found::Older);
    }

    #[test]
    fn a_spool_that_was_closed_and_is_made_again_is_new_and_an_older_one_is_set_back() {
        let closed = Record {
            closed: true,
            ..at(7, &[])
        };
        assert_eq!(closed.judge((0, 0), 3), Found::New);
        assert_eq!(closed.judge((6, 4), 3), Found::Older);
        assert_eq!(closed.judge((0, 4), 3), Found::Older);
    }
}
