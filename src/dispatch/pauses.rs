//! Pauses: what is known of one, and what begins or ends one besides the answer to a request.

use super::{Dispatcher, translate};
use crate::clock::{self, Moment};
use crate::delivery::pause::FIRST_PROBE;
use crate::error::{PauseReason, Result};
use crate::store::{PauseState, Store};

/// What a flush does when delivery is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnPause {
    /// It has the pause probed, unless that was just done, and waits for the answer.
    Probe,
    /// It ends, unless a probe is due anyway.
    End,
}

impl OnPause {
    /// Whether `pause`, as the store of another process's sender has it, is probed now.
    pub(crate) fn is_probed(self, pause: &PauseState, now_ms: i64) -> bool {
        let earlier_ms = match self {
            Self::Probe => pause
                .probe_wait_ms
                .saturating_sub(FIRST_PROBE.as_millis() as i64),
            Self::End => 0,
        };
        let probe_ms = pause.probe_ms;
        probe_ms.is_some_and(|at| at.saturating_sub(earlier_ms.max(0)) <= now_ms)
    }
}

impl<S: Store + ?Sized> Dispatcher<S> {
    /// Whether delivery is paused because the API refused the token.
    pub(crate) fn is_token_refused(&self) -> bool {
        let pause = self.engine.pause_state();
        pause.is_some_and(|pause| pause.reason == PauseReason::Auth)
    }

    /// When the pause is probed next, if it is.
    pub(super) fn probe_at(&self) -> Option<Moment> {
        self.engine.pause_state()?.probe_at
    }

    /// The pause as the store keeps it.
    pub(crate) fn pause_state(&self) -> Option<PauseState> {
        let refused = self.refused_token.as_deref();
        self.engine
            .pause_state()
            .map(|pause| translate::pause_to_store(pause, refused))
    }

    /// Requests carry another token from now on.
    pub(crate) fn token_replaced(&mut self) -> Result<()> {
        let change = self.engine.token_replaced();
        self.tell_pause(change, clock::now());
        self.commit_pause()
    }

    /// Somebody asks to try again: a pause is probed at once, unless it was just probed.
    pub(crate) fn probe_soon(&mut self, now: Moment) -> Result<()> {
        self.engine.probe_soon(now);
        self.commit_pause()
    }

    /// The pause that a caller has to be told about: one that no probe is about to end.
    pub(crate) fn standing_pause(&self, on_pause: OnPause, now: Moment) -> Option<PauseState> {
        let pause = self.engine.pause_state()?;
        let probes_now = match on_pause {
            OnPause::Probe => pause.may_probe(now),
            OnPause::End => pause.probe_at.is_some_and(|at| now.reached(at)),
        };
        self.pause_state().filter(|_| !probes_now)
    }

    /// There is no token to send with: that is a pause like one for a refused token.
    pub(crate) fn token_missing(&mut self, why: &str, now: Moment) -> Result<()> {
        if self.engine.pause_state().is_some() {
            return Ok(());
        }
        // No token was refused: any is another one, also one that was refused once and has been allowed since.
        self.refused_token = None;
        let change = self.engine.pause(PauseReason::Auth, why, now);
        self.tell_pause(change, now);
        self.commit_pause()
    }
}
