//! What is kept beside the queues: rejected events, the pause, the sums.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Result, Row, params, params_from_iter};

use crate::error::PauseReason;
use crate::store::checksum::Checksum;
use crate::store::{Measures, PauseState, Rejected, RejectedFilter, RejectedReason, Totals};

/// How many sums the store keeps.
const SUMS: usize = 12;
pub(in crate::store) const REJECTED_COLUMNS: &str =
    "id, user, event, reason, may_be_delivered, api_code,
    message, http_status, attempts, first_ms, last_ms, crc";
pub(in crate::store) const PAUSE_COLUMNS: &str =
    "reason, since_ms, probe_ms, probe_wait_ms, http_status, api_code, message, fingerprint, crc";
pub(in crate::store) const STATE_COLUMNS: &str =
    "lanes, pending, pending_bytes, delivered, rejected, expired, requests,
    retried_requests, refused_requests, isolation_requests, damaged_records, torn_tails, lost, crc, measures";
/// The same of a store that has no measures yet.
pub(in crate::store) const STATE_COLUMNS_2: &str =
    "lanes, pending, pending_bytes, delivered, rejected, expired, requests,
    retried_requests, refused_requests, isolation_requests, damaged_records, torn_tails, lost, crc, x''";

impl RejectedReason {
    fn code(self) -> i64 {
        match self {
            Self::Refused => 1,
            Self::Expired => 2,
            Self::SetAside => 3,
        }
    }

    fn from_code(code: i64) -> Self {
        match code {
            2 => Self::Expired,
            3 => Self::SetAside,
            _ => Self::Refused,
        }
    }
}

