//! The head of one queue, in memory: the runs that the next requests will take their prefix from.
//!
//! A window is a cache of the store and nothing more: dropped at any moment, it is read again. It
//! never changes the store itself; what is settled or moved comes back as [`Change`]s for the
//! sender's next commit.

use std::collections::VecDeque;

use crate::error::Result;
use crate::store::{Change, Place, Run, Store, StoredRun, pending_event_id};

/// Runs read from the store at a time.
const READ_AHEAD_RUNS: usize = 32;
const BODY_START: &[u8] = br#"{"events":["#;
const BODY_END: &[u8] = b"]}";

/// The head of a queue.
#[derive(Debug)]
pub(super) struct Window {
    place: Place,
    runs: VecDeque<StoredRun>,
    /// Events of the first run that are settled already.
    skip: usize,
    /// Events in `runs` behind `skip`.
    events: usize,
    /// Nothing stands in the store behind the last of `runs`.
    all_read: bool,
    last_read: i64,
    sizes: Vec<u32>,
    /// For each event at hand, the requests that carried it; shorter where none has.
    carried: VecDeque<u32>,
}

/// An event that a sift may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    /// How far behind the head it stands.
    pub(super) position: usize,
    run: i64,
    place: usize,
    pub(super) fragment: &'a [u8],
}

impl Candidate<'_> {
    /// What lists call it.
    pub(super) fn id(&self) -> i64 {
        pending_event_id(self.run, self.place, self.fragment)
    }
}

/// An event at the head of a queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeadEvent<'a> {
    pub(super) fragment: &'a [u8],
    pub(super) enqueued_ms: i64,
}

impl Window {
    pub(super) fn new(place: Place, skip: usize) -> Self {
        Self {
            place,
            runs: VecDeque::new(),
            skip,
            events: 0,
            all_read: false,
            last_read: 0,
            sizes: Vec::new(),
            carried: VecDeque::new(),
        }
    }

    /// The store has runs behind the last one read.
    pub(super) fn appended(&mut self) {
        self.all_read = false;
    }

    /// Reads runs until `wanted` events are at hand or there are no more; says whether it read any.
    pub(super) fn fill(&mut self, store: &dyn Store, wanted: usize) -> Result<bool> {
        let mut read = false;
        while self.events < wanted && !self.all_read {
            let runs = store.runs(self.place, self.last_read, READ_AHEAD_RUNS)?;
            self.all_read = runs.len() < READ_AHEAD_RUNS;
            for run in runs {
                self.last_read = run.id;
                let skipped = if self.runs.is_empty() { self.skip } else { 0 };
                self.events += run.run.slots.len().saturating_sub(skipped);
                self.runs.push_back(run);
                read = true;
            }
        }
        Ok(read)
    }

    /// Bytes of the first events, at most `most` of them.
    pub(super) fn measure(&mut self, most: usize) {
        self.sizes.clear();
        let slots = self.runs.iter().flat_map(|stored| &stored.run.slots);
        self.sizes
            .extend(slots.skip(self.skip).take(most).map(|slot| slot.length));
    }

    /// What [`measure`](Self::measure) found.
    pub(super) fn sizes(&self) -> &[u32] {
        &self.sizes
    }

    /// Events at hand.
    pub(super) fn len(&self) -> usize {
        self.events
    }

    /// Whether nothing waits in this queue.
    pub(super) fn is_exhausted(&self) -> bool {
        self.all_read && self.events == 0
    }

    /// Events of the first run that are settled already.
    pub(super) fn skip(&self) -> usize {
        self.skip
    }

