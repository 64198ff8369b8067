//! Reads one segment: record after record, through a small buffer, skipping what is damaged.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind as IoKind, Read};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::damage::Damage;
use super::segment::{self, BadHeader, HEADER_LEN, Header, Parsed, Piece, Position};
use crate::error::{Error, ErrorKind, Result};
use crate::spool::Spool;

/// One segment being read.
pub(super) struct SegmentReader {
    pub(super) name: String,
    path: PathBuf,
    pub(super) header: Header,
    /// The segment's size when the round began.
    size: u64,
    /// Up to here the segment is taken over or read.
    pub(super) offset: u64,
    /// `offset` has changed since the round last returned it.
    pub(super) moved: bool,
    /// No whole record stands behind `offset`.
    pub(super) at_end: bool,
    /// Where the payload of the found record is in `buffer`.
    found_payload: Range<usize>,
    /// The length of the found record.
    found_length: usize,
    buffer: Vec<u8>,
    buffer_start: u64,
    buffer_size: usize,
}

impl SegmentReader {
    /// Opens a segment behind `taken`. A damaged header is reported once: at the first reading,
    /// after which the header counts as taken over.
    pub(super) fn open(
        spool: &Spool,
        name: String,
        taken: Option<u64>,
        buffer_size: usize,
    ) -> Result<Option<(Self, Option<Damage>)>> {
        let path = spool.journal_dir().join(&name);
        let about = match fs::symlink_metadata(&path) {
            Ok(about) => about,
            // The sender has removed it, if that is another process; otherwise an operator has.
            Err(e) if e.kind() == IoKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(path.display(), e)),
        };
        let mut reader = Self {
            header: Header {
                boot_count: 0,
                created_boot_ns: 0,
                created_wall_ms: 0,
            },
            size: about.len(),
            offset: taken.unwrap_or(HEADER_LEN as u64),
            moved: false,
            at_end: false,
            found_payload: 0..0,
            found_length: 0,
            buffer: Vec::new(),
            buffer_start: 0,
            buffer_size,
            name,
            path,
        };
        if reader.offset >= reader.size {
            // Nothing new: the file is not even opened.
            reader.at_end = true;
            return Ok(Some((reader, None)));
        }
        reader.fill(0, HEADER_LEN)?;
        let mut damage = None;
        reader.header = match Header::decode(&reader.buffer) {
            Ok(header) => header,
            Err(BadHeader::Newer) => return Err(newer_version(&reader.path)),
            // The records have checksums of their own; the file name has the time of creation.
            Err(BadHeader::Damaged | BadHeader::Short) => {
                if taken.is_none() {
                    damage = Some(Damage {
                        segment: reader.name.clone(),
                        offset: 0,
                        bytes: reader.buffer.iter().copied().take(HEADER_LEN).collect(),
                    });
                    reader.moved = true;
                }
                header_from_name(&reader.name, &about)
            }
        };
        Ok(Some((reader, damage)))
    }

    /// The position at which the next record should begin.
    fn position(&self) -> Position {
        Position {
            created_boot_ns: self.header.created_boot_ns,
            offset: self.offset,
        }
    }

    /// Finds the next whole record: its time, and the damage before it. `None` if there is none.
    pub(super) fn find_next(&mut self) -> Result<Option<(u64, Vec<Damage>)>> {
        let mut was_read_again = false;
        loop {
            match segment::parse_record(self.unread(), self.position()) {
                Parsed::Record { boot_ns, payload } => {
                    self.set_found(payload);
                    return Ok(Some((boot_ns, Vec::new())));
                }
                Parsed::Partial { needed } if self.offset + needed as u64 <= self.size => {
                    self.fill(self.offset, needed)?;
                }
                // The writer may have cut off a partial record, and written another one, between
                // two reads: read these bytes again.
                Parsed::DamagedPayload { .. } | Parsed::Damaged
                    if !was_read_again && self.offset < self.size =>
                {
                    was_read_again = true;
                    self.buffer.clear();
                    self.fill(self.offset, segment::RECORD_HEADER_LEN)?;
                }
                Parsed::Partial { .. } | Parsed::DamagedPayload { .. } | Parsed::Damaged => {
                    return self.skip_damage();
                }
            }
        }
    }

    /// Skips bytes that are no record, if a whole record stands behind them.
    fn skip_damage(&mut self) -> Result<Option<(u64, Vec<Damage>)>> {
        let remaining = (self.size - self.offset.min(self.size)) as usize;
        if remaining > 0 {
            self.fill(self.offset, remaining)?;
        }
        let found = find_record(&self.name, self.unread(), self.position());
        if let Some((boot_ns, payload)) = found.record {
            self.offset += found.skipped as u64;
            self.moved = true;
            self.set_found(payload);
            return Ok(Some((boot_ns, found.damage)));
        }
        self.at_end = true;
        self.buffer = Vec::new();
        Ok(None)
    }

    /// Makes the record whose payload is in this range of [`unread`](Self::unread) the found one.
    fn set_found(&mut self, payload: Range<usize>) {
        let at = (self.offset - self.buffer_start) as usize;
        self.found_length = payload.end;
        self.found_payload = payload.start + at..payload.end + at;
    }

    /// The payload of the found record.
    pub(super) fn payload(&self) -> &[u8] {
        &self.buffer[self.found_payload.clone()]
    }

    /// Moves behind the found record.
    pub(super) fn advance(&mut self) {
        self.offset += self.found_length as u64;
        self.moved = true;
    }

    /// The bytes of the buffer from `offset` on.
    fn unread(&self) -> &[u8] {
        let at = self.offset.saturating_sub(self.buffer_start) as usize;
        self.buffer.get(at..).unwrap_or_default()
    }

    /// Fills the buffer with at least `needed` bytes from `start` on, or up to the segment's end.
    fn fill(&mut self, start: u64, needed: usize) -> Result<()> {
        let left = (self.size - start) as usize;
        let wanted = needed.max(self.buffer_size).min(left);
        let read = || -> std::io::Result<Vec<u8>> {
            let file = open_for_reading(&self.path)?;
            let mut buffer = vec![0; wanted];
            let mut got = 0;
            while got < wanted {
                match file.read_at(&mut buffer[got..], start + got as u64)? {
                    // The writer has cut off a partial record since the segment was listed.
                    0 => break,
                    more => got += more,
                }
            }
            buffer.truncate(got);
            Ok(buffer)
        };
        self.buffer = match read() {
            // The sender has removed it while another process counts the backlog: it is taken over.
            Err(e) if e.kind() == IoKind::NotFound => Vec::new(),
            read => read.map_err(|e| Error::io(self.path.display(), e))?,
        };
        self.buffer_start = start;
        if self.buffer.len() < wanted {
            self.size = start + self.buffer.len() as u64;
        }
        Ok(())
    }
}

