//! Checksums put right: what is left of a mutated file's structure gets checksums that fit it.

use crate::store::disk::Folder;
use crate::store::frame::{
    HEADER_LEN, Position, RECORD_HEADER_LEN, RECORD_MAGIC, u16_at, u32_at, u64_at,
};
use crate::store::{queue_file, rejected_file};

/// How the units of a kind of file begin: records, runs, rejected events.
struct Shape {
    magic: [u8; 4],
    header: usize,
    /// Where the checksum of the header stands; that of the payload follows it.
    crc_at: usize,
    /// Bytes of the payload, as the header says.
    payload: fn(&[u8]) -> usize,
}

const RECORD: Shape = Shape {
    magic: RECORD_MAGIC,
    header: RECORD_HEADER_LEN,
    crc_at: 24,
    payload: |header| u32_at(header, 4) as usize,
};
const RUN: Shape = Shape {
    magic: queue_file::RUN_MAGIC,
    header: queue_file::RUN_HEADER_LEN,
    crc_at: 32,
    payload: |header| {
        usize::from(u16_at(header, 8)) * queue_file::SLOT_LEN + u32_at(header, 4) as usize
    },
};
const EVENT: Shape = Shape {
    magic: rejected_file::RECORD_MAGIC,
    header: rejected_file::RECORD_HEADER_LEN,
    crc_at: 32,
    payload: |header| u32_at(header, 4) as usize,
};

/// Puts the checksums of a file right.
pub(super) fn seal(folder: Folder, bytes: &mut [u8]) {
    let shape = match folder {
        Folder::Queues => RUN,
        Folder::Rejected => EVENT,
        Folder::Ledger | Folder::Receipts | Folder::Damaged => RECORD,
    };
    let Some(header) = bytes.get_mut(..HEADER_LEN) else {
        return;
    };
    let crc = crc32c::crc32c(&header[..HEADER_LEN - 4]);
    header[HEADER_LEN - 4..].copy_from_slice(&crc.to_le_bytes());
    let nonce = nonce_of(header);
    let mut at = HEADER_LEN;
    while let Some(found) = next(&bytes[at..], &shape) {
        at += found;
        let position = Position {
            nonce,
            offset: at as u64,
        };
        at += seal_unit(&mut bytes[at..], &shape, position);
    }
}

fn next(bytes: &[u8], shape: &Shape) -> Option<usize> {
    let behind = bytes.len().checked_sub(shape.header)?;
    (0..=behind).find(|&at| bytes[at..].starts_with(&shape.magic))
}

/// Seals the unit that `bytes` begin with; says how long it is. One that claims more than there is gets the
/// checksum of its header, and what follows is looked at as if it had no payload.
fn seal_unit(bytes: &mut [u8], shape: &Shape, position: Position) -> usize {
    let end = shape.header.saturating_add((shape.payload)(bytes));
    let payload = bytes.get(shape.header..end);
    let crc = payload.map(|payload| position.checksum(payload));
    if let Some(crc) = crc {
        bytes[shape.crc_at + 4..shape.header].copy_from_slice(&crc.to_le_bytes());
    }
    let of_header = position.checksum(&bytes[..shape.crc_at]);
    bytes[shape.crc_at..shape.crc_at + 4].copy_from_slice(&of_header.to_le_bytes());
    match crc {
        Some(_) => end,
        None => shape.header,
    }
}

/// Sets the boot in which a ledger says that it was begun.
pub(super) fn set_boot(bytes: &mut [u8], boot_count: u32) {
    bytes[12..16].copy_from_slice(&boot_count.to_le_bytes());
    seal(Folder::Ledger, bytes);
}

/// The nonce that bytes of a header name.
fn nonce_of(header: &[u8]) -> u64 {
    u64_at(header, 24)
}
