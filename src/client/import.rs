//! Many events from somewhere else, each queued once although the process that brings them may die.
//!
//! Events gather in a staged segment. A commit notes, in one file, the caller's word for how far it has
//! come *and* the segment's name, and then publishes the segment by a rename. So there is one moment at
//! which both become true, and a process that comes after a crash finishes what was noted:
//!
//! ```text
//! <spool>/import/<hash of the import's name>/    locked by the process that imports
//!     <segment>        being written, or complete and about to be published
//!     progress.json    the last commit; a segment that it names is still here, or was published
//! ```
//!
//! What is not noted is removed and brought again. Everything is synced whatever the durability is: a
//! commit comes once in megabytes.

use std::fs::{self, File};
use std::io::ErrorKind as IoKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::core::Core;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Batch, Rules};
use crate::journal::staged_segment::{self, StagedSegment};
use crate::journal::usage;
use crate::spool::{open_dir, replace_file, try_lock};

const VERSION: u32 = 1;
/// A commit is due when so much has been gathered, as much as a writer puts into one segment.
const DUE_BYTES: u64 = crate::journal::open_segment::SEGMENT_BYTES;
/// Or when the first of it is so old: who brings events slowly need not wait for megabytes.
const DUE_AFTER: Duration = Duration::from_secs(5);
/// With `max_spool_bytes`, one commit brings at most this part of it.
const SHARE_OF_LIMIT: u64 = 8;
/// How long it is remembered that an import has ended.
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 3_600);

/// The file that makes a commit.
#[derive(Serialize, Deserialize)]
struct Progress {
    version: u32,
    /// The name that the caller gave to it.
    import: String,
    /// The segment that this commit publishes.
    segment: Option<String>,
    /// Since when it has ended; wall time in milliseconds.
    ended_ms: Option<i64>,
    checkpoint: Box<RawValue>,
}

/// Whether an import has brought all that it is going to bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportEnd {
    /// There is more to come.
    More,
    /// This was the last commit; it is remembered for 30 days.
    Ended,
}

/// An import under way. Dropped, it forgets what was not committed.
pub struct Import {
    core: Arc<Core>,
    name: String,
    dir: PathBuf,
    staged: Option<StagedSegment>,
    /// When the first of the gathered events came.
    since: Instant,
    events: usize,
    due_bytes: u64,
    checkpoint: Option<String>,
    ended_ms: Option<i64>,
    /// Something that was given is gone: nothing can be committed any more.
    failed: Option<Error>,
    _lock: File,
}

