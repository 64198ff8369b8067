//! The store: what the sender has taken over and not yet seen accepted.
//!
//! Pending, in doubt, rejected and the counters change together, so they live in one database and
//! every step of the sender is one [`Store::commit`]. A pending row is a *run*: up to 100 events of one
//! lane, kept as the bytes that the wire will carry. Taking over, marking in doubt and settling then
//! cost a row change a batch, and a batch that is repeated after a crash is byte for byte the same.
//!
//! Only the elected sender writes; [`sqlite::Reader`] lets any process look.

mod checksum;
mod codec;
pub mod contract;
pub mod disk;
mod entry;
mod failed_syncs;
mod fold;
mod frame;
mod guards;
mod handed_out;
mod ledger;
pub mod log_store;
mod measures;
pub mod next_ledger;
mod pause;
mod queue_file;
mod read_ahead;
mod receipt_files;
mod receipts;
mod recovery;
mod rejected;
mod rejected_file;
mod rows;
mod spare;
mod spool_disk;
pub mod sqlite;
pub mod sync_point;
pub mod syncs;

pub use self::measures::{Measures, Verdicts};
pub use self::pause::PauseState;
pub use self::receipts::{Receipt, ReceiptFilter, Share, Shares};
pub use self::rejected::{Rejected, RejectedFilter, RejectedReason};

use crate::error::{Error, Result};
use crate::journal::round::Offsets;

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
}

/// What must outlast a crash about a queue.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueueState {
    /// Events at the head of its first run that are settled already.
    pub skip: u32,
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
pub(crate) fn pending_event_id(run: i64, place: usize, fragment: &[u8]) -> i64 {
    let check = i64::from(crc32c::crc32c(fragment) & ((1 << CHECK_BITS) - 1));
    ((run * PLACES + place as i64) << CHECK_BITS) | check
}

/// The run of the event that is called so.
pub(crate) fn run_of_event(id: i64) -> i64 {
    (id >> CHECK_BITS) / PLACES
}

const PLACES: i64 = 128;
const CHECK_BITS: u32 = 16;

/// One change of a commit.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// A run goes to the end of a queue; `origin` if it stood elsewhere before.
    Append {
        /// Where.
        place: Place,
        /// The row that it comes from.
        origin: Option<i64>,
        /// Its events.
        run: &'a Run,
    },
    /// A run loses some events.
    Replace {
        /// Its row.
        id: i64,
        /// Where it waits.
        place: Place,
        /// What is left.
        run: &'a Run,
    },
    /// A run is settled.
    Remove {
        /// Its row.
        id: i64,
    },
    /// What is known of a lane.
    Lane {
        /// Which.
        lane: u8,
        /// All of it.
        state: &'a LaneState,
    },
    /// How a lane rests.
    Rest {
        /// Which.
        lane: u8,
        /// All of it.
        rest: &'a Rest,
    },
    /// A request was delivered. Not kept while the disk is full: it has to hold events then.
    Receipt(&'a Receipt),
    /// An event goes to the rejected store.
    Reject(&'a Rejected),
    /// An event leaves the rejected store.
    Forget {
        /// Its row there.
        rejected: i64,
    },
    /// How far a segment is taken over.
    Taken {
        /// Its file name.
        segment: &'a str,
        /// Bytes from its beginning.
        upto: u64,
    },
    /// A segment is gone.
    Gone {
        /// Its file name.
        segment: &'a str,
    },
    /// A user is (still) suspect.
    Suspect(&'a Suspect),
    /// A user is not suspect any more.
    Cleared {
        /// The JSON-escaped `partner_user_id`.
        user: &'a [u8],
    },
    /// One more user was refused alone since the last acceptance.
    RefusedInARow {
        /// The `partner_user_id`.
        user: &'a str,
    },
    /// Something was accepted, or an operator has resumed: nobody is refused in a row.
    AcceptedSince,
    /// Delivery is paused, or not any more.
    Pause(Option<&'a PauseState>),
    /// The number of lanes that runs are spread over.
    Lanes(u8),
    /// The sums, as they now are.
    Totals(&'a Totals),
}

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

/// What the sender needs of a database. There is one writer at any time.
pub trait Store: Send {
    /// Makes all changes or none.
    ///
    /// Errors: [`crate::error::ErrorKind::Store`] when the store is damaged or another sender has
    /// taken over; [`crate::error::ErrorKind::SpoolFull`]; [`crate::error::ErrorKind::Io`].
    fn commit(&mut self, changes: &[Change<'_>], safety: CommitSafety) -> Result<()>;

    /// Has the commits up to [`end_joint_commit`](Self::end_joint_commit) be one, all with the same safety.
    ///
    /// What is read meanwhile has their changes. When one of them fails, none has happened.
    fn begin_joint_commit(&mut self);

    /// Makes the commits since [`begin_joint_commit`](Self::begin_joint_commit), if there are any.
    ///
    /// Errors: as [`commit`](Self::commit).
    fn end_joint_commit(&mut self) -> Result<()>;

    /// Has everything committed so far survive damage of the store's log too, durably. `false`: a
    /// reader is in the way just now.
    fn checkpoint(&mut self) -> Result<bool>;

    /// What to fail with where the store contradicts itself.
    fn damaged(&self, what: &str) -> Error;

    /// Says how much disk it may use from now on.
    fn set_disk_use(&mut self, disk_use: DiskUse) -> Result<()>;

    /// How far each segment is taken over.
    fn offsets(&self) -> Result<Offsets>;

    /// The state of a lane; the default if nothing is known of it.
    fn lane(&self, lane: u8) -> Result<LaneState>;

    /// How a lane rests.
    fn rest(&self, lane: u8) -> Result<Rest>;

    /// The runs of a queue behind row `after`, at most `limit`, in order.
    fn runs(&self, place: Place, after: i64, limit: usize) -> Result<Vec<StoredRun>>;

    /// The row of the last run ever appended; 0: none.
    fn last_run(&self) -> Result<i64>;

    /// The earliest origin of all pending runs; `None`: nothing is pending.
    fn first_origin(&self) -> Result<Option<i64>>;

    /// All suspects.
    fn suspects(&self) -> Result<Vec<Suspect>>;

    /// The users refused alone since the last acceptance.
    fn refused_in_a_row(&self) -> Result<Vec<String>>;

    /// The first `limit` rejected events that `filter` takes, by row.
    fn rejected_matching(
        &self,
        filter: &RejectedFilter,
        limit: usize,
    ) -> Result<Vec<(i64, Rejected)>>;

    /// Rejected events by row; unknown rows are left out.
    fn rejected(&self, ids: &[i64]) -> Result<Vec<(i64, Rejected)>>;

    /// Forgets the first receipts that are older than `before_ms`, at most `limit`; says how many. `now_ms`
    /// tells which are of a time that has not come.
    ///
    /// Errors: as [`commit`](Self::commit).
    fn forget_receipts(&mut self, before_ms: i64, now_ms: i64, limit: usize) -> Result<usize>;

    /// The pause that outlasted the last sender.
    fn pause(&self) -> Result<Option<PauseState>>;

    /// The number of lanes that pending runs are spread over; 0: not decided yet.
    fn lanes(&self) -> Result<u8>;

    /// The sums.
    fn totals(&self) -> Result<Totals>;
}

#[cfg(test)]
mod log_tests;
#[cfg(test)]
mod tests;
