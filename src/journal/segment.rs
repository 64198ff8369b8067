//! The format of a journal segment: a header, then records.
//!
//! A record is one enqueue, of one event or of many: all of it survives a crash or none. Numbers are
//! little-endian.
//!
//! ```text
//! header (64 bytes)   magic "MEDITJRN" | version u32 | boot count u32 | created boot_ns u64
//!                     | created wall_ms i64 | zeros | crc32c u32 of all before
//! record (24 bytes)   magic u32 | crc32c u32 of all behind it | payload length u32 | events u32 | boot_ns u64
//!        payload      for each event: length u32 | JSON fragment
//! ```
//!
//! A record's time is read under its writer's lock before its write, so records of a segment are
//! sorted by time, and what happened before an append on this host has an earlier time.

use std::ops::Range;

/// Bytes of a segment's header.
pub const HEADER_LEN: usize = 64;
/// Bytes of a record before its payload.
pub const RECORD_HEADER_LEN: usize = 24;
/// Bytes before each fragment in a payload.
pub const FRAGMENT_PREFIX_LEN: usize = 4;
/// The largest payload of one record; a longer length is damage.
pub const PAYLOAD_MAX: usize = 64 * 1024 * 1024;

const SEGMENT_MAGIC: [u8; 8] = *b"MEDITJRN";
const RECORD_MAGIC: [u8; 4] = *b"MREC";
/// The version of this format; a newer one is left alone.
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
    /// The header as it stands at the beginning of the file.
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

/// Starts a record in `buffer`, which is emptied.
pub fn begin_record(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.resize(RECORD_HEADER_LEN, 0);
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

/// Completes the record in `buffer`.
pub fn finish_record(buffer: &mut [u8], events: u32, boot_ns: u64) {
    let payload = (buffer.len() - RECORD_HEADER_LEN) as u32;
    buffer[..4].copy_from_slice(&RECORD_MAGIC);
    buffer[8..12].copy_from_slice(&payload.to_le_bytes());
    buffer[12..16].copy_from_slice(&events.to_le_bytes());
    buffer[16..24].copy_from_slice(&boot_ns.to_le_bytes());
    let crc = crc32c::crc32c(&buffer[8..]);
    buffer[4..8].copy_from_slice(&crc.to_le_bytes());
}

/// What stands at a place of a segment.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A whole record.
    Record {
        /// Time since boot.
        boot_ns: u64,
        /// Number of events.
        events: u32,
        /// Where its payload stands in the bytes given.
        payload: Range<usize>,
    },
    /// The bytes end before the record does; it needs this many from its start on.
    Partial {
        /// Bytes from the record's start to its end, as far as they are known.
        needed: usize,
    },
    /// Not a record.
    Damaged,
}

/// Reads the record that begins at the start of `bytes`.
pub fn parse_record(bytes: &[u8]) -> Parsed {
    let known = bytes.len().min(4);
    if bytes[..known] != RECORD_MAGIC[..known] {
        return Parsed::Damaged;
    }
    if bytes.len() < RECORD_HEADER_LEN {
        return Parsed::Partial {
            needed: RECORD_HEADER_LEN,
        };
    }
    let payload = u32_at(bytes, 8) as usize;
    if payload > PAYLOAD_MAX {
        return Parsed::Damaged;
    }
    let end = RECORD_HEADER_LEN + payload;
    if bytes.len() < end {
        return Parsed::Partial { needed: end };
    }
    if u32_at(bytes, 4) != crc32c::crc32c(&bytes[8..end]) {
        return Parsed::Damaged;
    }
    Parsed::Record {
        boot_ns: u64_at(bytes, 16),
        events: u32_at(bytes, 12),
        payload: RECORD_HEADER_LEN..end,
    }
}

/// The offset of the first bytes at or behind `from` that look like the start of a record.
pub fn find_record(bytes: &[u8], from: usize) -> Option<usize> {
    (from..bytes.len()).find(|&at| {
        let rest = &bytes[at..];
        let known = rest.len().min(RECORD_MAGIC.len());
        rest[..known] == RECORD_MAGIC[..known]
    })
}

/// The fragments of a payload.
pub fn fragments(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = payload;
    std::iter::from_fn(move || {
        let length = u32_at(rest.get(..FRAGMENT_PREFIX_LEN)?, 0) as usize;
        let fragment = rest.get(FRAGMENT_PREFIX_LEN..FRAGMENT_PREFIX_LEN + length)?;
        rest = &rest[FRAGMENT_PREFIX_LEN + length..];
        Some(fragment)
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn record(fragments: &[&str], boot_ns: u64) -> Vec<u8> {
        let mut buffer = Vec::new();
        begin_record(&mut buffer);
        for fragment in fragments {
            push_fragment(&mut buffer, |out| {
                out.extend_from_slice(fragment.as_bytes());
                Ok::<_, ()>(())
            })
            .unwrap();
        }
        finish_record(&mut buffer, fragments.len() as u32, boot_ns);
        buffer
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let bytes = record(&["one", "", "three"], 7);
        let Parsed::Record {
            boot_ns,
            events,
            payload,
        } = parse_record(&bytes)
        else {
            panic!("not a record");
        };
        assert_eq!((boot_ns, events), (7, 3));
        let read: Vec<_> = fragments(&bytes[payload]).collect();
        assert_eq!(read, [&b"one"[..], b"", b"three"]);
    }

    #[test]
    fn every_cut_of_a_record_is_partial_and_never_damage() {
        let bytes = record(&["one", "two"], 7);
        for cut in 0..bytes.len() {
            match parse_record(&bytes[..cut]) {
                Parsed::Partial { needed } => assert!(needed > cut && needed <= bytes.len()),
                other => panic!("cut at {cut}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_in_a_record_is_noticed() {
        let bytes = record(&["one", "two"], 7);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(
                !matches!(parse_record(&flipped), Parsed::Record { .. }),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn a_header_reads_back_and_a_newer_or_damaged_one_does_not() {
        let header = Header {
            boot_count: 3,
            created_boot_ns: 5_000_000,
            created_wall_ms: 1_000,
        };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Ok(header));
        assert_eq!(header.wall_ms(7_000_000), 1_002);
        assert_eq!(Header::decode(&bytes[..63]), Err(BadHeader::Short));

        let mut newer = bytes;
        newer[8] = 2;
        let crc = crc32c::crc32c(&newer[..60]);
        newer[60..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(Header::decode(&newer), Err(BadHeader::Newer));

        let mut damaged = bytes;
        damaged[20] ^= 1;
        assert_eq!(Header::decode(&damaged), Err(BadHeader::Damaged));
    }
}
