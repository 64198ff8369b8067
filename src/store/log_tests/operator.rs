//! What the operator of a [`World`] does with rejected events.

use super::world::{LANES, Outcome, World, event_of, run_of, user_of};
use crate::store::contract::{Change, Store};
use crate::store::{Place, Rejected, Run};

fn forget(chosen: &[(i64, Rejected)]) -> Vec<Change<'_>> {
    chosen
        .iter()
        .map(|(id, event)| Change::Forget {
            rejected: *id,
            event,
        })
        .collect()
}

impl World {
    /// An operator has rejected events sent again.
    pub(super) fn requeue(&mut self) -> Outcome {
        let all = self.all_rejected()?;
        let count = self.rng.usize(1..4);
        let chosen = self.rng.choose_multiple(all, count);
        if chosen.is_empty() {
            return Ok(());
        }
        let events: Vec<u64> = chosen
            .iter()
            .map(|(_, event)| event_of(&event.event))
            .collect();
        let runs: Vec<(u8, Run)> = events
            .iter()
            .map(|event| {
                (
                    (user_of(*event) % u64::from(LANES)) as u8,
                    run_of(&[*event]),
                )
            })
            .collect();
        let mut totals = self.store().totals();
        totals.retried_requests += events.len() as u64;
        let mut changes = forget(&chosen);
        changes.extend(runs.iter().map(|(lane, run)| Change::Append {
            place: Place {
                lane: *lane,
                queue: 0,
            },
            origin: None,
            run,
        }));
        changes.push(Change::Totals(&totals));
        self.requeued.extend(&events);
        self.commit(&changes)?;
        self.answer()
    }

    /// An operator discards rejected events.
    pub(super) fn discard(&mut self) -> Outcome {
        let all = self.all_rejected()?;
        let count = match self.rng.bool() {
            true => all.len(),
            false => self.rng.usize(1..4),
        };
        let chosen = self.rng.choose_multiple(all, count);
        if chosen.is_empty() {
            return Ok(());
        }
        self.discarded
            .extend(chosen.iter().map(|(_, event)| event_of(&event.event)));
        let mut totals = self.store().totals();
        totals.refused_requests += chosen.len() as u64;
        let mut changes = forget(&chosen);
        changes.push(Change::Totals(&totals));
        self.commit(&changes)?;
        self.answer()
    }
}
