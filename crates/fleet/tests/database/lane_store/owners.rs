//! Of several owners of a lane one goes on; and a database that was set back has the lane opened again.

use std::collections::BTreeSet;
use std::sync::Mutex;

use meditopia::internals::store::{
    Change, InDoubt, LaneState, Place, Run, Store, StoredRun, Totals,
};
use meditopia_fleet::lane_store::LaneStore;

use super::kept::{InDatabase, LANE};

const REGULAR: Place = Place { lane: 0, queue: 0 };

fn one_more(store: &LaneStore) -> Totals {
    let mut totals = store.totals();
    totals.delivered += 1;
    totals
}

pub fn run(name: &str) -> Run {
    let mut run = Run::default();
    for number in 0..3 {
        run.push(format!("{{\"{name}\":{number}}}").as_bytes(), number);
    }
    run
}

fn in_doubt(events: u32) -> LaneState {
    LaneState {
        in_doubt: Some(InDoubt {
            queue: 0,
            events,
            attempts: 1,
            first_ms: 5,
            last_ms: 5,
            status: None,
        }),
        ..LaneState::default()
    }
}

#[test]
fn an_owner_whose_lane_was_taken_over_is_told_and_changes_nothing() {
    let kept = InDatabase::new();
    let mut one = kept.take_over();
    let sums = one_more(&one);
    one.commit(&[Change::Totals(&sums)]).unwrap();
    let mut other = kept.take_over();
    assert_eq!(other.totals(), sums);
    let foreign = Totals {
        delivered: 77,
        ..Totals::default()
    };
    let told = one.commit(&[Change::Totals(&foreign)]).unwrap_err();
    assert!(
        told.message()
            .contains("lane 3: another relay has taken it over"),
        "{told}"
    );
    assert!(one.lease().is_lost());
    one.check_lock().unwrap_err();
    assert!(LaneStore::open_again(&one.lease()).unwrap().is_none());
    let sums = one_more(&other);
    other.commit(&[Change::Totals(&sums)]).unwrap();
    other.check_lock().unwrap();
    assert_eq!(kept.take_over().totals(), sums);
}