impl Import {
    pub(super) fn open(core: Arc<Core>, name: &str) -> Result<Self> {
        let spool = &core.spool;
        let above = spool.imports_dir();
        spool.ensure_dir(&above)?;
        forget_old(&above);
        let dir = above.join(directory_name(name));
        let lock = loop {
            spool.ensure_dir(&dir)?;
            match locked(&dir)? {
                // Another process has forgotten it just now.
                Some(lock) if lock.metadata().is_ok_and(|about| about.nlink() == 0) => {}
                Some(lock) => break lock,
                None => {
                    return Err(Error::new(
                        ErrorKind::Timeout,
                        format!(
                            "{}: another process imports {name:?} at this moment; wait for its end",
                            spool.name()
                        ),
                    ));
                }
            }
        };
        let last = read(&dir)?;
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
            since: Instant::now(),
            events: 0,
            due_bytes: limit.map_or(DUE_BYTES, |limit| DUE_BYTES.min(limit / SHARE_OF_LIMIT)),
            ended_ms: last.as_ref().and_then(|last| last.ended_ms),
            checkpoint: last.map(|last| last.checkpoint.get().to_owned()),
            failed: None,
            _lock: lock,
            core,
        })
    }

    /// The caller's word of the last commit, by whichever process. All that was brought until then is
    /// queued, and nothing of what came after it.
    pub fn checkpoint(&self) -> Option<&str> {
        self.checkpoint.as_deref()
    }

    /// Since when the import has ended, if its last commit said so; wall time in milliseconds.
    pub fn ended_ms(&self) -> Option<i64> {
        self.ended_ms
    }

    /// What the checks of an event need to know.
    pub fn rules(&self) -> &Rules {
        &self.core.rules
    }

    /// Has a commit bring at most `bytes` instead of 8 MiB.
    pub fn commit_every(&mut self, bytes: u64) {
        self.due_bytes = self.due_bytes.min(bytes);
    }

    /// Gathers events that were checked under the [`rules`](Self::rules). Queued they are by the next
    /// [`commit`](Self::commit), or not at all.
    ///
    /// Errors: [`ErrorKind::SpoolFull`], [`ErrorKind::Io`]. What was gathered since the last commit is
    /// then forgotten, and the import has to be opened again.
    pub fn push(&mut self, events: &Batch) -> Result<()> {
        self.usable()?;
        let pushed = events.iter().try_for_each(|fragment| self.gather(fragment));
        pushed.map_err(|error| self.fail(error))
    }

    fn gather(&mut self, fragment: &[u8]) -> Result<()> {
        let staged = match &mut self.staged {
            Some(staged) => staged,
            none => {
                self.since = Instant::now();
                none.insert(StagedSegment::create(&self.core.spool, &self.dir)?)
            }
        };
        staged.push(fragment)?;
        self.events += 1;
        Ok(())
    }

    /// Bytes of events that were gathered since the last commit.
    pub fn gathered_bytes(&self) -> u64 {
        self.staged.as_ref().map_or(0, StagedSegment::len)
    }

    /// Whether enough was gathered, or long enough ago, for a commit to be worth its syncs.
    pub fn is_due(&self) -> bool {
        self.staged.is_some()
            && (self.gathered_bytes() >= self.due_bytes || self.since.elapsed() >= DUE_AFTER)
    }

    /// Whether the spool takes what was gathered.
    ///
    /// Errors: [`ErrorKind::SpoolFull`] if `max_spool_bytes` is reached or the disk is full. Nothing is
    /// forgotten: a later call may find that there is room.
    pub fn check_room(&self) -> Result<()> {
        let (spool, gathered) = (&self.core.spool, self.gathered_bytes());
        let refused = |why: String| Err(Error::new(ErrorKind::SpoolFull, why));
        if spool.reserve().is_disk_full()? {
            return refused(format!(
                "{}: the disk is full; free some space",
                spool.name()
            ));
        }
        let Some(limit) = self.core.settings.max_spool_bytes.map(|limit| limit.get()) else {
            return Ok(());
        };
        if gathered > limit {
            return refused(format!(
                "{}: {gathered} bytes at once are more than max_spool_bytes, {limit}; raise it, or import less at once",
                spool.name()
            ));
        }
        let used = usage::pending_bytes(spool)?;
        if used.saturating_add(gathered) > limit {
            return refused(format!(
                "{}: {used} bytes wait for delivery, max_spool_bytes is {limit}; see why nothing is sent, or raise the limit",
                spool.name()
            ));
        }
        Ok(())
    }

    /// Queues what was gathered, and notes `checkpoint`, a JSON text: both, or neither, whenever this
    /// process dies or the power fails.
    ///
    /// Errors: as [`check_room`](Self::check_room), with nothing forgotten; [`ErrorKind::InvalidArgument`]
    /// if `checkpoint` is not JSON; [`ErrorKind::Io`]: unknown, open the import again to know.
    pub fn commit(&mut self, checkpoint: &str, end: ImportEnd) -> Result<()> {
        self.usable()?;
        if self.staged.is_some() {
            self.check_room()?;
        }
        let progress = RawValue::from_string(checkpoint.to_owned()).map_err(|cause| {
            Error::new(
                ErrorKind::InvalidArgument,
                format!("checkpoint: is not JSON: {cause}"),
            )
        })?;
        let ended_ms = (end == ImportEnd::Ended).then(clock::wall_ms);
        self.carry_out(progress, ended_ms)
            .map_err(|error| self.fail(error))?;
        self.checkpoint = Some(checkpoint.to_owned());
        self.ended_ms = ended_ms;
        let events = std::mem::take(&mut self.events);
        if events > 0 {
            self.core.enqueued(events, clock::boot_ns())?;
        }
        Ok(())
    }

    fn carry_out(&mut self, checkpoint: Box<RawValue>, ended_ms: Option<i64>) -> Result<()> {
        let segment = self
            .staged
            .take()
            .map(StagedSegment::complete)
            .transpose()?;
        let progress = Progress {
            version: VERSION,
            import: self.name.clone(),
            segment,
            ended_ms,
            checkpoint,
        };
        write(&self.dir, &progress)?;
        match &progress.segment {
            Some(segment) => staged_segment::publish(&self.core.spool, &self.dir, segment),
            None => Ok(()),
        }
    }

    /// Forgets what was gathered since the last commit.
    pub fn discard(&mut self) {
        self.staged = None;
        self.events = 0;
    }

    fn usable(&self) -> Result<()> {
        match &self.failed {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    fn fail(&mut self, error: Error) -> Error {
        // Its blocks may be what the disk lacks.
        self.discard();
        self.failed = Some(error.clone());
        error
    }
}

fn progress_path(dir: &Path) -> PathBuf {
    dir.join("progress.json")
}

fn read(dir: &Path) -> Result<Option<Progress>> {
    let path = progress_path(dir);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == IoKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(path.display(), e)),
    };
    let unreadable = |why: String| {
        Error::new(
            ErrorKind::Store,
            format!(
                "{}: {why}; it tells what of an import is queued, so nothing is imported over it",
                path.display()
            ),
        )
    };
    let progress: Progress =
        serde_json::from_slice(&text).map_err(|e| unreadable(format!("cannot be read: {e}")))?;
    if progress.version > VERSION {
        return Err(unreadable(format!(
            "has version {}, this library knows {VERSION}; use a newer libmeditopia",
            progress.version
        )));
    }
    Ok(Some(progress))
}

