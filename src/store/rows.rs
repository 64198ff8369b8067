//! How rows of the SQLite store read and write; shared by the sender's connection and readers.

use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::{
    InDoubt, LaneState, PauseState, Place, QueueState, Rejected, RejectedReason, Run, Slot,
    StoredRun, Totals,
};
use crate::error::PauseReason;
use crate::journal::reader::Offsets;

const SLOT_LEN: usize = 12;
const LANE_COLUMNS: &str =
    "lane, in_doubt_queue, in_doubt_events, in_doubt_attempts, in_doubt_first_ms,
    in_doubt_last_ms, regular_skip, regular_group, regular_doubtful, regular_belief,
    suspects_skip, suspects_group, suspects_doubtful, suspects_belief";
pub(super) const REJECTED_COLUMNS: &str = "id, user, event, reason, may_be_delivered, api_code,
    message, http_status, attempts, first_ms, last_ms";

/// The slots of a run as they are stored.
pub(super) fn slots(run: &Run) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(run.slots.len() * SLOT_LEN);
    for slot in &run.slots {
        bytes.extend_from_slice(&slot.length.to_le_bytes());
        bytes.extend_from_slice(&slot.enqueued_ms.to_le_bytes());
    }
    bytes
}

fn read_slots(bytes: &[u8]) -> Vec<Slot> {
    bytes
        .chunks_exact(SLOT_LEN)
        .map(|chunk| {
            let (mut length, mut enqueued_ms) = ([0; 4], [0; 8]);
            length.copy_from_slice(&chunk[..4]);
            enqueued_ms.copy_from_slice(&chunk[4..]);
            Slot {
                length: u32::from_le_bytes(length),
                enqueued_ms: i64::from_le_bytes(enqueued_ms),
            }
        })
        .collect()
}

pub(super) fn read_runs(
    connection: &Connection,
    place: Place,
    after: i64,
    limit: usize,
) -> Result<Vec<StoredRun>> {
    connection
        .prepare_cached(
            "SELECT id, coalesce(origin, id), body, slots FROM runs
             WHERE lane = ? AND queue = ? AND id > ? ORDER BY id LIMIT ?",
        )?
        .query_map(
            params![place.lane, place.queue, after, limit as i64],
            |row| {
                Ok(StoredRun {
                    id: row.get(0)?,
                    origin: row.get(1)?,
                    run: Run {
                        body: row.get(2)?,
                        slots: read_slots(row.get_ref(3)?.as_blob()?),
                    },
                })
            },
        )?
        .collect()
}

pub(super) fn read_offsets(connection: &Connection) -> Result<Offsets> {
    connection
        .prepare_cached("SELECT name, upto FROM segments")?
        .query_map([], |row| {
            Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned()))
        })?
        .collect()
}

pub(super) fn last_run(connection: &Connection) -> Result<i64> {
    Ok(connection
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'runs'")?
        .query_row([], |row| row.get(0))
        .optional()?
        .unwrap_or(0))
}

pub(super) fn first_origin(connection: &Connection) -> Result<Option<i64>> {
    let first = |sql: &str| -> Result<Option<i64>> {
        connection
            .prepare_cached(sql)?
            .query_row([], |row| row.get(0))
            .optional()
    };
    let regular = first("SELECT id FROM runs WHERE origin IS NULL ORDER BY id LIMIT 1")?;
    let moved = first("SELECT origin FROM runs WHERE origin IS NOT NULL ORDER BY origin LIMIT 1")?;
    Ok(regular.into_iter().chain(moved).min())
}

pub(super) fn oldest_pending_ms(connection: &Connection) -> Result<Option<i64>> {
    let places = connection
        .prepare_cached("SELECT DISTINCT lane, queue FROM runs")?
        .query_map([], |row| {
            Ok(Place {
                lane: row.get(0)?,
                queue: row.get(1)?,
            })
        })?
        .collect::<Result<Vec<_>>>()?;
    let mut oldest = None;
    for place in places {
        for stored in read_runs(connection, place, 0, 1)? {
            let first = stored.run.slots.iter().map(|slot| slot.enqueued_ms).min();
            oldest = oldest.into_iter().chain(first).min();
        }
    }
    Ok(oldest)
}

pub(super) fn write_lane(connection: &Connection, lane: u8, state: &LaneState) -> Result<()> {
    let [regular, suspects] = &state.queues;
    let in_doubt = state.in_doubt;
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO lanes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            lane,
            in_doubt.map(|batch| batch.queue),
            in_doubt.map(|batch| batch.events),
            in_doubt.map(|batch| batch.attempts),
            in_doubt.map(|batch| batch.first_ms),
            in_doubt.map(|batch| batch.last_ms),
            regular.skip,
            regular.group,
            regular.doubtful,
            belief(regular),
            suspects.skip,
            suspects.group,
            suspects.doubtful,
            belief(suspects),
        ])
        .map(drop)
}

fn belief(queue: &QueueState) -> Vec<u8> {
    queue
        .belief
        .iter()
        .flat_map(|weight| weight.to_le_bytes())
        .collect()
}