pub(in crate::store) fn write_rejected(
    connection: &Connection,
    id: Option<i64>,
    event: &Rejected,
) -> Result<()> {
    connection
        .prepare_cached("INSERT INTO rejected VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?
        .execute(params![
            id,
            event.user,
            event.event,
            event.reason.code(),
            event.may_be_delivered,
            event.api_code,
            event.message,
            event.http_status,
            event.attempts,
            event.first_ms,
            event.last_ms,
            rejected_checksum(event).column(),
        ])
        .map(drop)
}

fn rejected_checksum(event: &Rejected) -> Checksum {
    Checksum::default()
        .bytes(event.user.as_bytes())
        .bytes(&event.event)
        .numbers([event.reason.code(), event.may_be_delivered.into()])
        .bytes(event.api_code.as_bytes())
        .bytes(event.message.as_bytes())
        .maybe(event.http_status.map(i64::from))
        .numbers([event.attempts.into(), event.first_ms, event.last_ms])
}

pub(in crate::store) fn read_rejected(
    connection: &Connection,
    filter: &RejectedFilter,
    limit: usize,
) -> Result<Vec<(i64, Rejected)>> {
    let (condition, mut values) = taken_by(filter);
    values.push(Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
    connection
        .prepare_cached(&format!(
            "SELECT {REJECTED_COLUMNS} FROM rejected WHERE {condition} ORDER BY id LIMIT ?"
        ))?
        .query_map(params_from_iter(values), rejected)?
        .collect()
}

/// How many rejected events `filter` takes.
pub(in crate::store) fn count_rejected(
    connection: &Connection,
    filter: &RejectedFilter,
) -> Result<u64> {
    let (condition, values) = taken_by(filter);
    connection
        .prepare_cached(&format!("SELECT count(*) FROM rejected WHERE {condition}"))?
        .query_row(params_from_iter(values), |row| row.get(0))
        .map(i64::cast_unsigned)
}

/// How many rejected events there are, by reason and code; the most first.
///
/// By the index of codes: only of those without one are the rows looked at.
pub(in crate::store) fn rejected_by_code(
    connection: &Connection,
) -> Result<Vec<(RejectedReason, String, u64)>> {
    let mut counts: Vec<(RejectedReason, String, u64)> = connection
        .prepare_cached(
            "SELECT 1, api_code, count(*) FROM rejected WHERE api_code > '' GROUP BY api_code
             UNION ALL
             SELECT reason, '', count(*) FROM rejected WHERE api_code = '' GROUP BY reason",
        )?
        .query_map([], |row| {
            let count: i64 = row.get(2)?;
            let reason = RejectedReason::from_code(row.get(0)?);
            Ok((reason, row.get(1)?, count.cast_unsigned()))
        })?
        .collect::<Result<_>>()?;
    counts.sort_by_key(|(_, _, events)| std::cmp::Reverse(*events));
    Ok(counts)
}

/// The condition that a filter is, and the values of its parameters.
fn taken_by(filter: &RejectedFilter) -> (String, Vec<Value>) {
    let text = |text: &Option<String>| text.clone().map(Value::Text);
    let conditions = [
        ("user = ?", text(&filter.user)),
        ("api_code = ?", text(&filter.api_code)),
        (
            "reason = ?",
            filter.reason.map(|reason| Value::Integer(reason.code())),
        ),
        (
            "may_be_delivered = ?",
            filter
                .may_be_delivered
                .map(|may| Value::Integer(may.into())),
        ),
        ("last_ms >= ?", filter.from_ms.map(Value::Integer)),
        ("last_ms < ?", filter.until_ms.map(Value::Integer)),
    ];
    let mut sql = "id > ?".to_owned();
    let mut values = vec![Value::Integer(filter.after_id)];
    for (condition, value) in conditions {
        if let Some(value) = value {
            sql.push_str(" AND ");
            sql.push_str(condition);
            values.push(value);
        }
    }
    (sql, values)
}

/// A row of `REJECTED_COLUMNS`.
pub(in crate::store) fn rejected(row: &Row<'_>) -> Result<(i64, Rejected)> {
    let id = row.get(0)?;
    let event = Rejected {
        user: row.get(1)?,
        event: row.get(2)?,
        reason: RejectedReason::from_code(row.get(3)?),
        may_be_delivered: row.get(4)?,
        api_code: row.get(5)?,
        message: row.get(6)?,
        http_status: row.get(7)?,
        attempts: row.get(8)?,
        first_ms: row.get(9)?,
        last_ms: row.get(10)?,
    };
    rejected_checksum(&event).verify(row.get(11)?, format_args!("rejected event {id}"))?;
    Ok((id, event))
}

pub(in crate::store) fn write_refused_in_a_row(connection: &Connection, user: &str) -> Result<()> {
    let crc = Checksum::default().bytes(user.as_bytes()).column();
    connection
        .prepare_cached("INSERT OR IGNORE INTO refused_in_a_row VALUES (?, ?)")?
        .execute(params![user, crc])
        .map(drop)
}

pub(in crate::store) fn read_refused_in_a_row(connection: &Connection) -> Result<Vec<String>> {
    connection
        .prepare_cached("SELECT user, crc FROM refused_in_a_row")?
        .query_map([], |row| {
            let user: String = row.get(0)?;
            let crc = Checksum::default().bytes(user.as_bytes());
            crc.verify(row.get(1)?, format_args!("the refused user {user}"))?;
            Ok(user)
        })?
        .collect()
}

pub(in crate::store) fn write_pause(connection: &Connection, pause: &PauseState) -> Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO pause VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?
        .execute(params![
            pause.reason.name(),
            pause.since_ms,
            pause.probe_ms,
            pause.probe_wait_ms,
            pause.http_status,
            pause.api_code,
            pause.message,
            pause.fingerprint,
            pause_checksum(pause.reason.name(), pause).column(),
        ])
        .map(drop)
}

fn pause_checksum(reason: &str, pause: &PauseState) -> Checksum {
    Checksum::default()
        .bytes(reason.as_bytes())
        .number(pause.since_ms)
        .maybe(pause.probe_ms)
        .number(pause.probe_wait_ms)
        .maybe(pause.http_status.map(i64::from))
        .bytes(pause.api_code.as_deref().unwrap_or_default().as_bytes())
        .bytes(pause.message.as_bytes())
        .bytes(pause.fingerprint.as_deref().unwrap_or_default())
}

pub(in crate::store) fn read_pause(connection: &Connection) -> Result<Option<PauseState>> {
    connection
        .prepare_cached(&format!("SELECT {PAUSE_COLUMNS} FROM pause"))?
        .query_row([], pause)
        .optional()
}

/// A row of `PAUSE_COLUMNS`.
pub(in crate::store) fn pause(row: &Row<'_>) -> Result<PauseState> {
    let reason: String = row.get(0)?;
    let pause = PauseState {
        // A reason of a newer version still is a pause, and keeps everything.
        reason: PauseReason::from_name(&reason).unwrap_or(PauseReason::Hold),
        since_ms: row.get(1)?,
        probe_ms: row.get(2)?,
        probe_wait_ms: row.get(3)?,
        http_status: row.get(4)?,
        api_code: row.get(5)?,
        message: row.get(6)?,
        fingerprint: row.get(7)?,
    };
    pause_checksum(&reason, &pause).verify(row.get(8)?, "the pause")?;
    Ok(pause)
}

pub(in crate::store) fn write_state(
    connection: &Connection,
    lanes: u8,
    totals: &Totals,
) -> Result<()> {
    let sums = sums(totals);
    let measures = totals.measures.to_bytes();
    let crc = state_checksum(lanes, &sums, &measures).column();
    let numbers = [i64::from(lanes)].into_iter().chain(sums).chain([crc]);
    let values = numbers.map(Value::Integer).chain([Value::Blob(measures)]);
    connection
        .prepare_cached(
            "UPDATE state SET lanes = ?, pending = ?, pending_bytes = ?, delivered = ?, rejected = ?,
             expired = ?, requests = ?, retried_requests = ?, refused_requests = ?,
             isolation_requests = ?, damaged_records = ?, torn_tails = ?, lost = ?, crc = ?, measures = ?",
        )?
        .execute(params_from_iter(values))
        .map(drop)
}

fn sums(totals: &Totals) -> [i64; SUMS] {
    [
        totals.pending,
        totals.pending_bytes,
        totals.delivered,
        totals.rejected,
        totals.expired,
        totals.requests,
        totals.retried_requests,
        totals.refused_requests,
        totals.isolation_requests,
        totals.damaged_records,
        totals.torn_tails,
        totals.lost,
    ]
    .map(u64::cast_signed)
}

fn state_checksum(lanes: u8, sums: &[i64], measures: &[u8]) -> Checksum {
    let checksum = Checksum::default()
        .number(lanes.into())
        .numbers(sums.iter().copied());
    match measures {
        // As an earlier version has written it.
        [] => checksum,
        measures => checksum.bytes(measures),
    }
}

pub(in crate::store) fn read_state(connection: &Connection) -> Result<(u8, Totals)> {
    read_state_of(connection, STATE_COLUMNS)
}

/// The same, with the columns that a store of its version has.
pub(in crate::store) fn read_state_of(
    connection: &Connection,
    columns: &str,
) -> Result<(u8, Totals)> {
    connection
        .prepare_cached(&format!("SELECT {columns} FROM state"))?
        .query_row([], state)
}

/// A row of `STATE_COLUMNS`: the number of lanes, and the sums.
pub(in crate::store) fn state(row: &Row<'_>) -> Result<(u8, Totals)> {
    let sum = |column: usize| Ok::<_, rusqlite::Error>(row.get::<_, i64>(column)?.cast_unsigned());
    let lanes = row.get(0)?;
    let measures = row.get_ref(2 + SUMS)?.as_blob()?;
    let totals = Totals {
        pending: sum(1)?,
        pending_bytes: sum(2)?,
        delivered: sum(3)?,
        rejected: sum(4)?,
        expired: sum(5)?,
        requests: sum(6)?,
        retried_requests: sum(7)?,
        refused_requests: sum(8)?,
        isolation_requests: sum(9)?,
        damaged_records: sum(10)?,
        torn_tails: sum(11)?,
        lost: sum(12)?,
        measures: Measures::from_bytes(measures),
    };
    state_checksum(lanes, &sums(&totals), measures).verify(row.get(1 + SUMS)?, "the sums")?;
    Ok((lanes, totals))
}
