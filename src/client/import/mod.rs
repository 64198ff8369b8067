//! An import: many events from elsewhere, each queued once even if the importing process dies.
//!
//! Events are gathered in a staged segment. A commit first writes one file, which holds the
//! caller's checkpoint *and* the name of the segment, and then publishes the segment by a rename.
//! Both become true at the moment the file is written: after a crash, the next process publishes
//! the segment that the file names.
//!
//! ```text
//! <spool>/import/<hash of the import's name>/    locked by the process that imports
//!     <segment>        being written, or complete and about to be published
//!     progress.json    the last commit; the segment that it names is still here, or was published
//! ```
//!
//! A segment that the file does not name is removed, and the caller imports its events again.
//! Everything is synced whatever the durability is: a commit contains megabytes, so one sync costs
//! little per event.

mod progress;

use std::mem::ManuallyDrop;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use self::progress::Progress;
use super::core::Core;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Batch, Rules};
use crate::journal::staged_segment::{self, StagedSegment};
use crate::journal::usage;
use crate::process::{CloseOnFork, Owner};
use crate::spool::Subdirectory;

/// A commit is due when this many bytes have been gathered: as many as a writer puts into one
/// segment.
const DUE_BYTES: u64 = crate::journal::open_segment::SEGMENT_BYTES;
/// A commit is also due when the first gathered event is this old, so that slow input is queued,
/// too.
const DUE_AFTER: Duration = Duration::from_secs(5);
/// A commit contains at most one part in this many of `max_spool_bytes`.
const PARTS_OF_LIMIT: u64 = 8;

/// Whether a commit is the last one of its import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportEnd {
    /// More commits follow.
    More,
    /// This is the last commit. The spool remembers for 30 days that the import has ended.
    Ended,
}

/// An import that the spool remembers: one that is open, was interrupted, or ended within the last 30
/// days.
#[derive(Debug, Clone)]
pub struct KnownImport {
    /// The name with which it is opened.
    pub name: String,
    /// The checkpoint of its last commit.
    pub checkpoint: String,
    /// When it ended; wall time in milliseconds.
    pub ended_ms: Option<i64>,
}

/// An import that is open. Events that were not committed when it is dropped are not queued.
pub struct Import {
    /// Its process. A child that has inherited it can only drop it.
    owner: Owner,
    /// Not dropped in a child: it would end what is the parent's.
    core: ManuallyDrop<Arc<Core>>,
    name: String,
    dir: Subdirectory,
    staged: Option<StagedSegment>,
    /// When the first of the gathered events was pushed.
    gathered_since: Instant,
    events: usize,
    due_bytes: u64,
    checkpoint: Option<String>,
    ended_ms: Option<i64>,
    /// The error that lost gathered events, after which nothing can be committed.
    failed: Option<Error>,
    lock: CloseOnFork,
}

/// What the spool remembers of imports.
pub(super) fn known(core: &Core) -> Result<Vec<KnownImport>> {
    let above = core.spool.imports().ensure()?;
    let all = progress::read_all(&above)?.into_iter();
    let known = all.map(|one| KnownImport {
        name: one.import,
        checkpoint: one.checkpoint.get().to_owned(),
        ended_ms: one.ended_ms,
    });
    Ok(known.collect())
}

impl Import {
    pub(super) fn open(core: Arc<Core>, name: &str) -> Result<Self> {
        let spool = &core.spool;
        let above = spool.imports();
        let name_of_dir = progress::directory_name(name);
        let opened = above.ensure()?;
        progress::remove_old(&opened);
        let dir = above.below(&name_of_dir);
        let lock = loop {
            match progress::try_lock_dir(&opened, &name_of_dir)? {
                // Another process removed the directory between the two steps.
                Some(lock) if lock.metadata().is_ok_and(|about| about.nlink() == 0) => {}
                Some(lock) => break lock,
                None => {
                    return Err(Error::new(
                        ErrorKind::Timeout,
                        format!(
                            "{}: another process is importing {name:?}; wait until it ends",
                            spool.name()
                        ),
                    ));
                }
            }
        };
        let last = Progress::read(&dir.require()?)?;
        let noted = last.as_ref().and_then(|last| last.segment.as_deref());
        staged_segment::remove_unpublished(&dir, noted)?;
        if let Some(noted) = noted {
            staged_segment::publish(spool, &dir, noted)?;
        }
        let limit = core.settings.max_spool_bytes.map(|bytes| bytes.get());
        Ok(Self {
            name: name.to_owned(),
            dir,
            staged: None,
            gathered_since: Instant::now(),
            events: 0,
            due_bytes: limit.map_or(DUE_BYTES, |limit| DUE_BYTES.min(limit / PARTS_OF_LIMIT)),
            ended_ms: last.as_ref().and_then(|last| last.ended_ms),
            checkpoint: last.map(|last| last.checkpoint.get().to_owned()),
            failed: None,
            lock,
            owner: Owner::current(),
            core: ManuallyDrop::new(core),
        })
    }

    /// The checkpoint of the last commit, by whichever process. Everything that was pushed before
    /// that commit is queued, and nothing that was pushed after it.
    pub fn checkpoint(&self) -> Option<&str> {
        self.checkpoint.as_deref()
    }

    /// When the import ended, if its last commit said so; wall time in milliseconds.
    pub fn ended_ms(&self) -> Option<i64> {
        self.ended_ms
    }

    /// The rules that pushed events must have been checked under.
    pub fn rules(&self) -> &Rules {
        &self.core.rules
    }

    /// Makes a commit due after `bytes` instead of 8 MiB.
    pub fn commit_every(&mut self, bytes: u64) {
        self.due_bytes = self.due_bytes.min(bytes);
    }