pub(super) fn read_lane(connection: &Connection, lane: u8) -> Result<LaneState> {
    Ok(connection
        .prepare_cached(&format!("SELECT {LANE_COLUMNS} FROM lanes WHERE lane = ?"))?
        .query_row([lane], lane_state)
        .optional()?
        .map(|(_, state)| state)
        .unwrap_or_default())
}

pub(super) fn read_lanes(connection: &Connection) -> Result<Vec<(u8, LaneState)>> {
    connection
        .prepare_cached(&format!("SELECT {LANE_COLUMNS} FROM lanes ORDER BY lane"))?
        .query_map([], lane_state)?
        .collect()
}

fn lane_state(row: &Row<'_>) -> Result<(u8, LaneState)> {
    let in_doubt = match row.get::<_, Option<u8>>(1)? {
        Some(queue) => Some(InDoubt {
            queue,
            events: row.get(2)?,
            attempts: row.get(3)?,
            first_ms: row.get(4)?,
            last_ms: row.get(5)?,
        }),
        None => None,
    };
    let queue = |first: usize| -> Result<QueueState> {
        Ok(QueueState {
            skip: row.get(first)?,
            group: row.get(first + 1)?,
            doubtful: row.get(first + 2)?,
            belief: row
                .get_ref(first + 3)?
                .as_blob()?
                .chunks_exact(8)
                .map(|chunk| {
                    let mut weight = [0; 8];
                    weight.copy_from_slice(chunk);
                    f64::from_le_bytes(weight)
                })
                .collect(),
        })
    };
    let queues = [queue(6)?, queue(10)?];
    Ok((row.get(0)?, LaneState { in_doubt, queues }))
}

impl RejectedReason {
    fn code(self) -> i64 {
        match self {
            Self::Refused => 1,
            Self::Expired => 2,
        }
    }

    fn from_code(code: i64) -> Self {
        if code == 2 {
            Self::Expired
        } else {
            Self::Refused
        }
    }
}

pub(super) fn write_rejected(connection: &Connection, event: &Rejected) -> Result<()> {
    connection
        .prepare_cached("INSERT INTO rejected VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?
        .execute(params![
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
        ])
        .map(drop)
}

pub(super) fn rejected(row: &Row<'_>) -> Result<(i64, Rejected)> {
    Ok((
        row.get(0)?,
        Rejected {
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
        },
    ))
}

pub(super) fn write_pause(connection: &Connection, pause: &PauseState) -> Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO pause VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)")?
        .execute(params![
            pause.reason.name(),
            pause.since_ms,
            pause.probe_ms,
            pause.probe_wait_ms,
            pause.http_status,
            pause.api_code,
            pause.message,
            pause.fingerprint,
        ])
        .map(drop)
}

pub(super) fn read_pause(connection: &Connection) -> Result<Option<PauseState>> {
    connection
        .prepare_cached("SELECT reason, since_ms, probe_ms, probe_wait_ms, http_status, api_code, message, fingerprint FROM pause")?
        .query_row([], |row| {
            Ok(PauseState {
                // A reason of a newer version still is a pause, and keeps everything.
                reason: PauseReason::from_name(&row.get::<_, String>(0)?)
                    .unwrap_or(PauseReason::Hold),
                since_ms: row.get(1)?,
                probe_ms: row.get(2)?,
                probe_wait_ms: row.get(3)?,
                http_status: row.get(4)?,
                api_code: row.get(5)?,
                message: row.get(6)?,
                fingerprint: row.get(7)?,
            })
        })
        .optional()
}

pub(super) fn write_totals(connection: &Connection, totals: &Totals) -> Result<()> {
    connection
        .prepare_cached(
            "UPDATE state SET pending = ?, pending_bytes = ?, delivered = ?, rejected = ?, expired = ?,
             requests = ?, retried_requests = ?, refused_requests = ?, isolation_requests = ?, damaged_records = ?,
             torn_tails = ?, lost = ?",
        )?
        .execute([
            totals.pending.cast_signed(),
            totals.pending_bytes.cast_signed(),
            totals.delivered.cast_signed(),
            totals.rejected.cast_signed(),
            totals.expired.cast_signed(),
            totals.requests.cast_signed(),
            totals.retried_requests.cast_signed(),
            totals.refused_requests.cast_signed(),
            totals.isolation_requests.cast_signed(),
            totals.damaged_records.cast_signed(),
            totals.torn_tails.cast_signed(),
            totals.lost.cast_signed(),
        ])
        .map(drop)
}

pub(super) fn read_totals(connection: &Connection) -> Result<Totals> {
    connection
        .prepare_cached(
            "SELECT pending, pending_bytes, delivered, rejected, expired, requests, retried_requests,
             refused_requests, isolation_requests, damaged_records, torn_tails, lost FROM state",
        )?
        .query_row([], |row| {
            let sum = |column: usize| Ok::<_, rusqlite::Error>(row.get::<_, i64>(column)?.cast_unsigned());
            Ok(Totals {
                pending: sum(0)?,
                pending_bytes: sum(1)?,
                delivered: sum(2)?,
                rejected: sum(3)?,
                expired: sum(4)?,
                requests: sum(5)?,
                retried_requests: sum(6)?,
                refused_requests: sum(7)?,
                isolation_requests: sum(8)?,
                damaged_records: sum(9)?,
                torn_tails: sum(10)?,
                lost: sum(11)?,
            })
        })
}
