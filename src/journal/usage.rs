//! How many bytes are pending in a spool, as exactly as a writer can know without opening the
//! store.
//!
//! The sender publishes in its heartbeat how many bytes are pending in the store, and how many
//! bytes of the journal it has taken over; the journal itself is measured. The figure may be one
//! heartbeat old, which is why `max_spool_bytes` is called approximate.

use std::fs;
use std::io::ErrorKind as IoKind;

use crate::error::{Error, Result};
use crate::spool::{Heartbeat, Spool};

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
    let journal = spool.journal_dir();
    let entries = match fs::read_dir(&journal) {
        Ok(entries) => entries,
        Err(e) if e.kind() == IoKind::NotFound => return Ok((0, 0)),
        Err(e) => return Err(Error::io(journal.display(), e)),
    };
    let (mut count, mut bytes) = (0, 0);
    for entry in entries {
        let entry = entry.map_err(|e| Error::io(journal.display(), e))?;
        // A segment that vanishes in the meantime has been taken over.
        if let Ok(about) = entry.metadata() {
            count += 1;
            bytes += about.len();
        }
    }
    Ok((count, bytes))
}
