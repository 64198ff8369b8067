//! Sentences about the run that a run comes from: by it, a flush knows what it still has to wait for.

use super::kept::Kept;
use super::samples::{REGULAR, SUSPECTS, all_runs, appended, mark, moved, run, settle, some_runs};
use crate::store::Place;
use crate::store::contract::{Change, Store};

fn origins(store: &mut dyn Store, place: Place) -> Vec<i64> {
    let runs = all_runs(store, place);
    runs.iter().map(|run| run.origin).collect()
}

pub fn a_run_is_its_own_origin_unless_it_is_said_to_come_from_another(kept: &dyn Kept) {
    let mut store = kept.open();
    let regular = appended(kept, &mut *store, REGULAR, &some_runs(1, 2));
    assert!(regular.iter().all(|run| run.origin == run.id));
    let (first, second) = (run(100, 1), run(200, 1));
    let changes = [moved(regular[1].id, &first), moved(regular[1].id, &second)];
    store.commit(&changes).unwrap();
    let expected = [regular[1].id, regular[1].id];
    assert_eq!(origins(&mut *store, SUSPECTS), expected);
    assert!(store.last_run() > regular[1].id, "it has an id of its own");
    drop(store);
    assert_eq!(origins(&mut *kept.open(), SUSPECTS), expected);
}

pub fn nothing_is_the_first_origin_where_nothing_waits(kept: &dyn Kept) {
    let mut store = kept.open();
    assert_eq!(store.first_origin().unwrap(), None);
    let runs = appended(kept, &mut *store, REGULAR, &some_runs(1, 3));
    store.commit(&settle(REGULAR, &runs)).unwrap();
    assert_eq!(store.first_origin().unwrap(), None);
    drop(store);
    assert_eq!(kept.open().first_origin().unwrap(), None);
}

pub fn the_first_origin_is_that_of_the_earliest_run_in_any_lane(kept: &dyn Kept) {
    let mut store = kept.open();
    let far = Place {
        lane: kept.has().last_lane(),
        queue: 0,
    };
    let first = appended(kept, &mut *store, far, &some_runs(1, 1))[0].id;
    let second = appended(kept, &mut *store, REGULAR, &some_runs(2, 2));
    assert_eq!(store.first_origin().unwrap(), Some(first));
    drop(store);

    // Nothing has been read of a store that was just opened.
    let mut store = kept.open();
    assert_eq!(store.first_origin().unwrap(), Some(first));
    let runs = all_runs(&mut *store, far);
    store.commit(&settle(far, &runs)).unwrap();
    assert_eq!(store.first_origin().unwrap(), Some(second[0].id));
    drop(store);
    assert_eq!(kept.open().first_origin().unwrap(), Some(second[0].id));
}

pub fn the_first_origin_is_that_of_the_earliest_run_in_any_queue(kept: &dyn Kept) {
    let mut store = kept.open();
    let runs = appended(kept, &mut *store, REGULAR, &some_runs(2, 2));
    assert_eq!(store.first_origin().unwrap(), Some(runs[0].id));
    drop(store);

    // What moves waits on under the run that it comes from.
    let mut store = kept.open();
    let one = run(20, 1);
    let mut changes = vec![moved(runs[0].id, &one)];
    all_runs(&mut *store, REGULAR);
    changes.extend(settle(REGULAR, &runs[..1]));
    store.commit(&changes).unwrap();
    assert_eq!(store.first_origin().unwrap(), Some(runs[0].id));
    drop(store);
    assert_eq!(kept.open().first_origin().unwrap(), Some(runs[0].id));
}

pub fn the_first_origin_is_found_behind_runs_that_come_from_later_ones(kept: &dyn Kept) {
    let mut store = kept.open();
    let regular = appended(kept, &mut *store, REGULAR, &some_runs(1, 4));
    // One user's events were moved as far as they were read; then an earlier run's user is suspect too.
    let apart = [run(100, 1), run(200, 1), run(300, 1), run(400, 1)];
    let from = [1, 2, 0, 3].map(|at| regular[at].id);
    for (origin, run) in from.into_iter().zip(&apart) {
        store.commit(&[moved(origin, run)]).unwrap();
    }
    store.commit(&settle(REGULAR, &regular)).unwrap();
    let suspects = all_runs(&mut *store, SUSPECTS);
    assert_eq!(store.first_origin().unwrap(), Some(regular[0].id));
    drop(store);
    let mut store = kept.open();
    assert_eq!(store.first_origin().unwrap(), Some(regular[0].id));
    for (settled, first) in [Some(0), Some(0), Some(3), None].into_iter().enumerate() {
        all_runs(&mut *store, SUSPECTS);
        let one = &suspects[settled..=settled];
        store.commit(&settle(SUSPECTS, one)).unwrap();
        let expected = first.map(|at| regular[at].id);
        assert_eq!(store.first_origin().unwrap(), expected, "{settled}");
    }
}

pub fn the_first_origin_is_the_next_one_once_a_run_is_settled(kept: &dyn Kept) {
    let mut store = kept.open();
    let runs = appended(kept, &mut *store, REGULAR, &some_runs(1, 4));
    // All events of the second run have left it, and it is not the first run yet.
    store.commit(&mark(REGULAR, &runs[1], 0b111)).unwrap();
    assert_eq!(store.first_origin().unwrap(), Some(runs[0].id));
    store.runs(REGULAR, 0, 1).unwrap();
    let [_, leave] = settle(REGULAR, &runs[..1]);
    all_runs(&mut *store, REGULAR);
    let upto = runs[1].id;
    let settled = Change::Settle {
        place: REGULAR,
        upto,
    };
    store.commit(&[settled, leave]).unwrap();
    assert_eq!(store.first_origin().unwrap(), Some(runs[2].id));
    drop(store);
    // Asked for before anything is read, and again when all that was read is settled.
    let mut store = kept.open();
    assert_eq!(store.first_origin().unwrap(), Some(runs[2].id));
    store.runs(REGULAR, 0, 1).unwrap();
    store.commit(&settle(REGULAR, &runs[2..3])).unwrap();
    assert_eq!(store.first_origin().unwrap(), Some(runs[3].id));
}
