//! How many events of the journal have not been taken over: counted, or estimated from a part of
//! them.

use std::time::Instant;

use super::round::{Offsets, READ_BUFFERS_BYTES, Round};
use super::usage;
use crate::error::Result;
use crate::spool::Spool;

/// The events of the journal that have not been taken over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many events.
    pub events: u64,
    /// When the earliest one was enqueued: wall time in milliseconds.
    pub oldest_ms: Option<i64>,
}

/// Counts the events behind `taken`. If `deadline` passes before the end of the journal, the number
/// is estimated from the events that were read and the bytes that were not.
pub fn count_events(spool: &Spool, taken: &Offsets, deadline: Instant) -> Result<u64> {
    let mut round = Round::begin(spool, taken)?;
    let before = round.taken_bytes();
    let mut events = 0;
    while round
        .read_chunk(READ_BUFFERS_BYTES, |_, _| events += 1)?
        .more
    {
        if Instant::now() >= deadline {
            let read = round.taken_bytes().saturating_sub(before);
            let (_, bytes) = usage::journal_size(spool)?;
            return Ok(extrapolate(events, read, bytes.saturating_sub(before)));
        }
    }
    Ok(events)
}

/// The backlog behind `taken`, which has `bytes`. Reads a few MiB at most; if there is more, the
/// number of events is estimated from those that were read.
pub fn estimate(spool: &Spool, taken: &Offsets, bytes: u64) -> Result<Backlog> {
    let mut round = Round::begin(spool, taken)?;
    let mut backlog = Backlog::default();
    let before = round.taken_bytes();
    let chunk = round.read_chunk(READ_BUFFERS_BYTES, |_, wall_ms| {
        backlog.events += 1;
        backlog.oldest_ms.get_or_insert(wall_ms);
    })?;
    let read = round.taken_bytes().saturating_sub(before);
    if chunk.more {
        backlog.events = extrapolate(backlog.events, read, bytes);
    }
    Ok(backlog)
}

/// The number of events in `bytes`, if they are as large as `events`, which have `read` bytes.
fn extrapolate(events: u64, read: u64, bytes: u64) -> u64 {
    let whole = u128::from(events) * u128::from(bytes.max(read)) / u128::from(read.max(1));
    u64::try_from(whole).unwrap_or(u64::MAX)
}
