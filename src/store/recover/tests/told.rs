//! What a recovery says is lost: never less than is missing, and nothing where nothing is.

use std::fs;

use super::owed::{change, damage_a_record, second_run};
use super::{EVENTS, Repair, Spooled, lane_of};
use crate::error::ErrorKind;
use crate::store::contract::{Change, Store};
use crate::store::log_store::LogStore;
use crate::store::recover::recover;

#[test]
fn how_many_events_are_lost_is_unknown_where_ledger_and_queue_are_both_damaged() {
    let spooled = Spooled::new();
    let path = spooled.names("queues").pop().unwrap();
    let behind = second_run(&spooled.names("queues")[0]);
    let harms: [(&str, &dyn Fn()); 3] = [
        ("a bad run", &|| change(&path, |bytes| bytes[64] ^= 1)),
        ("a cut behind a run", &|| {
            let first = &spooled.names("queues")[0];
            change(first, |bytes| bytes.truncate(behind));
        }),
        ("a file that is gone", &|| fs::remove_file(&path).unwrap()),
    ];
    for (what, harm) in harms {
        spooled.restore();
        damage_a_record(&spooled);
        harm();
        let done = spooled.recover(Repair::Look);
        assert_eq!(done.lost_pending, None, "{what}");
    }
    spooled.restore();
    for folder in ["ledger", "receipts", "queues"] {
        for path in spooled.names(folder) {
            fs::remove_file(path).unwrap();
        }
    }
    assert_eq!(spooled.recover(Repair::Look).lost_pending, None);
}

#[test]
fn a_run_that_reads_as_zeros_is_missed() {
    let spooled = Spooled::new();
    let path = spooled.names("queues").pop().unwrap();
    change(&path, |bytes| bytes[64..].fill(0));
    let done = spooled.recover(Repair::Replace);
    let missing = spooled.contents.count() - done.pending;
    assert_eq!(missing % EVENTS as u64, 0);
    assert!(missing > 0);
    assert_eq!(done.lost_pending, Some(missing));
}

#[test]
fn what_a_killed_sender_left_behind_the_last_run_is_no_loss() {
    let spooled = Spooled::new();
    damage_a_record(&spooled);
    for path in spooled.names("queues") {
        change(&path, |bytes| bytes.extend([7; 50]));
    }
    // Files that were begun, and got no whole header.
    let queue = spooled.names("queues").remove(0);
    fs::write(queue.with_file_name("00.0.0000000000000900"), [7; 10]).unwrap();
    let rejected = spooled.names("rejected").remove(0);
    fs::write(rejected.with_file_name("0000000000000900"), [7; 10]).unwrap();
    let done = spooled.recover(Repair::Replace);
    assert_eq!((done.lost_pending, done.lost_rejected), (Some(0), 0));
    assert_eq!(spooled.read(), spooled.contents);
}

#[test]
fn rejected_events_that_only_a_lost_record_named_are_told_as_lost() {
    let spooled = Spooled::new();
    let path = spooled.names("rejected").remove(0);
    let end = spooled.files[&path].len();
    let mut store = LogStore::open(&spooled.spool).unwrap();
    let begin = store.ledger.end as usize;
    let event = super::rejected(90);
    store.commit(&[Change::Reject(&event)]).unwrap();
    let gap = begin..store.ledger.end as usize;
    store.commit(&[Change::AcceptedSince]).unwrap();
    drop(store);
    change(&spooled.ledger(), |bytes| bytes[gap].fill(0));
    change(&path, |bytes| bytes[end + 8] ^= 1);
    let done = spooled.recover(Repair::Replace);
    assert!(done.lost_rejected > 0, "{done:?}");
}

#[test]
fn a_file_that_cannot_be_read_now_is_not_told_as_lost() {
    let spooled = Spooled::new();
    for folder in ["queues", "rejected"] {
        spooled.restore();
        let path = spooled.names(folder).remove(0);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let failed = recover(&spooled.spool, Repair::Replace, lane_of).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Io, "{failed}");
        fs::remove_dir(&path).unwrap();
    }
}