    /// Gathers events that were checked under the [`rules`](Self::rules). The next
    /// [`commit`](Self::commit) queues them.
    ///
    /// Errors: [`ErrorKind::SpoolFull`], [`ErrorKind::Io`]. Events that were gathered since the
    /// last commit are then dropped, and the import has to be opened again.
    pub fn push(&mut self, events: &Batch) -> Result<()> {
        self.check_usable()?;
        let pushed = events.iter().try_for_each(|fragment| self.gather(fragment));
        pushed.map_err(|error| self.fail(error))
    }

    pub(super) fn gather(&mut self, fragment: &[u8]) -> Result<()> {
        let staged = match &mut self.staged {
            Some(staged) => staged,
            none => {
                self.gathered_since = Instant::now();
                none.insert(StagedSegment::create(&self.core.spool, &self.dir)?)
            }
        };
        staged.push(fragment)?;
        self.events += 1;
        Ok(())
    }

    /// Bytes of the events that were gathered since the last commit.
    pub fn gathered_bytes(&self) -> u64 {
        self.staged.as_ref().map_or(0, StagedSegment::len)
    }

    /// Whether a commit is worth its syncs: enough was gathered, or the first event is old enough.
    pub fn is_due(&self) -> bool {
        self.staged.is_some()
            && (self.gathered_bytes() >= self.due_bytes
                || self.gathered_since.elapsed() >= DUE_AFTER)
    }

    /// Checks that the spool has space for the gathered events.
    ///
    /// Errors: [`ErrorKind::SpoolFull`] if `max_spool_bytes` is reached or the disk is full. The
    /// gathered events are kept, and a later call may succeed.
    pub fn check_space(&self) -> Result<()> {
        let (spool, gathered) = (&self.core.spool, self.gathered_bytes());
        let full = |why: String| Err(Error::new(ErrorKind::SpoolFull, why));
        if spool.reserve().is_disk_full()? {
            return full(format!(
                "{}: the disk is full; free some space",
                spool.name()
            ));
        }
        let Some(limit) = self.core.settings.max_spool_bytes.map(|limit| limit.get()) else {
            return Ok(());
        };
        if gathered > limit {
            return full(format!(
                "{}: {gathered} bytes at once are more than max_spool_bytes, {limit}; raise the limit, or import less at once",
                spool.name()
            ));
        }
        let used = usage::pending_bytes(spool)?;
        if used.saturating_add(gathered) > limit {
            return full(format!(
                "{}: {used} bytes wait for delivery, max_spool_bytes is {limit}; see why nothing is sent, or raise the limit",
                spool.name()
            ));
        }
        Ok(())
    }

    /// Queues the gathered events and saves `checkpoint`, a JSON text: both or neither, whenever
    /// this process dies or the power fails.
    ///
    /// Errors: as [`check_space`](Self::check_space), after which the gathered events are kept;
    /// [`ErrorKind::InvalidArgument`] if `checkpoint` is not JSON; [`ErrorKind::Io`]: the outcome
    /// is unknown, and opening the import again shows it.
    pub fn commit(&mut self, checkpoint: &str, end: ImportEnd) -> Result<()> {
        self.check_usable()?;
        if self.staged.is_some() {
            self.check_space()?;
        }
        let progress = RawValue::from_string(checkpoint.to_owned()).map_err(|cause| {
            Error::new(
                ErrorKind::InvalidArgument,
                format!("checkpoint: is not JSON: {cause}"),
            )
        })?;
        let ended_ms = (end == ImportEnd::Ended).then(clock::wall_ms);
        self.save_and_publish(progress, ended_ms)
            .map_err(|error| self.fail(error))?;
        self.checkpoint = Some(checkpoint.to_owned());
        self.ended_ms = ended_ms;
        let events = std::mem::take(&mut self.events);
        if events > 0 {
            self.core.after_enqueue(events, clock::boot_ns())?;
        }
        Ok(())
    }

    fn save_and_publish(&mut self, checkpoint: Box<RawValue>, ended_ms: Option<i64>) -> Result<()> {
        let segment = self
            .staged
            .take()
            .map(StagedSegment::complete)
            .transpose()?;
        let progress = Progress::new(self.name.clone(), segment, ended_ms, checkpoint);
        progress.write(&self.dir.require()?)?;
        match &progress.segment {
            Some(segment) => staged_segment::publish(&self.core.spool, &self.dir, segment),
            None => Ok(()),
        }
    }

    /// Drops the events that were gathered since the last commit.
    pub fn discard(&mut self) {
        self.staged = None;
        self.events = 0;
    }

    /// Drops the events that were gathered since the last commit, and makes the spool forget the import:
    /// its name is that of a new import afterwards. What was committed stays queued.
    ///
    /// Error: [`ErrorKind::Io`].
    pub fn forget(mut self) -> Result<()> {
        self.check_usable()?;
        self.discard();
        let above = self.core.spool.imports().require()?;
        progress::remove(&above, &progress::directory_name(&self.name))
    }

    fn check_usable(&self) -> Result<()> {
        if !self.owner.is_current() {
            return Err(Error::new(
                ErrorKind::Closed,
                format!(
                    "import {:?}: was opened by the parent of this process; open it here once that has ended",
                    self.name
                ),
            ));
        }
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        // Without its lock, another process may have begun the same import.
        self.lock.check().map_err(|e| {
            let what = format!("import {:?}: its lock", self.name);
            Error::io(what, e).with_note("; open the import again")
        })
    }

    fn fail(&mut self, error: Error) -> Error {
        // The disk may be full, and the staged segment holds blocks of it.
        self.discard();
        self.failed = Some(error.clone());
        error
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        if self.owner.is_current() {
            // SAFETY: dropped once, here; `self` is not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.core) }
        }
    }
}
