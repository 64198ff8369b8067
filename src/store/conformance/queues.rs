//! Sentences about runs: how they are appended, read, settled and marked, and how they are counted.

use super::kept::Kept;
use super::samples::{
    REGULAR, SUSPECTS, all_runs, appended, mark, run, settle, some_runs, waiting,
};
use crate::store::contract::Change;
use crate::store::{Place, Run, StoredRun, Totals};

fn ids(runs: &[StoredRun]) -> Vec<i64> {
    runs.iter().map(|run| run.id).collect()
}

pub fn a_run_is_read_as_it_was_appended(kept: &dyn Kept) {
    let mut store = kept.open();
    // One event, and as many as a run can have: there is a bit for each.
    let runs = [run(1, 1), run(10, 3), run(100, 128)];
    let read = appended(kept, &mut *store, REGULAR, &runs);
    assert_eq!(read.len(), runs.len());
    for (stored, run) in read.iter().zip(&runs) {
        assert_eq!(stored.run, *run);
        assert_eq!(stored.marks, 0);
    }
}

pub fn runs_stand_in_the_order_of_their_changes_behind_those_of_earlier_commits(kept: &dyn Kept) {
    let mut store = kept.open();
    let runs = some_runs(1, 9);
    appended(kept, &mut *store, REGULAR, &runs[..2]);
    // Changes of other queues stand between them.
    let others: Vec<_> = runs[2..6]
        .iter()
        .flat_map(|run| [(REGULAR, run), (SUSPECTS, run)])
        .collect();
    kept.append(&mut *store, &others);
    let read = appended(kept, &mut *store, REGULAR, &runs[6..]);
    let read_runs: Vec<&Run> = read.iter().map(|stored| &stored.run).collect();
    assert_eq!(read_runs, runs.iter().collect::<Vec<_>>());
    assert!(ids(&read).is_sorted_by(|a, b| a < b), "{:?}", ids(&read));
    assert!(read[0].id > 0, "behind 0 stand all runs");
}

pub fn each_queue_of_each_lane_has_its_own_runs(kept: &dyn Kept) {
    let mut store = kept.open();
    let places: Vec<Place> = kept.has().places().collect();
    let runs: Vec<Run> = (1..=places.len()).map(|n| run(n * 10, n)).collect();
    let all: Vec<_> = places.iter().copied().zip(&runs).collect();
    kept.append(&mut *store, &all);
    for (place, run) in all {
        let read = all_runs(&mut *store, place);
        assert_eq!(read.len(), 1, "{place:?}");
        assert_eq!(read[0].run, *run, "{place:?}");
    }
}

pub fn runs_are_read_behind_the_one_that_is_named_and_no_more_than_the_limit(kept: &dyn Kept) {
    let mut store = kept.open();
    let all = appended(kept, &mut *store, REGULAR, &some_runs(1, 6));
    let settled = all[0].id;
    store.commit(&settle(REGULAR, &all[..1])).unwrap();
    let waiting = &all[1..];
    // Whatever was read before: forwards, backwards, and behind a run that is gone.
    for (after, limit, expected) in [
        (0, 2, &waiting[..2]),
        (waiting[1].id, 2, &waiting[2..4]),
        (waiting[3].id, 2, &waiting[4..]),
        (waiting[4].id, 2, &[]),
        (waiting[0].id, 1, &waiting[1..2]),
        (waiting[2].id, 9, &waiting[3..]),
        (0, 0, &[]),
        (settled, 3, &waiting[..3]),
        (i64::MAX, 3, &[]),
        (0, usize::MAX, waiting),
    ] {
        let read = store.runs(REGULAR, after, limit).unwrap();
        assert_eq!(ids(&read), ids(expected), "behind {after}, at most {limit}");
    }
    drop(store);
    let mut store = kept.open();
    let read = store.runs(REGULAR, waiting[1].id, 2).unwrap();
    assert_eq!(read, waiting[2..4]);
}

