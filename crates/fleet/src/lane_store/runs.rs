//! How runs are read: behind one that is named, and never from before the first one that waits.

use meditopia::internals::store::StoredRun;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::known::Known;
use super::sql::Parameters;
use crate::connection::{Connection, column};
use crate::failure::{Failure, Outcome, Result};
use crate::parcel::{Checksum, Parcel};

/// At most so many rows at once, and so many bytes of bodies but for one more row.
const RUNS_MAX: usize = 256;
const BODIES_MAX_BYTES: i64 = 512 * 1024;

/// The row of the sorter. It is found by the end of the index: beside an old snapshot there are dead entries before.
pub(super) const SORTER: &str =
    "(SELECT last_run, appended FROM meditopia.sorter WHERE one = 1 ORDER BY step DESC LIMIT 1)";

/// What was read of a queue.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) runs: Vec<(StoredRun, Checksum)>,
    /// There are more runs than were asked for, or their bodies are too long for one answer.
    pub(super) is_cut: bool,
    /// The last run that the sorter has appended anywhere, and how many events to this lane, in the same snapshot.
    pub(super) last_run: i64,
    pub(super) appended_events: i64,
}

/// Reads runs from run `from` on.
pub(super) fn read(
    connection: &mut Connection,
    (lane, queue): (i16, u8),
    from: i64,
    limit: usize,
) -> Result<Read> {
    let limit = limit.min(RUNS_MAX);
    let mut p = Parameters::default();
    let lane_number = p.add(lane, Type::INT2);
    let queue_number = p.add(i16::from(queue), Type::INT2);
    let from = p.add(from, Type::INT8);
    let rows = p.add(limit as i64, Type::INT8);
    // The length of a body is known without reading it.
    let rows = p.query(
        connection,
        &format!(
            "SELECT s.last_run, s.appended[{lane_number} + 1], r.id, r.origin, r.events, r.body, r.slots, r.checksum, r.marks
            FROM {SORTER} AS s LEFT JOIN (
              SELECT b.*, sum(octet_length(b.body)) OVER (ORDER BY b.id) - octet_length(b.body) AS before FROM (
                SELECT * FROM meditopia.run WHERE lane = {lane_number} AND queue = {queue_number} AND id >= {from} ORDER BY id LIMIT {rows}
              ) AS b
            ) AS r ON r.before < {BODIES_MAX_BYTES} ORDER BY r.id"
        ),
    )?;
    let first = rows.first().ok_or_else(no_sorter)?;
    let mut read = Read {
        runs: Vec::with_capacity(rows.len()),
        is_cut: false,
        last_run: column(first, 0)?,
        appended_events: column::<Option<i64>>(first, 1)?.ok_or_else(no_sorter)?,
    };
    if column::<Option<i64>>(first, 2)?.is_none() {
        return Ok(read);
    }
    let mut bytes = 0;
    for row in &rows {
        let (run, checksum) = run_of(row, lane, queue)?;
        bytes += run.run.body.len() as i64;
        read.runs.push((run, checksum));
    }
    read.is_cut = read.runs.len() == limit || bytes >= BODIES_MAX_BYTES;
    Ok(read)
}

fn run_of(row: &Row, lane: i16, queue: u8) -> Result<(StoredRun, Checksum)> {
    let id: i64 = column(row, 2)?;
    let events: i16 = column(row, 4)?;
    let checksum: &[u8] = column(row, 7)?;
    let parcel = Parcel::decode(column(row, 5)?, column(row, 6)?, checksum);
    let whole = parcel.filter(|parcel| parcel.len() == usize::from(events.unsigned_abs()));
    let marks = decode_marks(column(row, 8)?);
    match (whole, marks, checksum.try_into()) {
        (Some(parcel), Some(marks), Ok(checksum)) => Ok((
            StoredRun {
                id,
                origin: column(row, 3)?,
                run: parcel.into_run(),
                marks,
            },
            checksum,
        )),
        _ => Err(damaged_run(lane, queue, id)),
    }
}

/// Reads what is to be known of the runs from run `from` to run `upto`, without their events.
pub(super) fn read_known(
    connection: &mut Connection,
    (lane, queue): (i16, u8),
    from: i64,
    upto: i64,
) -> Result<Vec<Known>> {
    let rows = connection.query(
        "SELECT id, origin, events, checksum, marks FROM meditopia.run WHERE lane = $1 AND queue = $2 AND id BETWEEN $3 AND $4 ORDER BY id",
        &[
            (&lane, Type::INT2),
            (&i16::from(queue), Type::INT2),
            (&from, Type::INT8),
            (&upto, Type::INT8),
        ],
    )?;
    let known = |row| {
        let (id, events): (i64, i16) = (column(row, 0)?, column(row, 2)?);
        let checksum: &[u8] = column(row, 3)?;
        let marks = decode_marks(column(row, 4)?);
        match (checksum.try_into(), marks) {
            (Ok(checksum), Some(marks)) => Ok(Known {
                id,
                origin: column(row, 1)?,
                checksum,
                events: u32::from(events.unsigned_abs()),
                marks,
            }),
            _ => Err(damaged_run(lane, queue, id)),
        }
    };
    rows.iter().map(known).collect()
}

/// The earliest origin of the runs of a queue from run `from` on.
pub(super) fn first_origin(
    connection: &mut Connection,
    (lane, queue): (i16, u8),
    from: i64,
) -> Result<Option<i64>> {
    // Of the regular queue that is the first run; suspects' runs come from earlier and later ones.
    let sql = match queue {
        0 => {
            "SELECT (SELECT origin FROM meditopia.run WHERE lane = $1 AND queue = $2 AND id >= $3 ORDER BY id LIMIT 1)"
        }
        _ => "SELECT min(origin) FROM meditopia.run WHERE lane = $1 AND queue = $2 AND id >= $3",
    };
    let row = connection.query_one(
        sql,
        &[
            (&lane, Type::INT2),
            (&i16::from(queue), Type::INT2),
            (&from, Type::INT8),
        ],
    )?;
    column(&row, 0)
}

fn damaged_run(lane: i16, queue: u8, id: i64) -> Failure {
    let name = ["regular", "suspects'"][usize::from(queue.min(1))];
    Failure::new(
        Outcome::Unusable,
        format!(
            "store: lane {lane}: run {id} of the {name} queue is damaged in the database; restore its row in meditopia.run from a backup"
        ),
    )
}

pub(super) fn no_sorter() -> Failure {
    Failure::new(
        Outcome::Unusable,
        "store: meditopia.sorter has no row for this lane",
    )
}

/// The marks of a run as they stand in the database, the place of the first event in the last bit.
pub fn encode_marks(marks: u128) -> Vec<u8> {
    marks.to_be_bytes().to_vec()
}

/// Reads the marks of a run back, of which there may be none; `None`: these are damaged.
pub fn decode_marks(marks: Option<&[u8]>) -> Option<u128> {
    let Some(marks) = marks else {
        return Some(0);
    };
    marks.try_into().ok().map(u128::from_be_bytes)
}
