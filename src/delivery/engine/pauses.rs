//! When delivery pauses, which request probes the pause, and what ends it.
//!
//! A pause stops all lanes. Only the answer to its own probe, an operator or a new bearer token ends
//! it: the answer to a request that was in flight when the pause began proves nothing.

use super::answers::EndedRequest;
use super::{Engine, Lane};
use crate::clock::Moment;
use crate::delivery::pause::{Pause, PauseChange, ends_by_probe};
use crate::delivery::step::{Effect, Outcome};
use crate::error::PauseReason;
use std::time::Duration;

impl Engine {
    /// An operator resumes: ends every backoff and every pause.
    pub fn resume(&mut self) -> Option<PauseChange> {
        self.lanes.iter_mut().for_each(Lane::end_backoff);
        let ended = self.end_pause_if(|_| true);
        if ended.is_some() {
            self.brake.release();
        }
        ended
    }

    /// An operator has the batch in doubt of the lane at `index` searched for the event on which the API
    /// fails. Returns how many events it has; 0: nothing is in doubt, or it is on its way just now.
    pub fn bisect(&mut self, index: usize) -> usize {
        self.lanes.get_mut(index).map_or(0, Lane::bisect)
    }

    /// A search begins, so delivery no longer pauses for server errors.
    pub fn end_server_errors(&mut self) -> Option<PauseChange> {
        self.end_pause_if(|reason| reason == PauseReason::ServerError)
    }

    /// The status of the answer to the request in flight of the lane at `index`, for who lists its batch.
    pub fn note_status(&mut self, index: usize, status: Option<u16>) {
        if let Some(lane) = self.lanes.get_mut(index) {
            lane.note_status(status);
        }
    }

    /// An operator resumes, and allows the next `rejections`: the brake does not count them.
    pub fn resume_allowing(&mut self, rejections: u64) -> Option<PauseChange> {
        let ended = self.resume();
        self.brake.allow(rejections);
        ended
    }

    /// Somebody asks to try again, such as a `flush`: the pause is probed at once, unless it was just probed.
    /// Says whether the next probe goes earlier than it would have.
    pub fn probe_soon(&mut self, now: Moment) -> bool {
        let is_probing = self.probing.is_some();
        let pause = self.pause.as_mut().filter(|_| !is_probing);
        pause.is_some_and(|pause| pause.probe_soon(now))
    }

    /// The bearer token was replaced: a pause because of the old one ends at once, and earlier
    /// failures are no reason for a backoff any more.
    pub fn token_replaced(&mut self) -> Option<PauseChange> {
        let ended = self.end_pause_if(|reason| reason == PauseReason::Auth)?;
        self.lanes.iter_mut().for_each(Lane::end_backoff);
        Some(ended)
    }

    /// An operator holds delivery, until [`resume`](Self::resume).
    pub fn hold(&mut self, now: Moment) -> Option<PauseChange> {
        self.pause(PauseReason::Hold, "requested by an operator", now)
    }

    /// Pauses for a reason that did not come from an answer, such as a missing bearer token. The pause
    /// replaces any other, but not one with the same reason.
    pub fn pause(
        &mut self,
        reason: PauseReason,
        message: &str,
        now: Moment,
    ) -> Option<PauseChange> {
        if self.is_paused_for(reason) {
            return None;
        }
        Some(self.begin_pause(Pause::new(reason, message, now)))
    }

    /// An answer asks for a pause. It replaces an earlier pause only if it answers that pause's probe.
    pub(super) fn pause_for_answer(&mut self, request: &EndedRequest, asked: Pause) -> Outcome {
        let change = match &mut self.pause {
            None => Some(self.begin_pause(asked)),
            Some(_) if !request.is_probe => None,
            Some(pause) if pause.reason == asked.reason => {
                pause.probe_later(None, request.now);
                *pause = Pause {
                    since_ms: pause.since_ms,
                    probe_at: pause.probe_at,
                    probe_wait: pause.probe_wait,
                    ..asked
                };
                None
            }
            Some(_) => Some(self.begin_pause(asked)),
        };
        Outcome {
            effect: Effect::Kept,
            pause: change,
        }
    }

    pub(super) fn begin_pause(&mut self, pause: Pause) -> PauseChange {
        let reason = pause.reason;
        self.pause = Some(pause);
        self.probing = None;
        PauseChange::Begun(reason)
    }

    pub(super) fn probe_succeeded(&mut self, request: &EndedRequest) -> Option<PauseChange> {
        if request.is_probe {
            self.end_pause_if(ends_by_probe)
        } else {
            None
        }
    }

    pub(super) fn probe_failed(&mut self, request: &EndedRequest, asked: Option<Duration>) {
        if request.is_probe
            && let Some(pause) = &mut self.pause
        {
            pause.probe_later(asked, request.now);
        }
    }

    fn end_pause_if(&mut self, ends: impl Fn(PauseReason) -> bool) -> Option<PauseChange> {
        let pause = self.pause.take_if(|pause| ends(pause.reason))?;
        self.probing = None;
        self.lanes.iter_mut().for_each(Lane::forget_server_errors);
        Some(PauseChange::Ended(pause.reason))
    }

    /// A refusal of a probe ends the pause, except one because of refusals (`mass_rejection`).
    pub(super) fn probe_refused(&mut self, request: &EndedRequest) -> Option<PauseChange> {
        if self.is_paused_for(PauseReason::MassRejection) {
            self.probe_failed(request, None);
            return None;
        }
        self.probe_succeeded(request)
    }

    pub(super) fn is_paused_for(&self, reason: PauseReason) -> bool {
        self.pause
            .as_ref()
            .is_some_and(|pause| pause.reason == reason)
    }
}
