//! How the rejected events of a lane are read.

use meditopia::internals::store::{Rejected, RejectedFilter, RejectedReason};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::sql::Parameters;
use crate::connection::{Connection, column};
use crate::failure::{Failure, Outcome, Result};

const COLUMNS: &str = "id, \"user\", event, reason, may_be_delivered, api_code, message, http_status, attempts, first_ms, last_ms";

/// The first `limit` events of `lane` that `filter` takes, by id, without those of `but`.
pub(super) fn matching(
    connection: &mut Connection,
    lane: i16,
    filter: &RejectedFilter,
    limit: usize,
    but: &[i64],
) -> Result<Vec<(i64, Rejected)>> {
    let mut p = Parameters::default();
    let mut conditions = vec![
        format!("lane = {}", p.add(lane, Type::INT2)),
        format!("id > {}", p.add(filter.after_id, Type::INT8)),
    ];
    if !but.is_empty() {
        conditions.push(format!("id <> ALL({})", p.add(but, Type::INT8_ARRAY)));
    }
    if let Some(user) = &filter.user {
        conditions.push(format!("\"user\" = {}", p.add(user, Type::TEXT)));
    }
    if let Some(code) = &filter.api_code {
        conditions.push(format!("api_code = {}", p.add(code, Type::TEXT)));
    }
    if let Some(reason) = filter.reason {
        conditions.push(format!("reason = {}", p.add(reason as i16, Type::INT2)));
    }
    if let Some(may) = filter.may_be_delivered {
        conditions.push(format!("may_be_delivered = {}", p.add(may, Type::BOOL)));
    }
    if let Some(from_ms) = filter.from_ms {
        conditions.push(format!("last_ms >= {}", p.add(from_ms, Type::INT8)));
    }
    if let Some(until_ms) = filter.until_ms {
        conditions.push(format!("last_ms < {}", p.add(until_ms, Type::INT8)));
    }
    let limit = p.add(i64::try_from(limit).unwrap_or(i64::MAX), Type::INT8);
    let rows = p.query(
        connection,
        &format!(
            "SELECT {COLUMNS} FROM meditopia.rejected WHERE {} ORDER BY id LIMIT {limit}",
            conditions.join(" AND ")
        ),
    )?;
    rows.iter().map(rejected).collect()
}

/// The events of `lane` with these ids, by id.
pub(super) fn with_ids(
    connection: &mut Connection,
    lane: i16,
    ids: &[i64],
) -> Result<Vec<(i64, Rejected)>> {
    let rows = connection.query(
        &format!(
            "SELECT {COLUMNS} FROM meditopia.rejected WHERE id = ANY($1) AND lane = $2 ORDER BY id"
        ),
        &[(&ids, Type::INT8_ARRAY), (&lane, Type::INT2)],
    )?;
    rows.iter().map(rejected).collect()
}

fn rejected(row: &Row) -> Result<(i64, Rejected)> {
    let id: i64 = column(row, 0)?;
    let (reason, status): (i16, Option<i16>) = (column(row, 3)?, column(row, 7)?);
    let attempts: i32 = column(row, 8)?;
    let reason = u8::try_from(reason)
        .ok()
        .and_then(RejectedReason::from_number);
    let reason = reason.ok_or_else(|| {
        let message =
            format!("store: the rejected event {id} has a reason that this version does not know");
        Failure::new(Outcome::Unusable, message)
    })?;
    let event = Rejected {
        user: column(row, 1)?,
        event: column(row, 2)?,
        reason,
        may_be_delivered: column(row, 4)?,
        api_code: column(row, 5)?,
        message: column(row, 6)?,
        http_status: status.map(i16::cast_unsigned),
        attempts: attempts.unsigned_abs(),
        first_ms: column(row, 9)?,
        last_ms: column(row, 10)?,
    };
    Ok((id, event))
}
