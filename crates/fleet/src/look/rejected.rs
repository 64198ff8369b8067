//! The rejected events of all lanes.

use meditopia::internals::client::{RejectedCount, Row, rejected_row};
use meditopia::internals::store::{Rejected, RejectedFilter, RejectedReason};
use tokio_postgres::types::Type;

use super::Look;
use crate::connection::{Connection, Parameter, column};
use crate::failure::{Failure, Outcome, Result};

/// The part of a statement that says which rejected events a filter takes; its parameters are [`Taken::parameters`].
pub(crate) const TAKEN: &str = "r.id > $1 AND r.id <= $2 AND ($3::text IS NULL OR r.\"user\" = $3)
  AND ($4::text IS NULL OR r.api_code = $4) AND ($5::smallint IS NULL OR r.reason = $5)
  AND ($6::bool IS NULL OR r.may_be_delivered = $6) AND ($7::bigint IS NULL OR r.last_ms >= $7)
  AND ($8::bigint IS NULL OR r.last_ms < $8)";

/// A filter as a statement reads it.
pub(crate) struct Taken<'a> {
    filter: &'a RejectedFilter,
    upto: i64,
    reason: Option<i16>,
}

impl<'a> Taken<'a> {
    /// Of the events up to this id.
    pub(crate) fn new(filter: &'a RejectedFilter, upto: i64) -> Self {
        Self {
            filter,
            upto,
            reason: filter.reason.map(|reason| reason as i16),
        }
    }

    /// The first eight parameters.
    pub(crate) fn parameters(&self) -> Vec<Parameter<'_>> {
        let filter = self.filter;
        vec![
            (&filter.after_id, Type::INT8),
            (&self.upto, Type::INT8),
            (&filter.user, Type::TEXT),
            (&filter.api_code, Type::TEXT),
            (&self.reason, Type::INT2),
            (&filter.may_be_delivered, Type::BOOL),
            (&filter.from_ms, Type::INT8),
            (&filter.until_ms, Type::INT8),
        ]
    }
}

impl Look {
    /// The first `limit` events that `filter` takes, the earliest first.
    ///
    /// # Errors
    /// Those of [`Connection::query`].
    pub fn rejected(&mut self, filter: &RejectedFilter, limit: i64) -> Result<Vec<Row>> {
        let taken = Taken::new(filter, i64::MAX);
        let mut parameters = taken.parameters();
        parameters.push((&limit, Type::INT8));
        let rows = self.connection.query(
            &format!(
                "SELECT r.id, r.\"user\", r.event, r.reason, r.may_be_delivered, r.api_code, r.message, r.http_status,
                  r.attempts, r.first_ms, r.last_ms
                FROM meditopia.rejected r WHERE {TAKEN} ORDER BY r.id LIMIT $9"
            ),
            &parameters,
        )?;
        rows.iter().map(row).collect()
    }

    /// How many events `filter` takes.
    ///
    /// # Errors
    /// Those of [`Connection::query`].
    pub fn count_rejected(&mut self, filter: &RejectedFilter) -> Result<u64> {
        let row = self.connection.query_one(
            &format!("SELECT count(*) FROM meditopia.rejected r WHERE {TAKEN}"),
            &Taken::new(filter, i64::MAX).parameters(),
        )?;
        Ok(column::<i64>(&row, 0)?.unsigned_abs())
    }

    /// How many are kept, by reason and API code, the largest number first.
    ///
    /// # Errors
    /// Those of [`Connection::query`].
    pub fn rejected_by_code(&mut self) -> Result<Vec<RejectedCount>> {
        let rows = self.connection.query(
            "SELECT r.reason, r.api_code, count(*) FROM meditopia.rejected r
             GROUP BY r.reason, r.api_code ORDER BY count(*) DESC, r.reason, r.api_code",
            &[],
        )?;
        let count = |row| {
            Ok(RejectedCount {
                reason: reason(column(row, 0)?)?,
                api_code: column(row, 1)?,
                events: column::<i64>(row, 2)?.unsigned_abs(),
            })
        };
        rows.iter().map(count).collect()
    }
}

/// The id of the last event that is rejected now; 0: there is none.
pub(crate) fn last_id(connection: &mut Connection) -> Result<i64> {
    let row = connection.query_one(
        "SELECT coalesce((SELECT id FROM meditopia.rejected ORDER BY id DESC LIMIT 1), 0)",
        &[],
    )?;
    column(&row, 0)
}

fn row(row: &tokio_postgres::Row) -> Result<Row> {
    let status: Option<i16> = column(row, 7)?;
    let attempts: i32 = column(row, 8)?;
    let rejected = Rejected {
        user: column(row, 1)?,
        event: column(row, 2)?,
        reason: reason(column(row, 3)?)?,
        may_be_delivered: column(row, 4)?,
        api_code: column(row, 5)?,
        message: column(row, 6)?,
        http_status: status.map(i16::cast_unsigned),
        attempts: attempts.unsigned_abs(),
        first_ms: column(row, 9)?,
        last_ms: column(row, 10)?,
    };
    Ok(rejected_row(column(row, 0)?, rejected))
}

fn reason(number: i16) -> Result<RejectedReason> {
    let reason = u8::try_from(number)
        .ok()
        .and_then(RejectedReason::from_number);
    reason.ok_or_else(|| {
        Failure::new(
            Outcome::Unusable,
            "store: an event is rejected for a reason that this version does not know; use a newer program",
        )
    })
}
