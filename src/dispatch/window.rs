//! The head of one queue, in memory: the runs that the next requests will take their prefix from.
//!
//! A window is a cache of the store and nothing more: dropped at any moment, it is read again. It
//! never changes the store itself; what is settled or moved comes back as [`Change`]s for the
//! dispatcher's next commit.

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
    /// Once the lane is prepared, the first of them has an event that waits.
    runs: VecDeque<StoredRun>,
    /// Events in `runs` that wait.
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
    pub(super) fn new(place: Place) -> Self {
        Self {
            place,
            runs: VecDeque::new(),
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
    pub(super) fn fill<S: Store + ?Sized>(&mut self, store: &mut S, wanted: usize) -> Result<bool> {
        let mut read = false;
        while self.events < wanted && !self.all_read {
            let runs = store.runs(self.place, self.last_read, READ_AHEAD_RUNS)?;
            self.all_read = runs.is_empty();
            for mut run in runs {
                self.last_read = run.id;
                let waiting = run.waiting_count();
                self.events += waiting;
                if waiting == 0 {
                    // There may be very many of them in a row.
                    run.run = Run::default();
                }
                self.runs.push_back(run);
                read = true;
            }
        }
        Ok(read)
    }

    /// Bytes of the first events, at most `most` of them.
    pub(super) fn measure(&mut self, most: usize) {
        self.sizes.clear();
        for stored in &self.runs {
            let left = most - self.sizes.len();
            if left == 0 {
                break;
            }
            let slots = stored.run.slots.iter().enumerate();
            let waiting = slots.filter(|(place, _)| stored.waits(*place)).take(left);
            self.sizes.extend(waiting.map(|(_, slot)| slot.length));
        }
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

    /// The events at hand, in order.
    pub(super) fn events(&self) -> impl Iterator<Item = HeadEvent<'_>> {
        let events = self.runs.iter().flat_map(StoredRun::waiting);
        events.map(|(_, fragment, enqueued_ms)| HeadEvent {
            fragment,
            enqueued_ms,
        })
    }

    /// What lists call the events at hand, in order.
    pub(super) fn ids(&self) -> impl Iterator<Item = i64> {
        self.runs.iter().flat_map(|stored| {
            let waiting = stored.waiting();
            waiting.map(|(place, fragment, _)| pending_event_id(stored.id, place, fragment))
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

    /// The last run that was read.
    pub(super) fn last_read(&self) -> i64 {
        self.last_read
    }

    /// Whether nothing waits in the first run at hand: it was behind them when its events left.
    pub(super) fn has_empty_front(&self) -> bool {
        let front = self.runs.front();
        front.is_some_and(|stored| stored.waiting_count() == 0)
    }

    /// The run that the first run at hand comes from.
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
        for stored in &self.runs {
            if left == 0 {
                break;
            }
            let count = stored.run.slots.len();
            // A run's fragments are joined by the comma that the wire wants.
            if stored.marks == 0 && count <= left {
                body.extend_from_slice(&stored.run.body);
                body.push(b',');
                left -= count;
                continue;
            }
            for (_, fragment, _) in stored.waiting().take(left) {
                body.extend_from_slice(fragment);
                body.push(b',');
                left -= 1;
            }
        }
        if left < events {
            body.pop();
        }
        body.extend_from_slice(BODY_END);
    }

    /// The first `events` events are settled; says what that changes in the store.
    pub(super) fn settle(&mut self, events: usize) -> Settled {
        self.carried.drain(..events.min(self.carried.len()));
        let mut settled = Settled::default();
        let mut upto = None;
        while let Some(first) = self.runs.front_mut() {
            let left = events - settled.events as usize;
            let here = first.waiting_count().min(left);
            if here == first.waiting_count() {
                settled.bytes += bytes_of(first.waiting());
                settled.events += here as u64;
                upto = Some(first.id);
                self.runs.pop_front();
                continue;
            }
            if left > 0 {
                settled.bytes += bytes_of(first.waiting().take(left));
                settled.events += left as u64;
                let places: Vec<usize> = first.waiting().take(left).map(|(at, ..)| at).collect();
                places.iter().for_each(|place| first.mark(*place));
                settled.changes.push(Change::Mark {
                    place: self.place,
                    run: first.id,
                    marks: first.marks,
                });
            }
            break;
        }
        self.events -= settled.events as usize;
        if let Some(upto) = upto {
            let place = self.place;
            settled.changes.insert(0, Change::Settle { place, upto });
        }
        if settled.events > 0 {
            settled.changes.push(Change::Leave {
                place: self.place,
                events: settled.events,
                bytes: settled.bytes,
            });
        }
        settled
    }

    /// Takes the events that `wanted` names out of the runs at hand.
    pub(super) fn sift(&mut self, wanted: impl Fn(Candidate<'_>) -> bool) -> Sifted {
        let mut sifted = Sifted::default();
        let mut position = 0;
        for stored in &mut self.runs {
            let mut moved = Run::default();
            let mut taken: u128 = 0;
            for (place, fragment, enqueued_ms) in stored.waiting() {
                let candidate = Candidate {
                    position,
                    run: stored.id,
                    place,
                    fragment,
                };
                if wanted(candidate) {
                    moved.push(fragment, enqueued_ms);
                    taken |= 1 << place;
                    sifted.positions.push(position);
                }
                position += 1;
            }
            if taken > 0 {
                stored.marks |= taken;
                sifted.removals.push(Change::Mark {
                    place: self.place,
                    run: stored.id,
                    marks: stored.marks,
                });
                sifted.moved.push((stored.origin, moved));
            }
        }
        if sifted.is_empty() {
            return sifted;
        }
        let slots = sifted.moved.iter().flat_map(|(_, run)| &run.slots);
        let bytes = slots.map(|slot| u64::from(slot.length)).sum();
        self.events -= sifted.positions.len();
        sifted.removals.push(Change::Leave {
            place: self.place,
            events: sifted.positions.len() as u64,
            bytes,
        });
        // Which events moved is not worth remembering for a count that is best effort.
        self.carried.clear();
        sifted.removals.append(&mut self.settle(0).changes);
        sifted
    }
}

fn bytes_of<'a>(events: impl Iterator<Item = (usize, &'a [u8], i64)>) -> u64 {
    events.map(|(_, fragment, _)| fragment.len() as u64).sum()
}

/// What left a queue, to be committed.
#[derive(Debug, Default)]
pub(super) struct Settled {
    pub(super) changes: Vec<Change<'static>>,
    pub(super) events: u64,
    pub(super) bytes: u64,
}

/// What a sift has done to the runs at hand, to be committed together.
#[derive(Debug, Default)]
pub(super) struct Sifted {
    /// The events taken out, by the run that they stood in.
    pub(super) moved: Vec<(i64, Run)>,
    /// How far behind the head each of them stood.
    pub(super) positions: Vec<usize>,
    removals: Vec<Change<'static>>,
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
        let removals = self.removals.iter().copied();
        moved.chain(removals).collect()
    }

    /// The changes that take them from where they stood.
    pub(super) fn removals(&self) -> impl Iterator<Item = Change<'static>> {
        self.removals.iter().copied()
    }
}
