//! How what a step has changed gets into the store: with the lane's state, the sums, and what of the
//! rests, the brake and the pause is not committed yet.

use super::Dispatcher;
use super::{NewRuns, translate};
use crate::error::Result;
use crate::store::{Change, Rest, Store, Totals};

/// What has become of the count of the brake.
#[derive(Debug)]
pub(super) enum BrakeChange {
    Refused { user: String },
    Released,
}

impl BrakeChange {
    fn change(&self) -> Change<'_> {
        match self {
            Self::Refused { user } => Change::RefusedInARow { user },
            Self::Released => Change::AcceptedSince,
        }
    }
}

/// When a lane's state and the sums are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum LaneWrites {
    /// With each commit.
    #[default]
    Each,
    /// With the last one of a step, if there was any.
    Gathered { any: bool },
}

impl<S: Store + ?Sized> Dispatcher<S> {
    /// Takes a step of `lane` whose commits are one, in which the lane's state is written once.
    pub(crate) fn in_one_commit<T>(
        &mut self,
        lane: usize,
        step: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        self.store.begin_joint_commit();
        self.lane_writes = LaneWrites::Gathered { any: false };
        let taken = step(self)?;
        let gathered = std::mem::take(&mut self.lane_writes);
        if gathered == (LaneWrites::Gathered { any: true }) {
            self.commit_lane(lane, &[])?;
        }
        self.store.end_joint_commit()?;
        Ok(taken)
    }

    /// Commits `changes` with what is now known of the lane and of the pause.
    pub(super) fn commit_lane(&mut self, lane: usize, changes: &[Change<'_>]) -> Result<()> {
        if let LaneWrites::Gathered { any } = &mut self.lane_writes {
            *any = true;
            return self.commit(changes.to_vec());
        }
        let known = self.engine.lane_state(lane).copied().unwrap_or_default();
        let state = translate::lane_to_store(&known);
        let totals = self.totals;
        let mut all = Vec::with_capacity(changes.len() + 5);
        all.extend_from_slice(changes);
        all.push(Change::Lane {
            lane: lane as u8,
            state: &state,
        });
        all.push(Change::Totals(&totals));
        self.commit(all)
    }

    /// Notes for the next commit how the count of the brake has changed since it was `before`.
    pub(super) fn watch_brake(&mut self, before: usize, user: Option<String>) {
        let count = self.engine.refused_in_a_row().len();
        self.brake = match user {
            Some(user) if count > before => Some(BrakeChange::Refused { user }),
            _ if count < before => Some(BrakeChange::Released),
            _ => return,
        };
    }

    /// Commits the pause and the rests as they now are: after a resume, a hold, a new token.
    pub(super) fn commit_pause(&mut self) -> Result<()> {
        self.commit(Vec::new())
    }

    /// Appends `runs`, in one commit with `others`; `totals` are the sums after it but for what is appended.
    pub(crate) fn append(
        &mut self,
        runs: &NewRuns,
        others: Vec<Change<'_>>,
        mut totals: Totals,
    ) -> Result<()> {
        totals.pending += runs.events;
        totals.pending_bytes += runs.bytes;
        let changes = runs.changes().chain(others).collect();
        self.commit_with_totals(changes, totals)?;
        for place in runs.places() {
            self.appended(place);
        }
        Ok(())
    }

    /// Commits `changes`, after which the sums are `totals`.
    pub(crate) fn commit_with_totals(
        &mut self,
        changes: Vec<Change<'_>>,
        totals: Totals,
    ) -> Result<()> {
        let mut all = changes;
        all.push(Change::Totals(&totals));
        self.store.commit(&all)?;
        self.totals = totals;
        Ok(())
    }

    /// Commits `changes` with what of the rests, the brake and the pause is not committed yet.
    fn commit(&mut self, changes: Vec<Change<'_>>) -> Result<()> {
        let pause = self.pause_state();
        let brake = self.brake.take();
        let totals = self.totals;
        let rests: Vec<(usize, Rest)> = (0..self.lanes.len())
            .filter_map(|lane| {
                let rest = translate::rest_to_store(self.engine.lane_state(lane)?);
                (rest != self.lanes[lane].committed_rest).then_some((lane, rest))
            })
            .collect();
        let mut all = changes;
        all.extend(rests.iter().map(|(lane, rest)| Change::Rest {
            lane: *lane as u8,
            rest,
        }));
        all.extend(brake.as_ref().map(BrakeChange::change));
        if pause != self.committed_pause {
            all.push(Change::Pause(pause.as_ref()));
            all.push(Change::Totals(&totals));
        }
        if all.is_empty() {
            return Ok(());
        }
        self.store.commit(&all)?;
        self.committed_pause = pause;
        for (lane, rest) in rests {
            self.lanes[lane].committed_rest = rest;
        }
        Ok(())
    }
}
