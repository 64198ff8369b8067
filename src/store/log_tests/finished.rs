//! Finished ledgers in a copy of a live spool: one that was copied twice, and some of a later moment than the
//! ledger in use.

use std::sync::Arc;

use super::sim_disk::SimDisk;
use super::{run_of, spool};
use crate::store::contract::{Change, FileStore, Store};
use crate::store::disk::{Disk, Folder};
use crate::store::ledger::{self, file_name};
use crate::store::log_store::LogStore;
use crate::store::next_ledger::SpareLedger;
use crate::store::receipt_files::read_receipts;
use crate::store::recover::{Repair, recover_on};
use crate::store::{Receipt, ReceiptFilter, Shares};

fn open(disk: &SimDisk, boot: u32) -> LogStore {
    LogStore::open_on(Arc::new(disk.clone()), boot).unwrap()
}

fn deliver(store: &mut LogStore, time_ms: i64) {
    let run = run_of(0, 3);
    let receipt = Receipt {
        time_ms,
        http_status: 204,
        attempts: 1,
        events: 3,
        shares: Shares::of(run.events().map(|(fragment, _)| fragment)),
    };
    store.commit(&[Change::Receipt(&receipt)]).unwrap();
}

fn begin_next(store: &mut LogStore) {
    let spare = SpareLedger::take(&*store.disk()).unwrap();
    let next = store.begin_next_ledger(spare).unwrap();
    next.publish().unwrap();
    store.use_next_ledger(next);
}

/// The times of all receipts that are found.
fn times(disk: &SimDisk) -> Vec<i64> {
    let found = read_receipts(disk, &ReceiptFilter::default(), 0, 99).unwrap();
    found.iter().map(|(_, receipt)| receipt.time_ms).collect()
}

fn set_aside(disk: &SimDisk) -> Vec<Vec<u8>> {
    let files = disk.files().into_iter();
    let files = files.filter(|(folder, _)| *folder == Folder::Damaged);
    files
        .filter_map(|(folder, name)| disk.content(folder, &name))
        .collect()
}

#[test]
fn of_a_ledger_that_was_copied_twice_the_longer_one_is_kept_among_the_receipts() {
    let disk = SimDisk::new();
    let mut store = open(&disk, 1);
    deliver(&mut store, 1_000);
    let cut = store.ledger.end as usize;
    deliver(&mut store, 2_000);
    begin_next(&mut store);
    deliver(&mut store, 3_000);
    drop(store);
    let name = file_name(1);
    let whole = disk.content(Folder::Receipts, &name).unwrap();
    let short = &whole[..cut];
    for (in_ledger, in_receipts) in [(short, &whole[..]), (&whole[..], short), (&whole, &whole)] {
        let copy = disk.copy();
        copy.put(Folder::Ledger, &name, in_ledger);
        copy.put(Folder::Receipts, &name, in_receipts);
        drop(open(&copy, 1));
        assert_eq!(times(&copy), [1_000, 2_000, 3_000]);
        assert_eq!(ledger::numbers(&copy, Folder::Ledger).unwrap(), [2]);
        let other = in_ledger.len().min(in_receipts.len());
        assert_eq!(set_aside(&copy), [whole[..other].to_vec()]);
    }
}

/// A copy that has the first ledger as it was at first, and what followed it among the receipts: its names were
/// read before the ledger was finished, and theirs after the next one was.
fn spanning_two_ledgers() -> SimDisk {
    let disk = SimDisk::new();
    let mut store = open(&disk, 1);
    deliver(&mut store, 1_000);
    let first = disk.content(Folder::Ledger, &file_name(1)).unwrap();
    deliver(&mut store, 2_000);
    begin_next(&mut store);
    deliver(&mut store, 3_000);
    begin_next(&mut store);
    drop(store);
    disk.remove(Folder::Ledger, &file_name(3)).unwrap();
    disk.put(Folder::Ledger, &file_name(1), &first);
    disk
}

#[test]
fn the_next_ledger_gets_no_number_that_a_finished_one_has() {
    for boot in [1, 2] {
        let disk = spanning_two_ledgers();
        let finished = disk.content(Folder::Receipts, &file_name(2)).unwrap();
        let mut store = open(&disk, boot);
        assert_eq!(store.ledger.header.number, 3, "boot {boot}");
        deliver(&mut store, 4_000);
        begin_next(&mut store);
        deliver(&mut store, 5_000);
        assert_eq!(
            disk.content(Folder::Receipts, &file_name(2)).as_deref(),
            Some(&finished[..])
        );
        assert_eq!(times(&disk), [1_000, 2_000, 3_000, 4_000, 5_000]);
        assert_eq!(ledger::numbers(&disk, Folder::Ledger).unwrap(), [4]);
    }
}

#[test]
fn what_a_copy_delivers_is_listed_behind_the_receipts_of_a_later_moment_that_it_has() {
    for boot in [1, 2] {
        let disk = spanning_two_ledgers();
        let mut store = open(&disk, boot);
        deliver(&mut store, 4_000);
        assert_eq!(times(&disk), [1_000, 2_000, 3_000, 4_000], "boot {boot}");
        let since_3_s = ReceiptFilter {
            from_ms: Some(3_000),
            ..ReceiptFilter::default()
        };
        let found = read_receipts(&disk, &since_3_s, 0, 99).unwrap();
        assert_eq!(found.len(), 2, "boot {boot}");
    }
}

#[test]
fn a_copy_that_has_its_ledger_among_the_finished_ones_too_loses_no_receipt_of_either() {
    let disk = SimDisk::new();
    let mut store = open(&disk, 1);
    deliver(&mut store, 1_000);
    let first = disk.content(Folder::Ledger, &file_name(1)).unwrap();
    deliver(&mut store, 2_000);
    begin_next(&mut store);
    drop(store);
    disk.remove(Folder::Ledger, &file_name(2)).unwrap();
    disk.put(Folder::Ledger, &file_name(1), &first);
    let mut store = open(&disk, 1);
    for time_ms in [3_000, 4_000, 5_000] {
        deliver(&mut store, time_ms);
    }
    begin_next(&mut store);
    assert_eq!(times(&disk), [1_000, 2_000, 3_000, 4_000, 5_000]);
}

#[test]
fn a_number_of_a_finished_ledger_that_no_store_gives_does_not_use_the_numbers_up() {
    let disk = SimDisk::new();
    let mut store = open(&disk, 1);
    for number in [1 << 60, (1 << 61) - 1, (1 << 62) - 1] {
        disk.put(Folder::Receipts, &file_name(number), b"nothing of ours");
    }
    begin_next(&mut store);
    assert_eq!(store.ledger.header.number, 2);
}

#[test]
fn a_damaged_ledger_is_set_aside_also_where_a_finished_one_has_a_higher_number() {
    let (_parent, spool) = spool();
    let disk = spanning_two_ledgers();
    disk.remove(Folder::Receipts, &file_name(1)).unwrap();
    disk.tamper(Folder::Ledger, &file_name(1), |bytes| bytes[70] ^= 1);
    let damaged = disk.content(Folder::Ledger, &file_name(1)).unwrap();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let done = recover_on(&shared, &spool, Repair::Replace, |_, _| 0).unwrap();
    assert!(done.damage.is_some());
    assert_eq!(set_aside(&disk), [damaged]);
    let store = open(&disk, spool.boot_count());
    assert_eq!(store.ledger.header.number, 3);
    assert!(times(&disk).contains(&3_000));
}
