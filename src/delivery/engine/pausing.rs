//! When all stop, when one request asks whether that is over, and when all go on.
//!
//! A pause stands over all lanes, and only the answer to its own probe, an operator or a new
//! token ends it: an answer that was already on its way when the pause began proves nothing.

use super::{Effect, Engine, Landed, Lane, Outcome};
use crate::clock::Moment;
use crate::delivery::pause::{Pause, PauseChange, probes};
use crate::error::PauseReason;
use std::time::Duration;

impl Engine {
    /// An operator asks to go on now: ends every rest after a failure, and every pause but
    /// `store_damaged`, which [`recovered`](Self::recovered) ends.
    pub fn resume(&mut self) -> Option<PauseChange> {
        self.lanes.iter_mut().for_each(Lane::try_at_once);
        let ended = self.end_pause_if(|reason| reason != PauseReason::StoreDamaged);
        if ended.is_some() {
            self.brake.release();
        }
        ended
    }

    /// The store was recovered.
    pub fn recovered(&mut self) -> Option<PauseChange> {
        self.ended_by_hand(|reason| reason == PauseReason::StoreDamaged)
    }

    /// There is a new bearer token: a pause for the old one ends at once.
    pub fn token_replaced(&mut self) -> Option<PauseChange> {
        self.ended_by_hand(|reason| reason == PauseReason::Auth)
    }

    /// An operator asks to stop sending, until [`resume`](Self::resume).
    pub fn hold(&mut self, now: Moment) -> Option<PauseChange> {
        self.pause(PauseReason::Hold, "an operator asked for it", now)
    }

    /// Pauses for a reason that no answer gave, such as `store_damaged`. Takes the place of any
    /// other pause but `store_damaged`, and of one with the same reason not at all.
    pub fn pause(
        &mut self,
        reason: PauseReason,
        message: &str,
        now: Moment,
    ) -> Option<PauseChange> {
        match self.pause.as_ref().map(|pause| pause.reason) {
            Some(PauseReason::StoreDamaged) => None,
            Some(same) if same == reason => None,
            _ => Some(self.begin(Pause::begin(reason, message, now))),
        }
    }

    /// An answer asks for a pause. One that already stands gives way only to its own probe.
    pub(super) fn stop(&mut self, answer: &Landed, asked: Pause) -> Outcome {
        let change = match &mut self.pause {
            None => Some(self.begin(asked)),
            Some(_) if !answer.probe => None,
            Some(pause) if pause.reason == asked.reason => {
                pause.probe_later(None, answer.now);
                *pause = Pause {
                    since_ms: pause.since_ms,
                    probe_at: pause.probe_at,
                    probe_wait: pause.probe_wait,
                    ..asked
                };
                None
            }
            Some(_) => Some(self.begin(asked)),
        };
        Outcome {
            effect: Effect::Kept,
            pause: change,
        }
    }

    pub(super) fn begin(&mut self, pause: Pause) -> PauseChange {
        let reason = pause.reason;
        self.pause = Some(pause);
        self.probing = None;
        PauseChange::Begun(reason)
    }

    pub(super) fn probe_succeeded(&mut self, answer: &Landed) -> Option<PauseChange> {
        if answer.probe {
            self.end_pause_if(probes)
        } else {
            None
        }
    }

    pub(super) fn probe_failed(&mut self, answer: &Landed, asked: Option<Duration>) {
        if answer.probe
            && let Some(pause) = &mut self.pause
        {
            pause.probe_later(asked, answer.now);
        }
    }

    /// Somebody removed the cause: nothing that failed before is a reason to rest.
    fn ended_by_hand(&mut self, ends: impl Fn(PauseReason) -> bool) -> Option<PauseChange> {
        let ended = self.end_pause_if(ends)?;
        self.lanes.iter_mut().for_each(Lane::try_at_once);
        Some(ended)
    }

    fn end_pause_if(&mut self, ends: impl Fn(PauseReason) -> bool) -> Option<PauseChange> {
        let pause = self.pause.take_if(|pause| ends(pause.reason))?;
        self.probing = None;
        self.lanes.iter_mut().for_each(Lane::forget_server_errors);
        Some(PauseChange::Ended(pause.reason))
    }

    /// A refusal ends every pause that its request probed, but for one that stands for refusals.
    pub(super) fn refusal_probed(&mut self, answer: &Landed) -> Option<PauseChange> {
        if self.is_paused_for(PauseReason::MassRejection) {
            self.probe_failed(answer, None);
            return None;
        }
        self.probe_succeeded(answer)
    }

    pub(super) fn is_paused_for(&self, reason: PauseReason) -> bool {
        self.pause
            .as_ref()
            .is_some_and(|pause| pause.reason == reason)
    }
}
