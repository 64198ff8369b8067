//! What all files of the store have in common: a header, and records whose checksums are bound to
//! their place.
//!
//! Numbers are little-endian.
//!
//! ```text
//! file (64 bytes)     magic [8] | version u32 | boot count u32 | number u64 | nonce u64
//!                     | created wall_ms i64 | lane u8 | queue u8 | zeros [6] | first id u64 | zeros u32
//!                     | crc32c u32 of all before
//! record of a ledger  magic u32 | payload length u32 | seq u64 | durable u64
//!   (32 bytes)        | crc32c u32 of all before | crc32c u32 of the payload
//! ```
//!
//! Each checksum of a record also covers the file's nonce and the record's offset: blocks that an
//! earlier file has left, and bytes that the disk has written to a wrong place, are no record.
//!
//! A header of any version begins with magic and version and ends with its checksum, so that an older
//! library can tell a newer file from a damaged one.

use std::io;
use std::ops::Range;

use super::disk::DiskFile;
use super::guards::{Guard, is_up};

/// Bytes of a file's header.
pub(super) const HEADER_LEN: usize = 64;
/// The version of the files; an older library leaves newer ones alone.
pub(super) const VERSION: u32 = 1;
/// Bytes of a ledger's record before its payload.
pub(super) const RECORD_HEADER_LEN: usize = 32;
/// A longer length is damage.
pub(super) const PAYLOAD_MAX: usize = 16 * 1024 * 1024;
pub(super) const RECORD_MAGIC: [u8; 4] = *b"LREC";
/// The numbers that runs, receipts and rejected events can have, and records and files as well. No store
/// gives so many; one that says so would leave none above them for what follows.
pub(super) const GIVEN: Range<i64> = 0..1 << 62;

/// Whether a run, a receipt or a rejected event can have this id. The first one is 1.
pub(super) fn is_id(id: i64) -> bool {
    id > 0 && GIVEN.contains(&id)
}

/// Whether a record or a file can have this number.
pub(super) fn is_given(number: u64) -> bool {
    i64::try_from(number).is_ok_and(|number| GIVEN.contains(&number))
}

/// What a file of the store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Ledger,
    Queue,
    Rejected,
}

impl Kind {
    fn magic(self) -> [u8; 8] {
        match self {
            Self::Ledger => *b"MEDITLDG",
            Self::Queue => *b"MEDITQUE",
            Self::Rejected => *b"MEDITREJ",
        }
    }
}

/// What a file says about itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct FileHeader {
    /// How many boots of the host the spool had seen when the file was created.
    pub(super) boot_count: u32,
    /// The number in its name.
    pub(super) number: u64,
    /// What distinguishes its records from those of every other file.
    pub(super) nonce: u64,
    /// Wall time of its creation, in milliseconds.
    pub(super) created_ms: i64,
    /// Of a queue: its lane, and which of its two queues.
    pub(super) lane: u8,
    pub(super) queue: u8,
    /// The first id that it can hold: of a rejected event, or of a receipt.
    pub(super) first_id: i64,
}

/// Why bytes are not a header of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadHeader {
    /// Written by a newer version of this library.
    Newer(u32),
    /// Not a file of this kind, or damaged.
    Damaged,
}

impl FileHeader {
    /// The bytes at the beginning of the file.
    pub(super) fn encode(&self, kind: Kind) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..8].copy_from_slice(&kind.magic());
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.boot_count.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.nonce.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.created_ms.to_le_bytes());
        bytes[40] = self.lane;
        bytes[41] = self.queue;
        bytes[48..56].copy_from_slice(&self.first_id.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..HEADER_LEN - 4]);
        bytes[HEADER_LEN - 4..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header back.
    pub(super) fn decode(bytes: &[u8], kind: Kind) -> Result<Self, BadHeader> {
        let bytes: &[u8; HEADER_LEN] = bytes
            .get(..HEADER_LEN)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(BadHeader::Damaged)?;
        if bytes[..8] != kind.magic()
            || u32_at(bytes, HEADER_LEN - 4) != crc32c::crc32c(&bytes[..HEADER_LEN - 4])
        {
            return Err(BadHeader::Damaged);
        }
        match u32_at(bytes, 8) {
            VERSION => {}
            newer if newer > VERSION => return Err(BadHeader::Newer(newer)),
            _ => return Err(BadHeader::Damaged),
        }
        Ok(Self {
            boot_count: u32_at(bytes, 12),
            number: u64_at(bytes, 16),
            nonce: u64_at(bytes, 24),
            created_ms: u64_at(bytes, 32).cast_signed(),
            lane: bytes[40],
            queue: bytes[41],
            first_id: u64_at(bytes, 48).cast_signed(),
        })
    }

    /// Whether both are headers of the file with the same name.
    pub(super) fn is_of_same_file(&self, other: &Self) -> bool {
        let named = |header: &Self| (header.number, header.lane, header.queue);
        named(self) == named(other)
    }

    /// Where the record at `offset` of this file stands.
    pub(super) fn position(&self, offset: u64) -> Position {
        Position {
            nonce: self.nonce,
            offset,
        }
    }
}

