//! A relay's right to a lane, or to sort, until a time of the server's clock.
//!
//! Every change of a lane's row, or of the sorter's, is a compare-and-set on its step and on the id of the lease,
//! which is drawn with each lease. So of two processes that believe to own a lane one changes it, and a statement
//! that comes late changes nothing: a number alone would count on a database that is never set back.
//!
//! The server's clock alone says when a lease may be taken from its owner. The owner counts it from *before* the
//! statement was sent, on the time since boot, which goes on while a host sleeps: it always ends earlier for the
//! owner than for the server.

use std::time::Duration;

use meditopia::internals::clock::{self, Moment};
use meditopia::internals::process::random_uuid;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use crate::connection::{Connection, Parameter, column};
use crate::failure::{Failure, Outcome, Result, STEP_LOST};

/// What a lease is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Leased {
    /// To deliver the events of a lane.
    Lane(i16),
    /// To take parcels over into lanes.
    Sorter,
}

/// The first columns of every row that [`Lease::take`] and [`Lease::read_again`] return: its step (`int8`), and the
/// milliseconds since [`EPOCH_MS`] on the server's clock (`int8`).
pub const FIRST_COLUMNS: usize = 2;
/// 2025-01-01T00:00:00Z, wall time in milliseconds: ids that come from the server's clock count from here.
pub const EPOCH_MS: i64 = 1_735_689_600_000;
/// The milliseconds since [`EPOCH_MS`] on the server's clock, in SQL.
pub const SERVER_MS: &str =
    "((extract(epoch FROM clock_timestamp()) * 1000)::bigint - 1735689600000)";

/// The columns of a lane that follow, in this order.
const LANE_COLUMNS: &str = "first_run, first_suspect_run, last_suspect_run, last_rejected, state, totals, \
    delivered, rejected, expired, left_events, in_doubt_since_ms";
/// Those of the sorter.
const SORTER_COLUMNS: &str = "last_run, appended";

impl Leased {
    fn table(self) -> &'static str {
        match self {
            Self::Lane(_) => "meditopia.lane",
            Self::Sorter => "meditopia.sorter",
        }
    }

    /// The column that names its row.
    fn key(self) -> &'static str {
        match self {
            Self::Lane(_) => "lane",
            Self::Sorter => "one",
        }
    }

    /// What stands in that column.
    pub fn number(self) -> i16 {
        match self {
            Self::Lane(lane) => lane,
            Self::Sorter => 1,
        }
    }

    fn columns(self) -> &'static str {
        match self {
            Self::Lane(_) => LANE_COLUMNS,
            Self::Sorter => SORTER_COLUMNS,
        }
    }
}

impl std::fmt::Display for Leased {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lane(lane) => write!(f, "lane {lane}"),
            Self::Sorter => f.write_str("the sorter"),
        }
    }
}

/// A lease that this process has taken. Another one may have taken it since: the next statement says so.
#[derive(Debug, PartialEq, Eq)]
pub struct Lease {
    /// What it is for.
    pub leased: Leased,
    /// A random UUID, drawn with each lease, and whenever the row is read again.
    pub id: String,
    /// Those that were drawn since and that nobody knows to be committed.
    drawn: Vec<String>,
    /// The step of the row, as the last statement left it.
    pub step: i64,
    /// Its end, by the time since boot.
    until: Moment,
}

impl Lease {
    /// Takes the lease for the relay `owner`, a UUID, if nobody has it. Returns it with the row: the
    /// [first columns](FIRST_COLUMNS), then of a lane `first_run, first_suspect_run, last_suspect_run, last_rejected,
    /// state, totals, delivered, rejected, expired, left_events, in_doubt_since_ms`, of the sorter `last_run, appended`.
    ///
    /// After an [`Outcome::Unknown`] it may be taken, and then nobody has it until it ends.
    ///
    /// # Errors
    /// Those of [`Connection::query`].
    pub fn take(
        connection: &mut Connection,
        leased: Leased,
        owner: &str,
        length: Duration,
    ) -> Result<Option<(Self, Row)>> {
        let mut lease = Self {
            leased,
            id: random_uuid(),
            drawn: Vec::new(),
            step: -1,
            until: clock::now(),
        };
        let (table, key) = (leased.table(), leased.key());
        let row = lease.change(
            connection,
            length,
            "lease = $3::uuid, owner = $4::uuid",
            // Who waits for another one's statement to end finds another step. The newest is read from the end of
            // the index: beside an old snapshot, thousands of steps before it lie there still.
            &format!(
                "r.lease_until < clock_timestamp() \
                AND r.step = (SELECT n.step FROM {table} n WHERE n.{key} = $1 ORDER BY n.step DESC LIMIT 1)"
            ),
            &[(&owner, Type::TEXT)],
        )?;
        Ok(row.map(|row| (lease, row)))
    }

