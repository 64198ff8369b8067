//! Records among bytes that may be damaged: found by their headers, whose checksums cover where they
//! stand.
//!
//! No event can hold a header at its own place: an event's bytes are JSON, and a header has zeros.

use memchr::{memchr_iter, memrchr_iter};

use super::{Position, RECORD_MAGIC, RecordHeader};

/// The first whole header of a record in `bytes`, which are at `position`, and where it is.
pub fn first_header(bytes: &[u8], position: Position) -> Option<(usize, RecordHeader)> {
    let mut begins = memchr_iter(RECORD_MAGIC[0], bytes);
    begins.find_map(|at| header_at(bytes, position, at))
}

/// The last whole header of a record in `bytes`, which are at `position`, and where it is.
pub fn last_header(bytes: &[u8], position: Position) -> Option<(usize, RecordHeader)> {
    let mut begins = memrchr_iter(RECORD_MAGIC[0], bytes);
    begins.find_map(|at| header_at(bytes, position, at))
}

fn header_at(bytes: &[u8], position: Position, at: usize) -> Option<(usize, RecordHeader)> {
    Some((at, RecordHeader::decode(&bytes[at..], position.plus(at))?))
}