    /// The events at hand, in order.
    pub(super) fn events(&self) -> impl Iterator<Item = HeadEvent<'_>> {
        self.runs
            .iter()
            .flat_map(|stored| stored.run.events())
            .skip(self.skip)
            .map(|(fragment, enqueued_ms)| HeadEvent {
                fragment,
                enqueued_ms,
            })
    }

    /// A request has carried the first `events` events.
    pub(super) fn carry(&mut self, events: usize) {
        if self.carried.len() < events {
            self.carried.resize(events, 0);
        }
        for count in self.carried.iter_mut().take(events) {
            *count += 1;
        }
    }

    /// How many requests have carried the first event, as far as this process knows.
    pub(super) fn carried(&self) -> u32 {
        self.carried.front().copied().unwrap_or(0)
    }

    /// The row that the first run at hand comes from.
    pub(super) fn first_origin(&self) -> Option<i64> {
        self.runs.front().map(|stored| stored.origin)
    }

    /// The first event at hand.
    pub(super) fn first(&self) -> Option<HeadEvent<'_>> {
        self.events().next()
    }

    /// The request that carries the first `events` events.
    pub(super) fn body(&self, events: usize, body: &mut Vec<u8>) {
        body.clear();
        body.extend_from_slice(BODY_START);
        let mut left = events;
        let mut skip = self.skip;
        for stored in &self.runs {
            if left == 0 {
                break;
            }
            let slots = &stored.run.slots;
            let end = slots.len().min(skip + left);
            let bytes = |slots: &[crate::store::Slot]| -> usize {
                slots.iter().map(|slot| slot.length as usize + 1).sum()
            };
            let start = bytes(&slots[..skip]);
            // A run's fragments are joined by the comma that the wire wants.
            let length = bytes(&slots[skip..end]) - 1;
            if left < events {
                body.push(b',');
            }
            body.extend_from_slice(&stored.run.body[start..start + length]);
            left -= end - skip;
            skip = 0;
        }
        body.extend_from_slice(BODY_END);
    }

    /// The first `events` events are settled; says which rows go. The new [`skip`](Self::skip) has
    /// to be committed with them.
    pub(super) fn settle(&mut self, events: usize) -> Settled {
        let mut changes = Vec::new();
        let mut bytes = 0;
        self.carried.drain(..events.min(self.carried.len()));
        let mut left = events;
        while left > 0
            && let Some(first) = self.runs.front()
        {
            let here = (first.run.slots.len() - self.skip).min(left);
            bytes += first.run.slots[self.skip..self.skip + here]
                .iter()
                .map(|slot| u64::from(slot.length))
                .sum::<u64>();
            left -= here;
            self.events -= here;
            self.skip += here;
            if self.skip == first.run.slots.len() {
                changes.push(Change::Remove { id: first.id });
                self.runs.pop_front();
                self.skip = 0;
            }
        }
        Settled {
            changes,
            events: (events - left) as u64,
            bytes,
        }
    }

    /// Takes the events that `wanted` names out of the runs at hand.
    pub(super) fn sift(&mut self, wanted: impl Fn(Candidate<'_>) -> bool) -> Sifted {
        let mut sifted = Sifted {
            moved: Vec::new(),
            positions: Vec::new(),
            place: self.place,
            emptied: Vec::new(),
            shortened: Vec::new(),
        };
        let mut skip = std::mem::take(&mut self.skip);
        let mut kept_runs = VecDeque::with_capacity(self.runs.len());
        self.events = 0;
        for stored in self.runs.drain(..) {
            let skipped = std::mem::take(&mut skip);
            let first = self.events + sifted.positions.len();
            let is_wanted = |place: usize, fragment: &[u8]| {
                wanted(Candidate {
                    position: first + place - skipped,
                    run: stored.id,
                    place,
                    fragment,
                })
            };
            let holds_any = stored
                .run
                .events()
                .enumerate()
                .skip(skipped)
                .any(|(place, (fragment, _))| is_wanted(place, fragment));
            if !holds_any {
                self.events += stored.run.slots.len() - skipped;
                if kept_runs.is_empty() {
                    self.skip = skipped;
                } else if skipped > 0 {
                    // Cannot be: only the first run has settled events.
                    debug_assert!(false, "settled events behind the head");
                }
                kept_runs.push_back(stored);
                continue;
            }
            let (mut kept, mut moved) = (Run::default(), Run::default());
            for (place, (fragment, enqueued_ms)) in stored.run.events().enumerate().skip(skipped) {
                if is_wanted(place, fragment) {
                    moved.push(fragment, enqueued_ms);
                    sifted.positions.push(first + place - skipped);
                } else {
                    kept.push(fragment, enqueued_ms);
                }
            }
            sifted.moved.push((stored.origin, moved));
            if kept.slots.is_empty() {
                sifted.emptied.push(stored.id);
            } else {
                sifted.shortened.push((stored.id, kept.clone()));
                self.events += kept.slots.len();
                kept_runs.push_back(StoredRun {
                    run: kept,
                    ..stored
                });
            }
        }
        self.runs = kept_runs;
        if !sifted.is_empty() {
            // Which events moved is not worth remembering for a count that is best effort.
            self.carried.clear();
        }
        sifted
    }
}

/// What left a queue, to be committed.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) changes: Vec<Change<'static>>,
    pub(super) events: u64,
    pub(super) bytes: u64,
}

/// What a sift has done to the runs at hand, to be committed together.
#[derive(Debug)]
pub(super) struct Sifted {
    /// The events taken out, by the row that they stood in.
    pub(super) moved: Vec<(i64, Run)>,
    /// How far behind the head each of them stood.
    pub(super) positions: Vec<usize>,
    place: Place,
    emptied: Vec<i64>,
    shortened: Vec<(i64, Run)>,
}

impl Sifted {
    pub(super) fn is_empty(&self) -> bool {
        self.moved.is_empty()
    }

    /// The changes that move the events to `suspects`.
    pub(super) fn changes(&self, suspects: Place) -> Vec<Change<'_>> {
        let moved = self.moved.iter().map(|(origin, run)| Change::Append {
            place: suspects,
            origin: Some(*origin),
            run,
        });
        moved.chain(self.removals()).collect()
    }

    /// The changes that take them from where they stood.
    pub(super) fn removals(&self) -> impl Iterator<Item = Change<'_>> {
        let emptied = self.emptied.iter().map(|&id| Change::Remove { id });
        let shortened = self.shortened.iter().map(|(id, run)| Change::Replace {
            id: *id,
            place: self.place,
            run,
        });
        emptied.chain(shortened)
    }
}
