//! Records among bytes that may be damaged: found by their headers, whose checksums cover where they
//! stand.

use std::ops::Range;

use super::{
    Parsed, Position, RECORD_HEADER_LEN, RECORD_MAGIC, RecordHeader, is_zero, parse_record,
};

/// What [`next_piece`] finds in a segment to which nothing will be added.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// A whole record.
    Record {
        /// Time since boot.
        boot_ns: u64,
        /// Where the payload is in the parsed bytes.
        payload: Range<usize>,
    },
    /// Bytes that are no record: one whose payload is damaged, or everything up to the next header
    /// of a record.
    Damaged {
        /// How many.
        length: usize,
    },
    /// A record that was being written, or zeros, to the end.
    Torn,
}

/// Reads what begins at the start of `bytes`, the rest of a segment from `position` on.
pub fn next_piece(bytes: &[u8], position: Position) -> Piece {
    match parse_record(bytes, position) {
        Parsed::Record { boot_ns, payload } => Piece::Record { boot_ns, payload },
        Parsed::DamagedPayload { length } => Piece::Damaged { length },
        Parsed::Partial { .. } | Parsed::Damaged if bytes.is_empty() => Piece::Torn,
        parsed => match find_header(bytes, position) {
            Some(length) => Piece::Damaged { length },
            None if matches!(parsed, Parsed::Partial { .. }) || is_zero(bytes) => Piece::Torn,
            None => Piece::Damaged {
                length: bytes.len(),
            },
        },
    }
}

/// The distance to the next whole header of a record behind the start of `bytes`.
fn find_header(bytes: &[u8], position: Position) -> Option<usize> {
    let behind = bytes.get(1..)?;
    Some(1 + first_header(behind, position.plus(1))?.0)
}

/// The first whole header of a record in `bytes`, which are at `position`, and where it is.
pub fn first_header(bytes: &[u8], position: Position) -> Option<(usize, RecordHeader)> {
    headers(bytes, position).next()
}

/// The last whole header of a record in `bytes`, which are at `position`, and where it is.
pub fn last_header(bytes: &[u8], position: Position) -> Option<(usize, RecordHeader)> {
    headers(bytes, position).next_back()
}

/// Everything in `bytes` that is a record's header at its position. No event can hold one: an
/// event's bytes are JSON, and a header has zeros.
fn headers(
    bytes: &[u8],
    position: Position,
) -> impl DoubleEndedIterator<Item = (usize, RecordHeader)> {
    let windows = bytes.windows(RECORD_HEADER_LEN).enumerate();
    windows.filter_map(move |(at, window)| {
        if window[..4] != RECORD_MAGIC {
            return None;
        }
        Some((at, RecordHeader::decode(window, position.plus(at))?))
    })
}
