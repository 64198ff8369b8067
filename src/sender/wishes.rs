//! What an operator or the host asks of the sender, carried out in one commit each.

use super::commands::Command;
use super::state::State;
use super::take_over::lane_of;
use crate::clock::Moment;
use crate::error::{Error, PauseReason, Result};
use crate::event;
use crate::store::{Change, Place, Run};

impl State {
    /// Carries out `command`; says how many rows it changed.
    pub(super) fn carry_out(&mut self, command: &Command, now: Moment) -> Result<usize> {
        match command {
            Command::Hold => {
                let change = self.engine.hold(now);
                self.say_pause(change);
                self.commit_pause()?;
                Ok(usize::from(change.is_some()))
            }
            Command::Resume => {
                let refused_before = self.engine.refused_in_a_row().len();
                let change = self.engine.resume();
                self.watch_brake(refused_before, None);
                self.say_pause(change);
                self.commit_pause()?;
                Ok(usize::from(change.is_some()))
            }
            Command::Requeue(ids) => self.requeue(ids),
            Command::Discard(ids) => self.discard(ids),
        }
    }

    /// Requests carry another token from now on.
    pub(super) fn token_replaced(&mut self) -> Result<()> {
        let change = self.engine.token_replaced();
        self.say_pause(change);
        self.commit_pause()
    }

    /// The pause that a caller has to be told about: one that no probe is about to end.
    pub(super) fn standing_pause(&self, now: Moment) -> Option<Error> {
        let probe_at = self.engine.pause_state()?.probe_at;
        let probes_now = probe_at.is_some_and(|at| now.reached(at));
        let pause = self.pause_state().filter(|_| !probes_now)?;
        Some(pause.error(self.totals.pending, now.wall_ms))
    }

    /// There is no token to send with: that is a pause like one for a refused token.
    pub(super) fn token_missing(&mut self, why: &str, now: Moment) -> Result<()> {
        if self.engine.pause_state().is_some() {
            return Ok(());
        }
        let change = self.engine.pause(PauseReason::Auth, why, now);
        self.say_pause(change);
        self.commit_pause()
    }

    /// Rejected events go to the end of their lanes, in the order of their rejection.
    fn requeue(&mut self, ids: &[i64]) -> Result<usize> {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        let found = self.store.rejected(&ids)?;
        let mut totals = self.totals;
        let mut runs = Vec::with_capacity(found.len());
        for (_, rejected) in &found {
            let mut run = Run::default();
            run.push(&rejected.event, crate::clock::wall_ms());
            totals.pending += 1;
            totals.pending_bytes += rejected.event.len() as u64;
            let lane = lane_of(event::user_of(&rejected.event), self.lane_count());
            runs.push((
                Place {
                    lane: lane as u8,
                    queue: 0,
                },
                run,
            ));
        }
        let mut changes: Vec<Change<'_>> = found
            .iter()
            .map(|(id, _)| Change::Forget { rejected: *id })
            .collect();
        changes.extend(runs.iter().map(|(place, run)| Change::Append {
            place: *place,
            origin: None,
            run,
        }));
        changes.push(Change::Totals(&totals));
        self.store.commit(&changes, self.orders.safety)?;
        self.totals = totals;
        for (place, _) in &runs {
            self.appended(*place);
        }
        Ok(found.len())
    }

    fn discard(&mut self, ids: &[i64]) -> Result<usize> {
        let found = self.store.rejected(ids)?;
        let mut found: Vec<i64> = found.into_iter().map(|(id, _)| id).collect();
        found.sort_unstable();
        found.dedup();
        let changes: Vec<Change<'_>> = found
            .iter()
            .map(|id| Change::Forget { rejected: *id })
            .collect();
        self.store.commit(&changes, self.orders.safety)?;
        Ok(found.len())
    }
}
