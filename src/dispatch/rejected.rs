//! What an operator does with single events: rejected ones go back or for good, and one that a batch
//! in doubt cannot get rid of is searched for, and set aside.

use super::window::Settled;
use super::{Dispatcher, Spread};
use crate::clock::{self, Moment};
use crate::delivery::Queue;
use crate::error::Result;
use crate::event;
use crate::log::Level;
use crate::store::{Change, Rejected, RejectedFilter, RejectedReason, Store, Suspect};

/// Rejected events that change in one commit.
const CHUNK_ROWS: usize = 1_000;

/// Rows of the rejected store.
type Found = Vec<(i64, Rejected)>;

impl<S: Store + ?Sized> Dispatcher<S> {
    /// The rejected events with these ids, in the order of their rejection.
    pub(super) fn found(&self, ids: &[i64]) -> Result<Found> {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        self.store.rejected(&ids)
    }

    /// The first rejected events up to row `upto` that `filter` takes, and what takes those behind them.
    pub(super) fn matching(
        &self,
        filter: &RejectedFilter,
        upto: i64,
    ) -> Result<(Found, Option<RejectedFilter>)> {
        let mut found = self.store.rejected_matching(filter, CHUNK_ROWS)?;
        let is_full = found.len() == CHUNK_ROWS;
        found.retain(|(id, _)| *id <= upto);
        let rest = found.last().filter(|_| is_full).map(|(last, _)| {
            let mut rest = filter.clone();
            rest.after_id = *last;
            rest
        });
        Ok((found, rest))
    }

    /// Rejected events go to the end of their lanes, in the order of their rejection.
    pub(super) fn requeue(&mut self, found: &Found) -> Result<usize> {
        if found.is_empty() {
            return Ok(0);
        }
        let now_ms = clock::wall_ms();
        let mut spread = Spread::over(self.lane_count());
        for (_, rejected) in found {
            spread.push(&rejected.event, now_ms);
        }
        self.append(&spread.into_runs(), forgotten(found), self.totals)?;
        Ok(found.len())
    }

    /// Rejected events are forgotten.
    pub(super) fn discard(&mut self, found: &Found) -> Result<usize> {
        self.store.commit(&forgotten(found))?;
        Ok(found.len())
    }

    /// Takes events out of the batches in doubt. A batch that is on its way just now keeps its events.
    pub(super) fn set_aside(&mut self, ids: &[i64], now: Moment) -> Result<usize> {
        let mut changed = 0;
        for lane in 0..self.lane_count() {
            if !self.is_lane_in_flight(lane) {
                changed += self.set_aside_in(lane, ids, now)?;
            }
        }
        Ok(changed)
    }

    /// Has the batches in doubt that have one of the events `ids` searched for the events on which the API
    /// fails; says how many events they have. Nothing is searched that is on its way just now.
    pub(super) fn bisect(&mut self, ids: &[i64], now: Moment) -> Result<usize> {
        let mut events = 0;
        for lane in 0..self.lane_count() {
            if self.is_lane_in_flight(lane) || !self.has_in_doubt(lane, ids, now)? {
                continue;
            }
            let found = self.engine.bisect(lane);
            events += found;
            if found > 0 {
                self.commit_lane(lane, &[])?;
            }
        }
        if events > 0 {
            self.say(
                Level::Warn,
                format_args!(
                    "{events} events in doubt are sent in smaller requests, as an operator asked"
                ),
            );
            let change = self.engine.end_server_errors();
            self.tell_pause(change, now);
            self.commit_pause()?;
        }
        Ok(events)
    }

    /// Whether the batch in doubt of a lane has one of the events `ids`.
    fn has_in_doubt(&mut self, lane: usize, ids: &[i64], now: Moment) -> Result<bool> {
        let _ = self.prepare(lane, now)?;
        let state = self.engine.lane_state(lane).copied().unwrap_or_default();
        let Some(batch) = state.in_doubt else {
            return Ok(false);
        };
        let mut of_batch = self.window_mut(lane, batch.queue).ids().take(batch.events);
        Ok(of_batch.any(|id| ids.contains(&id)))
    }

    fn set_aside_in(&mut self, lane: usize, ids: &[i64], now: Moment) -> Result<usize> {
        // What is in doubt stands at the head, and nothing of it is cleared away.
        let _ = self.prepare(lane, now)?;
        let state = self.engine.lane_state(lane).copied().unwrap_or_default();
        let Some(batch) = state.in_doubt else {
            return Ok(0);
        };
        let sifted = self
            .window_mut(lane, batch.queue)
            .sift(|event| event.position < batch.events && ids.contains(&event.id()));
        let events = sifted.moved.iter().flat_map(|(_, run)| run.events());
        let rejected: Vec<Rejected> = events
            .map(|(fragment, enqueued_ms)| Rejected {
                user: event::user_text(event::user_of(fragment)),
                event: fragment.to_vec(),
                reason: RejectedReason::SetAside,
                may_be_delivered: true,
                api_code: String::new(),
                message: "set aside by an operator while no answer had settled whether it arrived"
                    .to_owned(),
                http_status: None,
                attempts: batch.attempts,
                first_ms: enqueued_ms,
                last_ms: now.wall_ms,
            })
            .collect();
        if rejected.is_empty() {
            return Ok(0);
        }
        for position in sifted.positions.iter().rev() {
            self.engine.removed(lane, batch.queue, *position);
        }
        let known: Vec<Suspect> = match batch.queue {
            Queue::Regular => Vec::new(),
            Queue::Suspects => self.waits_no_more(rejected.iter().map(|event| &*event.event)),
        };
        let mut changes: Vec<Change<'_>> = self.left(Settled {
            changes: sifted.removals().collect(),
            events: rejected.len() as u64,
            bytes: rejected.iter().map(|event| event.event.len() as u64).sum(),
        });
        changes.extend(rejected.iter().map(Change::Reject));
        changes.extend(known.iter().map(Change::Suspect));
        let count = rejected.len();
        self.say(
            Level::Warn,
            format_args!("{count} events in doubt were set aside by an operator"),
        );
        self.commit_lane(lane, &changes)?;
        Ok(count)
    }
}

fn forgotten(found: &Found) -> Vec<Change<'_>> {
    let mut changes = Vec::with_capacity(found.len());
    for (id, event) in found {
        changes.push(Change::Forget {
            rejected: *id,
            event,
        });
    }
    changes
}
