//! A lane at one moment: what its owner knows of it, and the heads of its queues.

use meditopia::internals::store::{SavedLane, StoredRun, pending_event_id};
use tokio_postgres::types::Type;

use super::Look;
use super::runs::{RUN_COLUMNS, stored_run};
use crate::connection::column;
use crate::failure::{Failure, Outcome, Result};

/// Runs of each queue that are read first. A batch is the first hundred events of a queue, which mostly are one run.
const FEW: i64 = 3;
/// Those that surely have a batch: a run waits as long as one of its events does.
const MANY: i64 = 128;

/// A lane.
#[derive(Debug)]
pub struct LaneNow {
    /// Its number.
    pub lane: i16,
    /// What its owner knows of it.
    pub saved: SavedLane,
    /// The first runs of its queues.
    pub(super) heads: [Vec<StoredRun>; 2],
}

impl LaneNow {
    /// The events that wait in the runs which were read: id, fragment.
    pub(super) fn events(&self, queue: usize) -> impl Iterator<Item = (i64, &[u8])> {
        let runs = self.heads[queue].iter();
        runs.flat_map(|stored| {
            let waiting = stored.waiting();
            waiting.map(|(place, fragment, _)| {
                (pending_event_id(stored.id, place, fragment), fragment)
            })
        })
    }

    /// Whether the heads have the whole batch in doubt.
    fn has_batch(&self) -> bool {
        self.saved.state.in_doubt.is_none_or(|batch| {
            let head = &self.heads[usize::from(batch.queue.min(1))];
            let waiting: usize = head.iter().map(StoredRun::waiting_count).sum();
            waiting >= batch.events as usize
        })
    }
}

impl Look {
    /// A lane, with as many runs as hold its batch in doubt.
    ///
    /// # Errors
    /// Those of [`Connection::query`](crate::connection::Connection::query); the lane is damaged.
    pub fn lane_now(&mut self, lane: i16) -> Result<LaneNow> {
        let now = self.read_lane(lane, FEW)?;
        match now.has_batch() {
            true => Ok(now),
            false => self.read_lane(lane, MANY),
        }
    }

    fn read_lane(&mut self, lane: i16, runs: i64) -> Result<LaneNow> {
        // One statement sees one moment: the state, and the runs that it speaks of.
        let head = |queue: u8, first: &str| {
            format!(
                "(SELECT * FROM meditopia.run WHERE lane = $1 AND queue = {queue} AND id >= l.{first} ORDER BY id LIMIT $2)"
            )
        };
        let rows = self.connection.query(
            &format!(
                "SELECT l.state, l.totals, r.queue, {RUN_COLUMNS} FROM meditopia.lane l
                 LEFT JOIN LATERAL ({} UNION ALL {}) AS r ON true WHERE l.lane = $1 ORDER BY r.queue, r.id",
                head(0, "first_run"),
                head(1, "first_suspect_run"),
            ),
            &[(&lane, Type::INT2), (&runs, Type::INT8)],
        )?;
        let first = rows.first().ok_or_else(|| unusable(lane, "is not there"))?;
        let saved = SavedLane::decode(column(first, 0)?, column(first, 1)?);
        let mut now = LaneNow {
            lane,
            saved: saved.ok_or_else(|| unusable(lane, "cannot be read"))?,
            heads: [Vec::new(), Vec::new()],
        };
        for row in &rows {
            if let Some(run) = stored_run(row, 3)? {
                let queue: i16 = column(row, 2)?;
                now.heads[usize::from(queue != 0)].push(run);
            }
        }
        Ok(now)
    }
}

pub(super) fn unusable(lane: i16, what: &str) -> Failure {
    let message = format!(
        "store: the row of lane {lane} in meditopia.lane {what}: it is damaged, or a newer program has written it"
    );
    Failure::new(Outcome::Unusable, message)
}
