//! What waits and where: runs, what is known of their lanes, suspects, and how far segments are taken.

use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use crate::journal::round::Offsets;
use crate::store::checksum::{Checksum, corrupt};
use crate::store::{InDoubt, LaneState, Place, QueueState, Rest, Run, Slot, StoredRun, Suspect};

const SLOT_LEN: usize = 12;
pub(in crate::store) const LANE_COLUMNS: &str =
    "lane, in_doubt_queue, in_doubt_events, in_doubt_attempts, in_doubt_first_ms,
    in_doubt_last_ms, regular_skip, regular_group, regular_doubtful, regular_belief,
    suspects_skip, suspects_group, suspects_doubtful, suspects_belief, crc";
pub(in crate::store) const RUN_COLUMNS: &str =
    "id, coalesce(origin, id), body, slots, crc, lane, queue";
pub(in crate::store) const SUSPECT_COLUMNS: &str = "user, lane, waiting, accepted, crc";

/// The slots of a run as they are stored.
pub(in crate::store) fn slots(run: &Run) -> Vec<u8> {
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
pub(in crate::store) fn run_checksum(place: Place, body: &[u8], slots: &[u8]) -> i64 {
    Checksum::default()
        .number(place.lane.into())
        .number(place.queue.into())
        .bytes(body)
        .bytes(slots)
        .column()
}

/// Writes a run under the number that it had in another store.
pub(in crate::store) fn write_run(
    connection: &Connection,
    place: Place,
    stored: &StoredRun,
) -> Result<()> {
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
pub(in crate::store) fn run(row: &Row<'_>) -> Result<(Place, StoredRun)> {
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
    Ok((
        place,
        StoredRun {
            id,
            origin,
            run,
            marks: 0,
        },
    ))
}

pub(in crate::store) fn read_runs(
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

pub(in crate::store) fn has_runs(connection: &Connection, lane: u8) -> Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM runs WHERE lane = ?)")?
        .query_row([lane], |row| row.get(0))
}

/// Runs of all queues from row `from` on.
pub(in crate::store) fn read_runs_from(
    connection: &Connection,
    from: i64,
    limit: usize,
) -> Result<Vec<(Place, StoredRun)>> {
    connection
        .prepare_cached(&format!(
            "SELECT {RUN_COLUMNS} FROM runs WHERE id >= ? ORDER BY id LIMIT ?"
        ))?
        .query_map(params![from, limit as i64], run)?
        .collect()
}

pub(in crate::store) fn read_offsets(connection: &Connection) -> Result<Offsets> {
    connection
        .prepare_cached("SELECT name, upto, crc FROM segments")?
        .query_map([], offset)?
        .collect()
}

/// A row of `segments`.
pub(in crate::store) fn offset(row: &Row<'_>) -> Result<(String, u64)> {
    let (name, upto): (String, i64) = (row.get(0)?, row.get(1)?);
    offset_checksum(&name, upto).verify(row.get(2)?, format_args!("segment {name}"))?;
    Ok((name, upto.cast_unsigned()))
}

fn offset_checksum(name: &str, upto: i64) -> Checksum {
    Checksum::default().bytes(name.as_bytes()).number(upto)
}

pub(in crate::store) fn write_offset(connection: &Connection, name: &str, upto: u64) -> Result<()> {
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

pub(in crate::store) fn write_rest(connection: &Connection, lane: u8, rest: &Rest) -> Result<()> {
    if *rest == Rest::default() {
        let mut gone = connection.prepare_cached("DELETE FROM rests WHERE lane = ?")?;
        return gone.execute([lane]).map(drop);
    }
    connection
        .prepare_cached("INSERT OR REPLACE INTO rests VALUES (?, ?, ?, ?, ?, ?, ?)")?
        .execute(params![
            lane,
            rest.drawn_ms,
            rest.wait_ms,
            rest.until_ms,
            rest.connection_lost,
            rest.server_errors,
            rest_checksum(lane, rest).column(),
        ])
        .map(drop)
}

pub(in crate::store) fn read_rest(connection: &Connection, lane: u8) -> Result<Rest> {
    let found = connection
        .prepare_cached(
            "SELECT drawn_ms, wait_ms, until_ms, connection_lost, server_errors, crc FROM rests
             WHERE lane = ?",
        )?
        .query_row([lane], |row| {
            let rest = Rest {
                drawn_ms: row.get(0)?,
                wait_ms: row.get(1)?,
                until_ms: row.get(2)?,
                connection_lost: row.get(3)?,
                server_errors: row.get(4)?,
            };
            rest_checksum(lane, &rest)
                .verify(row.get(5)?, format_args!("the rest of lane {lane}"))?;
            Ok(rest)
        });
    Ok(found.optional()?.unwrap_or_default())
}

fn rest_checksum(lane: u8, rest: &Rest) -> Checksum {
    Checksum::default()
        .numbers([lane.into(), rest.drawn_ms, rest.wait_ms])
        .maybe(rest.until_ms)
        .numbers([rest.connection_lost.into(), rest.server_errors.into()])
}

pub(in crate::store) fn write_suspect(connection: &Connection, suspect: &Suspect) -> Result<()> {
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
pub(in crate::store) fn suspect(row: &Row<'_>) -> Result<Suspect> {
    let suspect = Suspect {
        user: row.get(0)?,
        lane: row.get(1)?,
        waiting: row.get::<_, i64>(2)?.cast_unsigned(),
        accepted: row.get(3)?,
    };
    suspect_checksum(&suspect).verify(row.get(4)?, "a suspect")?;
    Ok(suspect)
}

pub(in crate::store) fn last_run(connection: &Connection) -> Result<i64> {
    Ok(connection
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'runs'")?
        .query_row([], |row| row.get(0))
        .optional()?
        .unwrap_or(0))
}

pub(in crate::store) fn first_origin(connection: &Connection) -> Result<Option<i64>> {
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

pub(in crate::store) fn oldest_pending_ms(connection: &Connection) -> Result<Option<i64>> {
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

pub(in crate::store) fn write_lane(
    connection: &Connection,
    lane: u8,
    state: &LaneState,
) -> Result<()> {
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

pub(in crate::store) fn read_lane(connection: &Connection, lane: u8) -> Result<LaneState> {
    Ok(connection
        .prepare_cached(&format!("SELECT {LANE_COLUMNS} FROM lanes WHERE lane = ?"))?
        .query_row([lane], lane_state)
        .optional()?
        .map(|(_, state)| state)
        .unwrap_or_default())
}

pub(in crate::store) fn read_lane_states(connection: &Connection) -> Result<Vec<(u8, LaneState)>> {
    connection
        .prepare_cached(&format!("SELECT {LANE_COLUMNS} FROM lanes ORDER BY lane"))?
        .query_map([], lane_state)?
        .collect()
}

/// A row of `lanes`.
pub(in crate::store) fn lane_state(row: &Row<'_>) -> Result<(u8, LaneState)> {
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
