//! A new ledger in the place of a damaged store, with what can be read of it.

use std::path::PathBuf;

use crate::error::{Error, ErrorKind, Result};
use crate::spool::Spool;

/// What to do about a damaged store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// Nothing but look.
    Look,
    /// Put a new store in its place.
    Replace,
}

/// What a store holds that can be read, and what is known to be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Salvage {
    /// What is wrong with the store; `None`: nothing.
    pub damage: Option<String>,
    /// Runs of pending events that can be read.
    pub runs: u64,
    /// Events that wait in them.
    pub pending: u64,
    /// Rejected events that can be read.
    pub rejected: u64,
    /// Receipts of delivered requests that can be read.
    pub receipts: u64,
    /// At most so many pending events cannot be read; `None`: how many there were cannot be read either.
    pub lost_pending: Option<u64>,
    /// At most so many rejected events cannot be read.
    pub lost_rejected: u64,
    /// Segments that will be read from their beginning: events of theirs that had been taken over
    /// come again.
    pub read_again: Vec<String>,
    /// What else cannot be read, in words.
    pub forgotten: Vec<String>,
    /// Where the damaged store is kept, once a new one is in its place.
    pub kept: Option<PathBuf>,
}

impl Salvage {
    /// Whether events are missing, or may be.
    pub fn loses_events(&self) -> bool {
        self.lost_pending != Some(0) || self.lost_rejected > 0
    }
}

/// Reads what can be read of the store of `spool`, for which the caller is elected, and replaces it if it
/// is damaged and that is asked for. `lane_of` tells an event's lane of so many.
pub(crate) fn recover(
    spool: &Spool,
    _repair: Repair,
    _lane_of: fn(&[u8], usize) -> usize,
) -> Result<Salvage> {
    Err(Error::new(ErrorKind::Internal, spool.name()))
}
