//! The store of one host: SQLite in WAL mode.
//!
//! The sender's connection is the only one that writes, fenced by an *epoch*: winning the election
//! counts it up, and a commit under an older count changes nothing. Any other process looks through a
//! [`Reader`].

mod connection;
mod log;
mod reader;
pub(crate) mod recover;
mod salvage;
mod scan;

use std::cell::Cell;
use std::path::Path;

use rusqlite::{CachedStatement, Connection, OpenFlags, OptionalExtension, params};

pub use self::reader::Reader;

use self::connection::{
    InUse, check_version, connect, create, damaged, find, store_error, upgrade,
};
use super::rows;
use super::{
    Change, CommitSafety, DiskUse, LaneState, PauseState, Place, Rejected, RejectedFilter, Rest,
    Store, StoredRun, Suspect, Totals,
};
use crate::error::{Error, ErrorKind, Result};
use crate::journal::round::Offsets;
use crate::spool::Spool;

/// The sender's page cache; the store is read in order, so a small one serves.
const CACHE_KIB: i64 = 2_048;
/// A store up to this size is checked as a whole when it is opened: some milliseconds. Of a larger
/// one, damage is found when a row is read.
const CHECKED_BYTES: u64 = 4 * 1024 * 1024;

/// The sender's connection.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
    epoch: i64,
    /// As the state's row says: its checksum covers them with the sums.
    lanes: Cell<u8>,
    disk_use: DiskUse,
    /// Commits since the log was measured.
    unmeasured: u32,
    /// What SQLite is set to.
    synchronous: CommitSafety,
    /// A commit leaves its transaction open for the next one.
    is_joint: bool,
    spool: String,
    _in_use: InUse,
}

impl SqliteStore {
    /// Opens or creates the store of `spool` for its elected sender, and fences off earlier ones.
    ///
    /// Errors: [`ErrorKind::Forked`] in a child of a process that had a store open;
    /// [`ErrorKind::Store`] if it is damaged or of a newer version; [`ErrorKind::Io`].
    pub fn open(spool: &Spool) -> Result<Self> {
        let in_use = InUse::begin(spool)?;
        let name = spool.name();
        let path = spool.store_path();
        recover::finish(&path)?;
        if !find(&path, &name)? {
            create(&path, &name)?;
        }
        let connection = connect(&path, &name, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        check_version(&connection, &name)?;
        let failed = |e| store_error(&name, e);
        connection
            .pragma_update(None, "journal_mode", "WAL")
            .and_then(|()| connection.pragma_update(None, "synchronous", "NORMAL"))
            .and_then(|()| connection.pragma_update(None, "cache_size", -CACHE_KIB))
            .and_then(|()| connection.pragma_update(None, "temp_store", "MEMORY"))
            .and_then(|()| connection.pragma_update(None, "cell_size_check", true))
            .and_then(|()| connection.pragma_update(None, "wal_autocheckpoint", 0))
            .map_err(failed)?;
        check_pages(&connection, &path, &name)?;
        upgrade(&connection, &name)?;
        let epoch = connection
            .query_row(
                "UPDATE state SET epoch = epoch + 1 RETURNING epoch",
                [],
                |row| row.get(0),
            )
            .map_err(failed)?;
        let (lanes, _) = rows::read_state(&connection).map_err(failed)?;
        connection.set_prepared_statement_cache_capacity(32);
        Ok(Self {
            connection,
            epoch,
            lanes: Cell::new(lanes),
            disk_use: DiskUse::Roomy,
            unmeasured: 0,
            synchronous: CommitSafety::Process,
            is_joint: false,
            spool: name,
            _in_use: in_use,
        })
    }

    fn error(&self, e: rusqlite::Error) -> Error {
        store_error(&self.spool, e)
    }

    fn apply(&self, changes: &[Change<'_>]) -> rusqlite::Result<()> {
        let cached = |sql| self.connection.prepare_cached(sql);
        for change in changes {
            match *change {
                Change::Append { place, origin, run } => {
                    let slots = rows::slots(run);
                    let crc = rows::run_checksum(place, &run.body, &slots);
                    cached("INSERT INTO runs (lane, queue, origin, body, slots, crc) VALUES (?, ?, ?, ?, ?, ?)")?
                        .execute(params![place.lane, place.queue, origin, run.body, slots, crc])?;
                }
                Change::Replace { id, place, run } => {
                    let slots = rows::slots(run);
                    let crc = rows::run_checksum(place, &run.body, &slots);
                    cached("UPDATE runs SET body = ?, slots = ?, crc = ? WHERE id = ?")?
                        .execute(params![run.body, slots, crc, id])?;
                }
                Change::Remove { id } => {
                    cached("DELETE FROM runs WHERE id = ?")?.execute([id])?;
                }
                Change::Lane { lane, state } => rows::write_lane(&self.connection, lane, state)?,
                Change::Rest { lane, rest } => rows::write_rest(&self.connection, lane, rest)?,
                Change::Receipt(receipt) if self.disk_use == DiskUse::Roomy => {
                    rows::write_receipt(&self.connection, None, receipt)?;
                }
                Change::Receipt(_) => {}
                Change::Reject(event) => rows::write_rejected(&self.connection, None, event)?,
                Change::Forget { rejected } => {
                    cached("DELETE FROM rejected WHERE id = ?")?.execute([rejected])?;
                }
                Change::Taken { segment, upto } => {
                    rows::write_offset(&self.connection, segment, upto)?;
                }
                Change::Gone { segment } => {
                    cached("DELETE FROM segments WHERE name = ?")?.execute([segment])?;
                }
                Change::Suspect(suspect) => rows::write_suspect(&self.connection, suspect)?,
                Change::Cleared { user } => {
                    cached("DELETE FROM suspects WHERE user = ?")?.execute([user])?;
                }
                Change::RefusedInARow { user } => {
                    rows::write_refused_in_a_row(&self.connection, user)?;
                }
                Change::AcceptedSince => {
                    cached("DELETE FROM refused_in_a_row")?.execute([])?;
                }
                Change::Pause(None) => {
                    cached("DELETE FROM pause")?.execute([])?;
                }
                Change::Pause(Some(pause)) => rows::write_pause(&self.connection, pause)?,
                Change::Lanes(lanes) => {
                    let (_, totals) = rows::read_state(&self.connection)?;
                    rows::write_state(&self.connection, lanes, &totals)?;
                    self.lanes.set(lanes);
                }
                Change::Totals(totals) => {
                    rows::write_state(&self.connection, self.lanes.get(), totals)?;
                }
            }
        }
        Ok(())
    }

    fn run(&self, sql: &str) -> Result<()> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.raw_execute().map(drop))
            .map_err(|e| self.error(e))
    }

