//! The write side of the journal: a segment of the process's own, appended with a single
//! `pwrite(2)`.
//!
//! An append needs no lock between processes because no two processes share a segment. What orders
//! events across segments is the time that each record carries, read under the stripe's lock
//! *before* the write: whatever happened before an append on this host has an earlier time.
//!
//! Threads that often contend for that lock get more segments (`striped_lock`). For the order of
//! events, such threads are then what processes are to each other.
//!
//! Only a partial record is ever cut off. When the cut itself, or a sync, fails, the segment is
//! sealed: what it holds stays for the sender, and the next append creates a new one.

use std::sync::Arc;

use super::open_segment::OpenSegment;
use super::segment;
use super::striped_lock::StripedLock;
use super::usage;
use crate::clock::{self, Moment};
use crate::error::{Error, ErrorKind, Result};
use crate::spool::{FULL_SEEN_WITHIN, Spool, file_limit};

/// How much is appended between two measurements of the whole spool.
const MEASURE_EVERY_BYTES: u64 = 256 * 1024;
/// An append buffer that one batch has made larger than this is freed.
const BUFFER_KEPT_BYTES: usize = 1024 * 1024;

/// What an acknowledged record survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordDurability {
    /// The death of the process: the kernel has it.
    Process,
    /// A power cut too: the disk has it.
    Power,
}

impl RecordDurability {
    /// How many segments the threads of a process may append to at once.
    fn max_stripes(self) -> usize {
        match self {
            Self::Process => usize::MAX,
            // One sync then serves all threads that wait.
            Self::Power => 1,
        }
    }
}

/// Appends the events of this process.
#[derive(Debug)]
pub struct Writer {
    spool: Arc<Spool>,
    durability: RecordDurability,
    /// 0: no limit.
    max_spool_bytes: u64,
    stripes: StripedLock<Stripe>,
}

/// A segment that another program has removed, moved, cut or replaced while this process had its lock.
#[derive(Debug, PartialEq, Eq)]
pub struct ChangedSegment {
    /// Its name in the journal.
    pub name: String,
    /// How many events were appended to it.
    pub events: u32,
}

/// A segment, and what belongs to appending to it.
#[derive(Debug, Default)]
struct Stripe {
    segment: Option<Arc<OpenSegment>>,
    /// One before it that was changed, until an append succeeds and reports it.
    changed: Option<ChangedSegment>,
    buffer: Vec<u8>,
    appended_since_measured: u64,
    over_limit: bool,
    /// When the disk was last found to have room and the segment to be as it was left.
    checked_ns: u64,
    /// The most bytes that a file may have, as of then.
    file_limit: u64,
}

impl Writer {
    /// A writer of `spool`. Touches nothing until the first append.
    pub fn new(spool: Arc<Spool>, durability: RecordDurability, max_spool_bytes: u64) -> Self {
        Self {
            spool,
            durability,
            max_spool_bytes,
            stripes: StripedLock::default(),
        }
    }

    /// Leaves the segments to the sender; a later append creates a new one.
    pub fn close(&self) {
        for mut stripe in self.stripes.lock_each() {
            stripe.segment = None;
        }
    }

    /// Appends one record. `fill` pushes the record's fragments, enqueued at the moment that it is
    /// given, and returns their number.
    ///
    /// Returns once the record has the writer's durability, and says whether an earlier segment was found
    /// changed by another program. Errors: those of `fill`, with nothing
    /// written; [`ErrorKind::SpoolFull`], with nothing kept; [`ErrorKind::Io`]: unknown, the record
    /// may still be delivered.
    pub fn append(
        &self,
        fill: impl FnOnce(&mut Vec<u8>, Moment) -> Result<u32>,
    ) -> Result<Option<ChangedSegment>> {
        let (unsynced, changed) = {
            let mut stripe = self.stripes.lock_one_of(self.durability.max_stripes());
            let now = clock::now_to_the_tick();
            let mut buffer = std::mem::take(&mut stripe.buffer);
            segment::begin_record(&mut buffer);
            let appended = fill(&mut buffer, now)
                .and_then(|events| self.write(&mut stripe, &mut buffer, events, now));
            if buffer.capacity() <= BUFFER_KEPT_BYTES {
                stripe.buffer = buffer;
            }
            (appended?, stripe.changed.take())
        };
        if let Some((segment, end)) = unsynced {
            segment.sync_until(end, || self.seal(&segment))?;
        }
        Ok(changed)
    }

