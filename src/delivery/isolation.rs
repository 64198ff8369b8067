//! Finding the bad events of a queue with few requests, without ever leaving its order.
//!
//! The API refuses a whole request for one bad event and does not say which one it was. One rule
//! finds it: *the next request always takes a prefix of its queue; only its length varies.* Order
//! per user is kept for free, and what a crash must keep is one number and a belief.
//!
//! A refused prefix of `m` events is a *group*: it holds a bad one. The next request takes a shorter
//! prefix of it. Accepted, that is delivered and the group shrinks; refused, it is the group. An event
//! that is refused alone is rejected, and what stood behind it is unknown again. This is the nested
//! procedure of Sobel and Groll (1959), with delivery.
//!
//! Each length is the cheapest by [`cost`](super::cost), as the mean over the belief: of a group, the one that leaves
//! the fewest requests until its bad event is found; of unknown events, the one that costs the fewest for what it
//! settles. That is near the length whose answer is as likely one as the other, but not the same: see there.
//!
//! An event that the group leaves as the only suspect is still sent alone: an inference can be wrong
//! (a user was created in the meantime), and its own refusal brings its own message.

use super::belief::Belief;
use super::cost::{AT_RATE, Cost};
use crate::exchange::BATCH_LIMIT;

/// Where one queue stands in finding its bad events. Plain, so that the store can keep it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Isolation {
    /// How likely a bad event is in this queue.
    pub belief: Belief,
    /// How many events at the head hold at least one bad one; 0 where nothing is known.
    pub group: usize,
    /// How many events at the head were part of a batch that was refused after being in doubt, and
    /// so may be at the API already. Their answers teach nothing about the events to come.
    pub doubtful: usize,
    /// What is believed of these while there are any: an API that refuses what it has already refuses
    /// them all. Not kept by the store; a crash costs a few requests more.
    pub of_doubtful: Option<Belief>,
}

/// What a refusal of a prefix means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// The prefix holds a bad event; a shorter one goes next.
    Narrowed,
    /// The event was refused alone: it is the bad one.
    Alone {
        /// Whether an earlier request that nobody answered may have delivered it.
        may_be_delivered: bool,
    },
}

impl Isolation {
    /// How many events the next request takes, of `available` at the head and at most `max` (both
    /// at least 1, else the answer is 0), and never more than [`BATCH_LIMIT`].
    pub fn next_len(&self, available: usize, max: usize) -> usize {
        let limit = available.min(max).min(BATCH_LIMIT);
        match self.group {
            _ if limit <= 1 => limit,
            0 => self.cheapest(limit, Cost::of_first),
            1 => 1,
            group => {
                let group = group.min(BATCH_LIMIT);
                self.cheapest(limit.min(group - 1), |cost| cost.of_split(group))
            }
        }
    }

    /// The first `events` events were accepted.
    pub fn accepted(&mut self, events: usize) {
        let doubtful = events.min(self.doubtful);
        if doubtful > 0 {
            self.belief_of_doubtful().saw_good(doubtful);
        }
        self.belief.saw_good(events - doubtful);
        self.leave(events);
    }

    /// The first `events` events were refused together.
    pub fn refused(&mut self, events: usize) -> Finding {
        if events > 1 {
            self.group = if self.group == 0 {
                events
            } else {
                events.min(self.group)
            };
            return Finding::Narrowed;
        }
        let may_be_delivered = self.doubtful > 0;
        if may_be_delivered {
            self.belief_of_doubtful().saw_bad();
        } else {
            self.belief.saw_bad();
        }
        self.group = 0;
        self.leave(1);
        Finding::Alone { may_be_delivered }
    }

    /// The first event leaves for a reason of its own (it is too large): the belief learns nothing,
    /// and if it stood in a group, the rest of that group is unknown again.
    /// Tells whether it may be at the API already.
    pub fn set_aside(&mut self) -> bool {
        let may_be_delivered = self.doubtful > 0;
        self.removed(0);
        may_be_delivered
    }

    /// The event at `position` (0 is the head) was taken out of the queue by somebody else.
    pub fn removed(&mut self, position: usize) {
        if position < self.group {
            self.group = 0;
        }
        if position < self.doubtful {
            self.doubtful -= 1;
            self.forget_if_settled();
        }
    }

    /// The first `events` events were refused, or found too large, after an attempt that nobody
    /// answered.
    pub fn doubt(&mut self, events: usize) {
        self.doubtful = self.doubtful.max(events);
    }

    fn leave(&mut self, events: usize) {
        self.group = self.group.saturating_sub(events);
        self.doubtful = self.doubtful.saturating_sub(events);
        self.forget_if_settled();
    }

    fn belief_of_doubtful(&mut self) -> &mut Belief {
        self.of_doubtful.get_or_insert(self.belief)
    }

    fn forget_if_settled(&mut self) {
        if self.doubtful == 0 {
            self.of_doubtful = None;
        }
    }

    /// The length, 1 to `limit`, that costs least as the belief has it; `of` lists what each costs.
    fn cheapest<C>(&self, limit: usize, of: impl Fn(&'static Cost) -> C) -> usize
    where
        C: Iterator<Item = f64>,
    {
        let belief = self.of_doubtful.unwrap_or(self.belief);
        let mut means = [0.0; BATCH_LIMIT];
        for (weight, at_rate) in belief.weights().iter().zip(&AT_RATE) {
            for (mean, cost) in means.iter_mut().zip(of(at_rate)) {
                *mean += weight * cost;
            }
        }
        (1..=limit)
            .zip(means)
            .min_by(|(_, cost), (_, other)| cost.total_cmp(other))
            .map_or(1, |(events, _)| events)
    }
}

#[cfg(test)]
mod tests;
