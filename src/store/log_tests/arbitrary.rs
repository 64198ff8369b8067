//! Readers on bytes that nobody of ours has written: no panic, and no allocation that they do not justify.

use std::sync::Arc;

use proptest::prelude::*;

use super::formats::any_entry;
use super::sim_disk::SimDisk;
use super::world::run_of;
use crate::store::contract::Store;
use crate::store::disk::Folder;
use crate::store::entry::{Entry, RejectedFile, entries};
use crate::store::fold::Fold;
use crate::store::frame::{
    FileHeader, HEADER_LEN, Kind, Position, RecordHeader, begin_record, finish_record,
};
use crate::store::ledger;
use crate::store::log_store::LogStore;
use crate::store::queue_file::{self, QueueReader, encode_run};
use crate::store::rejected_file::{self, read_matching};
use crate::store::{Place, RejectedFilter};

const PLACE: Place = Place { lane: 0, queue: 0 };
/// What a reader may read at once of a short file.
const AT_ONCE: usize = 300 * 1024;

fn header(number: u64) -> FileHeader {
    FileHeader {
        boot_count: 1,
        number,
        nonce: 5,
        created_ms: 0,
        lane: 0,
        queue: 0,
        first_id: 1,
    }
}

fn apply_all(payload: &[u8], fold: &mut Fold) {
    for entry in entries(payload) {
        let Ok(entry) = entry else { break };
        if fold.apply(&entry).is_err() {
            break;
        }
    }
    fold.totals();
    fold.offsets();
    let of_snapshot: usize = fold
        .snapshot()
        .iter()
        .map(|entry| match entry {
            Entry::RejectedFile(file) => file.forgotten.len(),
            _ => 0,
        })
        .sum();
    assert!(of_snapshot < 1 << 24);
    for file in &fold.rejected {
        file.remaining();
    }
}

/// A queue file of `bytes` behind its header, and how many runs can be read.
fn read_queue(bytes: &[u8], end: u64) -> (usize, usize) {
    let disk = SimDisk::new();
    let mut file = header(1).encode(Kind::Queue).to_vec();
    file.extend_from_slice(bytes);
    disk.put(Folder::Queues, &queue_file::file_name(PLACE, 1), &file);
    let mut reader = QueueReader::open(&disk, PLACE, 1, end).unwrap();
    let (mut at, mut runs) = (HEADER_LEN as u64, 0);
    while let Ok(Some((_, behind))) = reader.run_at(at) {
        (at, runs) = (behind, runs + 1);
    }
    (runs, disk.with(|sim| sim.largest_read))
}

fn read_rejected(bytes: &[u8], end: u64) -> (usize, usize) {
    let disk = SimDisk::new();
    let mut file = header(1).encode(Kind::Rejected).to_vec();
    file.extend_from_slice(bytes);
    disk.put(Folder::Rejected, &rejected_file::file_name(1), &file);
    let known = RejectedFile {
        number: 1,
        first_id: 1,
        next_id: 100,
        end,
        forgotten: vec![0; 13],
    };
    let mut found = 0;
    let _ = read_matching(&disk, &[known], &RejectedFilter::default(), |_, _| {
        found += 1;
        true
    });
    (found, disk.with(|sim| sim.largest_read))
}

/// Puts a right checksum of the header behind bytes that claim whatever they like.
fn seal(bytes: &mut [u8], magic: &[u8; 4], crc_at: usize, offset: u64) {
    bytes[..4].copy_from_slice(magic);
    let crc = Position { nonce: 5, offset }.checksum(&bytes[..crc_at]);
    bytes[crc_at..crc_at + 4].copy_from_slice(&crc.to_le_bytes());
}

