//! What must be true when a day is over: what became of each event, and how many requests it took.

use super::day::Day;
use std::collections::{BTreeMap, BTreeSet};

/// How many requests beyond 1.1 times those of halving the good part of a day may take, for each
/// queue of each lane, because of the bad part: a belief learnt from other events, a batch in
/// doubt, probes.
const SLACK: usize = 40;

/// The requests of the good part of a day.
#[derive(Clone, Copy, Default)]
pub struct Cost {
    pub requests: usize,
    pub halving: usize,
}

pub fn check(day: &Day) {
    every_event_is_delivered_or_rejected(day);
    events_of_each_user_arrived_in_order(day);
    if let Some(cost) = cost_of_good_part(day) {
        let queues = 2 * day.store.queues.len();
        let at_most = cost.halving * 11 / 10 + SLACK * queues;
        assert!(
            cost.requests <= at_most,
            "{} requests on a good day, where halving takes {}",
            cost.requests,
            cost.halving
        );
    }
}

/// All good parts together take at most this share of the requests of halving, in percent.
pub const SHARE_OF_HALVING: usize = 65;

/// The cost of the good part, if the brake was off.
pub fn cost_of_good_part(day: &Day) -> Option<Cost> {
    let good = day.good.filter(|_| day.policy.brake_users == 0)?;
    Some(Cost {
        requests: day.api.requests - good.requests_before,
        halving: good.halving,
    })
}

fn every_event_is_delivered_or_rejected(day: &Day) {
    let mut rejected = BTreeSet::new();
    for event in &day.store.rejected {
        assert!(rejected.insert(event.id), "{event:?} was rejected twice");
    }
    for event in &day.events {
        let delivered = day.store.delivered.contains(&event.id);
        let rejected = rejected.contains(&event.id);
        assert!(
            delivered ^ rejected,
            "{event:?}: delivered {delivered}, rejected {rejected}"
        );
        assert!(!delivered || day.api.has(event), "{event:?} never arrived");
    }
}

fn events_of_each_user_arrived_in_order(day: &Day) {
    let mut last: BTreeMap<usize, usize> = BTreeMap::new();
    for id in &day.api.processed {
        let user = day.events[*id].user;
        let before = last.insert(user, *id);
        assert!(
            before.is_none_or(|before| before < *id),
            "user {user}: event {id} arrived after {before:?}"
        );
    }
}
