//! The format of a journal segment: a header, then records.
//!
//! A record is one enqueue of one event or of many: either all of it survives a crash, or none of
//! it. Numbers are little-endian.
//!
//! ```text
//! header (64 bytes)   magic "MEDITJRN" | version u32 | boot count u32 | created boot_ns u64
//!                     | created wall_ms i64 | zeros | crc32c u32 of all before
//! record (32 bytes)   magic u32 | payload length u32 | events u32 | events before u32 | boot_ns u64
//!                     | crc32c u32 of all before and of the record's position | crc32c u32 of the payload
//!        payload      for each event: length u32 | JSON fragment
//! ```
//!
//! A record's time is read under its writer's lock before its write, so records of a segment are
//! sorted by time, and what happened before an append on this host has an earlier time.
//!
//! A record's header has a checksum of its own, so that its length can be trusted without the
//! payload: a record that is cut short was being written, and everything else is damage of known
//! extent. The checksum also covers the record's [`Position`]: bytes that the disk has written to a
//! wrong place, or kept from an earlier file, are no record there.
//!
//! A record's header also says how many events the records before it have, so two headers tell how
//! many events stand between them, whatever their size, and although the sender may have given the
//! bytes between them back (`backlog`).
//!
//! A header of any version begins with magic and version and ends with its checksum, so that an
//! older library can distinguish a newer segment from a damaged one.

use std::ops::Range;

pub use self::search::{first_header, last_header};

mod search;
#[cfg(test)]
mod tests;

/// Bytes of a segment's header.
pub const HEADER_LEN: usize = 64;
/// Bytes of a record before its payload.
pub const RECORD_HEADER_LEN: usize = 32;
/// Bytes before each fragment in a payload.
pub const FRAGMENT_PREFIX_LEN: usize = 4;
/// The largest payload of one record; a longer length is damage.
pub const PAYLOAD_MAX: usize = 64 * 1024 * 1024;

const SEGMENT_MAGIC: [u8; 8] = *b"MEDITJRN";
const RECORD_MAGIC: [u8; 4] = *b"MREC";
/// Bytes of a record's header that its own checksum covers.
const CHECKED_LEN: usize = 24;
/// The version of this format. Segments of a newer version are left alone.
pub const VERSION: u32 = 1;

/// What a segment says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// How many boots of the host the spool had seen when the segment was created.
    pub boot_count: u32,
    /// Time since boot at creation, in nanoseconds.
    pub created_boot_ns: u64,
    /// Wall time at creation, in milliseconds since 1970.
    pub created_wall_ms: i64,
}

/// Why bytes are not a header of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadHeader {
    /// Too few bytes: its writer died while it created the segment.
    Short,
    /// Written by a newer version of this library.
    Newer,
    /// Not a segment, or damaged.
    Damaged,
}

impl Header {
    /// The bytes at the beginning of the file.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..8].copy_from_slice(&SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.boot_count.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.created_boot_ns.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.created_wall_ms.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..HEADER_LEN - 4]);
        bytes[HEADER_LEN - 4..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header back.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadHeader> {
        let Some(bytes) = bytes.get(..HEADER_LEN) else {
            return Err(BadHeader::Short);
        };
        if bytes[..8] != SEGMENT_MAGIC
            || u32_at(bytes, HEADER_LEN - 4) != crc32c::crc32c(&bytes[..HEADER_LEN - 4])
        {
            return Err(BadHeader::Damaged);
        }
        if u32_at(bytes, 8) > VERSION {
            return Err(BadHeader::Newer);
        }
        Ok(Self {
            boot_count: u32_at(bytes, 12),
            created_boot_ns: u64_at(bytes, 16),
            created_wall_ms: u64_at(bytes, 24).cast_signed(),
        })
    }

    /// The wall time of a record of this segment.
    pub fn wall_ms(&self, boot_ns: u64) -> i64 {
        let since_creation = boot_ns.saturating_sub(self.created_boot_ns) / 1_000_000;
        self.created_wall_ms.saturating_add_unsigned(since_creation)
    }
}

/// Empties `buffer` and begins a record in it.
pub fn begin_record(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.extend_from_slice(&[0; RECORD_HEADER_LEN]);
}

/// Appends one event's fragment, written by `fill`.
pub fn push_fragment<E>(
    buffer: &mut Vec<u8>,
    fill: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; FRAGMENT_PREFIX_LEN]);
    fill(buffer)?;
    let length = (buffer.len() - start - FRAGMENT_PREFIX_LEN) as u32;
    buffer[start..start + FRAGMENT_PREFIX_LEN].copy_from_slice(&length.to_le_bytes());
    Ok(())
}