proptest! {
    #[test]
    fn any_bytes_are_a_header_a_record_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for kind in [Kind::Ledger, Kind::Queue, Kind::Rejected] {
            let _ = FileHeader::decode(&bytes, kind);
        }
        let position = Position { nonce: 5, offset: 64 };
        let _ = RecordHeader::decode(&bytes, position);
        let _ = crate::store::frame::find_record_header(&bytes, position);
        let _ = crate::store::Receipt::decode(&bytes);
        apply_all(&bytes, &mut Fold::default());
    }

    #[test]
    fn any_values_of_entries_are_folded_or_refused(
        known in proptest::collection::vec((1_u8..=25, proptest::collection::vec(any::<u8>(), 0..60)), 0..20)
    ) {
        let mut payload = Vec::new();
        for (tag, value) in known {
            payload.extend([tag, value.len() as u8]);
            payload.extend(value);
        }
        apply_all(&payload, &mut Fold::default());
    }

    #[test]
    fn any_bytes_behind_a_header_are_runs_and_rejected_events_or_damage(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..300),
        end in any::<u64>(),
    ) {
        prop_assert!(read_queue(&bytes, end).1 <= AT_ONCE);
        prop_assert!(read_rejected(&bytes, end).1 <= AT_ONCE);
        if bytes.len() >= 40 {
            // With a right checksum, but with lengths that nothing justifies.
            bytes[8..10].copy_from_slice(&3_u16.to_le_bytes());
            seal(&mut bytes, b"QRUN", 32, HEADER_LEN as u64);
            prop_assert!(read_queue(&bytes, end).1 <= AT_ONCE);
            bytes[24] %= 3;
            seal(&mut bytes, b"QREJ", 32, HEADER_LEN as u64);
            prop_assert!(read_rejected(&bytes, end).1 <= AT_ONCE);
        }
    }
}

#[test]
fn entries_of_any_values_neither_panic_nor_fill_memory() {
    let mut rng = fastrand::Rng::with_seed(1);
    for _ in 0..20_000 {
        let mut fold = Fold::default();
        for _ in 0..rng.usize(1..12) {
            if let Some(entry) = any_entry(rng.u8(1..=25), &mut rng) {
                let _ = fold.apply(&entry);
            }
        }
        apply_all(&[], &mut fold);
    }
}

#[test]
fn a_run_is_read_back_and_one_of_four_gigabytes_is_not_allocated() {
    let mut bytes = Vec::new();
    encode_run(
        &mut bytes,
        (1, 1, 7),
        &run_of(&[1, 2, 3]),
        Position {
            nonce: 5,
            offset: 64,
        },
    );
    assert_eq!(read_queue(&bytes, u64::MAX).0, 1);
    bytes[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    seal(&mut bytes, b"QRUN", 32, HEADER_LEN as u64);
    let (runs, largest) = read_queue(&bytes, u64::MAX);
    assert_eq!(runs, 0);
    assert!(largest <= AT_ONCE, "{largest}");
}

#[test]
fn a_ledger_of_any_entries_is_opened_or_refused() {
    let mut rng = fastrand::Rng::with_seed(2);
    let mut opened = 0;
    for round in 0..4_000 {
        let mut file = header(1).encode(Kind::Ledger).to_vec();
        for seq in 1..=rng.u64(1..6) {
            let position = Position {
                nonce: 5,
                offset: file.len() as u64,
            };
            let mut record = Vec::new();
            begin_record(&mut record);
            if seq == 1 {
                Entry::Snapshot { part: 0, of: 1 }.encode(&mut record);
            }
            for _ in 0..rng.usize(..3) {
                if let Some(entry) = any_entry(rng.u8(1..=25), &mut rng) {
                    entry.encode(&mut record);
                }
            }
            finish_record(&mut record, seq, rng.u64(..=seq), position);
            if rng.u8(..8) == 0 {
                // It claims to be longer than the file.
                record[4..8].copy_from_slice(&(16_000_000_u32).to_le_bytes());
                let crc = position.checksum(&record[..24]);
                record[24..28].copy_from_slice(&crc.to_le_bytes());
            }
            file.extend(record);
        }
        let disk = SimDisk::new();
        disk.put(Folder::Ledger, &ledger::file_name(1), &file);
        if let Ok(mut store) = LogStore::open_on(Arc::new(disk.clone()), 1 + round % 2) {
            opened += 1;
            let _ = store.runs(PLACE, 0, 10);
            let _ = store.first_origin();
            let _ = store.rejected(&[i64::MIN, 0, i64::MAX]);
            store.totals();
        }
        let largest = disk.with(|sim| sim.largest_read);
        assert!(largest <= AT_ONCE, "{largest}");
    }
    assert!(opened > 100, "{opened}");
}

#[test]
fn a_queue_that_has_a_file_twice_is_refused() {
    let file = |number| crate::store::entry::QueueFile { number, end: 100 };
    let of = |files: &[u64]| Entry::QueueFiles {
        place: PLACE,
        files: files.iter().map(|number| file(*number)).collect(),
    };
    let mut fold = Fold::default();
    assert_eq!(fold.apply(&of(&[2, 3, 1])), Ok(()));
    assert!(fold.apply(&of(&[2, 3, 2])).is_err());
}
