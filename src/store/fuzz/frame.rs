//! The target of what all files have in common, and of the records of a ledger.

use super::disk::MemoryDisk;
use super::{READ_AHEAD, SEALED, choices, seal};
use crate::store::Receipt;
use crate::store::disk::{Access, Disk, Folder};
use crate::store::entry::{Entry, entries};
use crate::store::frame::{
    FileHeader, HEADER_LEN, Kind, Position, RECORD_HEADER_LEN, begin_record, find_record_header,
    finish_record,
};
use crate::store::ledger::{self, Records};
use crate::store::recover::units_found;

pub(super) fn run(data: &[u8]) {
    let Some((choices, mut bytes)) = choices(data) else {
        return;
    };
    if choices & SEALED != 0 {
        seal::seal(Folder::Ledger, &mut bytes);
    }
    for kind in [Kind::Ledger, Kind::Queue, Kind::Rejected] {
        check_header(&bytes, kind);
    }
    check_nonce(&bytes);
    let Ok(header) = FileHeader::decode(&bytes, Kind::Ledger) else {
        return;
    };
    let name = ledger::file_name(header.number);
    let disk = MemoryDisk::default();
    disk.put(Folder::Ledger, &name, bytes.clone());
    let read = read_records(&disk, &name, &header, &bytes);
    let expected = FileHeader {
        number: header.number,
        ..FileHeader::default()
    };
    let found = units_found(&disk, (Folder::Ledger, &name), expected);
    assert!(found.starts_with(&read), "{read:?} {found:?}");
    check_what_is_behind(&disk, &name, &header, &bytes, &read);
    assert!(disk.largest_read() <= READ_AHEAD + bytes.len());
}

fn check_header(bytes: &[u8], kind: Kind) {
    if let Ok(header) = FileHeader::decode(bytes, kind) {
        let again = header.encode(kind);
        assert_eq!(FileHeader::decode(&again, kind), Ok(header));
        // Some bytes are not read, and have to be zeros.
        if bytes[42..48] == [0; 6] && bytes[56..60] == [0; 4] {
            assert_eq!(again, bytes[..HEADER_LEN]);
        }
    }
}

/// Whatever a checksum is, there is a nonce with which it is right.
fn check_nonce(bytes: &[u8]) {
    if let Some((crc, rest)) = bytes.split_first_chunk() {
        let crc = u32::from_le_bytes(*crc);
        let position = Position::with_checksum(rest.len() as u64, rest, crc);
        assert_eq!(position.checksum(rest), crc);
    }
}

/// Where the records stand that a sender reads.
fn read_records(
    disk: &MemoryDisk,
    name: &str,
    header: &FileHeader,
    bytes: &[u8],
) -> Vec<(u64, u64)> {
    let file = disk.open(Folder::Ledger, name, Access::Read).unwrap();
    let mut records = Records::new(&*file, header, HEADER_LEN as u64);
    let (mut at, mut read) = (HEADER_LEN as u64, Vec::new());
    while let Some((record, payload, end)) = records.next().unwrap() {
        assert!(end > at && end <= bytes.len() as u64);
        let mut again = Vec::new();
        begin_record(&mut again);
        again.extend_from_slice(payload);
        let position = header.position(at);
        finish_record(&mut again, record.seq, record.durable, position);
        assert_eq!(again, bytes[at as usize..end as usize]);
        for entry in entries(payload) {
            if let Ok(Entry::Receipt { bytes, .. }) = entry
                && let Some(receipt) = Receipt::decode(bytes)
            {
                receipt.shares.iter().count();
                assert_eq!(Receipt::decode(&receipt.encode()), Some(receipt));
            }
        }
        read.push((at, end));
        at = end;
    }
    read
}

/// The search for records behind a gap finds the same as a look at every byte.
fn check_what_is_behind(
    disk: &MemoryDisk,
    name: &str,
    header: &FileHeader,
    bytes: &[u8],
    read: &[(u64, u64)],
) {
    let file = disk.open(Folder::Ledger, name, Access::Read).unwrap();
    let end = read.last().map_or(HEADER_LEN as u64, |(_, end)| *end);
    let behind = ledger::durable_behind(&*file, header, (end, u64::MAX)).unwrap();
    let is_begun = ledger::is_record_begun(&*file, header, end).unwrap();
    let rest = bytes.get(end as usize..).unwrap_or_default();
    let first = find_record_header(rest, header.position(end));
    assert_eq!(behind.is_some(), first.is_some() && !is_begun);
    if let Some((at, record)) = first {
        assert!(at + RECORD_HEADER_LEN <= rest.len());
        assert!(is_begun || behind >= Some(record.durable));
    }
}
