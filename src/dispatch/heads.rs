//! Which events stand at the heads of a lane's queues, before a request is chosen.
//!
//! Suspects' events go to the queue beside and old events expire - but only where nothing at the
//! head is bound: a batch in doubt is repeated as it was, and a group stays the group that was refused.

use std::collections::HashMap;

use super::Dispatcher;
use crate::clock::Moment;
use crate::delivery::Queue;
use crate::error::Result;
use crate::event;
use crate::log::Level;
use crate::store::{Change, Place, Rejected, RejectedReason, Store, Suspect};

/// How often heads are read and cleared in one commit: thousands of events each time, a million of
/// which would keep everybody from the store for minutes.
const ROUNDS_A_COMMIT: u32 = 4;

impl<S: Store + ?Sized> Dispatcher<S> {
    /// Reads ahead, sets suspects' events aside and lets old events expire, where nothing at the
    /// head is bound by a request or a group. `false`: there is more of it to do, in another commit.
    pub(super) fn prepare(&mut self, lane: usize, now: Moment) -> Result<bool> {
        let wanted = self.wanted(lane);
        let mut rounds = 0;
        for queue in Queue::BOTH {
            loop {
                let at = &mut self.lanes[lane];
                let read = at.windows[queue.index()].fill(&mut *self.store, wanted)?;
                at.unsifted |= read && queue == Queue::Regular;
                self.settle_empty_front(lane, queue)?;
                let sifted = self.lanes[lane].unsifted && self.sift(lane)?;
                let expired = self.expire(lane, queue, now)?;
                if !sifted && !expired {
                    break;
                }
                rounds += 1;
                if rounds == ROUNDS_A_COMMIT {
                    return Ok(false);
                }
            }
        }
        for window in &mut self.lanes[lane].windows {
            window.measure(wanted);
        }
        Ok(true)
    }

    /// Settles the first runs of a queue if nothing waits in them: an erasure took their events when they stood
    /// behind those at hand.
    fn settle_empty_front(&mut self, lane: usize, queue: Queue) -> Result<()> {
        let window = self.window_mut(lane, queue);
        if !window.has_empty_front() {
            return Ok(());
        }
        let settled = window.settle(0);
        self.commit_lane(lane, &settled.changes)
    }

    /// How many events have to be at hand: a batch, or what an earlier and larger one left in doubt.
    fn wanted(&self, lane: usize) -> usize {
        let batch_max = self.options.policy.batch_max;
        let in_doubt = self
            .engine
            .lane_state(lane)
            .and_then(|state| state.in_doubt)
            .map_or(0, |batch| batch.events);
        batch_max.max(in_doubt)
    }

    /// Moves events of suspects from the regular queue to theirs; says whether there were any.
    fn sift(&mut self, lane: usize) -> Result<bool> {
        // What is in doubt is repeated as it was, whoever is in it; its turn comes when it is settled.
        if self.is_bound(lane, Queue::Regular) {
            return Ok(false);
        }
        self.lanes[lane].unsifted = false;
        if self.suspects.is_empty() {
            return Ok(false);
        }
        let suspects = &mut self.suspects;
        let sifted = self.lanes[lane].windows[Queue::Regular.index()]
            .sift(|event| suspects.contains_key(event::user_of(event.fragment)));
        if sifted.is_empty() {
            return Ok(false);
        }
        let mut counted: HashMap<&[u8], u64> = HashMap::new();
        for (fragment, _) in sifted.moved.iter().flat_map(|(_, run)| run.events()) {
            *counted.entry(event::user_of(fragment)).or_default() += 1;
        }
        let mut known = Vec::new();
        for (user, more) in counted {
            if let Some(suspect) = self.suspects.get_mut(user) {
                suspect.waiting += more;
                known.push(suspect.clone());
            }
        }
        let place = Place {
            lane: lane as u8,
            queue: Queue::Suspects.index() as u8,
        };
        let mut changes = sifted.changes(place);
        changes.extend(known.iter().map(Change::Suspect));
        self.appended(place);
        self.commit_lane(lane, &changes)?;
        Ok(true)
    }

    /// Moves events that are older than `event_ttl_s` to the rejected store; says whether there were any.
    fn expire(&mut self, lane: usize, queue: Queue, now: Moment) -> Result<bool> {
        let Some(ttl) = self.options.event_ttl else {
            return Ok(false);
        };
        if self.is_bound(lane, queue) {
            return Ok(false);
        }
        let doubtful = self
            .engine
            .lane_state(lane)
            .map_or(0, |state| state.isolations[queue.index()].doubtful);
        let oldest_kept = now.wall_ms.saturating_sub_unsigned(ttl.as_millis() as u64);
        let window = &mut self.lanes[lane].windows[queue.index()];
        let expired: Vec<Rejected> = window
            .events()
            .take_while(|event| event.enqueued_ms < oldest_kept)
            .enumerate()
            .map(|(position, event)| Rejected {
                user: event::user_text(event::user_of(event.fragment)),
                event: event.fragment.to_vec(),
                reason: RejectedReason::Expired,
                may_be_delivered: position < doubtful,
                api_code: String::new(),
                message: format!("waited longer than event_ttl_s = {}", ttl.as_secs()),
                http_status: None,
                attempts: 0,
                first_ms: event.enqueued_ms,
                last_ms: now.wall_ms,
            })
            .collect();
        if expired.is_empty() {
            return Ok(false);
        }
        let settled = window.settle(expired.len());
        self.totals.expired += settled.events;
        let mut changes = self.left(settled);
        for _ in &expired {
            self.engine.removed(lane, queue, 0);
        }
        let known = match queue {
            Queue::Regular => Vec::new(),
            Queue::Suspects => self.waits_no_more(expired.iter().map(|event| &*event.event)),
        };
        changes.extend(expired.iter().map(Change::Reject));
        let changes: Vec<Change<'_>> = changes
            .into_iter()
            .chain(known.iter().map(Change::Suspect))
            .collect();
        let count = expired.len();
        self.say(
            Level::Warn,
            format_args!("{count} events have expired (event_ttl_s)"),
        );
        self.commit_lane(lane, &changes)?;
        Ok(true)
    }

    /// Events left the suspects queue without an answer; says what is now known of their users.
    pub(super) fn waits_no_more<'a>(
        &mut self,
        events: impl Iterator<Item = &'a [u8]>,
    ) -> Vec<Suspect> {
        let mut known = Vec::new();
        for event in events {
            if let Some(suspect) = self.suspects.get_mut(event::user_of(event)) {
                suspect.waiting = suspect.waiting.saturating_sub(1);
                known.push(suspect.clone());
            }
        }
        known
    }

    /// Whether the head of a queue must stay as it is: it is in flight, in doubt, or a group.
    fn is_bound(&self, lane: usize, queue: Queue) -> bool {
        self.is_lane_in_flight(lane)
            || self.engine.lane_state(lane).is_none_or(|state| {
                state.in_doubt.is_some_and(|batch| batch.queue == queue)
                    || state.isolations[queue.index()].group > 0
            })
    }
}
