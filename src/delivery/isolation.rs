//! Finding the bad events of a queue with few requests, without ever leaving its order.
//!
//! The API refuses a whole request for one bad event and does not say which one it was. One rule
//! finds the event: *the next request always takes a prefix of its queue; only its length varies.*
//! This keeps the order per user for free, and a crash has to keep no more than two numbers and a
//! belief.
//!
//! A refused prefix of `m` events is a *group*: at least one of them is bad. The next request takes a
//! shorter prefix of the group. If it is accepted, its events are delivered and the group shrinks; if
//! it is refused, it becomes the group. An event that is refused alone is rejected, and the events
//! behind it are unknown again. This is the nested procedure of Sobel and Groll (1959), with delivery.
//!
//! Each length is the cheapest by [`cost`](super::cost), as the mean over the belief. In a group, it
//! leaves the fewest requests until the bad event is found. Of unknown events, it costs the fewest
//! requests for the events that it settles. That is near the length at which both answers are equally
//! likely, but not the same.
//!
//! The last suspect of a group is still sent alone: the inference can be wrong (its user was created
//! in the meantime), and only its own refusal brings its own message.

use super::belief::Belief;
use super::cost::{Cost, cost_at_rates};
use crate::exchange::BATCH_LIMIT;

/// What is known about the bad events of one queue. The fields are public so that the store can keep
/// them.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Isolation {
    /// How likely a bad event is in this queue.
    pub belief: Belief,
    /// The size of the group at the head of the queue; 0 if there is none.
    pub group: usize,
    /// How many events at the head were part of a batch that was refused after being in doubt. The
    /// API may have them already, so their answers teach nothing about later events.
    pub doubtful: usize,
    /// The belief about the doubtful events while there are any: an API that refuses what it already
    /// has refuses all of them. The store does not keep it; a crash costs a few more requests.
    pub doubtful_belief: Option<Belief>,
}

/// What the refusal of a prefix means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// The prefix holds a bad event; a shorter one goes next.
    Narrowed,
    /// The event was refused alone: it is the bad one.
    Alone {
        /// Whether an earlier request without an answer may have delivered it.
        may_be_delivered: bool,
    },
}

impl Isolation {
    /// How many events the next request takes: at most `available` and `max`, and never more than
    /// [`BATCH_LIMIT`]. 0 only if `available` or `max` is 0.
    pub fn next_len(&self, available: usize, max: usize) -> usize {
        let limit = available.min(max).min(BATCH_LIMIT);
        match self.group {
            _ if limit <= 1 => limit,
            0 => self.cheapest_length(limit, Cost::unknown_events),
            1 => 1,
            group => {
                let group = group.min(BATCH_LIMIT);
                self.cheapest_length(limit.min(group - 1), |cost| cost.splits(group))
            }
        }
    }

    /// The first `events` events were accepted.
    pub fn accepted(&mut self, events: usize) {
        let doubtful = events.min(self.doubtful);
        if doubtful > 0 {
            self.doubtful_belief_mut().learn_accepted(doubtful);
        }
        self.belief.learn_accepted(events - doubtful);
        self.head_removed(events);
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
            self.doubtful_belief_mut().learn_refused();
        } else {
            self.belief.learn_refused();
        }
        self.group = 0;
        self.head_removed(1);
        Finding::Alone { may_be_delivered }
    }

    /// The first event leaves the queue because it is too large: the belief learns nothing, and the
    /// rest of its group is unknown again. Returns whether the event may be delivered already.
    pub fn too_large_alone(&mut self) -> bool {
        let may_be_delivered = self.doubtful > 0;
        self.removed(0);
        may_be_delivered
    }

    /// The event at `position` (0 is the head) expired, or an operator set it aside.
    pub fn removed(&mut self, position: usize) {
        if position < self.group {
            self.group = 0;
        }
        if position < self.doubtful {
            self.doubtful -= 1;
            self.forget_settled_doubt();
        }
    }

    /// The first `events` events were refused, or were too large, while they were in doubt.
    pub fn mark_doubtful(&mut self, events: usize) {
        self.doubtful = self.doubtful.max(events);
    }

    fn head_removed(&mut self, events: usize) {
        self.group = self.group.saturating_sub(events);
        self.doubtful = self.doubtful.saturating_sub(events);
        self.forget_settled_doubt();
    }

    fn doubtful_belief_mut(&mut self) -> &mut Belief {
        self.doubtful_belief.get_or_insert(self.belief)
    }

    fn forget_settled_doubt(&mut self) {
        if self.doubtful == 0 {
            self.doubtful_belief = None;
        }
    }

    /// The length, 1 to `limit`, with the lowest mean cost over the belief. `costs` lists the costs of
    /// the lengths at one rate.
    fn cheapest_length<C>(&self, limit: usize, costs: impl Fn(&'static Cost) -> C) -> usize
    where
        C: Iterator<Item = f64>,
    {
        let belief = self.doubtful_belief.unwrap_or(self.belief);
        let mut means = [0.0; BATCH_LIMIT];
        for (weight, at_rate) in belief.weights().iter().zip(cost_at_rates()) {
            for (mean, cost) in means.iter_mut().zip(costs(at_rate)) {
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
