//! The segment that a writer appends to: created, locked, and cut back after a failed write.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::fs::OFlags;

use super::group_commit::GroupCommit;
use super::segment::{self, Header, Position};
use super::writer::ChangedSegment;
use crate::clock::{self, Moment};
use crate::error::{Error, ErrorKind, Result};
use crate::process::{Announcement, CloseOnFork, FileKey, pid, random_u64};
use crate::spool::{Spool, try_lock};

/// A segment that has reached this size is left to the sender, and a new one is created.
pub const SEGMENT_BYTES: u64 = 8 * 1024 * 1024;
/// No writer makes a longer segment: its last record begins before that size. An import that is queued as
/// a whole does.
pub const LONGEST_SEGMENT_BYTES: u64 =
    SEGMENT_BYTES + (segment::RECORD_HEADER_LEN + segment::PAYLOAD_MAX) as u64;
/// The wall times of a segment's records are computed from its creation. Once that is wrong by more
/// than this, because the clock was set, a new segment is created.
const WALL_STEP_MS: u64 = 1_000;

/// A segment that this process appends to.
#[derive(Debug)]
pub(super) struct OpenSegment {
    file: CloseOnFork,
    path: PathBuf,
    header: Header,
    /// Bytes that hold whole records; at most a partial record stands behind them.
    len: AtomicU64,
    /// The events of these records. Changed only under the stripe's lock.
    events: AtomicU32,
    commit: GroupCommit,
}

/// An append that failed. A part of the record may be in the file.
pub(super) struct AppendFailure {
    pub(super) error: Error,
    /// The partial record could not be cut off, so nothing may be appended any more.
    pub(super) must_seal: bool,
}

impl OpenSegment {
    /// Creates and locks a new segment with its header; `durably`: it survives a power cut.
    pub(super) fn create(spool: &Spool, durably: bool) -> Result<Self> {
        spool.check_path()?;
        let journal = spool.journal().ensure()?;
        loop {
            let created_boot_ns = clock::boot_ns();
            let header = Header {
                boot_count: spool.boot_count(),
                created_boot_ns,
                created_wall_ms: clock::wall_ms(),
            };
            let name = segment::file_name(&header, pid(), random_u64() as u32);
            let path = journal.path(&name);
            let announced = Announcement::new(FileKey::Name(&name))?;
            let file = match journal.create(&name, OFlags::RDWR) {
                Ok(file) => file,
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(write_error(&path, e)),
            };
            let file = announced.opened(file);
            match try_lock(&file, path.display()) {
                Ok(true) if !is_unlinked(&file) => {}
                // Between creation and lock, the sender found it empty and without a writer, and
                // removes it.
                Ok(_) => continue,
                Err(e) => {
                    let _ = journal.remove(&name);
                    return Err(e);
                }
            }
            if let Err(e) = (&*file).write_all(&header.encode()) {
                // Nothing in it is acknowledged, and this process holds its lock.
                let _ = journal.remove(&name);
                return Err(write_error(&path, e));
            }
            if durably {
                journal.sync().map_err(|e| journal.own_error(e))?;
                // Another process may have created the journal, or the spool, and not have synced
                // that yet.
                let above = spool.held_dir()?;
                above.sync().map_err(|e| Error::io(spool.name(), e))?;
            }
            // Behind the header everything is written at the position that its checksums are of: also if another
            // program cuts the file in the same moment, it is read there.
            file.take_position();
            return Ok(Self {
                file,
                path,
                header,
                len: AtomicU64::new(segment::HEADER_LEN as u64),
                events: AtomicU32::new(0),
                commit: GroupCommit::default(),
            });
        }
    }

    /// Whether a record of so many bytes and of this moment may be appended: there is room, also
    /// below the process's `limit` of files, and the clock was not set.
    pub(super) fn accepts(&self, bytes: usize, limit: u64, now: Moment) -> bool {
        let len = self.len.load(Ordering::Relaxed);
        len < SEGMENT_BYTES
            && len.saturating_add(bytes as u64) <= limit
            && self.header.wall_ms(now.boot_ns).abs_diff(now.wall_ms) <= WALL_STEP_MS
    }