/// What [`find_record`] finds in the rest of a segment.
pub(super) struct Found {
    pub(super) damage: Vec<Damage>,
    /// Bytes before the record; if there is none, before a torn tail.
    pub(super) skipped: usize,
    /// The record's time, and where its payload is, counted from the record's start.
    pub(super) record: Option<(u64, Range<usize>)>,
}

/// Finds the first whole record in `bytes`, the rest of a segment from `position` on, and the
/// damage before it.
pub(super) fn find_record(segment: &str, bytes: &[u8], position: Position) -> Found {
    let mut found = Found {
        damage: Vec::new(),
        skipped: 0,
        record: None,
    };
    loop {
        let at = found.skipped;
        let position = position.plus(at);
        match segment::next_piece(&bytes[at..], position) {
            Piece::Record { boot_ns, payload } => {
                found.record = Some((boot_ns, payload));
                return found;
            }
            Piece::Torn => return found,
            Piece::Damaged { length } => {
                found.damage.push(Damage {
                    segment: segment.to_owned(),
                    offset: position.offset,
                    bytes: bytes[at..at + length].to_vec(),
                });
                found.skipped += length;
            }
        }
    }
}

/// Opens a segment to read it, without waiting if a pipe has its name.
pub(super) fn open_for_reading(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW)
        .open(path)
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

/// The header that a segment's file name and its metadata stand in for, where its own is damaged.
pub(super) fn header_from_name(name: &str, about: &fs::Metadata) -> Header {
    let (boot_count, created_boot_ns) = segment::parse_name(name).unwrap_or_default();
    Header {
        boot_count,
        created_boot_ns,
        created_wall_ms: about.mtime() * 1_000,
    }
}

/// The offset of the first record behind a hole that a sender punched into what had been taken
/// over; `None` if there is no hole, or no record behind it.
///
/// This is for a recovery that has lost how far the segment is taken over: zeros at the beginning
/// are not damage then. A sender that knows the offset reads behind the hole anyway.
pub(crate) fn first_record_after_hole(spool: &Spool, name: &str) -> Result<Option<u64>> {
    let path = spool.journal_dir().join(name);
    let read = || -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        open_for_reading(&path)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|e| Error::io(path.display(), e))?;
    let records = bytes.get(HEADER_LEN..).unwrap_or_default();
    let zeros = records.iter().take_while(|&&byte| byte == 0).count();
    let Some((_, created_boot_ns)) = segment::parse_name(name) else {
        return Ok(None);
    };
    let offset = (HEADER_LEN + zeros) as u64;
    let position = Position {
        created_boot_ns,
        offset,
    };
    let behind = segment::parse_record(&records[zeros..], position);
    Ok((zeros > 0 && !matches!(behind, Parsed::Damaged)).then_some(offset))
}
