//! What finding bad events costs where their rate is known: the ground on which lengths are chosen.
//!
//! With a known rate nothing about lengths is a rule of thumb. The place of the first bad event in a
//! refused prefix has falling chances, the cheapest way to it by requests that take prefixes is a
//! small dynamic program, and with that the cost of each first length is known, too. Both count the
//! lone request that confirms an inferred event and spare the one for an event that was just refused
//! alone. Hence halves are not always best: of a group of four, one event goes first; and two unknown
//! events never go together where three are to be had, since up to 30 in 100 bad ones three are
//! cheaper, and beyond that each alone is.
//!
//! The tables, one for each rate of the belief's grid, are worked out by the compiler, with nothing
//! but the four operations, and so are the same on every machine.

use super::belief::{RATE, RATES};
use crate::exchange::BATCH_LIMIT;

/// What it costs at each rate of the grid.
pub static AT_RATE: [Cost; RATES] = at_each_rate();

/// Mean numbers of requests where each event is bad with the same chance.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// The chance that of so many unknown events one or more are bad.
    bad_in: [f64; BATCH_LIMIT + 1],
    /// Requests until the first bad one of so many is refused alone, once one is known to be there.
    find_in: [f64; BATCH_LIMIT + 1],
    /// Requests that come after one with so many unknown events, until they are settled or the first bad one is.
    search: [f64; BATCH_LIMIT + 1],
    /// What so many unknown events cost more than the best that could be done for as many as are settled.
    first: [f64; BATCH_LIMIT + 1],
    /// Requests per event, at best, without end.
    per_event: f64,
}

impl Cost {
    /// Requests per event that no choice of prefixes can beat, without end.
    pub fn per_event(&self) -> f64 {
        self.per_event
    }

    /// What it costs to take 1, 2, 3, ... unknown events: the request, and after a refusal those
    /// until the bad one is found, less the least that the events so settled could cost.
    pub fn of_first(&self) -> impl Iterator<Item = f64> {
        self.first[1..].iter().copied()
    }

    /// What is left to pay after a request with the first 1, 2, 3, ... events of a group that holds
    /// a bad one, times the chance of there being such a group.
    pub fn of_split(&self, group: usize) -> impl Iterator<Item = f64> {
        let bad_in_all = self.bad_in[group];
        let behind = self.find_in[1..group].iter().rev();
        let in_front = self.search[1..group].iter().zip(&self.bad_in[1..group]);
        in_front
            .zip(behind)
            .map(move |((search, bad_in), find_behind)| {
                search + (bad_in_all - bad_in) * find_behind
            })
    }

    /// The costs at `rate`, which is neither 0 nor 1.
    pub const fn at(rate: f64) -> Self {
        let mut cost = Self {
            bad_in: [0.0; BATCH_LIMIT + 1],
            find_in: [0.0; BATCH_LIMIT + 1],
            search: [0.0; BATCH_LIMIT + 1],
            first: [0.0; BATCH_LIMIT + 1],
            per_event: f64::INFINITY,
        };
        let mut all_good = 1.0;
        let mut events = 1;
        while events <= BATCH_LIMIT {
            all_good *= 1.0 - rate;
            cost.bad_in[events] = 1.0 - all_good;
            cost.find_in[events] = cost.best_find(events);
            if events > 1 {
                cost.search[events] = cost.bad_in[events] * cost.find_in[events];
            }
            let settled = cost.bad_in[events] / rate;
            cost.per_event = cost.per_event.min((1.0 + cost.search[events]) / settled);
            events += 1;
        }
        events = 1;
        while events <= BATCH_LIMIT {
            let settled = cost.bad_in[events] / rate;
            cost.first[events] = 1.0 + cost.search[events] - cost.per_event * settled;
            events += 1;
        }
        cost
    }

    /// The best way through a group, given those through all smaller ones.
    const fn best_find(&self, group: usize) -> f64 {
        if group == 1 {
            // It is inferred, and still has to be refused alone.
            return 1.0;
        }
        let mut best = f64::INFINITY;
        let mut events = 1;
        while events < group {
            let bad_behind = self.bad_in[group] - self.bad_in[events];
            best = best.min(self.search[events] + bad_behind * self.find_in[group - events]);
            events += 1;
        }
        1.0 + best / self.bad_in[group]
    }
}

const fn at_each_rate() -> [Cost; RATES] {
    let mut costs = [Cost::at(RATE[0]); RATES];
    let mut i = 1;
    while i < RATES {
        costs[i] = Cost::at(RATE[i]);
        i += 1;
    }
    costs
}
