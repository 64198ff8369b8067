//! The write side of the journal: a segment of the process's own, appended with a single `write(2)`.
//!
//! An append needs no lock between processes because no two processes share a segment. What orders
//! events across segments is the time that each record carries, read under the segment's lock
//! *before* the write: whatever happened before an append on this host has an earlier time.
//!
//! Threads that keep meeting at that lock get more segments (`striped_lock`); for the order of events they
//! are then what processes are to each other.
//!
//! Only a partial record is ever cut off. When the cut itself, or a sync, fails, the segment is
//! sealed: what it holds stays for the sender, and the next append begins a new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::segment::{self, Header, Position};
use super::striped_lock::Stripes;
use super::usage;
use crate::clock::{self, Clock, Moment, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::process::{Announced, ForkClosed, Known, pid};
use crate::spool::{FULL_SEEN_WITHIN, Spool, try_lock};
use crate::sync::{lock, wait};

/// A segment that has reached this size is left to the sender, and a new one begun.
pub const SEGMENT_BYTES: u64 = 8 * 1024 * 1024;
/// How much is appended between two looks at the size of the whole spool.
const MEASURE_EVERY_BYTES: u64 = 256 * 1024;
/// A segment tells wall times by its first moment; once they would be wrong by more, a new one begins.
const WALL_STEP_MS: u64 = 1_000;
/// The longest that a sync waits for more records, however slow the disk is.
const GATHER_AT_MOST: Duration = Duration::from_millis(2);
/// The append buffer is given back when one batch has blown it up beyond this.
const BUFFER_KEPT_BYTES: usize = 1024 * 1024;

/// What an acknowledged record survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safety {
    /// The death of the process: the kernel has it.
    Process,
    /// A power cut too: the disk has it.
    Power,
}

impl Safety {
    /// How many segments the threads of a process may append to at once.
    fn stripes(self) -> usize {
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
    safety: Safety,
    /// 0: no limit.
    max_spool_bytes: u64,
    tails: Stripes<Tail>,
}

#[derive(Debug, Default)]
struct Tail {
    segment: Option<Arc<Segment>>,
    buffer: Vec<u8>,
    appended_since_measured: u64,
    over_limit: bool,
    /// When it was last seen that there is room on the disk and the segment has a name.
    seen_well_ns: u64,
}

#[derive(Debug)]
struct Segment {
    file: ForkClosed,
    path: PathBuf,
    header: Header,
    /// Bytes that hold whole records; behind it stands at most a partial one.
    len: AtomicU64,
    syncs: Mutex<Syncs>,
    synced: Condvar,
    /// Another thread waits for a sync.
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Syncs {
    upto: u64,
    running: bool,
    failed: Option<Error>,
    /// Where the records end that wait for a sync, one of each thread.
    unsynced: Vec<u64>,
    /// How many of them the last sync found, or saw come.
    crowd: usize,
    /// How long the last sync took.
    took: Duration,
}

impl Writer {
    /// A writer of `spool`. Touches nothing until the first append.
    pub fn new(spool: Arc<Spool>, safety: Safety, max_spool_bytes: u64) -> Self {
        Self {
            spool,
            safety,
            max_spool_bytes,
            tails: Stripes::default(),
        }
    }

    /// Leaves the segments to the sender; a later append begins a new one.
    pub fn close(&self) {
        for mut tail in self.tails.each() {
            tail.segment = None;
        }
    }

    /// Appends one record; `fill` pushes its fragments, as of the moment it is given, and says how many
    /// events they are.
    ///
    /// Returns once the record has the safety asked for. Errors: those of `fill`, with nothing
    /// written; [`ErrorKind::SpoolFull`], with nothing kept; [`ErrorKind::Io`]: unknown, the record
    /// may still be delivered.
    pub fn append(&self, fill: impl FnOnce(&mut Vec<u8>, Moment) -> Result<u32>) -> Result<()> {
        let unsynced = {
            let mut tail = self.tails.take(self.safety.stripes());
            let now = SystemClock.now();
            let mut buffer = std::mem::take(&mut tail.buffer);
            segment::begin_record(&mut buffer);
            let appended = fill(&mut buffer, now)
                .and_then(|events| self.write(&mut tail, &mut buffer, events, now));
            if buffer.capacity() <= BUFFER_KEPT_BYTES {
                tail.buffer = buffer;
            }
            appended?
        };
        match unsynced {
            Some((segment, end)) => self.sync(&segment, end),
            None => Ok(()),
        }
    }