/// Where a record stands: in which segment, and where there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// When its segment was created, as the segment's header and its file name say.
    pub created_boot_ns: u64,
    /// Bytes of the segment before the record.
    pub offset: u64,
}

impl Position {
    /// The position that is `bytes` behind this one.
    pub fn plus(self, bytes: usize) -> Self {
        Self {
            offset: self.offset + bytes as u64,
            ..self
        }
    }

    /// The checksum of a record's header at this position, which begins with `header`.
    fn checksum(self, header: &[u8]) -> u32 {
        let mut bytes = [0; 16 + CHECKED_LEN];
        bytes[..8].copy_from_slice(&self.created_boot_ns.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.offset.to_le_bytes());
        bytes[16..].copy_from_slice(&header[..CHECKED_LEN]);
        crc32c::crc32c(&bytes)
    }
}

/// What a record's header says of the record, beside its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader {
    /// Bytes of its payload.
    pub payload_len: u32,
    /// Its events.
    pub events: u32,
    /// The events of all records before it in its segment.
    pub events_before: u32,
    /// Time since boot of its enqueue.
    pub boot_ns: u64,
}

impl RecordHeader {
    fn encode(&self, payload_crc: u32, position: Position) -> [u8; RECORD_HEADER_LEN] {
        let mut bytes = [0; RECORD_HEADER_LEN];
        bytes[..4].copy_from_slice(&RECORD_MAGIC);
        bytes[4..8].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.events.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.events_before.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.boot_ns.to_le_bytes());
        let crc = position.checksum(&bytes);
        bytes[24..28].copy_from_slice(&crc.to_le_bytes());
        bytes[28..].copy_from_slice(&payload_crc.to_le_bytes());
        bytes
    }

    /// Reads the header at the start of `bytes`, which are at `position`; `None` if that is none,
    /// by the header's own checksum.
    pub fn decode(bytes: &[u8], position: Position) -> Option<Self> {
        let bytes = bytes.get(..RECORD_HEADER_LEN)?;
        is_header(bytes, position).then(|| Self {
            payload_len: u32_at(bytes, 4),
            events: u32_at(bytes, 8),
            events_before: u32_at(bytes, 12),
            boot_ns: u64_at(bytes, 16),
        })
    }

    /// Bytes of the whole record.
    pub fn record_len(&self) -> usize {
        RECORD_HEADER_LEN + self.payload_len as usize
    }
}

/// Completes the record in `buffer`, which will stand at `position`, behind records that have
/// `events_before` events.
pub fn finish_record(
    buffer: &mut [u8],
    events: u32,
    events_before: u32,
    boot_ns: u64,
    position: Position,
) {
    let (header, payload) = buffer.split_at_mut(RECORD_HEADER_LEN);
    let said = RecordHeader {
        payload_len: payload.len() as u32,
        events,
        events_before,
        boot_ns,
    };
    header.copy_from_slice(&said.encode(crc32c::crc32c(payload), position));
}

/// What [`parse_record`] finds.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A whole record.
    Record {
        /// Time since boot.
        boot_ns: u64,
        /// Where the payload is in the parsed bytes.
        payload: Range<usize>,
    },
    /// The bytes end before the record does.
    Partial {
        /// Bytes from the record's start to its end, or to the end of its header if that is cut.
        needed: usize,
    },
    /// A record whose header is valid and whose payload is not.
    DamagedPayload {
        /// Bytes from the record's start to its end.
        length: usize,
    },
    /// Not a record.
    Damaged,
}

