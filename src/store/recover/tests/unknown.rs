//! A ledger that cannot be read, or not all of it: what the files hold, and what the journal is asked for
//! again.

use std::fs;

use super::{LANES, REGULAR, Repair, SUSPECTS, Spooled, contents};
use crate::error::ErrorKind;
use crate::store::contract::{FileStore, HostStore, Store};
use crate::store::log_store::LogStore;
use crate::store::recover::recover;

/// Overwrites part of a file with zeros.
fn zero(spooled: &Spooled, path: &std::path::Path, range: std::ops::Range<usize>) {
    let mut bytes = spooled.files[path].clone();
    let upto = range.end.min(bytes.len());
    bytes[range.start..upto].fill(0);
    fs::write(path, bytes).unwrap();
}

fn remove(spooled: &Spooled, folder: &str) {
    for path in spooled.names(folder) {
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn without_any_ledger_everything_is_rebuilt_from_the_files() {
    let spooled = Spooled::new();
    remove(&spooled, "ledger");
    remove(&spooled, "receipts");
    let done = spooled.recover(Repair::Replace);
    assert!(done.damage.unwrap().contains("ledger: is gone"));
    assert_eq!(done.lost_pending, None);
    let mut read_again = done.read_again;
    read_again.sort();
    assert_eq!(read_again, spooled.segments);
    let mut store = LogStore::open(&spooled.spool).unwrap();
    let found = contents(&mut store);
    // What was settled is there again.
    assert!(spooled.contents.events().is_subset(&found.events()));
    assert_eq!(found.count(), 13 * super::EVENTS as u64);
    assert_eq!(store.lanes(), LANES);
    let suspects = store.suspects();
    assert_eq!(suspects.len(), super::EVENTS);
    assert!(
        suspects
            .iter()
            .all(|suspect| suspect.waiting == 1 && suspect.lane == SUSPECTS.lane)
    );
    // It is not known any more which one was forgotten.
    assert_eq!(found.rejected.len(), 6);
}

#[test]
fn a_snapshot_that_cannot_be_read_is_replaced_by_the_file_before() {
    let spooled = Spooled::new();
    let ledger = spooled.ledger();
    zero(&spooled, &ledger, 64..128);
    let done = spooled.recover(Repair::Replace);
    assert_eq!(done.lost_pending, Some(0), "{done:?}");
    assert_eq!(done.receipts, 2);
    assert_eq!(done.read_again, [spooled.segments[1].clone()]);
    let mut store = LogStore::open(&spooled.spool).unwrap();
    assert_eq!(contents(&mut store), spooled.contents);
    assert_eq!(store.totals().delivered, 9);
    assert_eq!(store.lane(0).in_doubt.map(|batch| batch.events), Some(7));
    assert!(store.offsets().contains_key(&spooled.segments[0]));
    assert!(done.kept.unwrap().read_dir().unwrap().count() >= 1);
}

#[test]
fn receipts_of_a_damaged_ledger_are_kept() {
    let spooled = Spooled::new();
    let ledger = spooled.ledger();
    let end = spooled.files[&ledger].len();
    // Near the end, where the pause is noted.
    let what = b"refused";
    let bytes = &spooled.files[&ledger];
    let at = bytes
        .windows(what.len())
        .rposition(|window| window == what)
        .unwrap();
    zero(&spooled, &ledger, at..at + 2);
    assert!(at < end);
    let done = spooled.recover(Repair::Replace);
    assert_eq!((done.receipts, done.lost_pending), (2, Some(0)), "{done:?}");
    let found = spooled.recover(Repair::Look);
    assert_eq!((found.damage, found.receipts), (None, 2));
    assert_eq!(spooled.read(), spooled.contents);
}

#[test]
fn runs_behind_a_gap_of_the_ledger_wait_although_it_does_not_name_them() {
    let spooled = Spooled::new();
    let mut store = LogStore::open(&spooled.spool).unwrap();
    let begin = store.ledger.end as usize;
    for number in [90, 91] {
        if number == 91 {
            store.begin_queue_file(REGULAR).unwrap();
        }
        let run = super::run_of("even", number * super::EVENTS);
        store.commit(&[super::append(REGULAR, &run)]).unwrap();
    }
    let end = store.ledger.end as usize;
    // Behind the gap, records speak of other things.
    store
        .commit(&[crate::store::Change::AcceptedSince])
        .unwrap();
    let seq = store.committed();
    store.syncs().sync_until(seq).unwrap();
    drop(store);
    let ledger = spooled.ledger();
    let mut bytes = fs::read(&ledger).unwrap();
    bytes[begin..end].fill(0);
    fs::write(&ledger, bytes).unwrap();
    let done = spooled.recover(Repair::Replace);
    assert_eq!(done.lost_pending, Some(0), "{done:?}");
    assert_eq!(
        done.pending,
        spooled.contents.count() + 2 * super::EVENTS as u64
    );
    let found = spooled.read();
    assert!(found.waiting[&REGULAR].last().unwrap().contains("even-459"));
}

#[test]
fn a_ledger_that_is_cut_before_what_was_synced_when_a_segment_was_removed_is_damaged() {
    let spooled = Spooled::new();
    let mut store = LogStore::open(&spooled.spool).unwrap();
    let (begin, disk) = (store.ledger.end, store.disk());
    let run = super::run_of("even", 90 * super::EVENTS);
    store.commit(&[super::append(REGULAR, &run)]).unwrap();
    let point = store.note_sync_point();
    store.syncs().sync_until(point.seq()).unwrap();
    store.commit_sync_point().unwrap();
    point.mark(&*disk).unwrap();
    drop(store);
    let ledger = spooled.ledger();
    let bytes = fs::read(&ledger).unwrap();
    fs::write(&ledger, &bytes[..begin as usize]).unwrap();

    assert!(LogStore::open(&spooled.spool).is_err());
    let done = spooled.recover(Repair::Replace);
    assert!(done.damage.unwrap().contains("was synced"));
    assert_eq!(done.lost_pending, Some(0));
    let found = spooled.read();
    assert!(found.waiting[&REGULAR].last().unwrap().contains("even-454"));
}

#[test]
fn a_recovered_store_is_whole_if_the_host_restarts_before_anything_follows() {
    let spooled = Spooled::new();
    // The blocks of what was settled are given back: two runs at the beginning of the first file.
    let queue = spooled.names("queues").remove(0);
    let head = LogStore::open(&spooled.spool)
        .unwrap()
        .fold
        .queue(REGULAR)
        .position
        .head;
    zero(&spooled, &queue, 64..head.offset as usize);
    zero(&spooled, &spooled.ledger(), 64..128);
    let done = spooled.recover(Repair::Replace);
    assert_eq!(done.lost_pending, Some(0), "{done:?}");
    let disk = std::sync::Arc::new(crate::store::spool_disk::SpoolDisk::new(&spooled.spool));
    let boot = spooled.spool.boot_count() + 1;
    let mut store = LogStore::open_on(disk, boot).unwrap();
    assert_eq!(contents(&mut store), spooled.contents);
}

#[test]
fn a_store_of_a_newer_version_is_left_alone() {
    let spooled = Spooled::new();
    for folder in ["ledger", "queues", "rejected"] {
        spooled.restore();
        let path = spooled.names(folder).pop().unwrap();
        let mut bytes = spooled.files[&path].clone();
        bytes[8..12].copy_from_slice(&2_u32.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        fs::write(&path, bytes).unwrap();
        let before = spooled.read_files();
        let refused = recover(&spooled.spool, Repair::Replace, super::lane_of).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Store, "{refused}");
        assert!(refused.pause_reason().is_none(), "{refused}");
        assert!(spooled.read_files() == before);
    }
}
