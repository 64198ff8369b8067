//! Reads one segment: record after record, through a buffer, skipping what is damaged.

use std::fs::File;
use std::io::ErrorKind as IoKind;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::damage::Damage;
use super::listing::NameAt;
use super::read_buffers::{Buffer, BufferNumber, FoundRecord};
use super::segment::{self, BadHeader, HEADER_LEN, Header, Parsed, Position};
use super::segment_look::Look;
use crate::error::{Error, ErrorKind, Result};
use crate::process::ClosedInChild;
use crate::spool::{Dir, Spool};

/// A segment that is changed while it is read is left for the next round after so many searches.
const SEARCHES_AT_MOST: usize = 10;

/// What a round keeps of a segment, of which there may be tens of thousands.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) name: NameAt,
    pub(super) header: Header,
    /// The segment's size when the round began.
    pub(super) size: u64,
    /// Up to here the segment is taken over or read.
    pub(super) offset: u64,
    /// `offset` has changed since the round last returned it.
    pub(super) moved: bool,
    /// No whole record stands behind `offset`.
    pub(super) at_end: bool,
    pub(super) buffer: BufferNumber,
}

impl Segment {
    /// A segment that nothing was read of yet, from `taken` on; `None` if its file is gone.
    pub(super) fn of(
        journal: &Dir,
        (name, at): (&str, NameAt),
        taken: Option<u64>,
    ) -> Result<Option<Self>> {
        // The sender has removed it, if that is another process; otherwise an operator has.
        let Some(size) = journal.size(name).map_err(|e| journal.error(name, e))? else {
            return Ok(None);
        };
        let offset = taken.unwrap_or(HEADER_LEN as u64);
        Ok(Some(Self {
            name: at,
            header: Header {
                boot_count: 0,
                created_boot_ns: 0,
                created_wall_ms: 0,
            },
            size,
            offset,
            moved: false,
            // If there is nothing new, the file is not even opened.
            at_end: offset >= size,
            buffer: BufferNumber::default(),
        }))
    }
}

/// A segment, and the buffer through which it is read.
pub(super) struct SegmentReader<'r> {
    pub(super) segment: &'r mut Segment,
    pub(super) buffer: &'r mut Buffer,
    pub(super) buffer_size: usize,
    pub(super) journal: &'r Dir,
    pub(super) name: &'r str,
}

