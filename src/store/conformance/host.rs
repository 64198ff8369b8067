//! Sentences about the store of a host: how far its journal is taken over, and which receipts it keeps.

use std::collections::BTreeMap;

use super::kept::{Kept, Opened};
use super::samples::{REGULAR, all_runs, append, receipt, refused, rejected, some_runs};
use crate::store::contract::{Change, HostStore};
use crate::store::{DiskUse, Receipt};

fn host(store: &mut Opened) -> &mut dyn HostStore {
    store.host().unwrap()
}

fn offsets(store: &mut Opened) -> BTreeMap<String, u64> {
    host(store).offsets().into_iter().collect()
}

fn named<const N: usize>(offsets: [(&str, u64); N]) -> BTreeMap<String, u64> {
    offsets
        .into_iter()
        .map(|(name, upto)| (name.to_owned(), upto))
        .collect()
}

fn taken(segment: &str, upto: u64) -> Change<'_> {
    Change::Taken { segment, upto }
}

pub fn a_segment_is_taken_over_as_far_as_was_said_last(kept: &dyn Kept) {
    let mut store = kept.open();
    assert_eq!(offsets(&mut store), named([]));
    let changes = [
        taken("a.segment", 100),
        taken("b.segment", 1),
        taken("a.segment", 300),
    ];
    store.commit(&changes).unwrap();
    let expected = named([("a.segment", 300), ("b.segment", 1)]);
    assert_eq!(offsets(&mut store), expected);
    drop(store);
    let mut store = kept.open();
    assert_eq!(offsets(&mut store), expected);
    store.commit(&[taken("b.segment", u64::MAX)]).unwrap();
    drop(store);
    let expected = named([("a.segment", 300), ("b.segment", u64::MAX)]);
    assert_eq!(offsets(&mut kept.open()), expected);
}

pub fn a_segment_that_is_gone_has_no_offset_and_its_name_may_come_again(kept: &dyn Kept) {
    let mut store = kept.open();
    let changes = [taken("a.segment", 100), taken("b.segment", 200)];
    store.commit(&changes).unwrap();
    let gone = |segment| Change::Gone { segment };
    store
        .commit(&[gone("a.segment"), gone("unknown.segment")])
        .unwrap();
    assert_eq!(offsets(&mut store), named([("b.segment", 200)]));
    drop(store);
    let mut store = kept.open();
    assert_eq!(offsets(&mut store), named([("b.segment", 200)]));
    let changes = [
        taken("a.segment", 7),
        gone("b.segment"),
        taken("b.segment", 8),
    ];
    store.commit(&changes).unwrap();
    drop(store);
    let expected = named([("a.segment", 7), ("b.segment", 8)]);
    assert_eq!(offsets(&mut kept.open()), expected);
}

pub fn runs_and_the_offset_that_they_reach_are_there_together_or_not_at_all(kept: &dyn Kept) {
    let runs = some_runs(1, 3);
    let unknown = rejected(1);
    let chunk: Vec<Change<'_>> = [taken("a.segment", 100)]
        .into_iter()
        .chain(runs.iter().map(|run| append(REGULAR, run)))
        .collect();
    let mut in_vain = chunk.clone();
    in_vain.push(refused(&unknown));
    let check = |upto, runs| {
        let mut store = kept.open();
        let read = offsets(&mut store).get("a.segment").copied();
        let waiting = all_runs(&mut *store, REGULAR).len();
        assert_eq!((read, waiting), (upto, runs));
    };
    kept.open().commit(&in_vain).unwrap_err();
    check(None, 0);
    let mut store = kept.open();
    store.begin_joint_commit();
    store.commit(&chunk).unwrap();
    assert_eq!(offsets(&mut store), named([("a.segment", 100)]));
    drop(store);
    check(None, 0);
    kept.open().commit(&chunk).unwrap();
    check(Some(100), 3);
}

/// Commits a receipt of each of these times.
fn deliver(store: &mut Opened, times_ms: impl IntoIterator<Item = i64>) {
    for time_ms in times_ms {
        let changes = [Change::Receipt(&receipt(time_ms)), Change::Lanes(4)];
        store.commit(&changes).unwrap();
    }
}

fn times(kept: &dyn Kept) -> Vec<i64> {
    let receipts = kept.receipts();
    receipts.iter().map(|receipt| receipt.time_ms).collect()
}

pub fn receipts_are_kept_in_the_order_of_their_requests(kept: &dyn Kept) {
    let mut store = kept.open();
    let first = Receipt {
        http_status: 200,
        attempts: 3,
        ..receipt(1_000)
    };
    store.commit(&[Change::Receipt(&first)]).unwrap();
    // Two requests at once, and a clock that was set back.
    deliver(&mut store, [2_000, 2_000, 1_500, 3_000]);
    let receipts = kept.receipts();
    assert_eq!(receipts[0], first);
    assert_eq!(times(kept), [1_000, 2_000, 2_000, 1_500, 3_000]);
    drop(store);
    let mut store = kept.open();
    assert_eq!(kept.receipts(), receipts);
    deliver(&mut store, [2_999]);
    assert_eq!(times(kept), [1_000, 2_000, 2_000, 1_500, 3_000, 2_999]);
}

pub fn a_full_disk_keeps_no_receipts_and_everything_else(kept: &dyn Kept) {
    let mut store = kept.open();
    deliver(&mut store, [1_000]);
    host(&mut store).set_disk_use(DiskUse::Tight);
    let run = &some_runs(1, 1)[0];
    let changes = [
        append(REGULAR, run),
        Change::Receipt(&receipt(2_000)),
        taken("a.segment", 9),
    ];
    store.commit(&changes).unwrap();
    assert_eq!(times(kept), [1_000]);
    host(&mut store).set_disk_use(DiskUse::Roomy);
    deliver(&mut store, [3_000]);
    assert_eq!(times(kept), [1_000, 3_000]);
    assert_eq!(all_runs(&mut *store, REGULAR).len(), 1);
    assert_eq!(offsets(&mut store), named([("a.segment", 9)]));
}

pub fn receipts_that_are_too_old_are_forgotten_and_the_others_are_not(kept: &dyn Kept) {
    let forget = |store: &mut Opened, before_ms| {
        while host(store).forget_receipts(before_ms, 10_000).unwrap() {}
    };
    let mut store = kept.open();
    deliver(&mut store, [1_000, 2_000, 3_000]);
    drop(store);
    let mut store = kept.open();
    deliver(&mut store, [4_000, 5_000]);
    forget(&mut store, 1_000);
    assert_eq!(times(kept), [1_000, 2_000, 3_000, 4_000, 5_000]);
    forget(&mut store, 4_000);
    assert_eq!(times(kept), [4_000, 5_000]);
    drop(store);
    let mut store = kept.open();
    assert_eq!(times(kept), [4_000, 5_000]);
    forget(&mut store, i64::MAX);
    assert!(times(kept).is_empty());
    // What is kept now is counted anew.
    deliver(&mut store, [6_000]);
    drop(store);
    drop(kept.open());
    assert_eq!(times(kept), [6_000]);
}
