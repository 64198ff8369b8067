//! The read side of the journal: one *round* reads the records of all segments in order of time.
//!
//! A round notes the time, **then** lists the segments and their sizes, and reads only records up
//! to that time, its cutoff. So an event that was enqueued after another enqueue had returned can
//! never be taken over before that one, although segments are read one after the other. Records are
//! merged from all segments through small buffers, so memory does not grow with the backlog, and
//! handed out in chunks that the caller commits one by one.
//!
//! An incomplete record at the end is normal while the writer lives: it is being written. Anything
//! else that is no record is damage: the round reports it with its bytes, and goes on at the next
//! whole record. What stands behind the last whole record is judged once the writer has ended
//! (`removal`).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::fs;
use std::io::ErrorKind as IoKind;

use super::damage::Damage;
use super::segment;
use super::segment_reader::SegmentReader;
use crate::clock;
use crate::error::{Error, Result};
use crate::spool::Spool;

/// The size that the buffers of all segments of a round should have together.
pub(super) const READ_BUFFERS_BYTES: usize = 4 * 1024 * 1024;
const READ_BUFFER_MAX: usize = 256 * 1024;
const READ_BUFFER_MIN: usize = 1024;

/// How far each segment has been taken over, by its file name.
pub type Offsets = HashMap<String, u64>;

/// What one chunk of a round has read.
#[derive(Debug, Default)]
pub struct Chunk {
    /// New offsets of the segments that were read.
    pub offsets: Vec<(String, u64)>,
    /// Bytes that were skipped because they are no record.
    pub damage: Vec<Damage>,
    /// Whether the round has more to read.
    pub more: bool,
}

/// One ordered pass over all segments.
pub struct Round {
    /// Boot count, and nanoseconds since boot.
    cutoff: (u32, u64),
    segments: Vec<SegmentReader>,
    /// The next record of each segment, the earliest first.
    next: BinaryHeap<Reverse<(u32, u64, usize)>>,
    damage: Vec<Damage>,
    foreign_names: Vec<String>,
}

impl Round {
    /// Notes the time and lists the segments.
    ///
    /// Errors: [`Io`](crate::error::ErrorKind::Io) if a segment cannot be read;
    /// [`Store`](crate::error::ErrorKind::Store) if a newer version wrote one of them: then nothing
    /// is read, because the order could not be kept.
    pub fn begin(spool: &Spool, taken: &Offsets) -> Result<Self> {
        let cutoff = (spool.boot_count(), clock::boot_ns());
        let (names, foreign_names) = list_journal(spool)?;
        let buffer =
            (READ_BUFFERS_BYTES / names.len().max(1)).clamp(READ_BUFFER_MIN, READ_BUFFER_MAX);
        let mut round = Self {
            cutoff,
            segments: Vec::with_capacity(names.len()),
            next: BinaryHeap::with_capacity(names.len()),
            damage: Vec::new(),
            foreign_names,
        };
        for name in names {
            let offset = taken.get(&name).copied();
            let Some((segment, damage)) = SegmentReader::open(spool, name, offset, buffer)? else {
                continue;
            };
            round.segments.push(segment);
            round.damage.extend(damage);
            round.queue_next_of(round.segments.len() - 1)?;
        }
        Ok(round)
    }

    /// The time (boot count, nanoseconds since boot) up to which a finished round has read
    /// everything.
    pub fn cutoff(&self) -> (u32, u64) {
        self.cutoff
    }

    /// The names of files in the journal that are no segments. They are left alone.
    pub fn foreign_names(&self) -> &[String] {
        &self.foreign_names
    }

    /// Hands the fragments of the next records to `sink`, with the wall time of their enqueue,
    /// until they have about `max_bytes`.
    pub fn read_chunk(
        &mut self,
        max_bytes: usize,
        mut sink: impl FnMut(&[u8], i64),
    ) -> Result<Chunk> {
        let mut bytes = 0;
        while bytes < max_bytes
            && let Some(Reverse((_, boot_ns, index))) = self.next.pop()
        {
            let reader = &mut self.segments[index];
            let wall_ms = reader.header.wall_ms(boot_ns);
            for fragment in segment::fragments(reader.payload()) {
                bytes += fragment.len();
                sink(fragment, wall_ms);
            }
            reader.advance();
            self.queue_next_of(index)?;
        }
        let mut offsets = Vec::new();
        for reader in self.segments.iter_mut().filter(|reader| reader.moved) {
            reader.moved = false;
            offsets.push((reader.name.clone(), reader.offset));
        }
        Ok(Chunk {
            offsets,
            damage: std::mem::take(&mut self.damage),
            more: !self.next.is_empty(),
        })
    }

    /// The segments that this round has read to their end.
    pub fn finished_segments(&self) -> impl Iterator<Item = (&str, u64)> {
        self.segments
            .iter()
            .filter(|reader| reader.at_end)
            .map(|reader| (reader.name.as_str(), reader.offset))
    }

    /// The segments in `taken` that the round did not find.
    pub fn missing_segments(&self, taken: &Offsets) -> Vec<String> {
        let found: HashSet<&str> = self.segments.iter().map(|reader| &*reader.name).collect();
        let missing = taken.keys().filter(|name| !found.contains(name.as_str()));
        missing.cloned().collect()
    }

    /// Bytes that were taken over or read, and are still in the journal.
    pub fn taken_bytes(&self) -> u64 {
        self.segments.iter().map(|reader| reader.offset).sum()
    }

    /// Queues the next record of a segment, if it is not later than the cutoff.
    fn queue_next_of(&mut self, index: usize) -> Result<()> {
        let reader = &mut self.segments[index];
        let Some((boot_ns, damage)) = reader.find_next()? else {
            return Ok(());
        };
        self.damage.extend(damage);
        let time = (reader.header.boot_count, boot_ns);
        if time <= self.cutoff {
            self.next.push(Reverse((time.0, time.1, index)));
        }
        Ok(())
    }
}

/// The names of all segments, the earliest first.
pub(crate) fn list_segments(spool: &Spool) -> Result<Vec<String>> {
    Ok(list_journal(spool)?.0)
}

/// The names of all segments, the earliest first, and those of everything else.
fn list_journal(spool: &Spool) -> Result<(Vec<String>, Vec<String>)> {
    let journal = spool.journal_dir();
    let entries = match fs::read_dir(&journal) {
        Ok(entries) => entries,
        Err(e) if e.kind() == IoKind::NotFound => return Ok((Vec::new(), Vec::new())),
        Err(e) => return Err(Error::io(journal.display(), e)),
    };
    let (mut names, mut foreign) = (Vec::new(), Vec::new());
    for entry in entries {
        let entry = entry.map_err(|e| Error::io(journal.display(), e))?;
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        match entry.file_name().into_string() {
            Ok(name) if is_file && segment::parse_name(&name).is_some() => names.push(name),
            Ok(name) => foreign.push(name),
            Err(name) => foreign.push(name.to_string_lossy().into_owned()),
        }
    }
    names.sort_unstable();
    foreign.sort_unstable();
    Ok((names, foreign))
}
