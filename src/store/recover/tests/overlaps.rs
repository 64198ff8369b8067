//! Rejected events of which several files hold some: copies, and files that only a lost record named. A file
//! is found by its ids, so no two of the new store may have the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::owed::{change, damage_a_record, renumbered};
use super::{Repair, Spooled, rejected};
use crate::store::contract::{Change, Store};
use crate::store::frame::{FileHeader, Kind};
use crate::store::log_store::LogStore;
use crate::store::rejected_file::{encode, file_name};

/// Puts a file there that no record names.
fn put(spooled: &Spooled, number: u64, ids: &[i64]) -> PathBuf {
    let header = FileHeader {
        number,
        nonce: number,
        ..FileHeader::default()
    };
    let mut bytes = header.encode(Kind::Rejected).to_vec();
    for id in ids {
        let position = header.position(bytes.len() as u64);
        encode(&mut bytes, (*id, 1), &rejected(*id as usize), position);
    }
    let path = spooled.spool.dir().join("rejected").join(file_name(number));
    fs::write(&path, bytes).unwrap();
    path
}

fn ids(spooled: &Spooled) -> BTreeSet<i64> {
    spooled.read().rejected.into_keys().collect()
}

/// The ids of the store, and others.
fn with(spooled: &Spooled, others: &[i64]) -> BTreeSet<i64> {
    let known = spooled.contents.rejected.keys();
    known.chain(others).copied().collect()
}

#[test]
fn an_event_that_only_a_copy_still_holds_is_kept() {
    let spooled = Spooled::new();
    damage_a_record(&spooled);
    let path = spooled.names("rejected").remove(0);
    fs::copy(&path, renumbered(&path, 100)).unwrap();
    change(&path, |bytes| bytes[300] ^= 1);
    let done = spooled.recover(Repair::Replace);
    assert_eq!(spooled.read(), spooled.contents);
    assert_eq!(done.lost_rejected, 0, "{done:?}");
    let store = LogStore::open(&spooled.spool).unwrap();
    let counted = store.fold.rejected_counts.values().sum::<u64>();
    assert_eq!(counted, done.rejected);
}

#[test]
fn what_no_copy_holds_either_is_told_as_lost() {
    let spooled = Spooled::new();
    damage_a_record(&spooled);
    let path = spooled.names("rejected").remove(0);
    change(&path, |bytes| bytes[300] ^= 1);
    fs::copy(&path, renumbered(&path, 100)).unwrap();
    let done = spooled.recover(Repair::Replace);
    let missing = spooled.contents.rejected.len() - spooled.read().rejected.len();
    assert_eq!((done.lost_rejected, missing), (1, 1), "{done:?}");
}

#[test]
fn events_of_a_file_that_stand_around_those_of_another_are_all_found() {
    let spooled = Spooled::new();
    damage_a_record(&spooled);
    put(&spooled, 100, &[17, 30]);
    put(&spooled, 101, &[20, 22]);
    let done = spooled.recover(Repair::Replace);
    assert_eq!(done.lost_rejected, 0, "{done:?}");
    assert_eq!(ids(&spooled), with(&spooled, &[17, 20, 22, 30]));
    let store = LogStore::open(&spooled.spool).unwrap();
    for id in [17, 20, 22, 30] {
        let found = store.rejected(&[id]).unwrap();
        assert_eq!(found, [(id, rejected(id as usize))]);
    }
}

#[test]
fn a_file_that_begins_with_an_event_forgotten_in_another_one_is_not_searched_for_it() {
    let spooled = Spooled::new();
    let mut store = LogStore::open(&spooled.spool).unwrap();
    let last = *spooled.contents.rejected.keys().next_back().unwrap();
    let event = rejected(5);
    let forget = Change::Forget {
        rejected: last,
        event: &event,
    };
    store.commit(&[forget]).unwrap();
    drop(store);
    damage_a_record(&spooled);
    put(&spooled, 100, &[last, 40]);
    let done = spooled.recover(Repair::Replace);
    assert_eq!(done.lost_rejected, 0, "{done:?}");
    let mut expected = with(&spooled, &[40]);
    expected.remove(&last);
    assert_eq!(ids(&spooled), expected);
}

#[test]
fn events_whose_ids_are_far_apart_get_files_of_their_own() {
    let spooled = Spooled::new();
    damage_a_record(&spooled);
    put(&spooled, 100, &[17, 1 << 60]);
    let done = spooled.recover(Repair::Replace);
    assert_eq!(done.lost_rejected, 0, "{done:?}");
    assert_eq!(ids(&spooled), with(&spooled, &[17, 1 << 60]));
}
