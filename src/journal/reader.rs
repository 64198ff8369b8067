//! The read side of the journal: one *round* takes records of all segments in order of time.
//!
//! A round notes the time, **then** lists the segments and their sizes, and takes only records up to
//! that time: what was enqueued after another enqueue had returned can so never be taken before it,
//! although segments are read one after the other. Records are merged from all segments through
//! small buffers, so memory does not grow with the backlog, and handed out in chunks that the caller
//! commits one by one.
//!
//! An incomplete record at the end is normal: its writer is at it, or died. Anything else that is no
//! record is damage; it is reported with its bytes, and reading goes on at the next whole record.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::fs::{self, File};
use std::io::ErrorKind as IoKind;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;

use rustix::fs::FlockOperation;

use super::segment::{self, BadHeader, HEADER_LEN, Header, Parsed};
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::spool::Spool;

/// Buffers of all segments of a round together aim at this.
const READ_BUFFERS_BYTES: usize = 4 * 1024 * 1024;
const READ_BUFFER_MAX: usize = 256 * 1024;
const READ_BUFFER_MIN: usize = 1024;

/// How far each segment has been taken over.
pub type Offsets = HashMap<String, u64>;

/// Bytes of a segment that are no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The segment's file name.
    pub segment: String,
    /// Where the bytes begin.
    pub offset: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

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
}

impl Round {
    /// Notes the time and lists the segments.
    ///
    /// Errors: [`ErrorKind::Io`] if a segment cannot be read, [`ErrorKind::Store`] if one is of a
    /// newer version: then nothing is taken, since order could not be kept.
    pub fn begin(spool: &Spool, taken: &Offsets) -> Result<Self> {
        let upto = (spool.boot_count(), clock::boot_ns());
        let names = list(spool)?;
        let buffer =
            (READ_BUFFERS_BYTES / names.len().max(1)).clamp(READ_BUFFER_MIN, READ_BUFFER_MAX);
        let mut round = Self {
            upto,
            cursors: Vec::with_capacity(names.len()),
            next: BinaryHeap::with_capacity(names.len()),
            damage: Vec::new(),
        };
        for name in names {
            let offset = taken.get(&name).copied();
            let Some(cursor) = Cursor::open(spool, name, offset, buffer)? else {
                continue;
            };
            round.cursors.push(cursor);
            round.queue(round.cursors.len() - 1)?;
        }
        Ok(round)
    }