    /// Whether its descriptor still is its own: the application may have closed it, and have a file of its own
    /// under the number.
    pub(super) fn is_ours(&self) -> bool {
        self.file.is_in_position()
    }

    /// Whether its file also is as the last append has left it. A program that cleans up or restores a backup
    /// may have removed, moved, cut or replaced it. The caller holds the stripe's lock.
    ///
    /// An append to a file that was cut gives it its size back, and the records from there on are read, because
    /// they stand where they should. If the header is missing, all was cut. One that was moved out of the journal,
    /// or whose journal was, is whole, and no sender finds it.
    pub(super) fn is_as_left(&self, spool: &Spool) -> bool {
        let mut header = [0; segment::HEADER_LEN];
        let is_moved = |inode| spool.has_lost_segment(self.name(), inode);
        !self.file.inode().is_some_and(is_moved)
            && self.file.is_as_left(self.len.load(Ordering::Relaxed))
            && self.file.read_exact_at(&mut header, 0).is_ok()
            && header == self.header.encode()
    }

    /// What another program has done to it while this process had it open and locked, if it has.
    pub(super) fn changed(&self, spool: &Spool) -> Option<ChangedSegment> {
        if self.is_as_left(spool) || self.file.check().is_err() {
            return None;
        }
        Some(ChangedSegment {
            name: self.name().to_owned(),
            events: self.events.load(Ordering::Relaxed),
        })
    }

    /// Its name in the journal.
    fn name(&self) -> &str {
        let name = self.path.file_name().and_then(|name| name.to_str());
        name.unwrap_or_default()
    }

    /// Completes the record in `record`, appends it whole, and returns where it ends; the caller
    /// holds the stripe's lock.
    pub(super) fn append(
        &self,
        record: &mut [u8],
        events: u32,
        boot_ns: u64,
    ) -> std::result::Result<u64, AppendFailure> {
        let start = self.len.load(Ordering::Relaxed);
        let events_before = self.events.load(Ordering::Relaxed);
        let position = Position {
            created_boot_ns: self.header.created_boot_ns,
            offset: start,
        };
        segment::finish_record(record, events, events_before, boot_ns, position);
        match self.file.write_all_at(record, start) {
            Ok(()) => {
                let end = start + record.len() as u64;
                let events = events_before.saturating_add(events);
                self.events.store(events, Ordering::Relaxed);
                self.len.store(end, Ordering::Release);
                Ok(end)
            }
            // The next record stands where this one should have stood, behind as many events.
            Err(e) => Err(AppendFailure {
                must_seal: self.file.check().is_err() || self.file.set_len(start).is_err(),
                error: write_error(&self.path, e),
            }),
        }
    }

    /// Returns once everything before `end` survives a power cut. After a failed sync, `seal` makes
    /// sure that nothing is appended any more.
    pub(super) fn sync_until(&self, end: u64, seal: impl Fn()) -> Result<()> {
        let sync = || {
            let len = self.len.load(Ordering::Acquire);
            // The sync of another file says nothing about this one.
            let synced = self.file.sync_data().and_then(|()| self.file.check());
            (len, synced)
        };
        self.commit.sync_until(end, sync, |e| {
            seal();
            Error::new(
                ErrorKind::Io,
                format!(
                    "{}: sync failed: {e}; the event is written but may not survive a power cut",
                    self.path.display()
                ),
            )
        })
    }
}

fn is_unlinked(file: &File) -> bool {
    file.metadata().map_or(true, |about| about.nlink() == 0)
}

fn write_error(path: &Path, cause: io::Error) -> Error {
    let error = Error::io(path.display(), cause);
    match error.kind() {
        ErrorKind::SpoolFull => error.with_note("; nothing was queued; free some space"),
        _ => error,
    }
}
