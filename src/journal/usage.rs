//! How many bytes are pending in a spool, as exactly as a writer can know without opening the
//! store.
//!
//! The sender publishes in its heartbeat how many bytes are pending in the store, and how many
//! bytes of the journal it has taken over; the journal itself is measured. The figure may be one
//! heartbeat old, which is why `max_spool_bytes` is called approximate.

use super::damage::data_from;
use super::open_segment::LONGEST_SEGMENT_BYTES;
use super::segment;
use crate::error::Result;
use crate::spool::{Dir, Heartbeat, Spool};

/// Bytes that wait for delivery, in the journal and in the store.
pub(crate) fn pending_bytes(spool: &Spool) -> Result<u64> {
    let heartbeat = Heartbeat::read(spool)?.unwrap_or_default();
    let (_, journal) = journal_size(spool)?;
    Ok(journal
        .saturating_sub(heartbeat.taken_bytes)
        .saturating_add(heartbeat.pending_bytes))
}

/// The number of segments, and their bytes.
pub(crate) fn journal_size(spool: &Spool) -> Result<(u64, u64)> {
    let Some(journal) = spool.journal().open()? else {
        return Ok((0, 0));
    };
    let failed = |e| journal.own_error(e);
    let (mut count, mut bytes) = (0, 0);
    for entry in journal.entries().map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Some(name) = entry.name() else {
            continue;
        };
        // What is no segment is not even looked at. One that vanishes in the meantime has been taken over.
        if segment::parse_name(name).is_some()
            && entry.is_file(&journal)
            && let Ok(about) = journal.about(name)
        {
            count += 1;
            bytes += believed_size(&journal, name, about.st_size.cast_unsigned());
        }
    }
    Ok((count, bytes))
}

/// The size of a segment, if it has bytes at its end: no writer leaves a hole there. One that claims more
/// counts as the longest that a writer makes.
fn believed_size(journal: &Dir, name: &str, size: u64) -> u64 {
    if size <= LONGEST_SEGMENT_BYTES {
        return size;
    }
    let end = journal
        .open(name)
        .and_then(|file| data_from(&file, size - 1));
    match end {
        Ok(end) if end < size => size,
        _ => LONGEST_SEGMENT_BYTES,
    }
}
