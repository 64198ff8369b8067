//! The engine: all lanes of one spool, with the pause, the brake and the pacing.
//!
//! The engine answers two questions: [`Engine::next`], what a lane has to do now, and
//! [`Engine::answered`], what an answer did to its events. It decides both from its own state and
//! holds no event and no byte of one. Its caller exports the state after each step, and gives it back
//! to a new engine after a crash.
//!
//! `answers` turns verdicts into effects; `pauses` begins, probes and ends pauses; `shared` has several engines
//! stop and go together.

use super::brake::Brake;
use super::lane::{Lane, LaneState, LaneStep, QueueOrder};
use super::pause::Pause;
use super::queue::{Head, Queue};
use super::step::Step;
use super::waiting::Due;
use crate::clock::Moment;
use crate::error::PauseReason;
use crate::exchange::BATCH_LIMIT;
use std::num::NonZeroU32;
use std::time::Duration;

mod answers;
mod pauses;
mod shared;

/// How long the lane that probed last waits before it probes again, so that other lanes go first.
const OTHER_LANES_FIRST: Duration = Duration::from_secs(1);

/// How delivery is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The most events in one request, 1 to [`BATCH_LIMIT`].
    pub batch_max: usize,
    /// How long an event may wait for its batch to fill up.
    pub flush_interval: Duration,
    /// How many lanes; more if the restored state has more.
    pub lanes: usize,
    /// After lone refusals of this many different users in a row nothing more is rejected, and after
    /// as many more delivery pauses; 0 turns the brake off.
    pub brake_users: u32,
    /// The most requests a second over all lanes, evenly spaced.
    pub max_requests_per_s: Option<NonZeroU32>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            batch_max: BATCH_LIMIT,
            flush_interval: Duration::from_secs(10),
            lanes: 1,
            brake_users: 20,
            max_requests_per_s: None,
        }
    }
}

/// The state that an earlier engine left; the default is that of a new spool.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Restored {
    /// [`Engine::lane_state`] of each lane.
    pub lanes: Vec<LaneState>,
    /// [`Engine::pause_state`]. Only its wall times are used, and only within the length of the wait.
    pub pause: Option<Pause>,
    /// [`Engine::refused_in_a_row`].
    pub refused_in_a_row: Vec<String>,
    /// [`Engine::allowed_rejections`].
    pub allowed_rejections: u64,
}

/// The lanes, the pause, the brake and the pacing of one spool.
#[derive(Debug)]
pub struct Engine {
    policy: Policy,
    lanes: Vec<Lane>,
    pause: Option<Pause>,
    /// The lane whose request in flight probes the pause.
    probing: Option<usize>,
    probed_last: Option<usize>,
    brake: Brake,
    /// The earliest time of the next request, by the pacing.
    next_slot: Option<Moment>,
}

impl Engine {
    /// An engine that goes on where `restored` ended.
    pub fn new(policy: Policy, restored: Restored, now: Moment) -> Self {
        let policy = Policy {
            batch_max: policy.batch_max.clamp(1, BATCH_LIMIT),
            lanes: policy.lanes.max(restored.lanes.len()).max(1),
            ..policy
        };
        let mut lanes: Vec<Lane> = restored
            .lanes
            .into_iter()
            .map(|lane| Lane::restored(lane, now))
            .collect();
        lanes.resize_with(policy.lanes, Lane::default);
        let brake = Brake::new(
            policy.brake_users,
            restored.refused_in_a_row,
            restored.allowed_rejections,
        );
        let in_doubt = lanes.iter().filter_map(|lane| lane.state().in_doubt);
        let sent_ms = in_doubt.map(|batch| batch.last_ms).max();
        Self {
            policy,
            lanes,
            pause: restored.pause.map(|pause| pause.restored(sent_ms, now)),
            probing: None,
            probed_last: None,
            brake,
            next_slot: None,
        }
    }

