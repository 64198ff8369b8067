//! The spool as delivery sees it: its lanes, the pause, the brake and the pacing.
//!
//! The engine answers two questions: [`Engine::next`], what a lane has to do now, and
//! [`Engine::answered`], what an answer did to its events. What it decides in between - whom to
//! blame, what to repeat, when to stop - it decides from state that the caller can export and
//! give back after a crash; it holds no event and no byte of one.
//!
//! Pauses begin, probe and end in `pausing`.

use super::brake::Brake;
use super::isolation::Finding;
use super::lane::{Flight, Lane, LaneState, Turn, Wish};
use super::pause::Pause;
use super::queue::{Head, Queue};
use super::step::{Effect, Outcome, Step};
use super::verdict::{Refusal, Verdict};
use super::waiting::Due;
use crate::clock::Moment;
use crate::error::PauseReason;
use crate::exchange::BATCH_LIMIT;
use std::num::NonZeroU32;
use std::time::Duration;

mod pausing;

/// How many times in a row the same batch is answered with a server error before all pause.
pub const SERVER_ERRORS: u32 = 10;

/// How long the lane that probed last lets the others go first.
const OTHER_LANES_FIRST: Duration = Duration::from_secs(1);

/// How delivery goes about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The most events in one request, 1 to [`BATCH_LIMIT`].
    pub batch_max: usize,
    /// How long an event may wait for company.
    pub flush_interval: Duration,
    /// How many lanes; more if the restored state has more.
    pub lanes: usize,
    /// After lone refusals of this many different users in a row nothing more is rejected, and after
    /// as many more delivery pauses; 0 is off.
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

/// What an engine before this one left behind; the default is a new spool.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Restored {
    /// [`Engine::lane_state`] of each lane.
    pub lanes: Vec<LaneState>,
    /// [`Engine::pause_state`]. Only the wall times are believed, and not far.
    pub pause: Option<Pause>,
    /// [`Engine::refused_in_a_row`].
    pub refused_in_a_row: Vec<String>,
}

