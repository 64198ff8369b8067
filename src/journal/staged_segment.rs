//! A segment that is written beside the journal and published whole by one rename.
//!
//! A writer's segment acknowledges record by record. An import needs one moment at which all of
//! many events are queued, and after a crash it must know whether that moment has passed: the
//! staged file is still there, or it is not.
//!
//! A round of the sender notes its cutoff, lists the segments, and reads the records before the
//! cutoff. The records of a published segment are older than its publication, so a round may miss
//! them. The order still holds if the next staged segment is created only after this one was
//! published: its records are then later than the cutoff of any round that has missed this segment.

use std::fs::File;
use std::io::{ErrorKind as IoKind, Write};

use rustix::fs::OFlags;

use super::segment::{self, HEADER_LEN, Header, Position};
use crate::clock;
use crate::error::{Error, Result};
use crate::process::{ClosedInChild, Owner, pid, random_u64};
use crate::spool::{Spool, Subdirectory, check_file_limit, file_limit};

/// How many bytes of records are written at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// A segment that no sender reads yet. If it is dropped before it is complete, its file is removed.
#[derive(Debug)]
pub(crate) struct StagedSegment {
    file: ClosedInChild<File>,
    dir: Subdirectory,
    name: String,
    header: Header,
    record: Vec<u8>,
    buffer: Vec<u8>,
    /// Bytes of the segment, those in the buffer included.
    len: u64,
    /// Its events.
    events: u32,
    is_complete: bool,
    owner: Owner,
}

impl StagedSegment {
    /// Creates a segment in `dir`, a directory of the spool.
    pub(crate) fn create(spool: &Spool, dir: &Subdirectory) -> Result<Self> {
        let header = Header {
            boot_count: spool.boot_count(),
            created_boot_ns: clock::boot_ns(),
            created_wall_ms: clock::wall_ms(),
        };
        let name = segment::file_name(&header, pid(), random_u64() as u32);
        let opened = dir.ensure()?;
        let file = opened
            .create(&name, OFlags::WRONLY | OFlags::APPEND)
            .map_err(|e| opened.error(&name, e))?;
        let mut buffer = Vec::with_capacity(BUFFER_BYTES);
        buffer.extend_from_slice(&header.encode());
        Ok(Self {
            file: ClosedInChild::of(file),
            dir: dir.clone(),
            name,
            header,
            record: Vec::new(),
            buffer,
            len: HEADER_LEN as u64,
            events: 0,
            is_complete: false,
            owner: Owner::current(),
        })
    }

    /// Bytes that the segment has once it is complete.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Adds a record of one event. Each event has a record of its own, so that damage costs only
    /// the events that it hits.
    pub(crate) fn push(&mut self, fragment: &[u8]) -> Result<()> {
        segment::begin_record(&mut self.record);
        segment::push_fragment(&mut self.record, |out| {
            out.extend_from_slice(fragment);
            Ok::<_, Error>(())
        })?;
        let position = Position {
            created_boot_ns: self.header.created_boot_ns,
            offset: self.len,
        };
        let now = clock::boot_ns();
        segment::finish_record(&mut self.record, 1, self.events, now, position);
        self.buffer.extend_from_slice(&self.record);
        self.len += self.record.len() as u64;
        self.events = self.events.saturating_add(1);
        if self.buffer.len() >= BUFFER_BYTES {
            self.write_buffer()?;
        }
        Ok(())
    }

    fn write_buffer(&mut self) -> Result<()> {
        let written = self
            .file
            .check()
            .and_then(|()| check_file_limit(self.len, file_limit()))
            .and_then(|()| (&*self.file).write_all(&self.buffer));
        written.map_err(|e| self.error(e))?;
        self.buffer.clear();
        Ok(())
    }

    fn error(&self, cause: std::io::Error) -> Error {
        Error::io(self.dir.path().join(&self.name).display(), cause)
    }

    /// Writes and syncs the whole segment; returns its file name for [`publish`].
    pub(crate) fn complete(mut self) -> Result<String> {
        self.write_buffer()?;
        self.file.sync_all().map_err(|e| self.error(e))?;
        if !self.file.is_as_left(self.len) {
            let what = "another program has cut, replaced or removed it while it was written; import again";
            return Err(self.error(std::io::Error::other(what)));
        }
        self.is_complete = true;
        Ok(std::mem::take(&mut self.name))
    }
}

impl Drop for StagedSegment {
    fn drop(&mut self) {
        // In a forked child it is still the parent's.
        if !self.is_complete && self.owner.is_current() {
            // If this fails, the next import removes the file.
            let _ = self.dir.ensure().map(|dir| dir.remove(&self.name));
        }
    }
}

/// Moves the complete segment `name` from `dir` into the journal, durably. If it is no longer in
/// `dir`, it was published before.
pub(crate) fn publish(spool: &Spool, dir: &Subdirectory, name: &str) -> Result<()> {
    spool.check_path()?;
    let (from, journal) = (dir.ensure()?, spool.journal().ensure()?);
    match from.rename(name, &journal, name) {
        Err(e) if e.kind() != IoKind::NotFound => return Err(from.error(name, e)),
        _ => {}
    }
    // In this order: if a power cut leaves both names, the next rename replaces the file by itself,
    // and the offset up to which it is taken over still belongs to that name.
    journal.sync().map_err(|e| journal.own_error(e))?;
    from.sync().map_err(|e| from.own_error(e))
}

