//! The target of a queue's file.

use super::disk::MemoryDisk;
use super::{READ_AHEAD, SEALED, choices, seal};
use crate::store::Place;
use crate::store::disk::{Access, Folder};
use crate::store::frame::{FileHeader, HEADER_LEN, Kind};
use crate::store::queue_file::{self, QueueReader, RunHeader, encode_run};
use crate::store::recover::units_found;

/// The choice that runs end where the file says nothing of it.
const WITHOUT_END: u8 = 2;

pub(super) fn run(data: &[u8]) {
    let Some((choices, mut bytes)) = choices(data) else {
        return;
    };
    if choices & SEALED != 0 {
        seal::seal(Folder::Queues, &mut bytes);
    }
    let header = FileHeader::decode(&bytes, Kind::Queue);
    let header = header.unwrap_or_default();
    let place = Place {
        lane: header.lane,
        queue: header.queue,
    };
    let name = queue_file::file_name(place, header.number);
    let disk = MemoryDisk::default();
    disk.put(Folder::Queues, &name, bytes.clone());
    let end = match choices & WITHOUT_END {
        0 => bytes.len() as u64,
        _ => u64::MAX,
    };
    let read = read_runs(&disk, place, header.number, end, &bytes);
    let expected = queue_file::expected_header(place, header.number);
    let found = units_found(&disk, (Folder::Queues, &name), expected);
    assert!(found.starts_with(&read), "{read:?} {found:?}");
    assert!(disk.largest_read() <= READ_AHEAD + bytes.len());
}

/// Where the runs stand that a sender reads.
fn read_runs(
    disk: &MemoryDisk,
    place: Place,
    number: u64,
    end: u64,
    bytes: &[u8],
) -> Vec<(u64, u64)> {
    let mut read = Vec::new();
    let Ok(mut reader) = QueueReader::open(disk, place, number, end) else {
        assert!(queue_file::open(disk, place, number, Access::Read).is_err());
        return read;
    };
    let mut at = HEADER_LEN as u64;
    while let Ok(Some((stored, behind))) = reader.run_at(at) {
        assert!(behind > at && behind <= bytes.len() as u64);
        assert_eq!(stored.run.events().count(), stored.run.slots.len());
        let header = reader.header_at(at).unwrap().unwrap();
        let RunHeader { id, origin, .. } = header;
        assert_eq!((stored.id, stored.origin), (id, origin));
        let mut again = Vec::new();
        let position = reader.header.position(at);
        encode_run(
            &mut again,
            (id, origin, header.session),
            &stored.run,
            position,
        );
        let stands = &bytes[at as usize..behind as usize];
        // Two bytes of the header are not read, and have to be zeros.
        if stands[10..12] == [0, 0] {
            assert_eq!(again, stands);
        }
        read.push((at, behind));
        at = behind;
    }
    read
}
