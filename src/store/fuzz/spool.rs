//! The target of a whole store: files with any bytes, which a sender opens, others look into and a recovery
//! replaces.
//!
//! An input is a list of files: kind u8 | number u8 | place u8 | length u16 | bytes. It is read leniently, so
//! that most mutations leave most of it a list.

use std::sync::Arc;

use super::disk::MemoryDisk;
use super::recovered::{self, BOOT};
use super::{READ_AHEAD, SEALED, choices, seal};
use crate::store::disk::{Disk, Folder};
use crate::store::reader::ListPosition;
use crate::store::{
    Place, Reader, ReceiptFilter, RejectedFilter, RejectedReason, ledger, queue_file, rejected_file,
};

/// The kinds of files. The last one is a name without bytes: how far the ledger was synced.
const KINDS: u8 = 5;
const FILES_MAX: usize = 16;

/// The input of a list of files.
pub(super) fn pack(files: &[(Folder, String, Vec<u8>)]) -> Vec<u8> {
    let mut data = vec![SEALED];
    for (folder, name, bytes) in files {
        let (number, place) = match folder {
            Folder::Queues => {
                let (place, number) = queue_file::parse_name(name).unwrap_or((PLACE, 0));
                (number, place.lane << 1 | place.queue)
            }
            _ => (name.parse().unwrap_or(0), 0),
        };
        let kind = Folder::ALL.iter().position(|known| known == folder);
        data.extend([kind.unwrap_or(0) as u8, number as u8, place]);
        data.extend((bytes.len() as u16).to_le_bytes());
        data.extend(bytes);
    }
    data
}

const PLACE: Place = Place { lane: 0, queue: 0 };

/// A number of few bits that may be small or near the end of all numbers.
fn number(byte: u8) -> u64 {
    match byte {
        0..240 => u64::from(byte),
        _ => u64::MAX >> (255 - byte),
    }
}

pub(super) fn unpack(data: &[u8]) -> MemoryDisk {
    let disk = MemoryDisk::default();
    let Some((choices, bytes)) = choices(data) else {
        return disk;
    };
    let mut rest = &bytes[..];
    for _ in 0..FILES_MAX {
        let Some((&[kind, name, place, low, high], behind)) = rest.split_first_chunk() else {
            break;
        };
        let length = usize::from(u16::from_le_bytes([low, high])).min(behind.len());
        let (content, behind) = behind.split_at(length);
        rest = behind;
        let name = number(name);
        let place = Place {
            lane: place >> 1,
            queue: place & 1,
        };
        let (folder, name) = match kind % KINDS {
            0 => (Folder::Ledger, ledger::file_name(name)),
            1 => (Folder::Receipts, ledger::file_name(name)),
            2 => (Folder::Queues, queue_file::file_name(place, name)),
            3 => (Folder::Rejected, rejected_file::file_name(name)),
            _ => (Folder::Ledger, format!("synced.{name:016}")),
        };
        let mut content = content.to_vec();
        if choices & SEALED != 0 {
            seal::seal(folder, &mut content);
        }
        disk.put(folder, &name, content);
    }
    disk
}

pub(super) fn run(data: &[u8]) {
    let disk = unpack(data);
    let mut seen = None;
    for boot_count in [BOOT + 1, BOOT] {
        let copy = disk.copy();
        look(&copy, boot_count);
        seen = recovered::read(&copy, boot_count);
        if let Some(seen) = &seen {
            // The sender that follows finds what the last one has found.
            assert_eq!(recovered::read(&copy, boot_count).as_ref(), Some(seen));
        }
        assert!(copy.largest_read() <= READ_AHEAD + disk.size());
    }
    // A store whose sums are wrong is no sender's; then it is not said what is lost.
    let seen = seen.filter(|seen| seen.waiting() == seen.pending);
    recovered::check(&disk, seen.as_ref());
    assert!(disk.largest_read() <= READ_AHEAD + disk.size());
}

/// Reads all that a look can read.
fn look(disk: &MemoryDisk, boot_count: u32) {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let Ok(Some(mut reader)) = Reader::look(&disk, boot_count) else {
        return;
    };
    reader.totals();
    reader.offsets();
    for (lane, _) in reader.lanes() {
        reader.rest(lane);
        reader.has_pending(lane);
        for queue in [0, 1] {
            let _ = reader.first_runs_with(Place { lane, queue }, 5);
        }
    }
    let _ = reader.first_origin();
    let _ = reader.oldest_pending_ms();
    let mut position = ListPosition::from_run(0);
    while let Ok(runs) = reader.next_runs(&mut position, 2) {
        if runs.is_empty() {
            break;
        }
    }
    let refused = RejectedFilter {
        reason: Some(RejectedReason::Refused),
        may_be_delivered: Some(false),
        ..RejectedFilter::default()
    };
    for filter in [RejectedFilter::default(), refused] {
        let _ = reader.rejected(&filter, 3);
        let _ = reader.count_rejected(&filter);
    }
    reader.rejected_by_code();
    let receipts = reader.receipts(&ReceiptFilter::default(), usize::MAX);
    for (_, receipt) in receipts.into_iter().flatten() {
        receipt.shares.iter().count();
    }
    let _ = reader.refresh();
}