/// Removes the staged segments in `dir`, except `kept`, which the caller is going to publish.
pub(crate) fn remove_unpublished(dir: &Subdirectory, kept: Option<&str>) -> Result<()> {
    let dir = dir.ensure()?;
    let failed = |e| dir.own_error(e);
    for entry in dir.entries().map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if let Some(name) = entry.name()
            && segment::parse_name(name).is_some()
            && kept != Some(name)
        {
            dir.remove(name).map_err(|e| dir.error(name, e))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::backlog;
    use crate::journal::round::{Offsets, Round};
    use crate::spool::tests::new_spool;
    use std::fs;

    fn events_in_journal(spool: &Spool) -> u64 {
        backlog::count(spool, &Offsets::new()).unwrap().events
    }

    fn spool() -> (tempfile::TempDir, Spool) {
        let (parent, spool) = new_spool();
        spool.imports().ensure().unwrap();
        (parent, spool)
    }

    fn stage(spool: &Spool, numbers: std::ops::Range<u32>) -> String {
        let mut staged = StagedSegment::create(spool, &spool.imports()).unwrap();
        for number in numbers {
            staged.push(format!("event {number}").as_bytes()).unwrap();
        }
        staged.complete().unwrap()
    }

    #[test]
    fn a_staged_segment_is_read_whole_once_it_is_published_and_not_before() {
        let (_parent, spool) = spool();
        let name = stage(&spool, 0..5_000);
        assert_eq!(events_in_journal(&spool), 0);
        publish(&spool, &spool.imports(), &name).unwrap();
        // A process that does not know whether the segment was published publishes it again.
        publish(&spool, &spool.imports(), &name).unwrap();

        let mut read = Vec::new();
        let mut round = Round::begin(&spool, &Offsets::new()).unwrap();
        let chunk = round
            .read_chunk(usize::MAX, |fragment, _| read.push(fragment.to_vec()))
            .unwrap();

        assert!(chunk.damage.is_empty());
        assert_eq!(read.len(), 5_000);
        assert!((0..5_000).all(|number| read[number] == format!("event {number}").as_bytes()));
        assert_eq!(round.finished_segments().count(), 1);
    }

    #[test]
    fn a_staged_segment_that_another_program_has_cut_is_not_complete() {
        let (_parent, spool) = spool();
        let mut staged = StagedSegment::create(&spool, &spool.imports()).unwrap();
        let path = spool.imports().path().join(&staged.name);
        let event = [b'x'; 1024];
        for _ in 0..2 * BUFFER_BYTES / event.len() {
            staged.push(&event).unwrap();
        }
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(0)
            .unwrap();
        let refused = staged.complete().unwrap_err();
        assert!(refused.message().contains("import again"), "{refused}");
        // Dropped without being complete, it is removed.
        assert!(!path.exists());
    }

    #[test]
    fn a_staged_segment_does_not_grow_beyond_the_limit_of_files_and_the_error_names_it() {
        let (_parent, spool) = spool();
        // With the default action of the signal, which would end the process.
        assert!(crate::process::tests::in_child(|| {
            let limit = rustix::process::Rlimit {
                current: Some(BUFFER_BYTES as u64),
                maximum: None,
            };
            rustix::process::setrlimit(rustix::process::Resource::Fsize, limit).unwrap();
            let mut staged = StagedSegment::create(&spool, &spool.imports()).unwrap();
            let pushed = (0..2 * BUFFER_BYTES / 1024).try_for_each(|_| staged.push(&[b'x'; 1024]));
            let refused = pushed.unwrap_err();
            refused.message().contains("RLIMIT_FSIZE")
        }));
    }

    #[test]
    fn a_round_that_misses_a_published_segment_reads_nothing_of_the_next_one() {
        let (_parent, spool) = spool();
        let first = stage(&spool, 0..3);
        // The round has noted its cutoff and listed the segments.
        let mut round = Round::begin(&spool, &Offsets::new()).unwrap();
        publish(&spool, &spool.imports(), &first).unwrap();
        let second = stage(&spool, 3..6);
        publish(&spool, &spool.imports(), &second).unwrap();
        assert!(round.cutoff().boot_ns < segment::parse_name(&second).unwrap().1);
        let mut read = 0;
        round.read_chunk(usize::MAX, |_, _| read += 1).unwrap();
        assert_eq!(read, 0);
        assert_eq!(events_in_journal(&spool), 6);
    }

    #[test]
    fn staged_segments_that_are_incomplete_or_not_kept_are_removed() {
        let (_parent, spool) = spool();
        let kept = stage(&spool, 0..1);
        stage(&spool, 1..2);
        drop(StagedSegment::create(&spool, &spool.imports()).unwrap());
        assert_eq!(fs::read_dir(spool.imports().path()).unwrap().count(), 2);
        remove_unpublished(&spool.imports(), Some(&kept)).unwrap();
        let left: Vec<_> = fs::read_dir(spool.imports().path()).unwrap().collect();
        assert_eq!(left.len(), 1);
        assert_eq!(*left[0].as_ref().unwrap().file_name(), *kept);
    }
}
