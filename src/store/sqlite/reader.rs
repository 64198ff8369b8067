//! Looking into a store that another process, or this one, is writing to.
//!
//! A reader opens the file read-only for one page of answers and holds no transaction between pages.

use rusqlite::Connection;

use super::connection::{
    InUse, RECEIPTS_SINCE, RESTS_SINCE, check_version, connect_to_read, find, store_error,
};
use crate::error::{Error, Result};
use crate::journal::round::Offsets;
use crate::spool::Spool;
use crate::store::{
    LaneState, PauseState, Place, Receipt, ReceiptFilter, Rejected, RejectedFilter, RejectedReason,
    Rest, StoredRun, Totals, rows,
};

/// A look into the store of any spool by any process, the sender's included.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    /// Only a sender brings a store up to date.
    version: i64,
    spool: String,
    _in_use: InUse,
}

impl Reader {
    /// Opens the store read-only; `None` if nobody has sent from this spool yet.
    ///
    /// Errors: as [`SqliteStore::open`](super::SqliteStore::open).
    pub fn open(spool: &Spool) -> Result<Option<Self>> {
        let in_use = InUse::begin(spool)?;
        let path = spool.store_path();
        let name = spool.name();
        if !find(&path, &name)? {
            return Ok(None);
        }
        let connection = connect_to_read(spool)?;
        let version = check_version(&connection, &name)?;
        Ok(Some(Self {
            connection,
            version,
            spool: name,
            _in_use: in_use,
        }))
    }

    fn error(&self, e: rusqlite::Error) -> Error {
        store_error(&self.spool, e)
    }

    /// The sums.
    pub fn totals(&self) -> Result<Totals> {
        self.state().map(|(_, totals)| totals)
    }

    /// See [`Store::lanes`](crate::store::Store::lanes).
    pub fn lane_count(&self) -> Result<u8> {
        self.state().map(|(lanes, _)| lanes)
    }

    fn state(&self) -> Result<(u8, Totals)> {
        let columns = match self.version < RECEIPTS_SINCE {
            true => rows::STATE_COLUMNS_2,
            false => rows::STATE_COLUMNS,
        };
        rows::read_state_of(&self.connection, columns).map_err(|e| self.error(e))
    }

    /// See [`Store::offsets`](crate::store::Store::offsets).
    pub fn offsets(&self) -> Result<Offsets> {
        rows::read_offsets(&self.connection).map_err(|e| self.error(e))
    }

    /// The pause, if delivery is paused.
    pub fn pause(&self) -> Result<Option<PauseState>> {
        rows::read_pause(&self.connection).map_err(|e| self.error(e))
    }

    /// The state of every lane that has one.
    pub fn lanes(&self) -> Result<Vec<(u8, LaneState)>> {
        rows::read_lane_states(&self.connection).map_err(|e| self.error(e))
    }

    /// See [`Store::rest`](crate::store::Store::rest).
    pub fn rest(&self, lane: u8) -> Result<Rest> {
        if self.version < RESTS_SINCE {
            return Ok(Rest::default());
        }
        rows::read_rest(&self.connection, lane).map_err(|e| self.error(e))
    }

    /// Whether events wait in a lane.
    pub fn has_pending(&self, lane: u8) -> Result<bool> {
        rows::has_runs(&self.connection, lane).map_err(|e| self.error(e))
    }

    /// See [`Store::runs`](crate::store::Store::runs).
    pub fn runs(&self, place: Place, after: i64, limit: usize) -> Result<Vec<StoredRun>> {
        rows::read_runs(&self.connection, place, after, limit).map_err(|e| self.error(e))
    }

    /// Has all that `look` reads be of one moment. It has to be short: the log cannot be cut meanwhile.
    pub fn at_one_moment<T>(&self, look: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let moment = self.connection.unchecked_transaction();
        let _moment = moment.map_err(|e| self.error(e))?;
        look(self)
    }

    /// The runs of all queues from row `from` on, at most `limit`, by row.
    pub fn runs_from(&self, from: i64, limit: usize) -> Result<Vec<(Place, StoredRun)>> {
        rows::read_runs_from(&self.connection, from, limit).map_err(|e| self.error(e))
    }

    /// See [`Store::last_run`](crate::store::Store::last_run).
    pub fn last_run(&self) -> Result<i64> {
        rows::last_run(&self.connection).map_err(|e| self.error(e))
    }

    /// See [`Store::first_origin`](crate::store::Store::first_origin).
    pub fn first_origin(&self) -> Result<Option<i64>> {
        rows::first_origin(&self.connection).map_err(|e| self.error(e))
    }

    /// The wall time at which the oldest pending event was enqueued.
    pub fn oldest_pending_ms(&self) -> Result<Option<i64>> {
        rows::oldest_pending_ms(&self.connection).map_err(|e| self.error(e))
    }

    /// See [`Store::rejected_matching`](crate::store::Store::rejected_matching).
    pub fn rejected(&self, filter: &RejectedFilter, limit: usize) -> Result<Vec<(i64, Rejected)>> {
        rows::read_rejected(&self.connection, filter, limit).map_err(|e| self.error(e))
    }

    /// The next `limit` receipts of the time that `filter` names, whoever is in them.
    pub fn receipts(&self, filter: &ReceiptFilter, limit: usize) -> Result<Vec<(i64, Receipt)>> {
        if self.version < RECEIPTS_SINCE {
            return Ok(Vec::new());
        }
        rows::read_receipts(&self.connection, filter, limit).map_err(|e| self.error(e))
    }

    /// How many rejected events `filter` takes.
    pub fn count_rejected(&self, filter: &RejectedFilter) -> Result<u64> {
        rows::count_rejected(&self.connection, filter).map_err(|e| self.error(e))
    }

    /// How many rejected events there are, by reason and API code; the most first.
    pub fn rejected_by_code(&self) -> Result<Vec<(RejectedReason, String, u64)>> {
        rows::rejected_by_code(&self.connection).map_err(|e| self.error(e))
    }

    /// The row of the last rejected event; 0: none.
    pub fn last_rejected(&self) -> Result<i64> {
        self.connection
            .query_row("SELECT coalesce(max(id), 0) FROM rejected", [], |row| {
                row.get(0)
            })
            .map_err(|e| self.error(e))
    }
}
