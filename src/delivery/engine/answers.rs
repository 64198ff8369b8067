//! What an answer does: to the events of its request, to their lane, to the pause and the brake.

use super::{Engine, Lane};
use crate::clock::Moment;
use crate::delivery::isolation::Finding;
use crate::delivery::lane::InFlight;
use crate::delivery::pause::Pause;
use crate::delivery::queue::Queue;
use crate::delivery::step::{Effect, Outcome};
use crate::delivery::verdict::{Refusal, Verdict};
use crate::error::PauseReason;

/// After how many server errors in a row for the same batch delivery pauses.
pub(super) const SERVER_ERRORS_MAX: u32 = 10;

/// A request that has ended.
pub(super) struct EndedRequest {
    /// The index of its lane.
    lane: usize,
    batch: InFlight,
    pub(super) is_probe: bool,
    pub(super) now: Moment,
}

impl Engine {
    /// The request in flight of the lane at `index` ended with `verdict`. `user` is the user of its
    /// first event, for the brake.
    pub fn answered(
        &mut self,
        index: usize,
        user: Option<&str>,
        verdict: &Verdict,
        now: Moment,
        rng: &mut fastrand::Rng,
    ) -> Outcome {
        let Some(lane) = self.lanes.get_mut(index) else {
            return Outcome::UNCHANGED;
        };
        let Some(batch) = lane.take_in_flight() else {
            return Outcome::UNCHANGED;
        };
        let is_probe = self.probing == Some(index);
        if is_probe {
            self.probing = None;
        }
        let request = EndedRequest {
            lane: index,
            batch,
            is_probe,
            now,
        };
        match verdict {
            Verdict::Delivered => self.delivered(&request),
            Verdict::Refused(refusal) => self.refused(&request, user, refusal),
            Verdict::TooLarge { refusal } => self.too_large(&request, user, refusal.as_ref()),
            Verdict::Retry { after } => {
                lane.without_effect(&batch);
                lane.back_off(*after, now, rng);
                self.probe_failed(&request, *after);
                Outcome::UNCHANGED
            }
            Verdict::InDoubt {
                after,
                server_error,
            } if self.pause.is_none() && batch.events > 1 && lane.is_bisecting(&batch) => {
                lane.narrow(batch.queue, batch.events);
                // A network that is cut for a moment must not use up the search.
                if after.is_some() || server_error.is_none() {
                    lane.back_off(*after, now, rng);
                }
                Outcome::UNCHANGED
            }
            // A lost connection says nothing about the event, so only a status ends the search.
            Verdict::InDoubt {
                server_error: Some(status),
                ..
            } if self.pause.is_none() && lane.is_bisecting(&batch) => {
                lane.end_bisection();
                lane.count_server_error();
                let pause = Pause::new(PauseReason::ServerError, alone_message(*status), now);
                Outcome {
                    effect: Effect::Kept,
                    pause: Some(self.begin_pause(pause.with_answer(Some(*status), None))),
                }
            }
            Verdict::InDoubt {
                after,
                server_error,
            } => {
                match (after, server_error) {
                    (None, None) => lane.connection_lost(now, rng),
                    _ => lane.back_off(*after, now, rng),
                }
                let errors = server_error.map(|status| (status, lane.count_server_error()));
                self.probe_failed(&request, *after);
                match errors {
                    Some((status, times)) if times >= SERVER_ERRORS_MAX && self.pause.is_none() => {
                        let message = server_errors_message(status, times, batch.events);
                        let pause = Pause::new(PauseReason::ServerError, message, now);
                        Outcome {
                            effect: Effect::Kept,
                            pause: Some(self.begin_pause(pause.with_answer(Some(status), None))),
                        }
                    }
                    _ => Outcome::UNCHANGED,
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
                    lane.without_effect(&batch);
                }
                let pause = Pause::new(*reason, message.as_str(), now)
                    .with_answer(Some(*status), code.clone());
                self.pause_for_answer(&request, pause)
            }
        }
    }