pub fn a_queue_of_long_runs_is_read_to_its_end_by_asking_behind_the_last_one(kept: &dyn Kept) {
    let mut store = kept.open();
    let long = "v".repeat(10_000);
    let runs: Vec<Run> = (0..12)
        .map(|number| {
            let mut run = Run::default();
            for at in 0..20 {
                run.push(format!("{number} {at} {long}").as_bytes(), at);
            }
            run
        })
        .collect();
    let all: Vec<_> = runs.iter().map(|run| (REGULAR, run)).collect();
    kept.append(&mut *store, &all);
    let (mut read, mut after) = (Vec::new(), 0);
    loop {
        let more = store.runs(REGULAR, after, 100).unwrap();
        let Some(last) = more.last() else { break };
        after = last.id;
        read.extend(more.into_iter().map(|stored| stored.run));
    }
    assert!(read == runs, "{} of {} runs", read.len(), runs.len());
}

pub fn settled_runs_are_gone_and_the_one_behind_them_is_the_first(kept: &dyn Kept) {
    let mut store = kept.open();
    let all = appended(kept, &mut *store, REGULAR, &some_runs(1, 5));
    let beside = appended(kept, &mut *store, SUSPECTS, &some_runs(6, 2));
    store.commit(&settle(REGULAR, &all[..2])).unwrap();
    assert_eq!(all_runs(&mut *store, REGULAR), all[2..]);
    drop(store);

    let mut store = kept.open();
    assert_eq!(all_runs(&mut *store, REGULAR), all[2..]);
    store.commit(&settle(REGULAR, &all[2..])).unwrap();
    assert_eq!(all_runs(&mut *store, REGULAR), []);
    assert_eq!(all_runs(&mut *store, SUSPECTS), beside);
    drop(store);

    let mut store = kept.open();
    assert_eq!(all_runs(&mut *store, REGULAR), []);
    let new = appended(kept, &mut *store, REGULAR, &some_runs(8, 1));
    assert_eq!(new.len(), 1);
    assert_eq!(new[0].run, some_runs(8, 1)[0]);
}

pub fn runs_are_settled_as_far_as_they_were_read_whatever_was_read_again(kept: &dyn Kept) {
    let mut store = kept.open();
    let all = appended(kept, &mut *store, REGULAR, &some_runs(1, 6));
    // All of them were read; now the first two are read once more.
    store.runs(REGULAR, 0, 2).unwrap();
    store.commit(&settle(REGULAR, &all[..4])).unwrap();
    assert_eq!(store.runs(REGULAR, 0, 1).unwrap(), all[4..5]);
    // What comes behind does not change what was read.
    let run = run(1, 2);
    kept.append(&mut *store, &[(REGULAR, &run)]);
    store.commit(&settle(REGULAR, &all[4..])).unwrap();
    let left = all_runs(&mut *store, REGULAR);
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].run, run);
}

pub fn events_that_were_marked_have_left_their_run_and_the_others_wait(kept: &dyn Kept) {
    let mut store = kept.open();
    let all = appended(
        kept,
        &mut *store,
        REGULAR,
        &[run(1, 4), run(10, 128), run(300, 4)],
    );
    store.commit(&mark(REGULAR, &all[0], 0b0010)).unwrap();
    let marked = all_runs(&mut *store, REGULAR);
    store.commit(&mark(REGULAR, &marked[0], 0b1000)).unwrap();
    store.commit(&mark(REGULAR, &all[1], 1 | 1 << 127)).unwrap();

    let check = |runs: &[StoredRun]| {
        let marks: Vec<u128> = runs.iter().map(|run| run.marks).collect();
        assert_eq!(marks, [0b1010, 1 | 1 << 127, 0]);
        assert_eq!(runs[0].run, all[0].run, "the run itself stays");
        let left: Vec<usize> = runs[0].waiting().map(|(at, ..)| at).collect();
        assert_eq!(left, [0, 2]);
    };
    check(&all_runs(&mut *store, REGULAR));
    drop(store);
    let mut store = kept.open();
    let marked = all_runs(&mut *store, REGULAR);
    check(&marked);

    // The run behind a settled one keeps its own marks.
    store.commit(&settle(REGULAR, &marked[..1])).unwrap();
    assert_eq!(all_runs(&mut *store, REGULAR), marked[1..]);
    drop(store);
    assert_eq!(all_runs(&mut *kept.open(), REGULAR), marked[1..]);
}

