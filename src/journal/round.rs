//! The read side of the journal: one *round* takes records of all segments in order of time.
//!
//! A round notes the time, **then** lists the segments and their sizes, and takes only records up to
//! that time: what was enqueued after another enqueue had returned can so never be taken before it,
//! although segments are read one after the other. Records are merged from all segments through
//! small buffers, so memory does not grow with the backlog, and handed out in chunks that the caller
//! commits one by one.
//!
//! An incomplete record at the end is normal while its writer lives: it is at it. Anything else that is
//! no record is damage; it is reported with its bytes, and reading goes on at the next whole record.
//! What stands behind the last whole record is judged once the writer has ended ([`super::removal`]).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::fs;
use std::io::ErrorKind as IoKind;

use super::damage::Damage;
use super::segment;
use super::segment_reader::Cursor;
use crate::clock;
use crate::error::{Error, Result};
use crate::spool::Spool;

/// Buffers of all segments of a round together aim at this.
pub(super) const READ_BUFFERS_BYTES: usize = 4 * 1024 * 1024;
const READ_BUFFER_MAX: usize = 256 * 1024;
const READ_BUFFER_MIN: usize = 1024;

/// How far each segment has been taken over.
pub type Offsets = HashMap<String, u64>;

/// What one chunk of a round has moved.
#[derive(Debug, Default)]
pub struct Chunk {
    /// New offsets of the segments that were read.
    pub offsets: Vec<(String, u64)>,
    /// Bytes passed over.
    pub damage: Vec<Damage>,
    /// Whether the round has more.
    pub more: bool,
}

/// One ordered pass over all segments.
pub struct Round {
    upto: (u32, u64),
    cursors: Vec<Cursor>,
    /// The next record of each segment, the earliest first.
    next: BinaryHeap<Reverse<(u32, u64, usize)>>,
    damage: Vec<Damage>,
    foreign: Vec<String>,
}

impl Round {
    /// Notes the time and lists the segments.
    ///
    /// Errors: [`Io`](crate::error::ErrorKind::Io) if a segment cannot be read, [`Store`](crate::error::ErrorKind::Store) if one is of a
    /// newer version: then nothing is taken, since order could not be kept.
    pub fn begin(spool: &Spool, taken: &Offsets) -> Result<Self> {
        let upto = (spool.boot_count(), clock::boot_ns());
        let (names, foreign) = list(spool)?;
        let buffer =
            (READ_BUFFERS_BYTES / names.len().max(1)).clamp(READ_BUFFER_MIN, READ_BUFFER_MAX);
        let mut round = Self {
            upto,
            cursors: Vec::with_capacity(names.len()),
            next: BinaryHeap::with_capacity(names.len()),
            damage: Vec::new(),
            foreign,
        };
        for name in names {
            let offset = taken.get(&name).copied();
            let Some((cursor, damage)) = Cursor::open(spool, name, offset, buffer)? else {
                continue;
            };
            round.cursors.push(cursor);
            round.damage.extend(damage);
            round.queue(round.cursors.len() - 1)?;
        }
        Ok(round)
    }

    /// The time (boot count, nanoseconds since boot) up to which a finished round has taken all.
    pub fn upto(&self) -> (u32, u64) {
        self.upto
    }

    /// Names in the journal that are no segments, and are left alone.
    pub fn foreign(&self) -> &[String] {
        &self.foreign
    }

    /// Hands the next records' fragments to `sink`, with the wall time of their enqueue, until
    /// about `max_bytes` are out.
    pub fn take(&mut self, max_bytes: usize, mut sink: impl FnMut(&[u8], i64)) -> Result<Chunk> {
        let mut bytes = 0;
        while bytes < max_bytes
            && let Some(Reverse((_, boot_ns, index))) = self.next.pop()
        {
            let cursor = &mut self.cursors[index];
            let wall_ms = cursor.header.wall_ms(boot_ns);
            for fragment in segment::fragments(cursor.payload()) {
                bytes += fragment.len();
                sink(fragment, wall_ms);
            }
            cursor.advance();
            self.queue(index)?;
        }
        let mut offsets = Vec::new();
        for cursor in self.cursors.iter_mut().filter(|cursor| cursor.moved) {
            cursor.moved = false;
            offsets.push((cursor.name.clone(), cursor.offset));
        }
        Ok(Chunk {
            offsets,
            damage: std::mem::take(&mut self.damage),
            more: !self.next.is_empty(),
        })
    }

    /// The segments that this round has read to their end.
    pub fn finished(&self) -> impl Iterator<Item = (&str, u64)> {
        self.cursors
            .iter()
            .filter(|cursor| cursor.at_end)
            .map(|cursor| (cursor.name.as_str(), cursor.offset))
    }

    /// The segments in `taken` that the round did not find.
    pub fn missing(&self, taken: &Offsets) -> Vec<String> {
        let found: HashSet<&str> = self.cursors.iter().map(|c| c.name.as_str()).collect();
        let missing = taken.keys().filter(|name| !found.contains(name.as_str()));
        missing.cloned().collect()
    }

    /// Bytes that were taken over but still stand in the journal.
    pub fn taken_bytes(&self) -> u64 {
        self.cursors.iter().map(|cursor| cursor.offset).sum()
    }

    /// Puts the next record of a segment in line, if it is of this round.
    fn queue(&mut self, index: usize) -> Result<()> {
        let cursor = &mut self.cursors[index];
        let Some((boot_ns, damage)) = cursor.find()? else {
            return Ok(());
        };
        self.damage.extend(damage);
        let time = (cursor.header.boot_count, boot_ns);
        if time <= self.upto {
            self.next.push(Reverse((time.0, time.1, index)));
        }
        Ok(())
    }
}

/// The segments in the journal, the earliest first.
pub(crate) fn segments(spool: &Spool) -> Result<Vec<String>> {
    Ok(list(spool)?.0)
}

/// The names of all segments, the earliest first, and those of everything else.
fn list(spool: &Spool) -> Result<(Vec<String>, Vec<String>)> {
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