    /// Begins a transaction, unless a joint commit has begun it.
    fn begin(&mut self, safety: CommitSafety) -> Result<()> {
        if !self.connection.is_autocommit() {
            return Ok(());
        }
        if self.synchronous != safety {
            self.run(match safety {
                CommitSafety::Process => "PRAGMA synchronous = NORMAL",
                // In WAL mode this syncs the whole log, so what was committed before is safe as well.
                CommitSafety::Power => "PRAGMA synchronous = FULL",
            })?;
            self.synchronous = safety;
        }
        self.run("BEGIN IMMEDIATE")?;
        self.check_epoch()?;
        match safety {
            CommitSafety::Process => Ok(()),
            CommitSafety::Power => self.run("UPDATE state SET syncs = syncs + 1"),
        }
    }

    /// Ends the transaction: with what was made of it, if that went well.
    fn finish(&mut self, made: Result<()>) -> Result<()> {
        let outcome = made.and_then(|()| self.run("COMMIT"));
        if outcome.is_err() && !self.connection.is_autocommit() {
            // Some errors have rolled back by themselves already.
            let _ = self.run("ROLLBACK");
        }
        outcome?;
        self.keep_log_short()
    }

    /// Fails unless this is still the last sender that was elected.
    fn check_epoch(&self) -> Result<()> {
        let epoch: i64 = self
            .connection
            .prepare_cached("SELECT epoch FROM state")
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .map_err(|e| self.error(e))?;
        if epoch == self.epoch {
            Ok(())
        } else {
            Err(Error::new(
                ErrorKind::Store,
                format!("{}: another sender has taken over", self.spool),
            ))
        }
    }
}