#[test]
fn of_owners_that_interleave_each_step_is_taken_by_one_who_had_read_the_step_before() {
    let kept = InDatabase::new();
    // Each step that was taken, with the sum that it has written.
    let taken: Mutex<BTreeSet<(u64, u64)>> = Mutex::default();
    let own = || {
        for _ in 0..20 {
            // Another one may be quicker.
            let Some(mut store) = kept.try_to_take_over(&kept.pool) else {
                continue;
            };
            loop {
                let sums = one_more(&store);
                match store.commit(&[Change::Totals(&sums)]) {
                    Ok(()) => {
                        let step = (store.committed(), sums.delivered);
                        assert!(taken.lock().unwrap().insert(step), "{step:?} twice");
                    }
                    Err(told) => {
                        assert!(store.lease().is_lost(), "{told}");
                        break;
                    }
                }
                if sums.delivered.is_multiple_of(7) {
                    break;
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let owners = [(); 3].map(|()| scope.spawn(own));
        for owner in owners {
            owner.join().unwrap();
        }
    });
    let taken = taken.into_inner().unwrap();
    let sums: Vec<u64> = taken.iter().map(|(_, sum)| *sum).collect();
    let all: Vec<u64> = (1..=sums.len() as u64).collect();
    assert_eq!(sums, all, "each step builds on the one before");
    let steps: BTreeSet<u64> = taken.iter().map(|(step, _)| *step).collect();
    assert_eq!(steps.len(), taken.len(), "a step was taken twice");
    assert_eq!(kept.take_over().totals().delivered, sums.len() as u64);
}

#[test]
fn a_database_that_was_set_back_between_two_steps_has_the_lane_opened_again() {
    let kept = InDatabase::new();
    let mut store = kept.take_over();
    kept.sort(&[&run("first")]);
    store.runs(REGULAR, 0, 9).unwrap();
    let sums = one_more(&store);
    store.commit(&[Change::Totals(&sums)]).unwrap();
    kept.sql(&format!(
        "CREATE TABLE public.old AS SELECT * FROM meditopia.lane WHERE lane = {LANE}"
    ));
    let state = in_doubt(3);
    let later = Totals {
        delivered: 9,
        ..sums
    };
    store
        .commit(&[
            Change::Lane {
                lane: 0,
                state: &state,
            },
            Change::Totals(&later),
        ])
        .unwrap();
    kept.sql(&format!("DELETE FROM meditopia.lane WHERE lane = {LANE}"));
    kept.sql("INSERT INTO meditopia.lane SELECT * FROM public.old");

    let told = store.commit(&[Change::Totals(&later)]).unwrap_err();
    assert!(told.message().contains("the database is older"), "{told}");
    let lease = store.lease();
    assert!(lease.is_lost());
    // The lease stood in the database already when it was saved.
    let mut store = LaneStore::open_again(&lease).unwrap().unwrap();
    assert!(!lease.is_lost());
    assert_eq!(store.totals().delivered, sums.delivered);
    assert_eq!(store.lane(0), LaneState::default());
    store
        .commit(&[Change::Lane {
            lane: 0,
            state: &state,
        }])
        .unwrap();
}

/// Puts another run in the place of this one, as a database does that was set back and has gone on.
fn replace(kept: &InDatabase, stored: &StoredRun) {
    kept.sql("DELETE FROM meditopia.run");
    kept.sort(&[&run("other")]);
    kept.sql(&format!(
        "UPDATE meditopia.run SET id = {0}, origin = {0}",
        stored.id
    ));
}

#[test]
fn a_batch_is_not_put_in_doubt_whose_runs_are_not_the_ones_that_were_read() {
    for replaced in [true, false] {
        let kept = InDatabase::new();
        let mut store = kept.take_over();
        kept.sort(&[&run("first")]);
        let read = store.runs(REGULAR, 0, 9).unwrap();
        let before = kept.step();
        match replaced {
            true => replace(&kept, &read[0]),
            false => _ = kept.sql("DELETE FROM meditopia.run"),
        }
        let state = in_doubt(2);
        let change = [Change::Lane {
            lane: 0,
            state: &state,
        }];
        let told = store.commit(&change).unwrap_err();
        assert!(
            told.message().contains("lane 3: a run that was to be sent"),
            "{told}"
        );
        assert!(store.lease().is_lost());
        assert_eq!(kept.step(), before);

        let mut store = LaneStore::open_again(&store.lease()).unwrap().unwrap();
        assert_eq!(store.lane(0), LaneState::default());
        let read = store.runs(REGULAR, 0, 9).unwrap();
        if replaced {
            assert_eq!(read[0].run, run("other"));
            store.commit(&change).unwrap();
        } else {
            assert!(read.is_empty());
        }
    }
}

#[test]
fn a_run_is_neither_settled_nor_marked_that_is_not_the_one_that_was_read() {
    for marks in [None, Some(0b1)] {
        let kept = InDatabase::new();
        let mut store = kept.take_over();
        kept.sort(&[&run("first")]);
        let read = store.runs(REGULAR, 0, 9).unwrap();
        replace(&kept, &read[0]);
        let (place, run) = (REGULAR, read[0].id);
        let change = match marks {
            None => Change::Settle { place, upto: run },
            Some(marks) => Change::Mark { place, run, marks },
        };
        store.commit(&[change]).unwrap_err();
        assert!(store.lease().is_lost());
        let left = kept
            .sql("SELECT count(*) || ' ' || coalesce(max(marks::text), 'none') FROM meditopia.run");
        assert_eq!(left, "1 none");
    }
}

#[test]
fn a_run_is_neither_sent_nor_settled_before_which_another_one_stands_that_was_not_read() {
    for sends in [true, false] {
        let kept = InDatabase::new();
        let mut store = kept.take_over();
        kept.sort(&[&run("first"), &run("second")]);
        // Another owner has settled the first one when this one reads, and then the database is set back.
        kept.sql("CREATE TABLE public.old AS SELECT * FROM meditopia.run");
        kept.sql("DELETE FROM meditopia.run WHERE id = (SELECT min(id) FROM meditopia.run)");
        let read = store.runs(REGULAR, 0, 9).unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].run, run("second"));
        kept.sql("DELETE FROM meditopia.run");
        kept.sql("INSERT INTO meditopia.run SELECT * FROM public.old");
        let before = kept.step();
        let (place, upto, lane) = (REGULAR, read[0].id, 0);
        let state = in_doubt(3);
        let state = &state;
        let change = match sends {
            true => Change::Lane { lane, state },
            false => Change::Settle { place, upto },
        };
        let told = store.commit(&[change]).unwrap_err();
        assert!(
            told.message().contains("lane 3: a run stands before those"),
            "{told}"
        );
        assert_eq!(kept.step(), before);

        let mut store = LaneStore::open_again(&store.lease()).unwrap().unwrap();
        let read = store.runs(REGULAR, 0, 9).unwrap();
        assert_eq!(read[0].run, run("first"));
        assert_eq!(read.len(), 2);
        store.commit(&[Change::Lane { lane, state }]).unwrap();
    }
}