/// The lanes, the pause, the brake and the pacing of one spool.
#[derive(Debug)]
pub struct Engine {
    policy: Policy,
    lanes: Vec<Lane>,
    pause: Option<Pause>,
    /// The lane whose request in flight is the pause's own probe.
    probing: Option<usize>,
    probed_last: Option<usize>,
    brake: Brake,
    /// When the next request may leave, by the pacing.
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
        let brake = Brake::new(policy.brake_users, restored.refused_in_a_row);
        Self {
            policy,
            lanes,
            pause: restored.pause.map(|pause| pause.restored(now)),
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

    /// What `lane` has to do now, given the heads of its queues (by [`Queue::index`]). `urgent` says
    /// that a flush waits: whatever there is goes, without company.
    ///
    /// [`Step::Send`] becomes real with [`sending`](Self::sending); asking twice is harmless.
    pub fn next(&mut self, lane: usize, heads: [Head<'_>; 2], urgent: bool, now: Moment) -> Step {
        match &self.pause {
            Some(pause) => self.next_probe(lane, &heads, pause.reason, pause.probe_at, now),
            None => self.next_batch(lane, &heads, urgent, now),
        }
    }

    /// While nothing may be rejected, a refusal of a suspect tells nothing.
    fn turn(&self) -> Turn {
        if self.brake.is_on() {
            Turn::RegularFirst
        } else {
            Turn::InTurn
        }
    }

    fn next_batch(
        &mut self,
        lane: usize,
        heads: &[Head<'_>; 2],
        urgent: bool,
        now: Moment,
    ) -> Step {
        let turn = self.turn();
        let Some(room) = self.lanes.get_mut(lane).filter(|room| !room.is_in_flight()) else {
            return Step::Idle;
        };
        let due = if urgent {
            Due::Now
        } else {
            Due::After(self.policy.flush_interval)
        };
        match room.wish(heads, self.policy.batch_max, turn, due, now) {
            Wish::Nothing => Step::Idle,
            Wish::Wait { until } => Step::Wait { until },
            Wish::Send { queue, events } => {
                let resting = room.resting_until(now);
                match resting.max(self.next_slot.filter(|slot| !now.reached(*slot))) {
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
        lane: usize,
        heads: &[Head<'_>; 2],
        reason: PauseReason,
        probe_at: Option<Moment>,
        now: Moment,
    ) -> Step {
        let paused = |probe_at| Step::Paused { reason, probe_at };
        let turn = self.turn();
        let Some(room) = self.lanes.get_mut(lane).filter(|room| !room.is_in_flight()) else {
            return paused(None);
        };
        let (Some(probe_at), None) = (probe_at, self.probing) else {
            return paused(None);
        };
        let wish = room.wish(heads, self.policy.batch_max, turn, Due::Now, now);
        let Wish::Send { queue, events } = wish else {
            return paused(None);
        };
        let may_go = if self.lanes.len() > 1 && self.probed_last == Some(lane) {
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
    /// about to leave. The batch is in doubt from here on: commit [`lane_state`](Self::lane_state) before the first byte.
    pub fn sending(&mut self, lane: usize, queue: Queue, events: usize, now: Moment) {
        let Some(room) = self.lanes.get_mut(lane) else {
            return;
        };
        room.sending(queue, events, now);
        if self.pause.is_some() {
            self.probing.get_or_insert(lane);
            self.probed_last = Some(lane);
        }
        if let Some(rate) = self.policy.max_requests_per_s {
            self.next_slot = Some(now.after(Duration::from_secs(1) / rate.get()));
        }
    }

    /// The request in flight of `lane` ended with `verdict`. `user` is the user of its first event,
    /// for the brake.
    pub fn answered(
        &mut self,
        lane: usize,
        user: Option<&str>,
        verdict: &Verdict,
        now: Moment,
        rng: &mut fastrand::Rng,
    ) -> Outcome {
        let kept = Outcome {
            effect: Effect::Kept,
            pause: None,
        };
        let Some(room) = self.lanes.get_mut(lane) else {
            return kept;
        };
        let Some(flight) = room.landed() else {
            return kept;
        };
        let probe = self.probing == Some(lane);
        if probe {
            self.probing = None;
        }
        let answer = Landed {
            lane,
            flight,
            probe,
            now,
        };
        match verdict {
            Verdict::Delivered => self.delivered(&answer),
            Verdict::Refused(refusal) => self.refused(&answer, user, refusal),
            Verdict::TooLarge { refusal } => self.too_large(&answer, user, refusal.as_ref()),
            Verdict::Retry { after } => {
                room.without_effect(&flight);
                room.rest(*after, now, rng);
                self.probe_failed(&answer, *after);
                kept
            }
            Verdict::InDoubt {
                after,
                server_error,
            } => {
                match (after, server_error) {
                    (None, None) => room.connection_lost(now, rng),
                    _ => room.rest(*after, now, rng),
                }
                let errors = server_error.map(|status| (status, room.server_error()));
                self.probe_failed(&answer, *after);
                match errors {
                    Some((status, times)) if times >= SERVER_ERRORS && self.pause.is_none() => {
                        let events = flight.events;
                        let message = format!(
                            "the same batch of {events} was answered HTTP {status} {times} times in a row"
                        );
                        let pause = Pause::begin(PauseReason::ServerError, message, now);
                        Outcome {
                            effect: Effect::Kept,
                            pause: Some(self.begin(pause.answered(Some(status), None))),
                        }
                    }
                    _ => kept,
                }
            }
            Verdict::Pause {
                reason,
                status,
                code,
                message,
                in_doubt,
            } => {
                if !in_doubt {
                    room.without_effect(&flight);
                }
                let pause = Pause::begin(*reason, message.as_str(), now)
                    .answered(Some(*status), code.clone());
                self.stop(&answer, pause)
            }
        }
    }

    /// The event at `position` of a queue (0 is the head) was taken out by somebody else: it
    /// expired, or an operator set it aside. Never called for what [`answered`](Self::answered) took out, nor
    /// for events that moved to the suspects queue after a rejection, nor while the lane's request is in flight.
    pub fn removed(&mut self, lane: usize, queue: Queue, position: usize) {
        if let Some(room) = self.lanes.get_mut(lane) {
            room.removed(queue, position);
        }
    }

    /// The pause, if there is one. The caller keeps it in the store whenever it changed.
    pub fn pause_state(&self) -> Option<&Pause> {
        self.pause.as_ref()
    }

    /// What of `lane` must survive a crash.
    pub fn lane_state(&self, lane: usize) -> Option<&LaneState> {
        self.lanes.get(lane).map(Lane::state)
    }

    /// The users refused alone since the last acceptance, for the brake. Worth keeping in the store
    /// where processes are short, as a flush at the end of a script is.
    pub fn refused_in_a_row(&self) -> impl ExactSizeIterator<Item = &str> {
        self.brake.users()
    }

    fn delivered(&mut self, answer: &Landed) -> Outcome {
        let Flight { queue, events, .. } = answer.flight;
        self.lanes[answer.lane].delivered(&answer.flight);
        self.brake.release();
        Outcome {
            effect: Effect::Delivered { queue, events },
            pause: self.probe_succeeded(answer),
        }
    }

    fn refused(&mut self, answer: &Landed, user: Option<&str>, refusal: &Refusal) -> Outcome {
        if answer.flight.events == 1 && self.may_not_reject() {
            return self.keep_unjudged(answer, user, refusal);
        }
        match self.lanes[answer.lane].refused(&answer.flight) {
            Finding::Narrowed => Outcome {
                effect: Effect::Kept,
                pause: self.refusal_probed(answer),
            },
            Finding::Alone { may_be_delivered } => {
                self.reject(answer, user, refusal, may_be_delivered, !may_be_delivered)
            }
        }
    }

    fn too_large(
        &mut self,
        answer: &Landed,
        user: Option<&str>,
        refusal: Option<&Refusal>,
    ) -> Outcome {
        let room = &mut self.lanes[answer.lane];
        let kept = Outcome {
            effect: Effect::Kept,
            pause: None,
        };
        if answer.flight.events > 1 {
            room.too_large(&answer.flight, answer.now);
            if answer.probe
                && let Some(pause) = &mut self.pause
            {
                pause.probe_again(answer.now);
            }
            return kept;
        }
        let Some(refusal) = refusal else {
            room.without_effect(&answer.flight);
            let message = "one event alone was too large for something on the way to the API";
            let pause =
                Pause::begin(PauseReason::Misrouted, message, answer.now).answered(Some(413), None);
            return self.stop(answer, pause);
        };
        if self.may_not_reject() {
            return self.keep_unjudged(answer, user, refusal);
        }
        let may_be_delivered = self.lanes[answer.lane].too_large_alone(&answer.flight);
        self.reject(answer, user, refusal, may_be_delivered, false)
    }

    fn reject(
        &mut self,
        answer: &Landed,
        user: Option<&str>,
        refusal: &Refusal,
        may_be_delivered: bool,
        suspect: bool,
    ) -> Outcome {
        let ended = self.probe_succeeded(answer);
        let queue = answer.flight.queue;
        if queue == Queue::Regular
            && let Some(user) = user
        {
            self.brake.refused_alone(user);
        }
        Outcome {
            pause: ended,
            effect: Effect::Rejected {
                queue,
                refusal: refusal.clone(),
                may_be_delivered,
                suspect,
            },
        }
    }

    fn may_not_reject(&self) -> bool {
        self.brake.is_on() || self.is_paused_for(PauseReason::MassRejection)
    }

    /// A lone event was refused while none may be rejected. What may be at the API already, or is
    /// suspect as it is, cannot stand back for others; then all pauses.
    fn keep_unjudged(&mut self, answer: &Landed, user: Option<&str>, refusal: &Refusal) -> Outcome {
        let unjudged = self.lanes[answer.lane].refused_but_kept(&answer.flight);
        let ended = self.refusal_probed(answer);
        if let Some(user) = user
            && self.pause.is_none()
        {
            self.brake.refused_alone(user);
        }
        let begins = self.pause.is_none() && (!unjudged || self.brake.has_seen_enough());
        let begun = begins.then(|| {
            let why = self.brake.why(refusal);
            let pause = Pause::begin(PauseReason::MassRejection, why, answer.now);
            self.begin(pause.answered(Some(refusal.status), Some(refusal.code.clone())))
        });
        Outcome {
            effect: if unjudged {
                Effect::Unjudged
            } else {
                Effect::Kept
            },
            pause: begun.or(ended),
        }
    }
}

/// A request that was answered.
struct Landed {
    lane: usize,
    flight: Flight,
    probe: bool,
    now: Moment,
}

#[cfg(test)]
mod tests;