    fn delivered(&mut self, request: &EndedRequest) -> Outcome {
        let InFlight { queue, events, .. } = request.batch;
        self.lane_of(request).delivered(&request.batch);
        self.brake.release();
        Outcome {
            effect: Effect::Delivered { queue, events },
            pause: self.probe_succeeded(request),
        }
    }

    fn refused(
        &mut self,
        request: &EndedRequest,
        user: Option<&str>,
        refusal: &Refusal,
    ) -> Outcome {
        if request.batch.events == 1 && self.may_not_reject() {
            return self.keep_unjudged(request, user, refusal);
        }
        match self.lane_of(request).refused(&request.batch) {
            Finding::Narrowed => Outcome {
                effect: Effect::Kept,
                pause: self.probe_refused(request),
            },
            Finding::Alone { may_be_delivered } => {
                self.reject(request, user, refusal, may_be_delivered, !may_be_delivered)
            }
        }
    }

    fn too_large(
        &mut self,
        request: &EndedRequest,
        user: Option<&str>,
        refusal: Option<&Refusal>,
    ) -> Outcome {
        let EndedRequest { batch, now, .. } = request;
        if batch.events > 1 {
            self.lane_of(request).too_large(batch, *now);
            if request.is_probe
                && let Some(pause) = &mut self.pause
            {
                pause.probe_now(*now);
            }
            return Outcome::UNCHANGED;
        }
        let Some(refusal) = refusal else {
            self.lane_of(request).without_effect(batch);
            let message = "a request with a single event was refused as too large, \
                           without an error body of the Partners API; \
                           a proxy on the way to it probably refused the request";
            let pause =
                Pause::new(PauseReason::Misrouted, message, *now).with_answer(Some(413), None);
            return self.pause_for_answer(request, pause);
        };
        if self.may_not_reject() {
            return self.keep_unjudged(request, user, refusal);
        }
        let may_be_delivered = self.lane_of(request).too_large_alone(batch);
        self.reject(request, user, refusal, may_be_delivered, false)
    }

    fn reject(
        &mut self,
        request: &EndedRequest,
        user: Option<&str>,
        refusal: &Refusal,
        may_be_delivered: bool,
        suspect: bool,
    ) -> Outcome {
        let ended = self.probe_succeeded(request);
        let queue = request.batch.queue;
        self.brake
            .count_rejected(user.filter(|_| queue == Queue::Regular));
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

    /// A lone event was refused while none may be rejected. The event moves to the suspects' queue,
    /// unless it is there already or may be delivered: then it keeps its place, and delivery pauses.
    fn keep_unjudged(
        &mut self,
        request: &EndedRequest,
        user: Option<&str>,
        refusal: &Refusal,
    ) -> Outcome {
        let moves = self.lane_of(request).refused_but_kept(&request.batch);
        let ended = self.probe_refused(request);
        if let Some(user) = user
            && self.pause.is_none()
        {
            self.brake.count_refused(user);
        }
        let begins = self.pause.is_none() && (!moves || self.brake.must_pause());
        let begun = begins.then(|| {
            let message = self.brake.pause_message(refusal);
            let pause = Pause::new(PauseReason::MassRejection, message, request.now);
            let code = refusal.code.clone();
            self.begin_pause(pause.with_answer(Some(refusal.status), Some(code)))
        });
        Outcome {
            effect: if moves {
                Effect::Unjudged
            } else {
                Effect::Kept
            },
            pause: begun.or(ended),
        }
    }

    fn lane_of(&mut self, request: &EndedRequest) -> &mut Lane {
        &mut self.lanes[request.lane]
    }
}

fn alone_message(status: u16) -> String {
    format!("the API answered HTTP {status} to one event alone: the one that was searched for")
}

fn server_errors_message(status: u16, times: u32, events: usize) -> String {
    let batch = match events {
        1 => "1 event".to_owned(),
        _ => format!("{events} events"),
    };
    format!("the API answered HTTP {status} {times} times in a row to the same batch of {batch}")
}