    /// Writes a record; says what has to be synced, up to where.
    fn write(
        &self,
        tail: &mut Tail,
        record: &mut [u8],
        events: u32,
        now: Moment,
    ) -> Result<Option<(Arc<Segment>, u64)>> {
        if record.len() - segment::RECORD_HEADER_LEN > segment::PAYLOAD_MAX {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "a batch of {} bytes is more than the {} that one call takes; split it",
                    record.len(),
                    segment::PAYLOAD_MAX
                ),
            ));
        }
        self.look_around(tail, now.boot_ns)?;
        self.respect_limit(tail, record.len() as u64)?;
        let segment = self.segment(tail, now)?;
        segment::finish_record(record, events, now.boot_ns, segment.end());
        match segment.append(record) {
            Ok(end) => Ok((self.safety == Safety::Power).then(|| (segment.clone(), end))),
            Err(failure) => {
                if failure.sealed {
                    tail.segment = None;
                }
                Err(failure.error)
            }
        }
    }

    /// Notices, now and then, what nobody tells a writer: that the sender has found the disk full, or
    /// that an operator has removed the file that it appends to.
    fn look_around(&self, tail: &mut Tail, now_ns: u64) -> Result<()> {
        if now_ns.saturating_sub(tail.seen_well_ns) < FULL_SEEN_WITHIN.as_nanos() as u64 {
            return Ok(());
        }
        if self.spool.reserve().is_disk_full()? {
            return Err(Error::new(
                ErrorKind::SpoolFull,
                format!(
                    "{}: the disk is full; nothing was queued; what waits is delivered from the reserve; free some space",
                    self.spool.name()
                ),
            ));
        }
        if tail
            .segment
            .as_ref()
            .is_some_and(|segment| segment.is_gone())
        {
            tail.segment = None;
        }
        tail.seen_well_ns = now_ns;
        Ok(())
    }

    /// The segment to append to: the current one, or a new one if it is full or there is none.
    fn segment<'t>(&self, tail: &'t mut Tail, now: Moment) -> Result<&'t Arc<Segment>> {
        let fits = |segment: &Segment| {
            segment.len.load(Ordering::Relaxed) < SEGMENT_BYTES
                && segment.header.wall_ms(now.boot_ns).abs_diff(now.wall_ms) <= WALL_STEP_MS
        };
        if !tail.segment.as_deref().is_some_and(fits) {
            // The old one is closed, and so unlocked, before the next is made.
            tail.segment = None;
        }
        match &mut tail.segment {
            Some(segment) => Ok(segment),
            none => Ok(none.insert(Arc::new(Segment::create(&self.spool, self.safety)?))),
        }
    }

    fn seal(&self, segment: &Arc<Segment>) {
        for mut tail in self.tails.each() {
            let is_current = |current: &Arc<Segment>| Arc::ptr_eq(current, segment);
            if tail.segment.as_ref().is_some_and(is_current) {
                tail.segment = None;
            }
        }
    }

    fn respect_limit(&self, tail: &mut Tail, more: u64) -> Result<()> {
        if self.max_spool_bytes == 0 {
            return Ok(());
        }
        let first = tail.segment.is_none();
        if first || tail.over_limit || tail.appended_since_measured >= MEASURE_EVERY_BYTES {
            let used = usage::measure(&self.spool)?;
            tail.appended_since_measured = 0;
            tail.over_limit = used.saturating_add(more) > self.max_spool_bytes;
            if tail.over_limit {
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
        tail.appended_since_measured += more;
        Ok(())
    }

    /// Group commit: one thread syncs for all that wait.
    fn sync(&self, segment: &Arc<Segment>, end: u64) -> Result<()> {
        let mut syncs = lock(&segment.syncs);
        if syncs.upto < end {
            syncs.unsynced.push(end);
            segment.arrived.notify_one();
        }
        loop {
            if syncs.upto >= end {
                return Ok(());
            }
            if let Some(error) = &syncs.failed {
                return Err(error.clone());
            }
            if syncs.running {
                syncs = segment
                    .synced
                    .wait(syncs)
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                continue;
            }
            syncs.running = true;
            drop(gather(segment, syncs));
            let (upto, began) = (segment.len.load(Ordering::Acquire), Instant::now());
            let synced = segment.file.sync_data();
            syncs = lock(&segment.syncs);
            syncs.running = false;
            syncs.took = began.elapsed();
            syncs.crowd = syncs.unsynced.len();
            syncs.unsynced.retain(|end| *end > upto);
            match synced {
                Ok(()) => syncs.upto = upto,
                // After a failed sync the kernel may have dropped the pages: never trust this file again.
                Err(e) => {
                    syncs.failed = Some(Error::new(
                        ErrorKind::Io,
                        format!(
                            "{}: sync failed: {e}; the event is written but may not survive a power cut",
                            segment.path.display()
                        ),
                    ));
                    self.seal(segment);
                }
            }
            segment.synced.notify_all();
        }
    }
}

/// Waits a part of a sync's time for the threads that the last sync has let go, which are likely to be
/// back with their next records: one sync then serves them all, and not every other one a single thread.
fn gather<'s>(segment: &'s Segment, mut syncs: MutexGuard<'s, Syncs>) -> MutexGuard<'s, Syncs> {
    let until = Instant::now() + (syncs.took / 4).min(GATHER_AT_MOST);
    while syncs.unsynced.len() < syncs.crowd {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        syncs = wait(&segment.arrived, syncs, left);
    }
    syncs
}

/// An append that did not happen.
struct Failure {
    error: Error,
    /// The segment's end is not known any more.
    sealed: bool,
}

impl Segment {
    /// Creates and locks a new segment with its header.
    fn create(spool: &Spool, safety: Safety) -> Result<Self> {
        let journal = spool.journal();
        spool.check_path()?;
        let mut made = false;
        loop {
            let created_boot_ns = clock::boot_ns();
            let header = Header {
                boot_count: spool.boot_count(),
                created_boot_ns,
                created_wall_ms: clock::wall_ms(),
            };
            let name = segment::file_name(&header, pid(), fastrand::u32(..));
            let path = journal.join(&name);
            let announced = Announced::new(Known::Name(&name))?;
            let mut options = OpenOptions::new();
            options.append(true).create_new(true).mode(0o600);
            let file = match options.open(&path) {
                Ok(file) => file,
                // Another process may be making it at this moment, so it is not asked whether it is there.
                Err(e) if e.kind() == io::ErrorKind::NotFound && !made => {
                    spool.check_path()?;
                    spool.make_dir(&journal)?;
                    made = true;
                    continue;
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(write_error(&path, e)),
            };
            let file = announced.opened(file);
            match try_lock(&file, path.display()) {
                Ok(true) if !has_no_name(&file) => {}
                // Between creation and lock the sender has found it empty and ownerless, and removes it.
                Ok(_) => continue,
                Err(e) => {
                    let _ = fs::remove_file(&path);
                    return Err(e);
                }
            }
            if let Err(e) = (&*file).write_all(&header.encode()) {
                // Nothing in it is acknowledged, and it is locked by us.
                let _ = fs::remove_file(&path);
                return Err(write_error(&path, e));
            }
            if safety == Safety::Power {
                crate::spool::sync_parent(&path)?;
                // Another process may have made the journal, or the spool, and not have synced it yet.
                crate::spool::sync_parent(&journal)?;
            }
            return Ok(Self {
                file,
                path,
                header,
                len: AtomicU64::new(segment::HEADER_LEN as u64),
                syncs: Mutex::default(),
                synced: Condvar::new(),
                arrived: Condvar::new(),
            });
        }
    }

    /// Whether somebody has removed it. Only a sender should, and that one waits for its writer's end.
    fn is_gone(&self) -> bool {
        has_no_name(&self.file)
    }

    /// Where the next record will stand; the caller holds the writer's lock.
    fn end(&self) -> Position {
        Position {
            created_boot_ns: self.header.created_boot_ns,
            offset: self.len.load(Ordering::Relaxed),
        }
    }

    /// Appends a record as a whole; the caller holds the writer's lock.
    fn append(&self, record: &[u8]) -> std::result::Result<u64, Failure> {
        let start = self.len.load(Ordering::Relaxed);
        match (&*self.file).write_all(record) {
            Ok(()) => {
                let end = start + record.len() as u64;
                self.len.store(end, Ordering::Release);
                Ok(end)
            }
            Err(e) => {
                let sealed = self.file.set_len(start).is_err();
                let error = write_error(&self.path, e);
                Err(Failure { error, sealed })
            }
        }
    }
}

fn has_no_name(file: &File) -> bool {
    file.metadata().map_or(true, |about| about.nlink() == 0)
}

fn write_error(path: &Path, cause: io::Error) -> Error {
    let error = Error::io(path.display(), cause);
    match error.kind() {
        ErrorKind::SpoolFull => error.and_then_say("; nothing was queued; free some space"),
        _ => error,
    }
}
