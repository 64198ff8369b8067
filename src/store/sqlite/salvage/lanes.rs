//! What a damaged store knew of its lanes, as far as it still fits the runs that can be read.

use super::{BATCH_RUNS, Work, sum};
use crate::config::LANES_MAX;
use crate::error::Result;
use crate::store::{LaneState, Place, QueueState, rows};

impl Work<'_> {
    /// Keeps what is known of the lanes as far as it fits the runs that are left, and works out how
    /// many events are missing.
    pub(super) fn read_lanes(&mut self, pending: Option<u64>) -> Result<()> {
        let mut states = Vec::new();
        for lane in 0..LANES_MAX {
            let from = format!("lanes WHERE lane = {lane}");
            let known = self.read_one(rows::LANE_COLUMNS, &from, rows::lane_state, || {
                format!(
                    "what was known of lane {lane}: its batch in doubt, if any, is repeated unlisted, and what it had settled of a run"
                )
            });
            states.extend(known);
        }
        let settled: u64 = states
            .iter()
            .flat_map(|(_, state)| &state.queues)
            .map(|queue| u64::from(queue.skip))
            .sum();
        self.found.lost_pending =
            pending.map(|pending| pending.saturating_sub(self.slots.saturating_sub(settled)));
        if self.old.is_none() {
            self.found.lost_pending = None;
            self.found
                .forgotten
                .push("everything in it: nothing of the store can be read".to_owned());
        }
        let complete = self.found.lost_pending == Some(0);
        if !complete {
            self.damaged("pending events are missing".to_owned());
        }
        let mut skipped = 0;
        for (lane, mut state) in states {
            for queue in [0, 1] {
                let place = Place { lane, queue };
                if !complete {
                    self.forget_what_does_not_fit(place, &mut state);
                }
                let skip = state.queues[usize::from(queue)].skip;
                skipped += u64::from(skip);
                let first = self.heads.get(&place).and_then(|head| head.values().next());
                let settled = first.and_then(|lengths| lengths.get(..skip as usize));
                self.bytes -= settled.map_or(0, sum);
            }
            self.write(|new| rows::write_lane(new, lane, &state))?;
        }
        self.found.pending = self.slots.saturating_sub(skipped);
        Ok(())
    }

    /// Runs are missing somewhere: what is known of a queue's head holds only while the head is there.
    fn forget_what_does_not_fit(&mut self, place: Place, state: &mut LaneState) {
        let there = self.heads.get(&place).cloned().unwrap_or_default();
        let expected = self.indexed_head(place);
        let queue = &mut state.queues[usize::from(place.queue)];
        let head_is_there = there.keys().next().copied() == expected.first().copied();
        let intact: usize = there
            .iter()
            .zip(&expected)
            .take_while(|((id, _), expected)| id == expected)
            .map(|((_, lengths), _)| lengths.len())
            .sum();
        let intact = intact.saturating_sub(queue.skip as usize);
        let bound = state
            .in_doubt
            .filter(|batch| batch.queue == place.queue)
            .map_or(0, |batch| batch.events as usize)
            .max(queue.group as usize)
            .max(queue.doubtful as usize);
        if head_is_there && intact >= bound {
            return;
        }
        let belief = std::mem::take(&mut queue.belief);
        let skip = if head_is_there { queue.skip } else { 0 };
        *queue = QueueState {
            skip,
            belief,
            ..QueueState::default()
        };
        if state
            .in_doubt
            .is_some_and(|batch| batch.queue == place.queue)
        {
            state.in_doubt = None;
        }
        self.found.forgotten.push(format!(
            "what lane {} had in doubt or settled at its head: events of it may be delivered twice",
            place.lane
        ));
    }

    /// The first runs of a queue, as the index knows them; none if it cannot be read.
    fn indexed_head(&self, place: Place) -> Vec<i64> {
        let read = || -> rusqlite::Result<Vec<i64>> {
            let Some(old) = self.old else {
                return Ok(Vec::new());
            };
            old.prepare_cached(
                "SELECT id FROM runs INDEXED BY runs_by_place
                 WHERE lane = ? AND queue = ? ORDER BY id LIMIT ?",
            )?
            .query_map((place.lane, place.queue, BATCH_RUNS as i64), |row| {
                row.get(0)
            })?
            .collect()
        };
        read().unwrap_or_default()
    }
}
