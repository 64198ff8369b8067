//! How many events wait in the journal.

use std::time::Instant;

use super::round::{Offsets, READ_BUFFERS_BYTES, Round};
use super::usage;
use crate::error::Result;
use crate::spool::Spool;

/// How many events wait in the journal behind `taken`. What cannot be read until `deadline` is told by
/// the size of what was.
pub fn count(spool: &Spool, taken: &Offsets, deadline: Instant) -> Result<u64> {
    let mut round = Round::begin(spool, taken)?;
    let before = round.taken_bytes();
    let mut events = 0;
    while round.take(READ_BUFFERS_BYTES, |_, _| events += 1)?.more {
        if Instant::now() >= deadline {
            let read = round.taken_bytes().saturating_sub(before);
            let (_, bytes) = usage::segments(spool)?;
            return Ok(by_size(events, read, bytes.saturating_sub(before)));
        }
    }
    Ok(events)
}

/// As many events for `bytes` as the first `read` of them have.
fn by_size(events: u64, read: u64, bytes: u64) -> u64 {
    let whole = u128::from(events) * u128::from(bytes.max(read)) / u128::from(read.max(1));
    u64::try_from(whole).unwrap_or(u64::MAX)
}

/// What waits in the journal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Events.
    pub events: u64,
    /// When the earliest was enqueued: wall time in milliseconds.
    pub oldest_ms: Option<i64>,
}

/// What waits in the journal behind `taken`, `bytes` of it. Reads some MiB at most: beyond them their
/// number is told by the size of those read.
pub fn estimate(spool: &Spool, taken: &Offsets, bytes: u64) -> Result<Waiting> {
    let mut round = Round::begin(spool, taken)?;
    let mut waiting = Waiting::default();
    let before = round.taken_bytes();
    let chunk = round.take(READ_BUFFERS_BYTES, |_, wall_ms| {
        waiting.events += 1;
        waiting.oldest_ms.get_or_insert(wall_ms);
    })?;
    let read = round.taken_bytes().saturating_sub(before);
    if chunk.more {
        waiting.events = by_size(waiting.events, read, bytes);
    }
    Ok(waiting)
}
