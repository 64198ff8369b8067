//! Looking for records in a segment whose bytes cannot be trusted, through a window.
//!
//! A file may say of itself that it has a terabyte. So nothing is allocated by its size: it is read in
//! windows, and holes are not read at all. A search gives up after as many bytes as the longest segment of
//! a writer has. Only an import that is queued as a whole makes a longer one.

use std::fs::File;
use std::io;

use super::damage::{Damage, data_from};
use super::open_segment::LONGEST_SEGMENT_BYTES;
use super::segment::{self, HEADER_LEN, Parsed, Position, RECORD_HEADER_LEN, RecordHeader};
use super::segment_reader::read_at;
use crate::process::ClosedInChild;

/// What is read at once: a small segment whole.
pub(super) const LOOK_BYTES: u64 = 4 * 1024;
/// How many bytes at a segment's end are searched for the last record. If that record is larger,
/// the headers are read from the first one on.
const SEARCH_BYTES: u64 = 256 * 1024;
/// What is read at once where one header after another is read.
const WALK_BYTES: u64 = 64 * 1024;
/// The same where all bytes are looked at.
const WINDOW_BYTES: u64 = 256 * 1024;
/// So many pieces of damage are told apart that stand one behind the other; the last one has the rest.
const PIECES_AT_ONCE: usize = 1_000;

/// A record's header, and where the record begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) offset: u64,
    pub(super) header: RecordHeader,
}

impl Found {
    pub(super) fn end(&self) -> u64 {
        self.offset + self.header.record_len() as u64
    }
}

/// What [`Look::find_record`] finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Search {
    /// The damage before the record, or before a torn tail.
    pub(super) damage: Vec<Damage>,
    /// Where the damage ends.
    pub(super) upto: u64,
    /// Whether a whole record stands there.
    pub(super) is_record: bool,
}

/// A segment of which single places are read.
pub(super) struct Look {
    file: ClosedInChild<File>,
    /// Its size, or less if it was cut while it was read.
    pub(super) size: u64,
    pub(super) created_boot_ns: u64,
    /// What was read last, and where it stands.
    read: Vec<u8>,
    start: u64,
    /// So many bytes may still be searched for a record, and for one that is not zero.
    left_to_search: u64,
    left_to_compare: u64,
}

impl Look {
    pub(super) fn open(file: ClosedInChild<File>, size: u64) -> Self {
        Self {
            file,
            size,
            created_boot_ns: 0,
            read: Vec::new(),
            start: 0,
            left_to_search: LONGEST_SEGMENT_BYTES,
            left_to_compare: LONGEST_SEGMENT_BYTES,
        }
    }

    /// Whether a search has ended before it knew all.
    pub(super) fn has_given_up(&self) -> bool {
        self.left_to_search == 0 || self.left_to_compare == 0
    }

    /// The bytes of the segment's header, as far as they are there.
    pub(super) fn header(&mut self) -> io::Result<&[u8]> {
        let bytes = self.bytes(0, HEADER_LEN as u64, LOOK_BYTES)?;
        Ok(bytes.get(..HEADER_LEN).unwrap_or(bytes))
    }

    /// The bytes from `from` on: `needed` ones, unless the segment ends before, and as many more as
    /// are there. What has to be read is read up to `ahead`.
    fn bytes(&mut self, from: u64, needed: u64, ahead: u64) -> io::Result<&[u8]> {
        let upto = (from + needed).min(self.size);
        let has_it = self.start <= from && upto <= self.start + self.read.len() as u64;
        if !has_it {
            let length = needed.max(ahead).min(self.size.saturating_sub(from));
            self.read.resize(length as usize, 0);
            let got = read_at(&self.file, &mut self.read, from)?;
            self.read.truncate(got);
            self.start = from;
            if (got as u64) < length {
                self.size = from + got as u64;
            }
        }
        let at = from.saturating_sub(self.start) as usize;
        Ok(self.read.get(at..).unwrap_or_default())
    }

    fn position(&self, offset: u64) -> Position {
        Position {
            created_boot_ns: self.created_boot_ns,
            offset,
        }
    }

    /// The first bytes at `from` or behind it that are no hole; the segment's end if there are none.
    fn data_from(&self, from: u64) -> io::Result<u64> {
        match from < self.size {
            true => Ok(data_from(&self.file, from)?.min(self.size)),
            false => Ok(self.size),
        }
    }

    /// Whether a record may begin in the bytes at `from`: they are the beginning of one that was cut
    /// short, or not zero.
    pub(super) fn begins_record(&mut self, from: u64) -> io::Result<bool> {
        let first = self.bytes(from, 1, LOOK_BYTES)?;
        Ok(first.first().is_some_and(|byte| *byte != 0))
    }

    /// Whether all bytes between two offsets are known to be zero.
    pub(super) fn is_zero(&mut self, from: u64, upto: u64) -> io::Result<bool> {
        let first = self.not_zero_from(from)?;
        Ok(first.is_none_or(|first| first >= upto))
    }

