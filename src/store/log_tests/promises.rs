//! What must be true of a [`World`] whenever its store is open.

use std::collections::HashMap;

use super::world::{LANES, Outcome, Safety, World, event_of, run_of, user_of, violation, waiting};
use crate::store::Place;
use crate::store::contract::Store;

/// What has happened since the promises were checked last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Since {
    Nothing,
    Cut,
}

impl World {
    /// Checks everything.
    pub(super) fn check(&mut self, since: Since) -> Outcome {
        let mut found: HashMap<u64, &'static str> = HashMap::new();
        let mut note = |event: u64, place: &'static str| match found.insert(event, place) {
            Some(other) => violation(format!("event {event} is in {other} and in {place}")),
            None => Ok(()),
        };
        for event in self.in_journal() {
            note(event, "the journal")?;
        }
        let (mut pending, mut pending_bytes) = (0, 0);
        let mut doubtful = Vec::new();
        for lane in 0..LANES {
            for queue in 0..2 {
                let place = Place { lane, queue };
                let events = self.check_queue(place)?;
                for event in &events {
                    note(*event, "a queue")?;
                    pending += 1;
                    pending_bytes += run_of(&[*event]).body.len() as u64;
                }
                let in_doubt = self
                    .store()
                    .lane(lane)
                    .in_doubt
                    .filter(|batch| batch.queue == queue);
                if let Some(batch) = in_doubt {
                    let Some(first) = events.get(..batch.events as usize) else {
                        return violation("a batch in doubt lacks events");
                    };
                    if !self.batches.contains(&run_of(first).body) {
                        return violation(format!("a batch in doubt was never made: {first:?}"));
                    }
                    doubtful.extend_from_slice(first);
                }
            }
        }
        let rejected = self.all_rejected()?;
        for (id, event) in &rejected {
            note(event_of(&event.event), "the rejected events")?;
            let known = self
                .rejected_ids
                .entry(*id)
                .or_insert_with(|| event.event.clone());
            if *known != event.event {
                return violation(format!("rejected id {id} was given twice"));
            }
        }
        self.check_each(&found, &doubtful, since)?;
        self.check_sums(pending, pending_bytes, rejected.len() as u64)
    }

    /// Checks the runs of a queue; says which events wait in it, in order.
    fn check_queue(&mut self, place: Place) -> Outcome<Vec<u64>> {
        let (mut events, mut last_id) = (Vec::new(), 0);
        let mut last_of_user: HashMap<u64, u64> = HashMap::new();
        for run in self.all_runs(place)? {
            if run.id <= last_id || run.origin > run.id {
                return violation(format!("run {} stands behind run {last_id}", run.id));
            }
            last_id = run.id;
            let fragments = run.run.events().map(|(fragment, _)| fragment.to_vec());
            let fragments: Vec<Vec<u8>> = fragments.collect();
            let known = self.run_ids.entry(run.id).or_insert(fragments.clone());
            // A copy lacks the bytes of what has left the run.
            let is_same = |(known, now): (&Vec<u8>, &Vec<u8>)| {
                known == now || known.is_empty() || now.is_empty()
            };
            if known.len() != fragments.len() || !known.iter().zip(&fragments).all(is_same) {
                return violation(format!("run id {} was given twice", run.id));
            }
            for (known, now) in known.iter_mut().zip(fragments) {
                if known.is_empty() {
                    *known = now;
                }
            }
            for (_, event) in waiting(&run) {
                if place.queue == 0 && !self.requeued.contains(&event) {
                    let last = last_of_user.insert(user_of(event), event).unwrap_or(0);
                    if last >= event {
                        return violation(format!("event {event} waits behind event {last}"));
                    }
                }
                events.push(event);
            }
        }
        Ok(events)
    }

    fn check_sums(&mut self, pending: u64, pending_bytes: u64, rejected: u64) -> Outcome {
        let totals = self.store().totals();
        if (totals.pending, totals.pending_bytes) != (pending, pending_bytes) {
            return violation(format!("{} events wait and not {pending}", totals.pending));
        }
        let (requeued, discarded) = (totals.retried_requests, totals.refused_requests);
        if totals.rejected != rejected + requeued + discarded {
            return violation(format!("{rejected} events are rejected: {totals:?}"));
        }
        let taken: usize = (0..self.journal.len())
            .map(|at| match self.journal[at].is_removed {
                true => self.journal[at].events.len(),
                false => self.taken(at),
            })
            .sum();
        if taken as u64 + requeued != pending + totals.delivered + totals.rejected {
            return violation(format!("{taken} events were taken over: {totals:?}"));
        }
        Ok(())
    }

    fn check_each(
        &mut self,
        found: &HashMap<u64, &'static str>,
        doubtful: &[u64],
        since: Since,
    ) -> Outcome {
        for event in 1..self.next_event {
            let is_accepted = self.accepted.contains(&event);
            match found.get(&event) {
                None if is_accepted || self.discarded.contains(&event) => {}
                None => return violation(format!("event {event} is lost")),
                Some(_) if !is_accepted || doubtful.contains(&event) => {}
                Some(place) => {
                    let is_durable = self
                        .settled_by
                        .get(&event)
                        .is_some_and(|seq| *seq <= self.durable);
                    if since != Since::Cut || self.safety == Safety::Power || is_durable {
                        return violation(format!("event {event} was delivered and is in {place}"));
                    }
                    // It is sent again, as it has to be.
                    self.accepted.remove(&event);
                    self.settled_by.remove(&event);
                }
            }
        }
        Ok(())
    }
}
