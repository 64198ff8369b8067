//! A segment that is written where no sender looks, and published as a whole by one rename.
//!
//! A writer's segment acknowledges record by record. Whoever brings many events wants a moment at which
//! they are queued, all of them, and must be able to tell after a crash whether it has passed: the
//! staged file is still there, or it is not.
//!
//! A round of the sender notes the time, lists the segments and takes what is older. A published segment
//! holds records that are older than its publication, so a round may overlook it. Order holds all the
//! same if the next one is created only after it was published: the records of that are then later than
//! any round which can have overlooked this one.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind as IoKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::segment::{self, HEADER_LEN, Header, Position};
use crate::clock;
use crate::error::{Error, Result};
use crate::process::pid;
use crate::spool::{Spool, remove_file, sync_dir};

/// Records gather here before they are written.
const BUFFER_BYTES: usize = 256 * 1024;

/// A segment that nobody reads yet. Dropped before it is complete, it is removed.
#[derive(Debug)]
pub(crate) struct Staged {
    file: File,
    path: PathBuf,
    name: String,
    header: Header,
    record: Vec<u8>,
    buffer: Vec<u8>,
    /// With what is in the buffer.
    len: u64,
    is_complete: bool,
}

impl Staged {
    /// Begins one in `dir`, which lies in the spool.
    pub(crate) fn create(spool: &Spool, dir: &Path) -> Result<Self> {
        let header = Header {
            boot_count: spool.boot_count(),
            created_boot_ns: clock::boot_ns(),
            created_wall_ms: clock::wall_ms(),
        };
        let name = segment::file_name(&header, pid(), fastrand::u32(..));
        let path = dir.join(&name);
        let mut options = OpenOptions::new();
        options.append(true).create_new(true).mode(0o600);
        let file = options
            .open(&path)
            .map_err(|e| Error::io(path.display(), e))?;
        let mut buffer = Vec::with_capacity(BUFFER_BYTES);
        buffer.extend_from_slice(&header.encode());
        Ok(Self {
            file,
            path,
            name,
            header,
            record: Vec::new(),
            buffer,
            len: HEADER_LEN as u64,
            is_complete: false,
        })
    }

