//! The store: what the sender has taken over and not yet seen accepted.
//!
//! There is one storage idea: append-only files with checksums, and a state that is the fold of what was
//! appended. A pending run is up to 100 events of one lane, kept as the bytes that the wire will carry, so
//! a batch that is repeated after a crash is byte for byte the same. Every step of the sender is one record
//! of the ledger.
//!
//! Only the elected sender writes; a [`Reader`] lets any process look.

mod changes;
mod codec;
pub mod contract;
pub mod disk;
mod entry;
pub mod erasure;
mod failed_syncs;
mod failures;
mod finished;
mod fold;
mod frame;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod guards;
mod handed_out;
mod ledger;
pub mod log_store;
mod measures;
pub mod next_ledger;
mod opening;
mod origins;
mod pause;
mod queue_file;
mod read_ahead;
pub mod reader;
mod receipt_files;
mod receipts;
pub mod recover;
mod recovery;
mod rejected;
mod rejected_file;
mod saved_lane;
mod spare;
mod spool_disk;
pub mod sync_point;
mod synced_mark;
pub mod syncs;
mod unsynced;
mod verification;

pub use self::contract::{Change, FileStore, HostStore, Store};
pub use self::log_store::LogStore;
pub use self::measures::{Measures, Verdicts};
pub use self::pause::PauseState;
pub use self::reader::Reader;
pub use self::receipts::{Receipt, ReceiptFilter, Share, Shares};
pub use self::rejected::{Rejected, RejectedFilter, RejectedReason};
pub use self::saved_lane::SavedLane;
pub(crate) use self::spool_disk::ledger_in_use;

/// Which queue of which lane a run waits in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The lane, by hash of `partner_user_id`.
    pub lane: u8,
    /// 0: the regular queue; 1: the suspects beside it.
    pub queue: u8,
}

/// One event's share of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Bytes of its fragment.
    pub length: u32,
    /// Wall time of its enqueue, in milliseconds.
    pub enqueued_ms: i64,
}

/// Events of one lane that are stored together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    /// The fragments, joined by commas.
    pub body: Vec<u8>,
    /// One for each event.
    pub slots: Vec<Slot>,
}

impl Run {
    /// Adds an event at the end.
    pub fn push(&mut self, fragment: &[u8], enqueued_ms: i64) {
        if !self.slots.is_empty() {
            self.body.push(b',');
        }
        self.body.extend_from_slice(fragment);
        self.slots.push(Slot {
            length: fragment.len() as u32,
            enqueued_ms,
        });
    }

    /// Whether the events are exactly the body.
    fn is_whole(&self) -> bool {
        let events: u64 = self.slots.iter().map(|slot| u64::from(slot.length)).sum();
        let commas = self.slots.len().saturating_sub(1) as u64;
        !self.slots.is_empty() && events + commas == self.body.len() as u64
    }

    /// A bit for each place whose fragment was left out when the run was copied: its event had left.
    fn blanks(&self) -> u128 {
        let places = self.slots.iter().enumerate();
        let blank = places.filter(|(_, slot)| slot.length == 0);
        blank.fold(0, |blanks, (place, _)| blanks | 1 << place)
    }

    /// The events' fragments and enqueue times.
    pub fn events(&self) -> impl Iterator<Item = (&[u8], i64)> {
        let mut at = 0;
        self.slots.iter().map_while(move |slot| {
            let fragment = self.body.get(at..at + slot.length as usize)?;
            at += slot.length as usize + 1;
            Some((fragment, slot.enqueued_ms))
        })
    }
}

/// A run as it stands in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRun {
    /// Its row; larger is later.
    pub id: i64,
    /// The row in which its last event was taken over; `id` unless it was moved to the suspects.
    pub origin: i64,
    /// Its events.
    pub run: Run,
    /// A bit for the place of each event that has left it.
    pub marks: u128,
}

impl StoredRun {
    /// Whether the event at `place` has not left the run.
    pub fn waits(&self, place: usize) -> bool {
        self.marks >> place & 1 == 0
    }

    /// The event at `place` leaves the run.
    pub fn mark(&mut self, place: usize) {
        self.marks |= 1 << place;
    }

    /// How many events wait. A mark for a place where there is no event counts as none.
    pub fn waiting_count(&self) -> usize {
        let places = 0..self.run.slots.len();
        places.filter(|place| self.waits(*place)).count()
    }

