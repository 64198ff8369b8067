//! SQLite's write-ahead log: how long it may become, and how it is moved into the database.
//!
//! SQLite takes a damaged log for one that a crash has cut, and says nothing. A log whose pages are in
//! the database therefore may not stand there whole: cut then, its beginning would hide newer pages.

use rusqlite::ErrorCode;

use super::SqliteStore;
use crate::error::Result;
use crate::store::DiskUse;

/// The log may have so many pages before it is moved, 16 MiB; and while the disk is full.
const LOG_PAGES: u32 = 4_096;
const TIGHT_LOG_PAGES: u32 = 32;
/// Commits between two looks at how long the log is, while there is room.
const MEASURE_EVERY: u32 = 8;

impl SqliteStore {
    /// Moves the log into the database if it has become long.
    pub(super) fn keep_log_short(&mut self) -> Result<()> {
        self.unmeasured += 1;
        let roomy = self.disk_use == DiskUse::Roomy;
        if roomy && self.unmeasured < MEASURE_EVERY {
            return Ok(());
        }
        self.unmeasured = 0;
        let pages = self.log_pages()?;
        if roomy && pages > LOG_PAGES {
            self.begin_log_anew()
        } else if !roomy && pages > TIGHT_LOG_PAGES {
            self.cut_log().map(drop)
        } else {
            Ok(())
        }
    }

    fn log_pages(&self) -> Result<u32> {
        self.connection
            .prepare_cached("PRAGMA wal_checkpoint(NOOP)")
            .and_then(|mut statement| statement.query_row([], |row| row.get(1)))
            .map_err(|e| self.error(e))
    }

    /// Moves the log into the database and leaves nothing of it. `false`: a reader is in the way.
    pub(super) fn cut_log(&self) -> Result<bool> {
        self.move_log("PRAGMA wal_checkpoint(TRUNCATE)")
            .or_else(|e| {
                match e.sqlite_error_code() {
                    // Then the log has to do: what waits for this is what makes room.
                    Some(ErrorCode::DiskFull) => Ok(true),
                    _ => Err(self.error(e)),
                }
            })
    }

    /// Moves the log into the database and lets the next one overwrite it: a file that is cut and grows
    /// again needs new blocks and new pages in memory, a tenth of what a delivery costs.
    fn begin_log_anew(&self) -> Result<()> {
        let moved = match self.move_log("PRAGMA wal_checkpoint(RESTART)") {
            Err(e) if e.sqlite_error_code() == Some(ErrorCode::DiskFull) => Ok(false),
            moved => moved.map_err(|e| self.error(e)),
        };
        if !moved? {
            return Ok(());
        }
        // Only with a commit does SQLite write, and sync, the head that ends the life of the old pages.
        self.connection
            .prepare_cached("UPDATE state SET syncs = syncs + 1 WHERE epoch = ?")
            .and_then(|mut statement| statement.execute([self.epoch]).map(drop))
            .map_err(|e| self.error(e))
    }

    fn move_log(&self, how: &str) -> rusqlite::Result<bool> {
        self.connection
            .query_row(how, [], |row| row.get(0))
            .map(|busy: i64| busy == 0)
            .or_else(|e| match e.sqlite_error_code() {
                Some(ErrorCode::DatabaseBusy) => Ok(false),
                _ => Err(e),
            })
    }
}
