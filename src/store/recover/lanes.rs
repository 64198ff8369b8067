//! What is known of the lanes and of the suspects, as far as it fits the runs that can be read.

use std::collections::{BTreeMap, HashMap};

use super::ledger::LedgerFound;
use super::queues::QueueFound;
use crate::config::LANES_MAX;
use crate::event;
use crate::store::entry::{Entry, Isolation};
use crate::store::fold::Fold;
use crate::store::{Place, StoredRun, Suspect};

/// Seen while the runs are read.
pub(super) struct Users {
    lane_of: fn(&[u8], usize) -> usize,
    /// Numbers of lanes that the places of all runs agree with.
    lanes_possible: Vec<u8>,
    lanes_least: u8,
    /// Users with events in a suspects' queue: their lane, and how many events.
    suspects: HashMap<Vec<u8>, (u8, u64)>,
}

impl Users {
    pub(super) fn new(lane_of: fn(&[u8], usize) -> usize) -> Self {
        Self {
            lane_of,
            lanes_possible: (1..=LANES_MAX).collect(),
            lanes_least: 0,
            suspects: HashMap::new(),
        }
    }

    /// Takes in a run that waits.
    pub(super) fn saw(&mut self, place: Place, stored: &StoredRun) {
        let lane_of = self.lane_of;
        self.lanes_least = self.lanes_least.max(place.lane.saturating_add(1));
        for (_, fragment, _) in stored.waiting() {
            let user = event::user_of(fragment);
            if !self.lanes_possible.is_empty() {
                self.lanes_possible
                    .retain(|&lanes| lane_of(user, usize::from(lanes)) == usize::from(place.lane));
            }
            if place.queue == 1 {
                match self.suspects.get_mut(user) {
                    Some((_, waiting)) => *waiting += 1,
                    None => drop(self.suspects.insert(user.to_vec(), (place.lane, 1))),
                }
            }
        }
    }

    /// The number of lanes, where the ledger does not say it: whatever fits, for events of a user have to
    /// stay in the lane that they are in.
    pub(super) fn lanes(&self) -> u8 {
        match self.lanes_least {
            0 => 0,
            least => *self.lanes_possible.first().unwrap_or(&least),
        }
    }

    /// How many events of each user wait in the suspects' queue of its lane.
    pub(super) fn suspects(&self) -> &HashMap<Vec<u8>, (u8, u64)> {
        &self.suspects
    }
}

/// Counts anew how many events of each suspect wait: those in a suspects' queue have to stay apart, for
/// their order.
pub(super) fn count_suspects(waiting: &HashMap<Vec<u8>, (u8, u64)>, fold: &mut Fold) {
    for suspect in fold.suspects.values_mut() {
        suspect.waiting = 0;
    }
    for (user, (lane, waiting)) in waiting {
        let suspect = fold.suspects.entry(user.clone());
        let suspect = suspect.or_insert_with(|| Suspect {
            user: user.clone(),
            lane: *lane,
            waiting: 0,
            accepted: false,
        });
        suspect.waiting = *waiting;
    }
}

/// Drops what is known of a queue's head if the events that it speaks of are not all there; says of which
/// lanes.
pub(super) fn forget_what_does_not_fit(
    ledger: &LedgerFound,
    queues: &BTreeMap<Place, QueueFound>,
    fold: &mut Fold,
) -> Vec<u8> {
    let mut forgotten = Vec::new();
    for (place, found) in queues {
        if ledger.is_whole() && found.damage.is_none() {
            continue;
        }
        let known = ledger.fold.queue(*place);
        let in_doubt = ledger.fold.in_doubt(place.lane);
        let in_doubt = in_doubt.filter(|batch| batch.queue == place.queue);
        let isolation = &known.isolation;
        let bound = in_doubt
            .map_or(0, |batch| batch.events)
            .max(isolation.group)
            .max(isolation.doubtful);
        if found.intact_from_head(known) >= u64::from(bound) {
            continue;
        }
        let entries = [
            Some(Entry::Isolation {
                place: *place,
                isolation: Isolation {
                    belief: isolation.belief.clone(),
                    ..Isolation::default()
                },
            }),
            in_doubt.map(|_| Entry::InDoubt {
                lane: place.lane,
                in_doubt: None,
            }),
        ];
        for entry in entries.iter().flatten() {
            let _ = fold.apply(entry);
        }
        forgotten.push(place.lane);
    }
    forgotten.dedup();
    forgotten
}
