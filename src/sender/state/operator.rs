//! What callers ask of the sender: operators' commands, another token, and that a flush need not wait.

use super::State;
use crate::clock::{self, Moment};
use crate::error::{Error, PauseReason, Result};
use crate::sender::commands::{Carried, Command};

impl State {
    /// Takes the first step of `command`.
    pub(in crate::sender) fn carry_out(
        &mut self,
        command: &Command,
        now: Moment,
    ) -> Result<Carried> {
        let mut rest = None;
        let changed = match command {
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
                let (found, behind) = self.matching(filter, *upto)?;
                let upto = *upto;
                rest = behind.map(|filter| Command::RequeueMatching { filter, upto });
                self.requeue(&found)
            }
            Command::DiscardMatching { filter, upto } => {
                let (found, behind) = self.matching(filter, *upto)?;
                let upto = *upto;
                rest = behind.map(|filter| Command::DiscardMatching { filter, upto });
                self.discard(&found)
            }
            Command::SetAside(ids) => self.set_aside(ids, now),
        }?;
        Ok(Carried { changed, rest })
    }

    /// Requests carry another token from now on.
    pub(in crate::sender) fn token_replaced(&mut self) -> Result<()> {
        let change = self.engine.token_replaced();
        self.tell_pause(change, clock::now());
        self.commit_pause()
    }

    /// The pause that a caller has to be told about: one that no probe is about to end.
    pub(in crate::sender) fn standing_pause(&self, now: Moment) -> Option<Error> {
        let probes_now = self.probe_at().is_some_and(|at| now.reached(at));
        let pause = self.pause_state().filter(|_| !probes_now)?;
        Some(pause.error(self.totals.pending, now.wall_ms))
    }

    /// There is no token to send with: that is a pause like one for a refused token.
    pub(in crate::sender) fn token_missing(&mut self, why: &str, now: Moment) -> Result<()> {
        if self.engine.pause_state().is_some() {
            return Ok(());
        }
        let change = self.engine.pause(PauseReason::Auth, why, now);
        self.tell_pause(change, now);
        self.commit_pause()
    }

    /// Runs up to row `row` are sent without waiting for more: a flush waits for them.
    pub(in crate::sender) fn send_at_once_upto(&mut self, row: i64) {
        self.urgent_upto = self.urgent_upto.max(row);
    }
}