    /// How many lanes there are.
    pub fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// What the lane at `index` has to do now, given the heads of its queues (by [`Queue::index`]).
    /// `urgent`: a flush waits, so a batch goes even if it is neither full nor due.
    ///
    /// A [`Step::Send`] takes effect with [`sending`](Self::sending); asking twice is harmless.
    pub fn next(&mut self, index: usize, heads: [Head<'_>; 2], urgent: bool, now: Moment) -> Step {
        match &self.pause {
            Some(pause) => self.next_probe(index, &heads, pause.reason, pause.probe_at, now),
            None => self.next_batch(index, &heads, urgent, now),
        }
    }

    /// While the brake is on, the suspects wait: the refusal of one of them would say nothing.
    fn queue_order(&self) -> QueueOrder {
        if self.brake.is_on() {
            QueueOrder::RegularFirst
        } else {
            QueueOrder::Alternating
        }
    }

    fn next_batch(
        &mut self,
        index: usize,
        heads: &[Head<'_>; 2],
        urgent: bool,
        now: Moment,
    ) -> Step {
        let order = self.queue_order();
        let Some(lane) = self
            .lanes
            .get_mut(index)
            .filter(|lane| !lane.is_in_flight())
        else {
            return Step::Idle;
        };
        let due = if urgent {
            Due::Now
        } else {
            Due::After(self.policy.flush_interval)
        };
        match lane.next_step(heads, self.policy.batch_max, order, due, now) {
            LaneStep::Idle => Step::Idle,
            LaneStep::Wait { until } => Step::Wait { until },
            LaneStep::Send { queue, events } => {
                let slot = self.next_slot.filter(|slot| !now.reached(*slot));
                match lane.waits_until(now).max(slot) {
                    Some(until) => Step::Wait { until },
                    None => Step::Send {
                        queue,
                        events,
                        probe: false,
                    },
                }
            }
        }
    }

    fn next_probe(
        &mut self,
        index: usize,
        heads: &[Head<'_>; 2],
        reason: PauseReason,
        probe_at: Option<Moment>,
        now: Moment,
    ) -> Step {
        let paused = |probe_at| Step::Paused { reason, probe_at };
        let order = self.queue_order();
        let Some(lane) = self
            .lanes
            .get_mut(index)
            .filter(|lane| !lane.is_in_flight())
        else {
            return paused(None);
        };
        let (Some(probe_at), None) = (probe_at, self.probing) else {
            return paused(None);
        };
        let step = lane.next_step(heads, self.policy.batch_max, order, Due::Now, now);
        let LaneStep::Send { queue, events } = step else {
            return paused(None);
        };
        let may_go = if self.lanes.len() > 1 && self.probed_last == Some(index) {
            probe_at.after(OTHER_LANES_FIRST)
        } else {
            probe_at
        };
        let may_go = self.next_slot.map_or(may_go, |slot| slot.max(may_go));
        if now.reached(may_go) {
            Step::Send {
                queue,
                events,
                probe: true,
            }
        } else {
            paused(Some(may_go))
        }
    }

    /// A request with the first `events` events of `queue`, as [`next`](Self::next) chose it, is
    /// about to leave. The batch is in doubt from here on: commit [`lane_state`](Self::lane_state)
    /// before the first byte leaves.
    pub fn sending(&mut self, index: usize, queue: Queue, events: usize, now: Moment) {
        let Some(lane) = self.lanes.get_mut(index) else {
            return;
        };
        lane.sending(queue, events, now);
        if self.pause.is_some() {
            self.probing.get_or_insert(index);
            self.probed_last = Some(index);
        }
        if let Some(rate) = self.policy.max_requests_per_s {
            self.next_slot = Some(now.after(Duration::from_secs(1) / rate.get()));
        }
    }

    /// The request in flight of the lane at `index` has no connection yet, so its batch is as it was before.
    pub fn connecting(&mut self, index: usize) -> bool {
        self.lanes.get_mut(index).is_some_and(Lane::connecting)
    }

    /// The request in flight of the lane at `index` has a connection: its batch is in doubt from here on.
    pub fn connected(&mut self, index: usize, now: Moment) {
        if let Some(lane) = self.lanes.get_mut(index) {
            lane.connected(now);
        }
    }

    /// The event at `position` of a queue (0 is the head) expired, or an operator set it aside or erased it.
    ///
    /// Not to be called for an event of the lane's request in flight, nor for events that leave the queue
    /// because of an answer: those of its [`Effect`](super::Effect), and those that move to the
    /// suspects' queue.
    pub fn removed(&mut self, index: usize, queue: Queue, position: usize) {
        if let Some(lane) = self.lanes.get_mut(index) {
            lane.removed(queue, position);
        }
    }

    /// What is known of a user's refusals is erased. The caller stores [`refused_in_a_row`](Self::refused_in_a_row).
    pub fn forget_refused(&mut self, user: &str) {
        self.brake.forget(user);
    }

    /// The message of the pause, from which a user may have to go. The caller stores it then.
    pub fn pause_message(&mut self) -> Option<&mut String> {
        self.pause.as_mut().map(|pause| &mut pause.message)
    }

    /// The pause, if there is one. The caller stores it whenever it has changed.
    pub fn pause_state(&self) -> Option<&Pause> {
        self.pause.as_ref()
    }

    /// The state of the lane at `index` that must survive a crash.
    pub fn lane_state(&self, index: usize) -> Option<&LaneState> {
        self.lanes.get(index).map(Lane::state)
    }

    /// The users whose events were refused alone since the last accepted event, for the brake. Worth
    /// storing where processes are short-lived, such as a flush at the end of a script.
    pub fn refused_in_a_row(&self) -> impl ExactSizeIterator<Item = &str> {
        self.brake.users()
    }

    /// Other engines count refused users as well, and these are all of them.
    pub fn recount_refused(&mut self, users: Vec<String>) {
        self.brake.recount(users);
    }

    /// How many events may be rejected without being counted by the brake.
    pub fn allowed_rejections(&self) -> u64 {
        self.brake.allowed()
    }
}

#[cfg(test)]
mod tests;