    /// The time (boot count, nanoseconds since boot) up to which a finished round has taken all.
    pub fn upto(&self) -> (u32, u64) {
        self.upto
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

/// How many events wait in the journal behind `taken`.
pub fn count(spool: &Spool, taken: &Offsets) -> Result<u64> {
    let mut round = Round::begin(spool, taken)?;
    let mut events = 0;
    while round.take(READ_BUFFERS_BYTES, |_, _| events += 1)?.more {}
    Ok(events)
}

/// One segment being read.
struct Cursor {
    name: String,
    path: PathBuf,
    header: Header,
    /// Its size when the round began.
    size: u64,
    /// Up to here it is taken.
    offset: u64,
    moved: bool,
    at_end: bool,
    /// Where the payload of the found record stands in `buffer`, and the record's end.
    found: (std::ops::Range<usize>, usize),
    buffer: Vec<u8>,
    buffer_start: u64,
    buffer_aim: usize,
}

impl Cursor {
    fn open(
        spool: &Spool,
        name: String,
        taken: Option<u64>,
        buffer_aim: usize,
    ) -> Result<Option<Self>> {
        let path = spool.journal().join(&name);
        let about = match fs::metadata(&path) {
            Ok(about) => about,
            // Only a sender removes segments, and it is us: an operator did it by hand.
            Err(e) if e.kind() == IoKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(path.display(), e)),
        };
        let mut cursor = Self {
            header: Header {
                boot_count: 0,
                created_boot_ns: 0,
                created_wall_ms: 0,
            },
            size: about.len(),
            offset: taken.unwrap_or(HEADER_LEN as u64),
            moved: false,
            at_end: false,
            found: (0..0, 0),
            buffer: Vec::new(),
            buffer_start: 0,
            buffer_aim,
            name,
            path,
        };
        if cursor.size <= HEADER_LEN as u64 {
            cursor.at_end = true;
            return Ok(Some(cursor));
        }
        if cursor.offset >= cursor.size {
            // Nothing new: not even opened.
            cursor.at_end = true;
            return Ok(Some(cursor));
        }
        cursor.fill(0, HEADER_LEN)?;
        cursor.header = match Header::decode(&cursor.buffer) {
            Ok(header) => header,
            Err(BadHeader::Newer) => {
                return Err(Error::new(
                    ErrorKind::Store,
                    format!(
                        "{}: written by a newer libmeditopia; deliver it with that version",
                        cursor.path.display()
                    ),
                ));
            }
            // The records still tell what they are; the name tells when.
            Err(BadHeader::Damaged | BadHeader::Short) => header_by_name(&cursor.name, &about),
        };
        Ok(Some(cursor))
    }

    /// Finds the next whole record; `None` at the end of what can be read.
    fn find(&mut self) -> Result<Option<(u64, Option<Damage>)>> {
        let mut fresh = false;
        loop {
            match segment::parse_record(self.ahead()) {
                Parsed::Record {
                    boot_ns, payload, ..
                } => {
                    let at = (self.offset - self.buffer_start) as usize;
                    self.found = (payload.start + at..payload.end + at, payload.end);
                    return Ok(Some((boot_ns, None)));
                }
                Parsed::Partial { needed } if self.offset + needed as u64 <= self.size => {
                    self.fill(self.offset, needed)?;
                }
                // A cut record may have been overwritten between two reads: look once more.
                Parsed::Damaged if !fresh && self.offset < self.size => {
                    fresh = true;
                    self.buffer.clear();
                    self.fill(self.offset, segment::RECORD_HEADER_LEN)?;
                }
                Parsed::Partial { .. } | Parsed::Damaged => return self.skip_damage(),
            }
        }
    }

    /// Passes over bytes that are no record, if a whole record stands behind them.
    fn skip_damage(&mut self) -> Result<Option<(u64, Option<Damage>)>> {
        let remaining = (self.size - self.offset.min(self.size)) as usize;
        if remaining > 0 {
            self.fill(self.offset, remaining)?;
        }
        let rest = self.ahead();
        let mut from = 1;
        while let Some(at) = segment::find_record(rest, from) {
            if let Parsed::Record {
                boot_ns, payload, ..
            } = segment::parse_record(&rest[at..])
            {
                let damage = Damage {
                    segment: self.name.clone(),
                    offset: self.offset,
                    bytes: rest[..at].to_vec(),
                };
                let start = (self.offset - self.buffer_start) as usize + at;
                self.found = (payload.start + start..payload.end + start, payload.end);
                self.offset += at as u64;
                self.moved = true;
                return Ok(Some((boot_ns, Some(damage))));
            }
            from = at + 1;
        }
        self.at_end = true;
        self.buffer = Vec::new();
        Ok(None)
    }

    fn payload(&self) -> &[u8] {
        &self.buffer[self.found.0.clone()]
    }

    fn advance(&mut self) {
        self.offset += self.found.1 as u64;
        self.moved = true;
    }

    /// The bytes read from `offset` on.
    fn ahead(&self) -> &[u8] {
        let at = self.offset.saturating_sub(self.buffer_start) as usize;
        self.buffer.get(at..).unwrap_or_default()
    }

    /// Reads at least `needed` bytes from `start` on (fewer at the end of the segment).
    fn fill(&mut self, start: u64, needed: usize) -> Result<()> {
        let left = (self.size - start) as usize;
        let aim = needed.max(self.buffer_aim).min(left);
        let read = || -> std::io::Result<Vec<u8>> {
            let file = File::open(&self.path)?;
            let mut buffer = vec![0; aim];
            let mut got = 0;
            while got < aim {
                match file.read_at(&mut buffer[got..], start + got as u64)? {
                    // Cut by its writer since it was listed.
                    0 => break,
                    more => got += more,
                }
            }
            buffer.truncate(got);
            Ok(buffer)
        };
        self.buffer = read().map_err(|e| Error::io(self.path.display(), e))?;
        self.buffer_start = start;
        if self.buffer.len() < aim {
            self.size = start + self.buffer.len() as u64;
        }
        Ok(())
    }
}

/// What became of a segment that was read to its end.
#[derive(Debug, PartialEq, Eq)]
pub enum Removal {
    /// Its writer lives, or there is more to read.
    Kept,
    /// It is gone, or was before.
    Removed,
    /// It is gone; bytes at its end were neither a record nor the beginning of one.
    RemovedWithDamage,
}

/// Whether the writer of a segment has ended. What is abandoned stays so.
pub fn is_abandoned(spool: &Spool, name: &str) -> bool {
    File::open(spool.journal().join(name)).is_ok_and(|file| {
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
    })
}

/// Removes a segment whose writer has ended, if all of it up to `taken` was taken over **durably**
/// and nothing whole stands behind. Damage at its end goes to `set_aside` first. The caller syncs the
/// directory.
pub fn remove(
    spool: &Spool,
    name: &str,
    taken: u64,
    set_aside: impl FnOnce(&Damage) -> Result<()>,
) -> Result<Removal> {
    let path = spool.journal().join(name);
    let io = |e: std::io::Error| Error::io(path.display(), e);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == IoKind::NotFound => return Ok(Removal::Removed),
        Err(e) => return Err(io(e)),
    };
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(Removal::Kept);
    }
    // Under the lock the size is final: its writer is gone.
    let size = file.metadata().map_err(io)?.size();
    let mut tail = vec![0; size.saturating_sub(taken) as usize];
    file.read_exact_at(&mut tail, taken)
        .or_else(|e| match e.kind() {
            IoKind::UnexpectedEof => Ok(()),
            _ => Err(io(e)),
        })?;
    let mut from = 0;
    while let Some(at) = segment::find_record(&tail, from) {
        if matches!(segment::parse_record(&tail[at..]), Parsed::Record { .. }) {
            return Ok(Removal::Kept);
        }
        from = at + 1;
    }
    let torn = tail.iter().all(|&byte| byte == 0)
        || matches!(segment::parse_record(&tail), Parsed::Partial { .. });
    if !torn {
        set_aside(&Damage {
            segment: name.to_owned(),
            offset: taken,
            bytes: tail,
        })?;
    }
    fs::remove_file(&path).map_err(io)?;
    Ok(if torn {
        Removal::Removed
    } else {
        Removal::RemovedWithDamage
    })
}

/// The names of all segments, the earliest first.
fn list(spool: &Spool) -> Result<Vec<String>> {
    let journal = spool.journal();
    let entries = match fs::read_dir(&journal) {
        Ok(entries) => entries,
        Err(e) if e.kind() == IoKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io(journal.display(), e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| Error::io(journal.display(), e))?;
        if let Ok(name) = entry.file_name().into_string()
            && name.ends_with(".log")
        {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn header_by_name(name: &str, about: &fs::Metadata) -> Header {
    let mut parts = name.split('-');
    let mut number = || {
        parts
            .next()
            .and_then(|part| part.parse::<u64>().ok())
            .unwrap_or(0)
    };
    Header {
        boot_count: u32::try_from(number()).unwrap_or(0),
        created_boot_ns: number(),
        created_wall_ms: about.mtime() * 1_000,
    }
}