pub fn what_waits_is_counted_by_what_is_appended_and_what_leaves(kept: &dyn Kept) {
    let mut store = kept.open();
    let bytes_count = kept.has().counted_bytes;
    let counted = |totals: Totals| (totals.pending, totals.pending_bytes);
    let waiting = |runs: &[StoredRun]| {
        let (events, bytes) = waiting(runs);
        (events, if bytes_count { bytes } else { 0 })
    };
    assert_eq!(counted(store.totals()), (0, 0));
    let regular = appended(kept, &mut *store, REGULAR, &[run(1, 5), run(10, 7)]);
    let suspects = appended(kept, &mut *store, SUSPECTS, &[run(20, 2)]);
    let (events, bytes) = waiting(&regular);
    let (more, more_bytes) = waiting(&suspects);
    assert_eq!((events, more), (12, 2));
    let all = (events + more, bytes + more_bytes);
    assert_eq!(counted(store.totals()), all);

    store.commit(&mark(REGULAR, &regular[1], 0b101)).unwrap();
    let left = all_runs(&mut *store, REGULAR);
    assert_eq!(waiting(&left).0, 10);
    store.commit(&settle(REGULAR, &left[..1])).unwrap();
    let (events, bytes) = waiting(&left[1..]);
    let all = (events + more, bytes + more_bytes);
    assert_eq!(counted(store.totals()), all);
    drop(store);
    let mut store = kept.open();
    assert_eq!(counted(store.totals()), all);

    all_runs(&mut *store, REGULAR);
    all_runs(&mut *store, SUSPECTS);
    store.commit(&settle(REGULAR, &left[1..])).unwrap();
    assert_eq!(counted(store.totals()), (more, more_bytes));
    store.commit(&settle(SUSPECTS, &suspects)).unwrap();
    assert_eq!(counted(store.totals()), (0, 0));
}

pub fn what_a_caller_says_of_what_waits_is_not_taken_for_it(kept: &dyn Kept) {
    let mut store = kept.open();
    let runs = appended(kept, &mut *store, REGULAR, &[run(1, 5)]);
    let said = Totals {
        pending: 77,
        pending_bytes: 7_777,
        delivered: 3,
        ..Totals::default()
    };
    store.commit(&[Change::Totals(&said)]).unwrap();
    let (pending, bytes) = waiting(&runs);
    let pending_bytes = if kept.has().counted_bytes { bytes } else { 0 };
    let known = Totals {
        pending,
        pending_bytes,
        ..said
    };
    assert_eq!(store.totals(), known);
    drop(store);
    assert_eq!(kept.open().totals(), known);
}

pub fn an_id_of_a_run_is_never_given_twice(kept: &dyn Kept) {
    assert_eq!(kept.open().last_run(), 0);
    let mut highest = 0;
    for round in 0..4 {
        let mut store = kept.open();
        assert_eq!(store.last_run(), highest, "as it was when it was closed");
        for place in [REGULAR, SUSPECTS] {
            let new = appended(kept, &mut *store, place, &some_runs(round * 10 + 1, 2));
            assert_eq!(new.len(), 2);
            assert!(new[0].id > highest, "{:?} behind {highest}", ids(&new));
            assert!(new[1].id > new[0].id, "{:?}", ids(&new));
            highest = new[1].id;
            assert_eq!(store.last_run(), highest);
            store.commit(&settle(place, &new)).unwrap();
            assert_eq!(store.last_run(), highest, "nothing waits any more");
        }
    }
}