    /// Reads the row after an error, and renews the lease under another id: whatever was sent before this is done by
    /// now, or never will be. With the id as it was, a statement that comes late could be committed on a database that
    /// was set back since, and by chance is at that step again. `None`: the lease is lost, and nothing that is known of
    /// the row is true any more. The row is as that of [`take`](Self::take).
    ///
    /// # Errors
    /// Those of [`Connection::query`].
    pub fn read_again(
        &mut self,
        connection: &mut Connection,
        length: Duration,
    ) -> Result<Option<Row>> {
        let (id, step) = (random_uuid(), self.step);
        let drawn = self.drawn.clone();
        self.drawn.push(id.clone());
        let (set, ours) = (
            "lease = $4::uuid",
            "(r.lease = $3::uuid OR r.lease = ANY($5::uuid[]))",
        );
        let known: [Parameter<'_>; 2] = [(&id, Type::TEXT), (&drawn, Type::TEXT_ARRAY)];
        let newer = format!("{ours} AND r.step >= $6");
        let with_step = [known[0].clone(), known[1].clone(), (&step, Type::INT8)];
        let row = match self.change(connection, length, set, &newer, &with_step)? {
            None => self.change(connection, length, set, ours, &known)?,
            row => row,
        };
        if row.is_some() {
            self.id = id;
            self.drawn.clear();
        }
        Ok(row)
    }

    /// Renews it.
    ///
    /// # Errors
    /// [`STEP_LOST`]: it is lost, or the database is older than what this process has read. Else those of
    /// [`Connection::query`].
    pub fn renew(&mut self, connection: &mut Connection, length: Duration) -> Result<()> {
        let step = self.step;
        let row = self.change(
            connection,
            length,
            "",
            "r.lease = $3::uuid AND r.step = $4",
            &[(&step, Type::INT8)],
        )?;
        row.map(drop).ok_or_else(|| self.lost())
    }

    /// Gives it up, so that another relay may take it at once. `false`: it was lost already.
    ///
    /// # Errors
    /// Those of [`Connection::query`].
    pub fn give_up(self, connection: &mut Connection) -> Result<bool> {
        let (table, key) = (self.leased.table(), self.leased.key());
        let rows = connection.query(
            &format!(
                "UPDATE {table} r SET step = r.step + 1, lease = NULL, owner = NULL, lease_until = '-infinity' \
                WHERE r.{key} = $1 AND r.step = $2 AND r.lease = $3::uuid RETURNING 1"
            ),
            &[
                (&self.leased.number(), Type::INT2),
                (&self.step, Type::INT8),
                (&self.id, Type::TEXT),
            ],
        )?;
        Ok(!rows.is_empty())
    }

    /// Whether it lasts longer than `time` from now on. A request may start only if the lease outlasts its deadline.
    pub fn outlasts(&self, time: Duration) -> bool {
        clock::now().until(self.until) > time
    }

    /// A statement of this lease's owner is committed that has raised the step by one and renewed the lease for
    /// `length`. `sent` was read before the statement was sent.
    pub fn stepped(&mut self, sent: Moment, length: Duration) {
        self.step += 1;
        self.until = sent.after(length);
    }

    /// That it is lost, as a statement with a compare-and-set says it.
    pub fn lost(&self) -> Failure {
        let sqlstate = STEP_LOST.to_owned();
        Failure::new(
            Outcome::Refused { sqlstate },
            format!(
                "another relay has taken the lease of {}, or the database is older than what this one has read",
                self.leased
            ),
        )
    }

    /// One compare-and-set that renews the lease. `$1` is the row's key, `$2` the length in seconds, `$3` the lease.
    fn change(
        &mut self,
        connection: &mut Connection,
        length: Duration,
        and_set: &str,
        condition: &str,
        more: &[Parameter<'_>],
    ) -> Result<Option<Row>> {
        let (table, key) = (self.leased.table(), self.leased.key());
        let columns = self.leased.columns();
        let comma = if and_set.is_empty() { "" } else { ", " };
        let sql = format!(
            "UPDATE {table} r SET step = r.step + 1, lease_until = clock_timestamp() + make_interval(secs => $2){comma}{and_set} \
            WHERE r.{key} = $1 AND {condition} RETURNING step, {SERVER_MS}, {columns}"
        );
        let number = self.leased.number();
        let seconds = length.as_secs_f64();
        let id = &self.id;
        let first: [(&(dyn ToSql + Sync), Type); 3] = [
            (&number, Type::INT2),
            (&seconds, Type::FLOAT8),
            (id, Type::TEXT),
        ];
        let parameters: Vec<_> = first.into_iter().chain(more.iter().cloned()).collect();
        let sent = clock::now();
        let rows = connection.query(&sql, &parameters)?;
        let Some(row) = rows.into_iter().next() else {
            return Ok(None);
        };
        self.step = column(&row, 0)?;
        self.until = sent.after(length);
        Ok(Some(row))
    }
}