impl SegmentReader<'_> {
    /// Reads the segment's header. A damaged one is reported once: at the first reading at which a record
    /// is found behind it. It counts as taken over then.
    pub(super) fn read_header(&mut self, taken: Option<u64>) -> Result<Option<Damage>> {
        // Most often, the next record stands in the same read.
        let is_near = self.segment.offset < self.buffer_size as u64;
        let ahead = if is_near { self.buffer_size } else { 0 };
        self.fill(0, HEADER_LEN, ahead)?;
        match Header::decode(&self.buffer.bytes) {
            Ok(header) => self.segment.header = header,
            Err(BadHeader::Newer) => return Err(newer_version(&self.journal.path(self.name))),
            // The records have checksums of their own; the file name has the time of creation.
            Err(BadHeader::Damaged | BadHeader::Short) => {
                let about = self.journal.about(self.name);
                let modified_s = about.map_or(0, |about| about.st_mtime);
                self.segment.header = header_from_name(self.name, modified_s);
                if taken.is_none() {
                    let header = self.buffer.bytes.get(..HEADER_LEN);
                    let header = header.unwrap_or(&self.buffer.bytes);
                    return Ok(Some(header_damage(self.name, header)));
                }
            }
        }
        Ok(None)
    }

    /// The position at which the next record should begin.
    fn position(&self) -> Position {
        Position {
            created_boot_ns: self.segment.header.created_boot_ns,
            offset: self.segment.offset,
        }
    }

    /// Finds the next whole record: its time, if there is one. The damage before it goes to `damage`.
    pub(super) fn find_next(&mut self, damage: &mut Vec<Damage>) -> Result<Option<u64>> {
        let mut was_read_again = false;
        let mut searches = 0;
        loop {
            let (offset, size) = (self.segment.offset, self.segment.size);
            match segment::parse_record(self.unread(), self.position()) {
                Parsed::Record { boot_ns, payload } => {
                    self.set_found(boot_ns, payload);
                    return Ok(Some(boot_ns));
                }
                Parsed::Partial { needed } if offset + needed as u64 <= size => {
                    self.fill(offset, needed, self.buffer_size)?;
                }
                // The writer may have cut off a partial record, and written another one, between
                // two reads: read these bytes again.
                Parsed::DamagedPayload { .. } | Parsed::Damaged
                    if !was_read_again && offset < size =>
                {
                    was_read_again = true;
                    self.fill(offset, segment::RECORD_HEADER_LEN, self.buffer_size)?;
                }
                Parsed::Partial { .. } | Parsed::DamagedPayload { .. } | Parsed::Damaged => {
                    searches += 1;
                    if searches > SEARCHES_AT_MOST || !self.skip_damage(damage)? {
                        self.segment.at_end = true;
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Skips bytes that are no record, if a whole record stands behind them.
    fn skip_damage(&mut self, damage: &mut Vec<Damage>) -> Result<bool> {
        let (journal, name) = (self.journal, self.name);
        if self.segment.offset >= self.segment.size {
            return Ok(false);
        }
        let search = journal.open(name).and_then(|file| {
            let mut look = Look::open(file, self.segment.size);
            look.created_boot_ns = self.segment.header.created_boot_ns;
            look.find_record(name, self.segment.offset)
        });
        let found = match search {
            Ok(found) => found,
            // The sender has removed it while another process reads: it is taken over.
            Err(e) if e.kind() == IoKind::NotFound => return Ok(false),
            Err(e) => return Err(journal.error(name, e)),
        };
        if found.is_record {
            self.segment.offset = found.upto;
            self.segment.moved = true;
            damage.extend(found.damage);
        }
        Ok(found.is_record)
    }

    /// Makes the record whose payload is in this range of [`unread`](Self::unread) the found one.
    fn set_found(&mut self, boot_ns: u64, payload: Range<usize>) {
        let at = (self.segment.offset - self.buffer.start) as usize;
        self.buffer.found = Some(FoundRecord {
            boot_ns,
            length: payload.end,
            payload: payload.start + at..payload.end + at,
        });
    }

    /// Takes the found record: it is read, and the segment goes on behind it. Returns its payload.
    pub(super) fn take(&mut self, found: &FoundRecord) -> &[u8] {
        self.buffer.found = None;
        self.segment.offset += found.length as u64;
        self.segment.moved = true;
        self.buffer
            .bytes
            .get(found.payload.clone())
            .unwrap_or_default()
    }

    /// The bytes of the buffer from the segment's offset on.
    fn unread(&self) -> &[u8] {
        let at = self.segment.offset.checked_sub(self.buffer.start);
        at.and_then(|at| self.buffer.bytes.get(at as usize..))
            .unwrap_or_default()
    }

    /// Fills the buffer with `needed` bytes from `start` on, and more up to `ahead`, or up to the
    /// segment's end.
    fn fill(&mut self, start: u64, needed: usize, ahead: usize) -> Result<()> {
        let left = self.segment.size.saturating_sub(start) as usize;
        let wanted = needed.max(ahead).min(left);
        let (journal, name) = (self.journal, self.name);
        let bytes = &mut self.buffer.bytes;
        let kept = 2 * wanted.max(self.buffer_size);
        if !(wanted..=kept).contains(&bytes.capacity()) {
            *bytes = Vec::with_capacity(wanted);
        }
        bytes.resize(wanted, 0);
        let got = match journal
            .open(name)
            .and_then(|file| read_at(&file, bytes, start))
        {
            // The sender has removed it while another process reads: it is taken over.
            Err(e) if e.kind() == IoKind::NotFound => 0,
            read => read.map_err(|e| journal.error(name, e))?,
        };
        bytes.truncate(got);
        self.buffer.start = start;
        self.buffer.found = None;
        if got < wanted {
            self.segment.size = start + got as u64;
        }
        Ok(())
    }
}

/// Fills `buffer` from `start` on; returns how many bytes there were.
pub(super) fn read_at(
    file: &ClosedInChild<File>,
    buffer: &mut [u8],
    start: u64,
) -> std::io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match file.read_at(&mut buffer[got..], start + got as u64) {
            // The writer has cut off a partial record since the size was read.
            Ok(0) => break,
            Ok(more) => got += more,
            Err(e) if e.kind() == IoKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    // Bytes of another file would look like damage.
    file.check()?;
    Ok(got)
}

/// The damage of a segment's header, of which these bytes are there.
pub(super) fn header_damage(segment: &str, header: &[u8]) -> Damage {
    Damage {
        segment: segment.to_owned(),
        offset: 0,
        length: header.len() as u64,
        is_zero: segment::is_zero(header),
    }
}

pub(super) fn newer_version(path: &Path) -> Error {
    Error::new(
        ErrorKind::Store,
        format!(
            "{}: written by a newer libmeditopia; deliver it with that version",
            path.display()
        ),
    )
}

/// The header that a segment's file name and the time of its last change stand in for, where its own is damaged.
pub(super) fn header_from_name(name: &str, modified_s: i64) -> Header {
    let (boot_count, created_boot_ns) = segment::parse_name(name).unwrap_or_default();
    Header {
        boot_count,
        created_boot_ns,
        created_wall_ms: modified_s.saturating_mul(1_000),
    }
}

/// The offset of the first record behind a hole that a sender punched into what had been taken
/// over; `None` if there is no hole, or no record behind it.
///
/// This is for a recovery that has lost how far the segment is taken over: zeros at the beginning
/// are not damage then. A sender that knows the offset reads behind the hole anyway.
pub(crate) fn first_record_after_hole(spool: &Spool, name: &str) -> Result<Option<u64>> {
    let journal = spool.journal().require()?;
    let Some((_, created_boot_ns)) = segment::parse_name(name) else {
        return Ok(None);
    };
    let look = || {
        let file = journal.open(name)?;
        let size = file.metadata()?.len();
        let mut look = Look::open(file, size);
        look.created_boot_ns = created_boot_ns;
        look.record_behind_zeros(HEADER_LEN as u64)
    };
    look().map_err(|e| journal.error(name, e))
}
