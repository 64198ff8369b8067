//! What is erased of one user: the events that wait, and what the lanes know of the user.
//!
//! Unlike an expiry, an erasure takes events from anywhere in a queue. Those at hand are taken out of the
//! windows; of the runs behind them only the store knows, and they are marked there. What is bound by a
//! request stays: its bytes may have left, and a batch in doubt is repeated as it was.

use std::collections::HashMap;

use super::Dispatcher;
use super::window::Settled;
use crate::clock::Moment;
use crate::delivery::Queue;
use crate::error::Result;
use crate::event;
use crate::store::{Change, Place, Store, StoredRun, Suspect};

/// What a step has taken out of a lane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TakenOut {
    pub(crate) events: u64,
    /// Events of the user that a request under way, or one in doubt, has.
    pub(crate) bound: u64,
    /// There may be more of them at hand, for another step.
    pub(crate) more: bool,
}

impl<S: Store + ?Sized> Dispatcher<S> {
    /// Takes the events of the escaped `user` out of those at hand in a lane.
    #[cold]
    pub(crate) fn take_out(&mut self, lane: usize, user: &[u8], now: Moment) -> Result<TakenOut> {
        let mut taken = TakenOut::default();
        if lane >= self.lanes.len() {
            return Ok(taken);
        }
        taken.more = !self.prepare(lane, now)?;
        for queue in Queue::BOTH {
            let bound = self.bound(lane, queue);
            let window = self.window_mut(lane, queue);
            let of_user =
                |event: super::window::HeadEvent<'_>| event::user_of(event.fragment) == user;
            let first = window.events().take(bound);
            taken.bound += first.filter(|event| of_user(*event)).count() as u64;
            let sifted = window
                .sift(|event| event.position >= bound && event::user_of(event.fragment) == user);
            if sifted.is_empty() {
                continue;
            }
            for position in sifted.positions.iter().rev() {
                self.engine.removed(lane, queue, *position);
            }
            let fragments = || sifted.moved.iter().flat_map(|(_, run)| run.events());
            let known: Vec<Suspect> = match queue {
                Queue::Regular => Vec::new(),
                Queue::Suspects => self.waits_no_more(fragments().map(|(fragment, _)| fragment)),
            };
            let settled = Settled {
                changes: sifted.removals().collect(),
                events: sifted.positions.len() as u64,
                bytes: fragments().map(|(fragment, _)| fragment.len() as u64).sum(),
            };
            taken.events += settled.events;
            // What has come to the front by that may be the user's as well.
            taken.more = true;
            let mut changes: Vec<Change<'_>> = self.left(settled);
            changes.extend(known.iter().map(Change::Suspect));
            self.commit_lane(lane, &changes)?;
        }
        self.news |= taken.events > 0;
        Ok(taken)
    }

    /// Takes the events of the escaped `user` out of `runs`, as far as they stand behind those at hand.
    #[cold]
    pub(crate) fn take_out_behind(
        &mut self,
        runs: &[(Place, StoredRun)],
        user: &[u8],
    ) -> Result<u64> {
        let mut left: HashMap<Place, (u64, u64)> = HashMap::new();
        let (mut marks, mut suspects) = (Vec::new(), Vec::new());
        for (place, stored) in runs {
            let lane = self.lanes.get(usize::from(place.lane));
            let window = lane.and_then(|lane| lane.windows.get(usize::from(place.queue)));
            if window.is_none_or(|window| stored.id <= window.last_read()) {
                continue;
            }
            let mut after = stored.marks;
            let (events, bytes) = left.entry(*place).or_default();
            for (at, fragment, _) in stored.waiting() {
                if event::user_of(fragment) == user {
                    after |= 1 << at;
                    *events += 1;
                    *bytes += fragment.len() as u64;
                    if place.queue == Queue::Suspects.index() as u8 {
                        suspects.push(fragment);
                    }
                }
            }
            if after != stored.marks {
                marks.push(Change::Mark {
                    place: *place,
                    run: stored.id,
                    marks: after,
                });
            }
        }
        if marks.is_empty() {
            return Ok(0);
        }
        let known = self.waits_no_more(suspects.into_iter());
        let mut changes: Vec<Change<'_>> = marks;
        let mut totals = self.totals;
        for (place, (events, bytes)) in &left {
            let (place, events, bytes) = (*place, *events, *bytes);
            totals.pending = totals.pending.saturating_sub(events);
            totals.pending_bytes = totals.pending_bytes.saturating_sub(bytes);
            changes.push(Change::Leave {
                place,
                events,
                bytes,
            });
        }
        changes.extend(known.iter().map(Change::Suspect));
        self.commit_with_totals(changes, totals)?;
        self.news = true;
        Ok(left.values().map(|(events, _)| events).sum())
    }

    /// Forgets what is known of the escaped `user`. The user stays a suspect while a request has some of the events.
    #[cold]
    pub(crate) fn forget_user(&mut self, user: &[u8], is_bound: bool) -> Result<()> {
        let mut changes = Vec::new();
        if !is_bound && self.suspects.remove(user).is_some() {
            changes.push(Change::Cleared { user });
        }
        let text = event::user_text(user);
        self.engine.forget_refused(&text);
        let pause = self.engine.pause_message().into_iter();
        let failed = self.failed.as_mut().map(|failed| &mut failed.message);
        for message in pause.chain(&mut self.last_failure).chain(failed) {
            event::leave_user_out(message, &text);
        }
        let known = self.store.refused_in_a_row();
        let rest: Vec<&str> = self.engine.refused_in_a_row().collect();
        if known.len() > rest.len() {
            changes.push(Change::AcceptedSince);
            let rest = rest.iter();
            changes.extend(rest.map(|user| Change::RefusedInARow { user }));
        }
        if !changes.is_empty() {
            self.store.commit(&changes)?;
        }
        self.commit_pause()
    }

    /// How many events at the head of a queue a request under way, or one in doubt, has.
    fn bound(&self, lane: usize, queue: Queue) -> usize {
        let in_flight = self.lanes[lane].in_flight;
        let in_flight = in_flight.filter(|due| due.queue == queue);
        let in_doubt = self
            .engine
            .lane_state(lane)
            .and_then(|state| state.in_doubt);
        let in_doubt = in_doubt.filter(|batch| batch.queue == queue);
        let in_flight = in_flight.map_or(0, |due| due.events);
        in_flight.max(in_doubt.map_or(0, |batch| batch.events))
    }
}