    /// The run as it is copied: without the bytes of what has left it. Places stay, and so do the ids of events.
    fn without_what_left(&self) -> Run {
        let mut run = Run::default();
        for (place, (fragment, enqueued_ms)) in self.run.events().enumerate() {
            let kept = self.waits(place);
            run.push(if kept { fragment } else { &[] }, enqueued_ms);
        }
        run
    }

    /// The events that wait: place, fragment, time of enqueue.
    pub fn waiting(&self) -> impl Iterator<Item = (usize, &[u8], i64)> {
        let marks = self.marks;
        let events = self.run.events().enumerate();
        events
            .filter(move |(place, _)| marks >> place & 1 == 0)
            .map(|(place, (fragment, enqueued_ms))| (place, fragment, enqueued_ms))
    }
}

/// A batch whose fate is not known: the first events of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InDoubt {
    /// Which queue of the lane.
    pub queue: u8,
    /// How many events from its head on.
    pub events: u32,
    /// How often it was sent.
    pub attempts: u32,
    /// Wall time of the first attempt, in milliseconds.
    pub first_ms: i64,
    /// Wall time of the last attempt.
    pub last_ms: i64,
    /// The HTTP status of the last answer; `None`: there was none.
    pub status: Option<u16>,
}

/// What must outlast a crash about a queue.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueueState {
    /// Length of the head that is known to hold a bad event; 0: none is known.
    pub group: u32,
    /// Length of the head that may stand at the API already.
    pub doubtful: u32,
    /// What is believed of the rate of bad events; empty: nothing yet.
    pub belief: Vec<f64>,
}

/// What must outlast a crash about a lane.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LaneState {
    /// The batch in doubt.
    pub in_doubt: Option<InDoubt>,
    /// The regular queue and the suspects.
    pub queues: [QueueState; 2],
}

/// How a lane rests after failures; the default is not at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rest {
    /// The wait that was drawn last, in milliseconds.
    pub drawn_ms: i64,
    /// The whole of the last rest.
    pub wait_ms: i64,
    /// Its end, wall time in milliseconds.
    pub until_ms: Option<i64>,
    /// Whether a connection was lost, and nothing succeeded since.
    pub connection_lost: bool,
    /// Server errors in a row for the batch in doubt.
    pub server_errors: u32,
}

/// Sums over the life of the spool, and what is pending now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Events that wait in the store.
    pub pending: u64,
    /// Their bytes.
    pub pending_bytes: u64,
    /// Events that the API accepted.
    pub delivered: u64,
    /// Events that went to the rejected store because the API refused them alone.
    pub rejected: u64,
    /// Events that went there because `event_ttl_s` had passed.
    pub expired: u64,
    /// Requests sent.
    pub requests: u64,
    /// Of these, repetitions of one that no answer had settled.
    pub retried_requests: u64,
    /// Of these, refused as a whole.
    pub refused_requests: u64,
    /// Of these, sent to find a bad event.
    pub isolation_requests: u64,
    /// Places of the journal that could not be read and were set aside.
    pub damaged_records: u64,
    /// Segments whose end was cut short: by the death of their writer, or by a power cut.
    pub torn_tails: u64,
    /// Events that `recover` could not read out of a damaged store.
    pub lost: u64,
    /// How much of that damage an operator has acknowledged.
    pub damage_acknowledged: u64,
    /// What is counted of requests besides.
    pub measures: Measures,
}

/// A user whose events wait apart because one was rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    /// The JSON-escaped `partner_user_id`.
    pub user: Vec<u8>,
    /// Its lane.
    pub lane: u8,
    /// How many of its events wait in the suspects queue.
    pub waiting: u64,
    /// Whether one of its events was accepted since.
    pub accepted: bool,
}

/// What an event of a pending run is called in lists: its run, its place there, and some bits of its
/// bytes, so that a number from an old list never means another event.
pub fn pending_event_id(run: i64, place: usize, fragment: &[u8]) -> i64 {
    let check = i64::from(crc32c::crc32c(fragment) & ((1 << CHECK_BITS) - 1));
    ((run * PLACES + place as i64) << CHECK_BITS) | check
}

/// The run of the event that is called so.
pub(crate) fn run_of_event(id: i64) -> i64 {
    (id >> CHECK_BITS) / PLACES
}

const PLACES: i64 = 128;
const CHECK_BITS: u32 = 16;

/// What a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitSafety {
    /// The death of the process.
    Process,
    /// A power cut too, with all commits before it.
    Power,
}

/// How much disk a store may use beyond its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskUse {
    /// As much as makes it fast.
    Roomy,
    /// As little as it can: the disk is full.
    Tight,
}

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
#[cfg(test)]
mod log_tests;
