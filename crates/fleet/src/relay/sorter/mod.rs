//! The sorter: takes parcels over into lanes, as the sender of a host takes its journal over into its store.
//!
//! Parcels are read from the head, in the order of their ids, and merged into runs of up to 100 events by lane. One
//! statement counts on the sorter's step and lease, removes the parcels and appends the runs: each event is taken
//! over once, whoever else believes to be the sorter. The statement also counts on the checksum of each parcel: in a
//! database that was set back, the same id may be another parcel.
//!
//! A run's id is at least the server's time, so a database that was set back does not give one twice.
//!
//! A parcel whose bytes do not fit its checksum is set aside into `meditopia.damaged_parcel`, by the same statement.
//! One that the server itself cannot read stays where it is. Both are reported, and the others go on.

mod low;
mod merge;
mod parcels;
mod thread;

use std::time::Duration;

use meditopia::internals::clock;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

pub use self::low::Low;
pub use self::merge::{Counts, Merged, NewRun, merge};
pub use self::parcels::{Batch, Damaged, ReadBounds};
pub use self::thread::sort_until_stopped;
use super::lease::{FIRST_COLUMNS, Lease, Leased};
use crate::connection::{Connection, column};
use crate::failure::Result;

/// The lease of the sorter. A relay that dies is succeeded after so long.
pub const LEASE: Duration = Duration::from_secs(10);
/// An idle sorter renews it when less than this is left.
const RENEW_AT: Duration = Duration::from_secs(7);

/// The relay that sorts.
#[derive(Debug)]
pub struct Sorter {
    lease: Lease,
    counts: Counts,
    low: Low,
    looked: Option<clock::Moment>,
    /// Parcels that the server cannot read.
    unreadable: Vec<i64>,
    bounds: ReadBounds,
}

/// What a round has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Round {
    /// How many parcels were taken over.
    pub parcels: usize,
    /// How many events these had.
    pub events: u64,
    /// How many runs they have become.
    pub runs: usize,
    /// Those that were set aside.
    pub damaged: Vec<Damaged>,
    /// One that the server cannot read, and why.
    pub unreadable: Option<(i64, String)>,
    /// More may wait already.
    pub is_full: bool,
}

