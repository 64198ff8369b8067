//! What an operator or the host asks of the sender, carried out by the one process that may.

use super::commands::Command;
use super::state::State;
use crate::clock::{Clock, Moment, SystemClock};
use crate::error::{Error, PauseReason, Result};

impl State {
    /// Carries out `command`; says how many rows it changed.
    pub(super) fn carry_out(&mut self, command: &Command, now: Moment) -> Result<usize> {
        match command {
            Command::Hold => {
                let change = self.engine.hold(now);
                self.tell_pause(change, now);
                self.commit_pause()?;
                Ok(usize::from(change.is_some()))
            }
            Command::Resume => {
                let refused_before = self.engine.refused_in_a_row().len();
                let change = self.engine.resume();
                self.watch_brake(refused_before, None);
                self.tell_pause(change, now);
                self.commit_pause()?;
                Ok(usize::from(change.is_some()))
            }
            Command::Requeue(ids) => {
                let found = self.found(ids)?;
                self.requeue(&found)
            }
            Command::Discard(ids) => {
                let found = self.found(ids)?;
                self.discard(&found)
            }
            Command::RequeueMatching { filter, upto } => {
                self.change_matching(filter, *upto, Self::requeue)
            }
            Command::DiscardMatching { filter, upto } => {
                self.change_matching(filter, *upto, Self::discard)
            }
            Command::SetAside(ids) => self.set_aside(ids, now),
        }
    }

    /// Requests carry another token from now on.
    pub(super) fn token_replaced(&mut self) -> Result<()> {
        let change = self.engine.token_replaced();
        self.tell_pause(change, SystemClock.now());
        self.commit_pause()
    }

    /// The pause that a caller has to be told about: one that no probe is about to end.
    pub(super) fn standing_pause(&self, now: Moment) -> Option<Error> {
        let probes_now = self.probe_at().is_some_and(|at| now.reached(at));
        let pause = self.pause_state().filter(|_| !probes_now)?;
        Some(pause.error(self.totals.pending, now.wall_ms))
    }

    /// There is no token to send with: that is a pause like one for a refused token.
    pub(super) fn token_missing(&mut self, why: &str, now: Moment) -> Result<()> {
        if self.engine.pause_state().is_some() {
            return Ok(());
        }
        let change = self.engine.pause(PauseReason::Auth, why, now);
        self.tell_pause(change, now);
        self.commit_pause()
    }
}
