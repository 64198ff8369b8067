//! Everything that can be read of a store at one moment.

use std::collections::{BTreeMap, BTreeSet};

use super::kept::{Kept, Opened};
use super::samples::all_runs;
use crate::store::{
    LaneState, PauseState, Place, Rejected, RejectedFilter, Rest, StoredRun, Suspect, Totals,
};

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Look {
    pub(super) runs: BTreeMap<Place, Vec<StoredRun>>,
    pub(super) last_run: i64,
    pub(super) first_origin: Option<i64>,
    pub(super) rejected: BTreeMap<i64, Rejected>,
    pub(super) lanes: Vec<LaneState>,
    pub(super) rests: Vec<Rest>,
    pub(super) suspects: BTreeMap<Vec<u8>, Suspect>,
    pub(super) refused_in_a_row: BTreeSet<String>,
    pub(super) pause: Option<PauseState>,
    pub(super) lane_count: u8,
    pub(super) totals: Totals,
    /// Of a host's store.
    pub(super) offsets: BTreeMap<String, u64>,
}

impl Look {
    /// Reads everything that such a store has.
    pub(super) fn at(kept: &dyn Kept, store: &mut Opened) -> Self {
        let has = kept.has();
        let mut runs = BTreeMap::new();
        for place in has.places() {
            runs.insert(place, all_runs(&mut **store, place));
        }
        let rejected = store.rejected_matching(&RejectedFilter::default(), usize::MAX);
        let suspects = store.suspects().into_iter();
        let offsets = store.host().map(|host| host.offsets());
        Self {
            runs,
            last_run: store.last_run(),
            first_origin: store.first_origin().unwrap(),
            rejected: rejected.unwrap().into_iter().collect(),
            lanes: (0..has.lanes).map(|lane| store.lane(lane)).collect(),
            rests: (0..has.lanes).map(|lane| store.rest(lane)).collect(),
            suspects: suspects
                .map(|suspect| (suspect.user.clone(), suspect))
                .collect(),
            refused_in_a_row: store.refused_in_a_row().into_iter().collect(),
            pause: store.pause(),
            lane_count: if has.lanes > 1 { store.lanes() } else { 0 },
            totals: Totals {
                pending_bytes: if has.counted_bytes {
                    store.totals().pending_bytes
                } else {
                    0
                },
                ..store.totals()
            },
            offsets: offsets.unwrap_or_default().into_iter().collect(),
        }
    }

    /// The same with the ids of runs and rejected events by their order: two stores give different ones.
    pub(super) fn in_order(mut self) -> Self {
        let runs = self.runs.values().flatten();
        let ids: BTreeSet<i64> = runs
            .flat_map(|run| [run.id, run.origin])
            .chain([self.last_run])
            .chain(self.first_origin)
            .collect();
        let order = |id: i64| ids.range(..id).count() as i64 + 1;
        for run in self.runs.values_mut().flatten() {
            (run.id, run.origin) = (order(run.id), order(run.origin));
        }
        self.last_run = order(self.last_run);
        self.first_origin = self.first_origin.map(order);
        let rejected = self.rejected.into_values();
        self.rejected = (1..).zip(rejected).collect();
        self
    }

    /// Fails with what differs: all of it would be too much to read.
    pub(super) fn assert_same(&self, expected: &Self) {
        let in_short = |look: &Self| {
            let runs = look.runs.iter();
            let short = runs.map(|(place, runs)| {
                let of_run = |run: &StoredRun| (run.id, run.origin, run.marks, run.run.slots.len());
                (*place, runs.iter().map(of_run).collect::<Vec<_>>())
            });
            short.collect::<Vec<_>>()
        };
        assert_eq!(in_short(self), in_short(expected), "runs");
        assert_eq!(self.rejected, expected.rejected);
        let numbers = |look: &Self| (look.last_run, look.first_origin, look.lane_count);
        assert_eq!(numbers(self), numbers(expected), "last, first, lanes");
        assert_eq!(self.lanes, expected.lanes);
        assert_eq!(self.rests, expected.rests);
        assert_eq!(self.suspects, expected.suspects);
        assert_eq!(self.refused_in_a_row, expected.refused_in_a_row);
        assert_eq!(self.pause, expected.pause);
        assert_eq!(self.totals, expected.totals);
        assert_eq!(self.offsets, expected.offsets);
        assert!(self == expected, "events of the same runs differ");
    }
}