fn write(dir: &Path, progress: &Progress) -> Result<()> {
    let text = serde_json::to_vec(progress)
        .map_err(|e| Error::new(ErrorKind::Internal, format!("progress: {e}")))?;
    replace_file(&progress_path(dir), &text)
}

fn locked(dir: &Path) -> Result<Option<File>> {
    let handle = open_dir(dir)?;
    Ok(try_lock(&handle, dir.display())?.then_some(handle))
}

/// Removes what is known of imports that ended long ago. It is no harm if that does not work now.
fn forget_old(above: &Path) {
    let oldest = clock::wall_ms().saturating_sub_unsigned(REMEMBERED.as_millis() as u64);
    for entry in fs::read_dir(above).into_iter().flatten().flatten() {
        let dir = entry.path();
        let is_old = || {
            let last = read(&dir).ok().flatten();
            last.and_then(|last| last.ended_ms)
                .is_some_and(|ended| ended < oldest)
        };
        // First without the lock: whoever takes up one that is remembered must not find it taken.
        if !is_old() {
            continue;
        }
        let Ok(Some(_lock)) = locked(&dir) else {
            continue;
        };
        // A process may have died before it published its last segment: then that is here, too.
        let is_all = fs::read_dir(&dir).is_ok_and(|entries| entries.count() == 1);
        if is_all && is_old() {
            let _ = fs::remove_file(progress_path(&dir)).and_then(|()| fs::remove_dir(&dir));
        }
    }
}

/// A name of any length and letters as a file name.
fn directory_name(name: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
    let hex = digest.as_ref().iter().take(16);
    hex.map(|byte| format!("{byte:02x}")).collect()
}
