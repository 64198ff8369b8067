//! What one record of the ledger says, entry by entry.
//!
//! A record is a list of entries: tag u8 | length | bytes. Values are absolute, so that to fold them is
//! to put the last one in its place; that does not heal a lost record, which may have held a rejection,
//! a pause or a segment.
//!
//! An entry whose tag a reader does not know is skipped if the tag is below [`MUST_KNOW`]. Any other one
//! makes an older library leave the store to a newer one.

mod decode;
mod encode;

pub(super) use self::decode::{BadEntry, entries};

use super::{InDoubt, PauseState, Place, RejectedReason, Rest, Suspect};

/// Tags from here on may not be skipped.
pub(super) const MUST_KNOW: u8 = 128;

/// A place in the files of a queue, or of the rejected events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Point {
    /// The file's number.
    pub(super) file: u64,
    /// Bytes from its beginning.
    pub(super) offset: u64,
}

/// A file of a queue, and where its runs end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QueueFile {
    pub(super) number: u64,
    pub(super) end: u64,
}

/// Which runs of a queue wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct QueuePosition {
    /// Runs up to this one are settled.
    pub(super) passed: i64,
    /// Where the first run stands that is not settled, or the next one will.
    pub(super) head: Point,
    /// Where the runs of the last file end.
    pub(super) tail: u64,
    /// The last run ever appended here.
    pub(super) last_run: i64,
    /// Events that wait, and their bytes.
    pub(super) events: u64,
    pub(super) bytes: u64,
}

/// What the search for bad events knows of a queue.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Isolation {
    pub(super) group: u32,
    pub(super) doubtful: u32,
    pub(super) belief: Vec<f64>,
}

/// A file of rejected events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RejectedFile {
    pub(super) number: u64,
    /// The id of its first event, and the one behind its last.
    pub(super) first_id: i64,
    pub(super) next_id: i64,
    /// Where its records end.
    pub(super) end: u64,
    /// A bit for each id from the first on: the event is forgotten.
    pub(super) forgotten: Vec<u8>,
}

/// The highest numbers ever given, for none may be given twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) run: i64,
    pub(super) receipt: i64,
    pub(super) segment: u64,
    pub(super) queue_file: u64,
    pub(super) rejected: i64,
    pub(super) rejected_file: u64,
    /// Receipts below this id are forgotten.
    pub(super) receipts_from: i64,
    /// What marks the runs and rejected events of the sender that writes now.
    pub(super) session: u32,
}

/// One entry of a record.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Entry<'a> {
    /// This record is part `part` of the `of` that a file begins with, and that hold all of the state.
    Snapshot { part: u32, of: u32 },
    /// Somebody was elected.
    Elected {
        pid: u32,
        wall_ms: i64,
        session: u32,
    },
    /// Which runs of a queue wait.
    Queue {
        place: Place,
        position: QueuePosition,
    },
    /// All files of a queue, in order; runs are appended to the last one.
    QueueFiles { place: Place, files: Vec<QueueFile> },
    /// Which places of a run hold events that have left it; 0: none.
    Marks { place: Place, run: i64, marks: u128 },
    /// What the search for bad events knows of a queue.
    Isolation { place: Place, isolation: Isolation },
    /// The batch in doubt of a lane.
    InDoubt { lane: u8, in_doubt: Option<InDoubt> },
    /// With which HTTP status the batch in doubt of a lane was answered last; 0: not at all.
    Answered { lane: u8, status: u16 },
    /// How a lane rests.
    Rest { lane: u8, rest: Rest },
    /// A segment gets a number, which the other entries call it by.
    Segment { number: u64, name: &'a str },
    /// How far a segment is taken over.
    Taken { number: u64, upto: u64 },
    /// A segment is gone.
    Gone { number: u64 },
    /// A user is (still) suspect.
    Suspect(Suspect),
    /// A user is not suspect any more.
    Cleared { user: &'a [u8] },
    /// One more user was refused alone since the last acceptance.
    RefusedInARow { user: &'a str },
    /// Nobody is refused in a row any more.
    AcceptedSince,
    /// Delivery is paused, or not any more.
    Pause(Option<PauseState>),
    /// The number of lanes.
    Lanes(u8),
    /// Sums that have changed, by their place in the list of all sums.
    Totals(Vec<(u8, u64)>),
    /// A file of rejected events, with all that is known of it.
    RejectedFile(RejectedFile),
    /// How far the last file of rejected events reaches; a new number begins a new file.
    RejectedTail {
        number: u64,
        first_id: i64,
        next_id: i64,
        end: u64,
    },
    /// Rejected events are forgotten.
    Forgotten(Vec<i64>),
    /// A file of rejected events is gone, or is not used any more.
    RejectedGone { number: u64 },
    /// A request was delivered; the bytes are the receipt's.
    Receipt { id: i64, bytes: &'a [u8] },
    /// Receipts below this id are forgotten.
    ReceiptsForgotten { below: i64 },
    /// The highest numbers given.
    Numbers(Numbers),
    /// How many rejected events there are with a reason and an API code.
    RejectedCount {
        reason: RejectedReason,
        api_code: &'a str,
        events: u64,
    },
}