impl Store for SqliteStore {
    fn commit(&mut self, changes: &[Change<'_>], safety: CommitSafety) -> Result<()> {
        let made = self
            .begin(safety)
            .and_then(|()| self.apply(changes).map_err(|e| self.error(e)));
        if made.is_ok() && self.is_joint {
            return Ok(());
        }
        self.finish(made)
    }

    fn begin_joint_commit(&mut self) {
        self.is_joint = true;
    }

    fn end_joint_commit(&mut self) -> Result<()> {
        self.is_joint = false;
        if self.connection.is_autocommit() {
            return Ok(());
        }
        self.finish(Ok(()))
    }

    fn checkpoint(&mut self) -> Result<bool> {
        self.cut_log()
    }

    fn damaged(&self, what: &str) -> Error {
        damaged(&self.spool, what)
    }

    fn set_disk_use(&mut self, disk_use: DiskUse) -> Result<()> {
        self.disk_use = disk_use;
        if disk_use == DiskUse::Tight {
            // Gives the log's space back, unless a reader is at it.
            self.checkpoint()?;
        }
        Ok(())
    }

    fn offsets(&self) -> Result<Offsets> {
        rows::read_offsets(&self.connection).map_err(|e| self.error(e))
    }

    fn lane(&self, lane: u8) -> Result<LaneState> {
        rows::read_lane(&self.connection, lane).map_err(|e| self.error(e))
    }

    fn rest(&self, lane: u8) -> Result<Rest> {
        rows::read_rest(&self.connection, lane).map_err(|e| self.error(e))
    }

    fn runs(&self, place: Place, after: i64, limit: usize) -> Result<Vec<StoredRun>> {
        rows::read_runs(&self.connection, place, after, limit).map_err(|e| self.error(e))
    }

    fn last_run(&self) -> Result<i64> {
        rows::last_run(&self.connection).map_err(|e| self.error(e))
    }

    fn first_origin(&self) -> Result<Option<i64>> {
        rows::first_origin(&self.connection).map_err(|e| self.error(e))
    }

    fn suspects(&self) -> Result<Vec<Suspect>> {
        let read = || -> rusqlite::Result<Vec<Suspect>> {
            self.connection
                .prepare_cached(&format!("SELECT {} FROM suspects", rows::SUSPECT_COLUMNS))?
                .query_map([], rows::suspect)?
                .collect()
        };
        read().map_err(|e| self.error(e))
    }

    fn refused_in_a_row(&self) -> Result<Vec<String>> {
        rows::read_refused_in_a_row(&self.connection).map_err(|e| self.error(e))
    }

    fn rejected_matching(
        &self,
        filter: &RejectedFilter,
        limit: usize,
    ) -> Result<Vec<(i64, Rejected)>> {
        rows::read_rejected(&self.connection, filter, limit).map_err(|e| self.error(e))
    }

    fn rejected(&self, ids: &[i64]) -> Result<Vec<(i64, Rejected)>> {
        let read = || -> rusqlite::Result<Vec<(i64, Rejected)>> {
            let mut statement: CachedStatement<'_> = self.connection.prepare_cached(&format!(
                "SELECT {} FROM rejected WHERE id = ?",
                rows::REJECTED_COLUMNS
            ))?;
            let mut found = Vec::with_capacity(ids.len());
            for id in ids {
                found.extend(statement.query_row([id], rows::rejected).optional()?);
            }
            Ok(found)
        };
        read().map_err(|e| self.error(e))
    }

    fn forget_receipts(&mut self, before_ms: i64, now_ms: i64, limit: usize) -> Result<usize> {
        let any = rows::has_old_receipts(&self.connection, before_ms, now_ms);
        if !any.map_err(|e| self.error(e))? {
            return Ok(0);
        }
        let forgotten = self.begin(CommitSafety::Process).and_then(|()| {
            rows::forget_receipts(&self.connection, before_ms, now_ms, limit)
                .map_err(|e| self.error(e))
        });
        let outcome = forgotten.as_ref().map(|_| ()).map_err(Clone::clone);
        self.finish(outcome).and(forgotten)
    }

    fn pause(&self) -> Result<Option<PauseState>> {
        rows::read_pause(&self.connection).map_err(|e| self.error(e))
    }

    fn lanes(&self) -> Result<u8> {
        Ok(self.lanes.get())
    }

    fn totals(&self) -> Result<Totals> {
        let (_, totals) = rows::read_state(&self.connection).map_err(|e| self.error(e))?;
        Ok(totals)
    }
}

/// Has SQLite look at every page of a store that is not large.
fn check_pages(connection: &Connection, path: &Path, spool: &str) -> Result<()> {
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |about| about.len());
    if size(path) + size(&path.with_extension("db-wal")) > CHECKED_BYTES {
        return Ok(());
    }
    let found: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|e| store_error(spool, e))?;
    match found.as_str() {
        "ok" => Ok(()),
        what => Err(damaged(spool, what)),
    }
}