/// Where a record stands: in which file, and where there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) nonce: u64,
    pub(super) offset: u64,
}

impl Position {
    /// The checksum of `bytes` at this position.
    pub(super) fn checksum(self, bytes: &[u8]) -> u32 {
        let mut seed = [0; 16];
        if is_up(Guard::Nonce) {
            seed[..8].copy_from_slice(&self.nonce.to_le_bytes());
        }
        seed[8..].copy_from_slice(&self.offset.to_le_bytes());
        crc32c::crc32c_append(crc32c::crc32c(&seed), bytes)
    }

    /// A position at `offset` where `bytes` have the checksum `crc`. If they stand in a file at that
    /// offset, it checks all that stands in the file: of a nonce, checksums see 32 bits only.
    pub(super) fn with_checksum(offset: u64, bytes: &[u8], crc: u32) -> Self {
        let at = |nonce| Self { nonce, offset };
        let none = at(0).checksum(bytes);
        // A checksum is linear in each bit of the nonce: solved for the lower 32, by elimination.
        let mut rows: [(u32, u32); 32] = [(0, 0); 32];
        for bit in 0..32 {
            let (mut sum, mut bits) = (at(1 << bit).checksum(bytes) ^ none, 1_u32 << bit);
            while sum != 0 {
                let row = &mut rows[sum.leading_zeros() as usize];
                if row.0 == 0 {
                    *row = (sum, bits);
                    break;
                }
                sum ^= row.0;
                bits ^= row.1;
            }
        }
        let (mut sum, mut nonce) = (crc ^ none, 0_u32);
        for (row, bits) in rows {
            if row != 0 && (sum ^ row) < sum {
                sum ^= row;
                nonce ^= bits;
            }
        }
        at(u64::from(nonce))
    }

    /// The position that is `bytes` behind this one.
    fn plus(self, bytes: usize) -> Self {
        Self {
            offset: self.offset + bytes as u64,
            ..self
        }
    }
}

/// The header of a ledger's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordHeader {
    pub(super) length: usize,
    /// Counts the records of all ledgers of a spool.
    pub(super) seq: u64,
    /// The highest `seq` that had been synced when this was written.
    pub(super) durable: u64,
    payload_crc: u32,
}

impl RecordHeader {
    /// Reads the header of the record at `position`.
    pub(super) fn decode(bytes: &[u8], position: Position) -> Option<Self> {
        let bytes = bytes.get(..RECORD_HEADER_LEN)?;
        let length = u32_at(bytes, 4) as usize;
        let is_sound = bytes[..4] == RECORD_MAGIC
            && length <= PAYLOAD_MAX
            && is_given(u64_at(bytes, 8))
            && u32_at(bytes, 24) == position.checksum(&bytes[..24]);
        is_sound.then(|| Self {
            length,
            seq: u64_at(bytes, 8),
            durable: u64_at(bytes, 16),
            payload_crc: u32_at(bytes, 28),
        })
    }

    /// Whether `payload` is this record's.
    pub(super) fn matches(&self, payload: &[u8], position: Position) -> bool {
        payload.len() == self.length && self.payload_crc == position.checksum(payload)
    }
}

/// Empties `buffer` and begins a record in it; its payload is appended next.
pub(super) fn begin_record(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.resize(RECORD_HEADER_LEN, 0);
}

/// Completes the record in `buffer`, which will stand at `position`.
pub(super) fn finish_record(buffer: &mut [u8], seq: u64, durable: u64, position: Position) {
    let (header, payload) = buffer.split_at_mut(RECORD_HEADER_LEN);
    header[..4].copy_from_slice(&RECORD_MAGIC);
    header[4..8].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    header[8..16].copy_from_slice(&seq.to_le_bytes());
    header[16..24].copy_from_slice(&durable.to_le_bytes());
    let crc = position.checksum(&header[..24]);
    header[24..28].copy_from_slice(&crc.to_le_bytes());
    header[28..].copy_from_slice(&position.checksum(payload).to_le_bytes());
}

/// The distance to the first whole header of a record in `bytes`, which begin at `position`.
pub(super) fn find_record_header(
    bytes: &[u8],
    position: Position,
) -> Option<(usize, RecordHeader)> {
    let mut from = 0;
    while let Some(found) = memchr_magic(&bytes[from..]) {
        let at = from + found;
        if let Some(header) = RecordHeader::decode(&bytes[at..], position.plus(at)) {
            return Some((at, header));
        }
        from = at + 1;
    }
    None
}

fn memchr_magic(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(RECORD_MAGIC.len())
        .position(|window| window == RECORD_MAGIC)
}

/// Reads exactly `length` bytes; fewer where the file ends.
pub(super) fn read_upto(file: &dyn DiskFile, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let got = file.read_at(&mut bytes, offset)?;
    bytes.truncate(got);
    Ok(bytes)
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    let mut word = [0; 2];
    word.copy_from_slice(&bytes[at..at + 2]);
    u16::from_le_bytes(word)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}