    /// Writes a record; returns what has to be synced, and up to where.
    fn write(
        &self,
        stripe: &mut Stripe,
        record: &mut [u8],
        events: u32,
        now: Moment,
    ) -> Result<Option<(Arc<OpenSegment>, u64)>> {
        if record.len() - segment::RECORD_HEADER_LEN > segment::PAYLOAD_MAX {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "a batch of {} bytes is larger than the {} bytes that one call accepts; split it",
                    record.len(),
                    segment::PAYLOAD_MAX
                ),
            ));
        }
        self.check_disk_and_segment(stripe, now.boot_ns)?;
        self.check_limit(stripe, record.len() as u64)?;
        let segment = self.segment(stripe, record.len(), now)?;
        match segment.append(record, events, now.boot_ns) {
            Ok(end) => {
                let must_sync = self.durability == RecordDurability::Power;
                Ok(must_sync.then(|| (segment.clone(), end)))
            }
            Err(failure) => {
                if failure.must_seal {
                    stripe.segment = None;
                }
                Err(failure.error)
            }
        }
    }

    /// Checks, now and then, what a writer is not notified of: that the sender has found the disk
    /// full, and that another program has removed, moved, cut or replaced the segment, or moved the spool.
    fn check_disk_and_segment(&self, stripe: &mut Stripe, now_ns: u64) -> Result<()> {
        if now_ns.saturating_sub(stripe.checked_ns) < FULL_SEEN_WITHIN.as_nanos() as u64 {
            return Ok(());
        }
        if self.spool.reserve().is_disk_full()? {
            return Err(Error::new(
                ErrorKind::SpoolFull,
                format!(
                    "{}: the disk is full; nothing was queued; pending events are still delivered, from the reserve; free some space",
                    self.spool.name()
                ),
            ));
        }
        if let Some(segment) = &stripe.segment
            && self.spool.is_known_to_be_gone()
        {
            stripe.changed = segment.changed(&self.spool).or(stripe.changed.take());
            // Unlocked, for whoever has moved it and sends what is in it.
            stripe.segment = None;
            self.spool.check_path()?;
        }
        if let Some(segment) = &stripe.segment
            && !segment.is_as_left(&self.spool)
        {
            stripe.changed = segment.changed(&self.spool).or(stripe.changed.take());
            stripe.segment = None;
        }
        stripe.file_limit = file_limit();
        stripe.checked_ns = now_ns;
        Ok(())
    }

    /// The segment to append to: the current one, or a new one if it is full, if there is none, or if the
    /// application has closed it.
    fn segment<'s>(
        &self,
        stripe: &'s mut Stripe,
        bytes: usize,
        now: Moment,
    ) -> Result<&'s Arc<OpenSegment>> {
        let limit = stripe.file_limit;
        // The sender writes it with others.
        if bytes as u64 > limit / 2 {
            return Err(Error::new(
                ErrorKind::SpoolFull,
                format!(
                    "a batch of {bytes} bytes is too large for files of {limit} bytes (ulimit -f, RLIMIT_FSIZE); nothing was queued; raise the limit, or split the batch"
                ),
            ));
        }
        if let Some(segment) = &stripe.segment
            && !(segment.accepts(bytes, limit, now) && segment.is_ours())
        {
            // The old one is closed, and so unlocked, before the new one is created.
            stripe.segment = None;
        }
        match &mut stripe.segment {
            Some(segment) => Ok(segment),
            none => {
                let durably = self.durability == RecordDurability::Power;
                let segment = OpenSegment::create(&self.spool, durably)?;
                Ok(none.insert(Arc::new(segment)))
            }
        }
    }

    fn seal(&self, segment: &Arc<OpenSegment>) {
        for mut stripe in self.stripes.lock_each() {
            let is_current = |current: &Arc<OpenSegment>| Arc::ptr_eq(current, segment);
            if stripe.segment.as_ref().is_some_and(is_current) {
                stripe.segment = None;
            }
        }
    }

    /// Refuses `more` bytes beyond `max_spool_bytes`, as far as the last measurement can tell.
    fn check_limit(&self, stripe: &mut Stripe, more: u64) -> Result<()> {
        if self.max_spool_bytes == 0 {
            return Ok(());
        }
        let is_first = stripe.segment.is_none();
        if is_first || stripe.over_limit || stripe.appended_since_measured >= MEASURE_EVERY_BYTES {
            let used = usage::pending_bytes(&self.spool)?;
            stripe.appended_since_measured = 0;
            stripe.over_limit = used.saturating_add(more) > self.max_spool_bytes;
            if stripe.over_limit {
                return Err(Error::new(
                    ErrorKind::SpoolFull,
                    format!(
                        "{}: {used} bytes wait for delivery, max_spool_bytes is {}; nothing was queued; see why nothing is sent, or raise the limit",
                        self.spool.name(),
                        self.max_spool_bytes
                    ),
                ));
            }
        }
        stripe.appended_since_measured += more;
        Ok(())
    }
}
