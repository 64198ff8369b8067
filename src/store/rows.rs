//! How rows of the SQLite store read and write; shared by the sender's connection and readers.

use rusqlite::{Connection, OptionalExtension, Result, Row, params, params_from_iter};

use super::checksum::{Checksum, corrupt};
use super::{
    InDoubt, LaneState, PauseState, Place, QueueState, Rejected, RejectedReason, Run, Slot,
    StoredRun, Suspect, Totals,
};
use crate::error::PauseReason;
use crate::journal::reader::Offsets;

const SLOT_LEN: usize = 12;
/// How many sums the store keeps.
const SUMS: usize = 12;
pub(super) const LANE_COLUMNS: &str =
    "lane, in_doubt_queue, in_doubt_events, in_doubt_attempts, in_doubt_first_ms,
    in_doubt_last_ms, regular_skip, regular_group, regular_doubtful, regular_belief,
    suspects_skip, suspects_group, suspects_doubtful, suspects_belief, crc";
pub(super) const RUN_COLUMNS: &str = "id, coalesce(origin, id), body, slots, crc, lane, queue";
pub(super) const REJECTED_COLUMNS: &str = "id, user, event, reason, may_be_delivered, api_code,
    message, http_status, attempts, first_ms, last_ms, crc";
pub(super) const SUSPECT_COLUMNS: &str = "user, lane, waiting, accepted, crc";
pub(super) const PAUSE_COLUMNS: &str =
    "reason, since_ms, probe_ms, probe_wait_ms, http_status, api_code, message, fingerprint, crc";
pub(super) const STATE_COLUMNS: &str =
    "lanes, pending, pending_bytes, delivered, rejected, expired, requests,
    retried_requests, refused_requests, isolation_requests, damaged_records, torn_tails, lost, crc";

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

/// The checksum of a run in its row.
pub(super) fn run_checksum(place: Place, body: &[u8], slots: &[u8]) -> i64 {
    Checksum::default()
        .number(place.lane.into())
        .number(place.queue.into())
        .bytes(body)
        .bytes(slots)
        .column()
}

/// Writes a run under the number that it had in another store.
pub(super) fn write_run(connection: &Connection, place: Place, stored: &StoredRun) -> Result<()> {
    let slots = slots(&stored.run);
    let origin = (stored.origin != stored.id).then_some(stored.origin);
    connection
        .prepare_cached("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?)")?
        .execute(params![
            stored.id,
            place.lane,
            place.queue,
            origin,
            stored.run.body,
            slots,
            run_checksum(place, &stored.run.body, &slots)
        ])
        .map(drop)
}

/// A row of `RUN_COLUMNS`, and where it waits.
pub(super) fn run(row: &Row<'_>) -> Result<(Place, StoredRun)> {
    let id = row.get(0)?;
    let (body, slots) = (row.get_ref(2)?.as_blob()?, row.get_ref(3)?.as_blob()?);
    let place = Place {
        lane: row.get(5)?,
        queue: row.get(6)?,
    };
    if run_checksum(place, body, slots) != row.get::<_, i64>(4)? {
        return Err(corrupt(format!("run {id} does not match its checksum")));
    }
    let run = Run {
        body: body.to_vec(),
        slots: read_slots(slots),
    };
    if !run.is_whole() {
        return Err(corrupt(format!("the events of run {id} do not add up")));
    }
    let origin = row.get(1)?;
    Ok((place, StoredRun { id, origin, run }))
}

pub(super) fn read_runs(
    connection: &Connection,
    place: Place,
    after: i64,
    limit: usize,
) -> Result<Vec<StoredRun>> {
    let runs = connection
        .prepare_cached(&format!(
            "SELECT {RUN_COLUMNS} FROM runs
             WHERE lane = ? AND queue = ? AND id > ? ORDER BY id LIMIT ?"
        ))?
        .query_map(params![place.lane, place.queue, after, limit as i64], run)?
        .collect::<Result<Vec<_>>>()?;
    // The index may lead to a row of another queue, and that row may be sound.
    match runs.iter().find(|(found, _)| *found != place) {
        Some((_, stored)) => Err(corrupt(format!("run {} waits elsewhere", stored.id))),
        None => Ok(runs.into_iter().map(|(_, stored)| stored).collect()),
    }
}

pub(super) fn read_offsets(connection: &Connection) -> Result<Offsets> {
    connection
        .prepare_cached("SELECT name, upto, crc FROM segments")?
        .query_map([], offset)?
        .collect()
}

/// A row of `segments`.
pub(super) fn offset(row: &Row<'_>) -> Result<(String, u64)> {
    let (name, upto): (String, i64) = (row.get(0)?, row.get(1)?);
    offset_checksum(&name, upto).verify(row.get(2)?, format_args!("segment {name}"))?;
    Ok((name, upto.cast_unsigned()))
}

fn offset_checksum(name: &str, upto: i64) -> Checksum {
    Checksum::default().bytes(name.as_bytes()).number(upto)
}

