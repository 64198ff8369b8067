//! What it costs to find bad events at a known rate: the numbers from which lengths are chosen.
//!
//! At a known rate no rule of thumb is needed. The first bad event of a refused prefix is more likely
//! near the front, and a small dynamic program finds the cheapest way to it by requests that take
//! prefixes. From that follows the cost of each length of a first request. Both count the lone
//! request that confirms an inferred bad event, and spare it for an event that was just refused alone.
//!
//! Halving is therefore not always best. Of a group of four, one event goes first. Two unknown events
//! never go together if there are three: up to 30 bad events in 100 three are cheaper, and beyond
//! that each one alone is.
//!
//! There is one table for each rate of the belief's grid. They are computed when the first one is needed, with
//! the four basic operations only, so they are the same on every machine. In the library's file they would
//! take 55 kB; to compute them takes less than a millisecond.

use once_cell::race::OnceBox;

use super::belief::RATE;
use crate::exchange::BATCH_LIMIT;

/// The costs at each rate of the grid.
pub fn cost_at_rates() -> &'static [Cost] {
    static COSTS: OnceBox<Vec<Cost>> = OnceBox::new();
    COSTS.get_or_init(|| Box::new(RATE.iter().copied().map(Cost::at_rate).collect()))
}

/// Mean numbers of requests if each event is bad with the same chance. The arrays are indexed by a
/// number of events.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// The chance that at least one of this many unknown events is bad.
    bad_in: [f64; BATCH_LIMIT + 1],
    /// Requests until the first bad event of a group of this size is refused alone.
    find_in: [f64; BATCH_LIMIT + 1],
    /// Requests that follow one with this many unknown events, until they or the first bad event
    /// among them is settled.
    search: [f64; BATCH_LIMIT + 1],
    /// Requests for this many unknown events, search included, less what the events that are settled
    /// by them would cost at `per_event`.
    first: [f64; BATCH_LIMIT + 1],
    /// The lowest possible requests per event in an endless queue.
    per_event: f64,
}

impl Cost {
    /// Requests per event in an endless queue that no choice of prefixes can beat.
    pub fn per_event(&self) -> f64 {
        self.per_event
    }

    /// The excess cost of a request with 1, 2, 3, ... unknown events: the request, and after a refusal
    /// the search for the bad event, less the lowest possible cost of the events that both settle.
    pub fn unknown_events(&self) -> impl Iterator<Item = f64> {
        self.first[1..].iter().copied()
    }

    /// The cost that remains after a request with the first 1, 2, 3, ... events of a refused group,
    /// times the chance that the group holds a bad event.
    pub fn splits(&self, group: usize) -> impl Iterator<Item = f64> {
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
    pub fn at_rate(rate: f64) -> Self {
        let mut cost = Self {
            bad_in: [0.0; BATCH_LIMIT + 1],
            find_in: [0.0; BATCH_LIMIT + 1],
            search: [0.0; BATCH_LIMIT + 1],
            first: [0.0; BATCH_LIMIT + 1],
            per_event: f64::INFINITY,
        };
        let mut all_good = 1.0;
        for events in 1..=BATCH_LIMIT {
            all_good *= 1.0 - rate;
            cost.bad_in[events] = 1.0 - all_good;
            cost.find_in[events] = cost.best_find(events);
            if events > 1 {
                cost.search[events] = cost.bad_in[events] * cost.find_in[events];
            }
            let settled = cost.bad_in[events] / rate;
            cost.per_event = cost.per_event.min((1.0 + cost.search[events]) / settled);
        }
        for events in 1..=BATCH_LIMIT {
            let settled = cost.bad_in[events] / rate;
            cost.first[events] = 1.0 + cost.search[events] - cost.per_event * settled;
        }
        cost
    }

    /// The fewest requests that find the first bad event of a group, given those of all smaller groups.
    fn best_find(&self, group: usize) -> f64 {
        if group == 1 {
            // The bad event is inferred, and still has to be refused alone.
            return 1.0;
        }
        let mut best = f64::INFINITY;
        for events in 1..group {
            let bad_behind = self.bad_in[group] - self.bad_in[events];
            best = best.min(self.search[events] + bad_behind * self.find_in[group - events]);
        }
        1.0 + best / self.bad_in[group]
    }
}