    /// Bytes that it will have.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Adds a record of one event. One record each, so that damage costs the events that it touches.
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
        segment::finish_record(&mut self.record, 1, clock::boot_ns(), position);
        self.buffer.extend_from_slice(&self.record);
        self.len += self.record.len() as u64;
        if self.buffer.len() >= BUFFER_BYTES {
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<()> {
        self.file
            .write_all(&self.buffer)
            .map_err(|e| Error::io(self.path.display(), e))?;
        self.buffer.clear();
        Ok(())
    }

    /// Writes all of it, so that it survives a power cut, and gives its name for [`publish`].
    pub(crate) fn complete(mut self) -> Result<String> {
        self.write()?;
        self.file
            .sync_all()
            .map_err(|e| Error::io(self.path.display(), e))?;
        self.is_complete = true;
        Ok(std::mem::take(&mut self.name))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.is_complete {
            // Whoever comes next removes what is not noted anywhere.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Moves the complete segment `name` from `dir` into the journal, durably. If it is not there any more
/// it was published before.
pub(crate) fn publish(spool: &Spool, dir: &Path, name: &str) -> Result<()> {
    let (from, journal) = (dir.join(name), spool.journal_dir());
    spool.check_path()?;
    spool.ensure_dir(&journal)?;
    match fs::rename(&from, journal.join(name)) {
        Err(e) if e.kind() != IoKind::NotFound => return Err(Error::io(from.display(), e)),
        _ => {}
    }
    // In this order: should a power cut leave both names, the second rename replaces a file by itself,
    // and how far it is taken over hangs on the name.
    sync_dir(&journal)?;
    sync_dir(dir)
}

/// Removes the segments in `dir` but `noted`, which somebody else publishes.
pub(crate) fn clear(dir: &Path, noted: Option<&str>) -> Result<()> {
    let entries = fs::read_dir(dir).map_err(|e| Error::io(dir.display(), e))?;
    for entry in entries {
        let name = entry.map_err(|e| Error::io(dir.display(), e))?.file_name();
        let name = name.to_string_lossy();
        if segment::parse_name(&name).is_some() && noted != Some(&*name) {
            remove_file(&dir.join(&*name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::journal::backlog::count;
    use crate::journal::round::{Offsets, Round};
    use crate::spool::{Destination, NetworkFileSystem};

    fn waiting(spool: &Spool) -> u64 {
        let deadline = Instant::now() + Duration::from_secs(60);
        count(spool, &Offsets::new(), deadline).unwrap()
    }

    fn spool() -> (tempfile::TempDir, Spool) {
        let parent = tempfile::tempdir().unwrap();
        let destination = Destination {
            endpoint: "https://api.example/events",
            account: "",
        };
        let dir = parent.path().join("spool");
        let spool = Spool::open(&dir, destination, NetworkFileSystem::Refuse).unwrap();
        spool.ensure_dir(&spool.imports_dir()).unwrap();
        (parent, spool)
    }

    fn staged(spool: &Spool, numbers: std::ops::Range<u32>) -> String {
        let mut staged = Staged::create(spool, &spool.imports_dir()).unwrap();
        for number in numbers {
            staged.push(format!("event {number}").as_bytes()).unwrap();
        }
        staged.complete().unwrap()
    }

    #[test]
    fn a_published_segment_is_read_like_a_writers_and_nothing_of_it_before() {
        let (_parent, spool) = spool();
        let name = staged(&spool, 0..5_000);
        assert_eq!(waiting(&spool), 0);
        publish(&spool, &spool.imports_dir(), &name).unwrap();
        // Whoever does not know whether it was done does it again.
        publish(&spool, &spool.imports_dir(), &name).unwrap();

        let mut read = Vec::new();
        let mut round = Round::begin(&spool, &Offsets::new()).unwrap();
        let chunk = round
            .take(usize::MAX, |fragment, _| read.push(fragment.to_vec()))
            .unwrap();

        assert!(chunk.damage.is_empty());
        assert_eq!(read.len(), 5_000);
        assert!((0..5_000).all(|number| read[number] == format!("event {number}").as_bytes()));
        assert_eq!(round.finished().count(), 1);
    }

    #[test]
    fn a_round_that_overlooks_a_segment_takes_nothing_of_the_next() {
        let (_parent, spool) = spool();
        let first = staged(&spool, 0..3);
        // It has noted its time and listed the segments.
        let mut round = Round::begin(&spool, &Offsets::new()).unwrap();
        publish(&spool, &spool.imports_dir(), &first).unwrap();
        let second = staged(&spool, 3..6);
        publish(&spool, &spool.imports_dir(), &second).unwrap();
        assert!(round.upto().1 < segment::parse_name(&second).unwrap().1);
        let mut taken = 0;
        round.take(usize::MAX, |_, _| taken += 1).unwrap();
        assert_eq!(taken, 0);
        assert_eq!(waiting(&spool), 6);
    }

    #[test]
    fn what_is_not_complete_or_not_noted_is_removed() {
        let (_parent, spool) = spool();
        let noted = staged(&spool, 0..1);
        staged(&spool, 1..2);
        drop(Staged::create(&spool, &spool.imports_dir()).unwrap());
        assert_eq!(fs::read_dir(spool.imports_dir()).unwrap().count(), 2);
        clear(&spool.imports_dir(), Some(&noted)).unwrap();
        let left: Vec<_> = fs::read_dir(spool.imports_dir()).unwrap().collect();
        assert_eq!(left.len(), 1);
        assert_eq!(*left[0].as_ref().unwrap().file_name(), *noted);
    }
}
