//! One segment being read: record after record, through a small buffer, past what is damaged.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind as IoKind, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::damage::Damage;
use super::segment::{self, BadHeader, HEADER_LEN, Header, Parsed, Piece, Position};
use crate::error::{Error, ErrorKind, Result};
use crate::spool::Spool;

/// One segment being read.
pub(super) struct Cursor {
    pub(super) name: String,
    path: PathBuf,
    pub(super) header: Header,
    /// Its size when the round began.
    size: u64,
    /// Up to here it is taken.
    pub(super) offset: u64,
    pub(super) moved: bool,
    pub(super) at_end: bool,
    /// Where the payload of the found record stands in `buffer`, and the record's end.
    found: (std::ops::Range<usize>, usize),
    buffer: Vec<u8>,
    buffer_start: u64,
    buffer_aim: usize,
}

impl Cursor {
    /// Opens a segment behind what is taken of it. Damage of its header is told at the first reading,
    /// and then as taken over: once.
    pub(super) fn open(
        spool: &Spool,
        name: String,
        taken: Option<u64>,
        buffer_aim: usize,
    ) -> Result<Option<(Self, Option<Damage>)>> {
        let path = spool.journal_dir().join(&name);
        let about = match fs::symlink_metadata(&path) {
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
        if cursor.offset >= cursor.size {
            // Nothing new: not even opened.
            cursor.at_end = true;
            return Ok(Some((cursor, None)));
        }
        cursor.fill(0, HEADER_LEN)?;
        let mut damage = None;
        cursor.header = match Header::decode(&cursor.buffer) {
            Ok(header) => header,
            Err(BadHeader::Newer) => return Err(newer(&cursor.path)),
            // The records still tell what they are; the name tells when.
            Err(BadHeader::Damaged | BadHeader::Short) => {
                if taken.is_none() {
                    damage = Some(Damage {
                        segment: cursor.name.clone(),
                        offset: 0,
                        bytes: cursor.buffer.iter().copied().take(HEADER_LEN).collect(),
                    });
                    cursor.moved = true;
                }
                header_by_name(&cursor.name, &about)
            }
        };
        Ok(Some((cursor, damage)))
    }

    /// Where the next record should begin.
    fn position(&self) -> Position {
        Position {
            created_boot_ns: self.header.created_boot_ns,
            offset: self.offset,
        }
    }

    /// Finds the next whole record, and the damage before it; `None` at the end of what can be read.
    pub(super) fn find(&mut self) -> Result<Option<(u64, Vec<Damage>)>> {
        let mut fresh = false;
        loop {
            match segment::parse_record(self.ahead(), self.position()) {
                Parsed::Record { boot_ns, payload } => {
                    self.found_at(payload);
                    return Ok(Some((boot_ns, Vec::new())));
                }
                Parsed::Partial { needed } if self.offset + needed as u64 <= self.size => {
                    self.fill(self.offset, needed)?;
                }
                // A cut record may have been overwritten between two reads: look once more.
                Parsed::Spoiled { .. } | Parsed::Damaged if !fresh && self.offset < self.size => {
                    fresh = true;
                    self.buffer.clear();
                    self.fill(self.offset, segment::RECORD_HEADER_LEN)?;
                }
                Parsed::Partial { .. } | Parsed::Spoiled { .. } | Parsed::Damaged => {
                    return self.skip_damage();
                }
            }
        }
    }

    /// Passes over bytes that are no record, if a whole record stands behind them.
    fn skip_damage(&mut self) -> Result<Option<(u64, Vec<Damage>)>> {
        let remaining = (self.size - self.offset.min(self.size)) as usize;
        if remaining > 0 {
            self.fill(self.offset, remaining)?;
        }
        let (damage, passed, record) = pieces(&self.name, self.ahead(), self.position());
        if let Some((boot_ns, payload)) = record {
            self.offset += passed as u64;
            self.moved = true;
            self.found_at(payload);
            return Ok(Some((boot_ns, damage)));
        }
        self.at_end = true;
        self.buffer = Vec::new();
        Ok(None)
    }

    /// The record whose payload stands in this range of [`ahead`](Self::ahead) is next.
    fn found_at(&mut self, payload: std::ops::Range<usize>) {
        let at = (self.offset - self.buffer_start) as usize;
        self.found = (payload.start + at..payload.end + at, payload.end);
    }

    pub(super) fn payload(&self) -> &[u8] {
        &self.buffer[self.found.0.clone()]
    }

    pub(super) fn advance(&mut self) {
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
            let file = open_for_reading(&self.path)?;
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
        self.buffer = match read() {
            // The sender has removed it while somebody else counts what waits: all of it is taken.
            Err(e) if e.kind() == IoKind::NotFound => Vec::new(),
            read => read.map_err(|e| Error::io(self.path.display(), e))?,
        };
        self.buffer_start = start;
        if self.buffer.len() < aim {
            self.size = start + self.buffer.len() as u64;
        }
        Ok(())
    }
}

/// The damage that `bytes`, the rest of a segment, begin with, how many bytes that is, and the whole
/// record behind it (its time, and its payload counted from there), if there is one.
#[expect(
    clippy::type_complexity,
    reason = "three answers of one walk, used in two places"
)]
pub(super) fn pieces(
    segment: &str,
    bytes: &[u8],
    position: Position,
) -> (Vec<Damage>, usize, Option<(u64, std::ops::Range<usize>)>) {
    let (mut damage, mut at) = (Vec::new(), 0);
    loop {
        let position = position.further(at);
        match segment::next_piece(&bytes[at..], position) {
            Piece::Record { boot_ns, payload } => return (damage, at, Some((boot_ns, payload))),
            Piece::Torn => return (damage, at, None),
            Piece::Damaged { length } => {
                damage.push(Damage {
                    segment: segment.to_owned(),
                    offset: position.offset,
                    bytes: bytes[at..at + length].to_vec(),
                });
                at += length;
            }
        }
    }
}

/// Opens a segment to read it. What has its name and is no file is not waited for.
pub(super) fn open_for_reading(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW)
        .open(path)
}

pub(super) fn newer(path: &Path) -> Error {
    Error::new(
        ErrorKind::Store,
        format!(
            "{}: written by a newer libmeditopia; deliver it with that version",
            path.display()
        ),
    )
}

pub(super) fn header_by_name(name: &str, about: &fs::Metadata) -> Header {
    let (boot_count, created_boot_ns) = segment::parse_name(name).unwrap_or_default();
    Header {
        boot_count,
        created_boot_ns,
        created_wall_ms: about.mtime() * 1_000,
    }
}

/// Where the first record of a segment stands behind a hole that was punched into what had been taken
/// over; `None` if it begins with a record, or nothing can be told.
///
/// For a sender that knows how far a segment is taken over a hole is nothing special: it reads behind.
/// But once that is lost, zeros at the beginning are not damage.
pub(crate) fn behind_hole(spool: &Spool, name: &str) -> Result<Option<u64>> {
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
