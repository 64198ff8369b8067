//! The runs of a queue that were read since the store was opened and wait still, without their events: what a step
//! names when it settles them, marks them, or puts them in doubt.

use std::collections::VecDeque;

use meditopia::internals::store::StoredRun;

use crate::parcel::Checksum;

/// A run that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) id: i64,
    pub(crate) origin: i64,
    /// By it a row is told from another one that was given the same id.
    pub(crate) checksum: Checksum,
    pub(crate) events: u32,
    /// A bit for the place of each event that has left it.
    pub(crate) marks: u128,
}

impl Known {
    pub(crate) fn of(stored: &StoredRun, checksum: Checksum) -> Self {
        Self {
            id: stored.id,
            origin: stored.origin,
            checksum,
            events: stored.run.slots.len() as u32,
            marks: stored.marks,
        }
    }

    fn waiting(&self) -> u32 {
        let places = 0..self.events;
        places.filter(|place| self.marks >> place & 1 == 0).count() as u32
    }
}

/// Those of one queue, in order and without a gap from its head on.
#[derive(Debug, Clone, Default)]
pub(crate) struct KnownRuns {
    runs: VecDeque<Known>,
    read_upto: i64,
}

impl KnownRuns {
    /// All runs that wait up to this one are known.
    pub(crate) fn read_upto(&self) -> i64 {
        self.read_upto
    }

    /// The first one that waits, if it is known.
    pub(crate) fn first(&self) -> Option<&Known> {
        self.runs.front()
    }

    /// A run was read, of which there are none between it and the last one that is known.
    pub(crate) fn learn(&mut self, run: Known) {
        if run.id > self.read_upto {
            self.read_upto = run.id;
            self.runs.push_back(run);
        }
    }

    pub(crate) fn find(&self, run: i64) -> Option<&Known> {
        let at = self.runs.binary_search_by_key(&run, |known| known.id);
        at.ok().and_then(|at| self.runs.get(at))
    }

    pub(crate) fn find_mut(&mut self, run: i64) -> Option<&mut Known> {
        let at = self.runs.binary_search_by_key(&run, |known| known.id);
        at.ok().and_then(|at| self.runs.get_mut(at))
    }

    /// Takes out the runs up to `upto`; `None`: that one does not wait, or was not read.
    pub(crate) fn settle(&mut self, upto: i64) -> Option<VecDeque<Known>> {
        let at = self.runs.binary_search_by_key(&upto, |known| known.id);
        let rest = self.runs.split_off(at.ok()? + 1);
        Some(std::mem::replace(&mut self.runs, rest))
    }

    /// The runs that hold the first `events` events that wait.
    pub(crate) fn head(&self, events: u32) -> impl Iterator<Item = &Known> {
        let mut left = events;
        let runs = self.runs.iter();
        runs.map_while(move |run| {
            let wanted = left > 0;
            left = left.saturating_sub(run.waiting());
            wanted.then_some(run)
        })
    }
}