/// Reads the record that begins at the start of `bytes`, which are at `position`.
pub fn parse_record(bytes: &[u8], position: Position) -> Parsed {
    let Some(header) = bytes.get(..RECORD_HEADER_LEN) else {
        return if may_begin_header(bytes, position) {
            Parsed::Partial {
                needed: RECORD_HEADER_LEN,
            }
        } else {
            Parsed::Damaged
        };
    };
    let Some(said) = RecordHeader::decode(header, position) else {
        return Parsed::Damaged;
    };
    let end = said.record_len();
    let Some(payload) = bytes.get(RECORD_HEADER_LEN..end) else {
        return Parsed::Partial { needed: end };
    };
    // A wrong number of fragments can only be a bug of the writer; no event of such a record may
    // vanish silently.
    if u32_at(header, CHECKED_LEN + 4) != crc32c::crc32c(payload)
        || count_fragments(payload) != Some(said.events)
    {
        return Parsed::DamagedPayload { length: end };
    }
    Parsed::Record {
        boot_ns: said.boot_ns,
        payload: RECORD_HEADER_LEN..end,
    }
}

/// Whether `bytes`, which are fewer than a record's header, may be the beginning of one.
fn may_begin_header(bytes: &[u8], position: Position) -> bool {
    let known = bytes.len().min(RECORD_MAGIC.len());
    let checked = bytes.get(..CHECKED_LEN + 4);
    bytes[..known] == RECORD_MAGIC[..known]
        && checked.is_none_or(|checked| is_header(checked, position))
}

/// Whether `bytes` begin with the header of a record at `position`, by the header's own checksum.
fn is_header(bytes: &[u8], position: Position) -> bool {
    bytes[..4] == RECORD_MAGIC
        && u32_at(bytes, 4) as usize <= PAYLOAD_MAX
        && u32_at(bytes, CHECKED_LEN) == position.checksum(bytes)
}

/// Whether all `bytes` are zero, so that there is nothing worth saving.
pub fn is_zero(bytes: &[u8]) -> bool {
    // Compared in blocks, which is many times as fast as byte by byte.
    const ZEROS: [u8; 4_096] = [0; 4_096];
    let mut blocks = bytes.chunks(ZEROS.len());
    blocks.all(|block| block == &ZEROS[..block.len()])
}

/// The fragments of a payload.
pub fn fragments(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = payload;
    std::iter::from_fn(move || split_fragment(&mut rest))
}

fn split_fragment<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, behind) = rest.split_at_checked(FRAGMENT_PREFIX_LEN)?;
    let (fragment, behind) = behind.split_at_checked(u32_at(length, 0) as usize)?;
    *rest = behind;
    Some(fragment)
}

/// The number of fragments; `None` if they are not exactly the payload.
fn count_fragments(payload: &[u8]) -> Option<u32> {
    let (mut rest, mut count) = (payload, 0_u32);
    while !rest.is_empty() {
        split_fragment(&mut rest)?;
        count = count.checked_add(1)?;
    }
    Some(count)
}

/// The file name of a segment: boot count and time of its header, the writer's pid, and a random
/// number that keeps names apart.
pub fn file_name(header: &Header, pid: i32, random: u32) -> String {
    format!(
        "{:08}-{:020}-{pid}-{random:08x}.segment",
        header.boot_count, header.created_boot_ns
    )
}

/// Boot count and time of creation from the name of a segment; `None` if the name is not a
/// segment's.
pub fn parse_name(name: &str) -> Option<(u32, u64)> {
    let mut parts = name.strip_suffix(".segment")?.splitn(3, '-');
    let boot_count = parts.next()?.parse().ok()?;
    let created_boot_ns = parts.next()?.parse().ok()?;
    parts.next()?;
    Some((boot_count, created_boot_ns))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}
