//! From parcels to runs: which lane each event goes to, the ids of the runs, and how many events each lane has got.

use meditopia::internals::dispatch::Spread;

use super::parcels::Batch;
use crate::parcel::{checksum, encode_slots};

/// What the sorter's row counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// The largest id of a run.
    pub last_run: i64,
    /// The events of each lane so far.
    pub appended: Vec<i64>,
}

/// A run that is to be appended to the regular queue of a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRun {
    /// The lane.
    pub lane: i16,
    /// Larger than that of every run before it.
    pub id: i64,
    /// How many events it has.
    pub events: i16,
    /// Their fragments, joined by commas.
    pub body: Vec<u8>,
    /// Their slots, as they stand in the database.
    pub slots: Vec<u8>,
    /// Of both.
    pub checksum: [u8; 8],
}

/// What a batch becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// In the order of their ids.
    pub runs: Vec<NewRun>,
    /// The counts after them.
    pub counts: Counts,
    /// How many events they have.
    pub events: u64,
}

/// Merges the parcels of a batch.
pub fn merge(batch: &Batch, before: &Counts) -> Merged {
    let mut counts = before.clone();
    let mut spread = Spread::over(counts.appended.len());
    for (_, parcel) in &batch.parcels {
        for (fragment, enqueued_ms) in parcel.events() {
            spread.push(fragment, enqueued_ms);
        }
    }
    let mut merged = Vec::new();
    let mut events = 0;
    // The server's time, so that a database that was set back gives no id again.
    let ids = batch.server_ms.max(counts.last_run + 1)..;
    for (id, (place, run)) in ids.zip(spread.into_runs().by_place()) {
        let count = run.slots.len();
        if let Some(appended) = counts.appended.get_mut(usize::from(place.lane)) {
            *appended += count as i64;
        }
        let slots = encode_slots(&run.slots);
        merged.push(NewRun {
            lane: i16::from(place.lane),
            id,
            events: count as i16,
            checksum: checksum(&run.body, &slots),
            body: run.body,
            slots,
        });
        counts.last_run = id;
        events += count as u64;
    }
    Merged {
        runs: merged,
        counts,
        events,
    }
}