impl Sorter {
    /// Takes the lease for the relay `owner`, if nobody has it.
    ///
    /// # Errors
    /// Those of [`Connection::query`].
    pub fn take(connection: &mut Connection, owner: &str) -> Result<Option<Self>> {
        let Some((lease, row)) = Lease::take(connection, Leased::Sorter, owner, LEASE)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            lease,
            counts: counts_of(&row)?,
            low: Low::default(),
            looked: None,
            unreadable: Vec::new(),
            bounds: ReadBounds::default(),
        }))
    }

    /// Reads smaller or larger batches.
    #[must_use]
    pub fn with_bounds(mut self, bounds: ReadBounds) -> Self {
        self.bounds = bounds;
        self
    }

    /// Forgets everything and reads it again, as it has to be after any error; `false`: another relay sorts.
    ///
    /// # Errors
    /// Those of [`Connection::query`].
    pub fn read_again(&mut self, connection: &mut Connection) -> Result<bool> {
        // It was true of a database that may have been newer.
        self.low = Low::default();
        self.looked = None;
        self.unreadable.clear();
        let Some(row) = self.lease.read_again(connection, LEASE)? else {
            return Ok(false);
        };
        self.counts = counts_of(&row)?;
        Ok(true)
    }

    /// Gives the lease up, so that another relay may sort at once.
    ///
    /// # Errors
    /// Those of [`Connection::query`].
    pub fn give_up(self, connection: &mut Connection) -> Result<bool> {
        self.lease.give_up(connection)
    }

    /// Takes over what is there, as much as one statement may carry. Without parcels it only keeps the lease.
    ///
    /// # Errors
    /// [`STEP_LOST`](crate::failure::STEP_LOST): another relay sorts, or the database is older than what was read.
    /// Else those of [`Connection::query`]. After any error what is known has to be [read again](Self::read_again).
    pub fn round(&mut self, connection: &mut Connection) -> Result<Round> {
        let now = clock::now();
        if self
            .looked
            .is_none_or(|at| now.reached(at.after(low::LOOK_EVERY)))
        {
            self.look(connection)?;
            self.looked = Some(now);
        }
        let batch = self.read(connection)?;
        if !batch.is_empty() {
            return self.commit(connection, batch);
        }
        if !self.lease.outlasts(RENEW_AT) {
            self.lease.renew(connection, LEASE)?;
        }
        Ok(Round {
            unreadable: batch.unreadable,
            is_full: batch.is_full,
            ..Round::default()
        })
    }

    /// The id up to which nothing is read any more.
    pub fn low(&self) -> i64 {
        self.low.get()
    }

    /// Looks whether that can move up, as a round does every 30 s.
    ///
    /// # Errors
    /// Those of [`Connection::query`].
    pub fn look(&mut self, connection: &mut Connection) -> Result<()> {
        self.low.look(connection, self.lease.step)
    }

    /// The first half of a round: reads what comes next.
    ///
    /// # Errors
    /// As [`round`](Self::round).
    pub fn read(&mut self, connection: &mut Connection) -> Result<Batch> {
        let batch = parcels::read(connection, self.low.get(), &self.unreadable, self.bounds)?;
        if let Some((parcel, _)) = batch.unreadable {
            self.unreadable.push(parcel);
        }
        self.low.taken(batch.last_parcel());
        Ok(batch)
    }

    /// The second half: takes it over.
    ///
    /// # Errors
    /// As [`round`](Self::round).
    pub fn commit(&mut self, connection: &mut Connection, batch: Batch) -> Result<Round> {
        let Merged {
            runs,
            counts,
            events,
        } = merge(&batch, &self.counts);
        let damaged: Vec<i64> = batch.damaged.iter().map(|parcel| parcel.id).collect();
        let (ids, sums): (Vec<i64>, Vec<&[u8]>) = batch.keys().unzip();
        let mut lanes = Vec::with_capacity(runs.len());
        let mut run_ids = Vec::with_capacity(runs.len());
        let mut sizes = Vec::with_capacity(runs.len());
        let mut bodies = Vec::with_capacity(runs.len());
        let mut slots = Vec::with_capacity(runs.len());
        let mut run_sums = Vec::with_capacity(runs.len());
        for run in &runs {
            lanes.push(run.lane);
            run_ids.push(run.id);
            sizes.push(run.events);
            bodies.push(&run.body[..]);
            slots.push(&run.slots[..]);
            run_sums.push(&run.checksum[..]);
        }
        let seconds = LEASE.as_secs_f64();
        let sent = clock::now();
        connection.query_one(
            COMMIT,
            &[
                (&self.lease.step, Type::INT8),
                (&self.lease.id, Type::TEXT),
                (&counts.last_run, Type::INT8),
                (&counts.appended, Type::INT8_ARRAY),
                (&seconds, Type::FLOAT8),
                (&ids, Type::INT8_ARRAY),
                (&sums, Type::BYTEA_ARRAY),
                (&damaged, Type::INT8_ARRAY),
                (&lanes, Type::INT2_ARRAY),
                (&run_ids, Type::INT8_ARRAY),
                (&sizes, Type::INT2_ARRAY),
                (&bodies, Type::BYTEA_ARRAY),
                (&slots, Type::BYTEA_ARRAY),
                (&run_sums, Type::BYTEA_ARRAY),
            ],
        )?;
        self.lease.stepped(sent, LEASE);
        self.counts = counts;
        Ok(Round {
            parcels: batch.parcels.len(),
            events,
            runs: runs.len(),
            damaged: batch.damaged,
            unreadable: batch.unreadable,
            is_full: batch.is_full,
        })
    }
}

fn counts_of(row: &Row) -> Result<Counts> {
    Ok(Counts {
        last_run: column(row, FIRST_COLUMNS)?,
        appended: column(row, FIRST_COLUMNS + 1)?,
    })
}

/// All parts see the same rows, those from before the statement: what is set aside is read and removed at once.
const COMMIT: &str = "
WITH mine AS (
  UPDATE meditopia.sorter SET step = step + 1, last_run = $3, appended = $4,
    lease_until = clock_timestamp() + make_interval(secs => $5)
  WHERE one = 1 AND step = $1 AND lease = $2::uuid RETURNING 1
), gone AS (
  DELETE FROM meditopia.parcel p USING mine, unnest($6, $7) AS t(id, checksum)
  WHERE p.id = t.id AND p.checksum = t.checksum RETURNING 1
), aside AS (
  INSERT INTO meditopia.damaged_parcel (parcel, spool, events, body, slots, checksum, found)
  SELECT p.id, p.spool, p.events, p.body, p.slots, p.checksum, clock_timestamp()
  FROM mine, meditopia.parcel p WHERE p.id = ANY($8) RETURNING 1
), put AS (
  INSERT INTO meditopia.run (lane, queue, id, origin, events, body, slots, checksum)
  SELECT t.lane, 0, t.id, t.id, t.events, t.body, t.slots, t.checksum
  FROM mine, unnest($9, $10, $11, $12, $13, $14) AS t(lane, id, events, body, slots, checksum) RETURNING 1
)
SELECT meditopia.require(
  (SELECT count(*) FROM mine) = 1 AND (SELECT count(*) FROM gone) = cardinality($6)
    AND (SELECT count(*) FROM aside) = cardinality($8) AND (SELECT count(*) FROM put) = cardinality($9),
  'another relay sorts, or the database is older than what this one has read')";