pub(super) fn write_offset(connection: &Connection, name: &str, upto: u64) -> Result<()> {
    let upto = upto.cast_signed();
    connection
        .prepare_cached(
            "INSERT INTO segments VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET upto = ?2, crc = ?3",
        )?
        .execute(params![name, upto, offset_checksum(name, upto).column()])
        .map(drop)
}

fn suspect_checksum(suspect: &Suspect) -> Checksum {
    Checksum::default().bytes(&suspect.user).numbers([
        suspect.lane.into(),
        suspect.waiting.cast_signed(),
        suspect.accepted.into(),
    ])
}

pub(super) fn write_suspect(connection: &Connection, suspect: &Suspect) -> Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO suspects VALUES (?, ?, ?, ?, ?)")?
        .execute(params![
            suspect.user,
            suspect.lane,
            suspect.waiting.cast_signed(),
            suspect.accepted,
            suspect_checksum(suspect).column(),
        ])
        .map(drop)
}

/// A row of `SUSPECT_COLUMNS`.
pub(super) fn suspect(row: &Row<'_>) -> Result<Suspect> {
    let suspect = Suspect {
        user: row.get(0)?,
        lane: row.get(1)?,
        waiting: row.get::<_, i64>(2)?.cast_unsigned(),
        accepted: row.get(3)?,
    };
    suspect_checksum(&suspect).verify(row.get(4)?, "a suspect")?;
    Ok(suspect)
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
            "INSERT OR REPLACE INTO lanes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
            lane_checksum(lane, state).column(),
        ])
        .map(drop)
}

fn lane_checksum(lane: u8, state: &LaneState) -> Checksum {
    let in_doubt = state.in_doubt.map(|batch| {
        Checksum::default()
            .numbers([
                batch.queue.into(),
                batch.events.into(),
                batch.attempts.into(),
                batch.first_ms,
                batch.last_ms,
            ])
            .column()
    });
    let start = Checksum::default().number(lane.into()).maybe(in_doubt);
    state.queues.iter().fold(start, |checksum, queue| {
        checksum
            .numbers([queue.skip.into(), queue.group.into(), queue.doubtful.into()])
            .bytes(&belief(queue))
    })
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

pub(super) fn read_lane_states(connection: &Connection) -> Result<Vec<(u8, LaneState)>> {
    connection
        .prepare_cached(&format!("SELECT {LANE_COLUMNS} FROM lanes ORDER BY lane"))?
        .query_map([], lane_state)?
        .collect()
}

/// A row of `lanes`.
pub(super) fn lane_state(row: &Row<'_>) -> Result<(u8, LaneState)> {
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
    let (lane, state) = (row.get(0)?, LaneState { in_doubt, queues });
    lane_checksum(lane, &state).verify(row.get(14)?, format_args!("lane {lane}"))?;
    Ok((lane, state))
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

pub(super) fn write_rejected(
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

/// A row of `REJECTED_COLUMNS`.
pub(super) fn rejected(row: &Row<'_>) -> Result<(i64, Rejected)> {
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

pub(super) fn write_pause(connection: &Connection, pause: &PauseState) -> Result<()> {
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

pub(super) fn read_pause(connection: &Connection) -> Result<Option<PauseState>> {
    connection
        .prepare_cached(&format!("SELECT {PAUSE_COLUMNS} FROM pause"))?
        .query_row([], pause)
        .optional()
}

/// A row of `PAUSE_COLUMNS`.
pub(super) fn pause(row: &Row<'_>) -> Result<PauseState> {
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

pub(super) fn write_state(connection: &Connection, lanes: u8, totals: &Totals) -> Result<()> {
    let sums = sums(totals);
    let crc = state_checksum(lanes, &sums).column();
    let values = [i64::from(lanes)].into_iter().chain(sums).chain([crc]);
    connection
        .prepare_cached(
            "UPDATE state SET lanes = ?, pending = ?, pending_bytes = ?, delivered = ?, rejected = ?,
             expired = ?, requests = ?, retried_requests = ?, refused_requests = ?,
             isolation_requests = ?, damaged_records = ?, torn_tails = ?, lost = ?, crc = ?",
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

fn state_checksum(lanes: u8, sums: &[i64]) -> Checksum {
    Checksum::default()
        .number(lanes.into())
        .numbers(sums.iter().copied())
}

pub(super) fn read_state(connection: &Connection) -> Result<(u8, Totals)> {
    connection
        .prepare_cached(&format!("SELECT {STATE_COLUMNS} FROM state"))?
        .query_row([], state)
}

/// A row of `STATE_COLUMNS`: the number of lanes, and the sums.
pub(super) fn state(row: &Row<'_>) -> Result<(u8, Totals)> {
    let sum = |column: usize| Ok::<_, rusqlite::Error>(row.get::<_, i64>(column)?.cast_unsigned());
    let lanes = row.get(0)?;
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
    };
    state_checksum(lanes, &sums(&totals)).verify(row.get(1 + SUMS)?, "the sums")?;
    Ok((lanes, totals))
}