    /// Where the first byte at `from` or behind it stands that is not zero, or of which that is not known.
    fn not_zero_from(&mut self, from: u64) -> io::Result<Option<u64>> {
        let mut at = self.data_from(from)?;
        while at < self.size {
            let bytes = self.bytes(at, 1, WINDOW_BYTES)?;
            if !segment::is_zero(bytes) {
                let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
                return Ok(Some(at + zeros as u64));
            }
            let compared = bytes.len().max(1) as u64;
            self.left_to_compare = self.left_to_compare.saturating_sub(compared);
            at = self.data_from(at + compared)?;
            if self.left_to_compare == 0 {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// The first header of a record at `from` or behind it.
    pub(super) fn first_record(&mut self, from: u64) -> io::Result<Option<Found>> {
        let length = RECORD_HEADER_LEN as u64;
        let position = self.position(from);
        if let Some(header) = RecordHeader::decode(self.bytes(from, length, LOOK_BYTES)?, position)
        {
            return Ok(Some(Found {
                offset: from,
                header,
            }));
        }
        // A header begins with bytes that are not zero, and so in no hole.
        let mut offset = self.data_from(from)?;
        while offset + length <= self.size && self.left_to_search > 0 {
            let position = self.position(offset);
            let bytes = self.bytes(offset, length, WINDOW_BYTES)?;
            if let Some((at, header)) = segment::first_header(bytes, position) {
                let offset = offset + at as u64;
                return Ok(Some(Found { offset, header }));
            }
            // A header may begin in these bytes and end behind them.
            let searched = (bytes.len() as u64 + 1).saturating_sub(length).max(1);
            self.left_to_search = self.left_to_search.saturating_sub(searched);
            offset = self.data_from(offset + searched)?;
        }
        Ok(None)
    }

    /// The last header of a record: `first` or one behind it.
    pub(super) fn last_record(&mut self, first: Found) -> io::Result<Found> {
        let mut length = LOOK_BYTES;
        while length <= SEARCH_BYTES {
            let from = self.size.saturating_sub(length).max(first.offset);
            let position = self.position(from);
            let rest = self.size.saturating_sub(from);
            if let Some((at, header)) =
                segment::last_header(self.bytes(from, rest, rest)?, position)
            {
                let offset = from + at as u64;
                return Ok(Found { offset, header });
            }
            if from == first.offset {
                return Ok(first);
            }
            length *= 4;
        }
        let mut last = first;
        loop {
            let end = last.end();
            let position = self.position(end);
            let bytes = self.bytes(end, RECORD_HEADER_LEN as u64, WALK_BYTES)?;
            let next = match RecordHeader::decode(bytes, position) {
                Some(header) => Some(Found {
                    offset: end,
                    header,
                }),
                None => self.first_record(end)?,
            };
            match next {
                Some(next) => last = next,
                None => return Ok(last),
            }
        }
    }

    /// Finds the first whole record at `from` or behind it, and the damage before it. Of a segment to
    /// which nothing will be added, what stands behind the damage otherwise is torn: a record that was
    /// being written, or zeros, to the end.
    pub(super) fn find_record(&mut self, segment: &str, from: u64) -> io::Result<Search> {
        let mut found = Search {
            damage: Vec::new(),
            upto: from,
            is_record: false,
        };
        while found.upto < self.size {
            let at = found.upto;
            let next = match self.parse_record(at)? {
                Parsed::Record { .. } => {
                    found.is_record = true;
                    break;
                }
                Parsed::DamagedPayload { length } => at + length as u64,
                parsed => match self.first_record(at + 1)? {
                    Some(next) => next.offset,
                    None if matches!(parsed, Parsed::Partial { .. })
                        || self.is_zero(at, self.size)? =>
                    {
                        break;
                    }
                    None => self.size,
                },
            };
            // It was cut meanwhile.
            let next = next.min(self.size);
            let is_merged = found.damage.len() >= PIECES_AT_ONCE;
            match found.damage.last_mut() {
                Some(last) if is_merged => {
                    last.length = next - last.offset;
                    last.is_zero = false;
                }
                _ => found.damage.push(Damage {
                    segment: segment.to_owned(),
                    offset: at,
                    length: next - at,
                    is_zero: self.is_zero(at, next)?,
                }),
            }
            found.upto = next;
        }
        Ok(found)
    }

    /// Where a record, the beginning of one, or the segment's end stands behind zeros that begin at `from`.
    pub(super) fn record_behind_zeros(&mut self, from: u64) -> io::Result<Option<u64>> {
        let offset = self.not_zero_from(from)?.unwrap_or(self.size);
        let is_record = !matches!(self.parse_record(offset)?, Parsed::Damaged);
        Ok((offset > from && is_record).then_some(offset))
    }

    /// Reads the record that begins at `from`, as far as the segment has it.
    fn parse_record(&mut self, from: u64) -> io::Result<Parsed> {
        let position = self.position(from);
        let length = RECORD_HEADER_LEN as u64;
        let parsed = segment::parse_record(self.bytes(from, length, LOOK_BYTES)?, position);
        match parsed {
            Parsed::Partial { needed } if from + needed as u64 <= self.size => {
                let bytes = self.bytes(from, needed as u64, LOOK_BYTES)?;
                Ok(segment::parse_record(bytes, position))
            }
            parsed => Ok(parsed),
        }
    }
}
