//! Pauses: what is known of one, and what begins or ends one besides the answer to a request.

use super::{Dispatcher, translate};
use crate::clock::{self, Moment};
use crate::error::{PauseReason, Result};
use crate::store::{PauseState, Store};

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

    /// The pause that a caller has to be told about: one that no probe is about to end.
    pub(crate) fn standing_pause(&self, now: Moment) -> Option<PauseState> {
        let probes_now = self.probe_at().is_some_and(|at| now.reached(at));
        self.pause_state().filter(|_| !probes_now)
    }

    /// There is no token to send with: that is a pause like one for a refused token.
    pub(crate) fn token_missing(&mut self, why: &str, now: Moment) -> Result<()> {
        if self.engine.pause_state().is_some() {
            return Ok(());
        }
        let change = self.engine.pause(PauseReason::Auth, why, now);
        self.tell_pause(change, now);
        self.commit_pause()
    }
}
