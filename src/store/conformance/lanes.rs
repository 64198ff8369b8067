//! Sentences about what a store remembers of lanes, users and delivery as a whole.

use std::collections::BTreeSet;

use super::kept::Kept;
use crate::error::PauseReason;
use crate::store::contract::{Change, Store};
use crate::store::{InDoubt, LaneState, PauseState, QueueState, Rest, Suspect, Totals};

/// Commits each of `values`, and reads it then and after the store was opened again.
fn each_is_kept<'a, T: PartialEq + std::fmt::Debug>(
    kept: &dyn Kept,
    values: &'a [T],
    change: impl Fn(&'a T) -> Change<'a>,
    read: impl Fn(&dyn Store) -> T,
) {
    for value in values {
        let mut store = kept.open();
        store.commit(&[change(value)]).unwrap();
        assert_eq!(read(&*store), *value);
        drop(store);
        assert_eq!(read(&*kept.open()), *value, "after it was opened again");
    }
}

fn in_doubt(queue: u8) -> InDoubt {
    InDoubt {
        queue,
        events: 100,
        attempts: 3,
        first_ms: 1_700_000_000_000,
        last_ms: 1_700_000_060_000,
        status: None,
    }
}

pub fn a_lane_is_as_it_was_committed_last(kept: &dyn Kept) {
    let bad = QueueState {
        group: 25,
        doubtful: 7,
        belief: vec![0.5, 0.25, 0.125],
    };
    let with = |in_doubt, regular: &QueueState, suspects: &QueueState| LaneState {
        in_doubt,
        queues: [regular.clone(), suspects.clone()],
    };
    let good = QueueState::default();
    let group = QueueState {
        group: 3,
        ..QueueState::default()
    };
    let doubtful = QueueState {
        doubtful: 4,
        ..QueueState::default()
    };
    let answered = |status| {
        let mut state = with(Some(in_doubt(1)), &bad, &good);
        state.in_doubt.as_mut().unwrap().status = Some(status);
        state
    };
    let values = [
        with(Some(in_doubt(0)), &good, &good),
        with(Some(in_doubt(1)), &bad, &good),
        answered(503),
        answered(500),
        with(Some(in_doubt(1)), &bad, &good),
        with(None, &bad, &bad),
        with(None, &good, &bad),
        with(None, &group, &doubtful),
        LaneState::default(),
        with(Some(in_doubt(0)), &bad, &group),
    ];
    let lane = kept.has().last_lane();
    let change = |state| Change::Lane { lane, state };
    each_is_kept(kept, &values, change, |store| store.lane(lane));
    for other in 0..lane {
        assert_eq!(kept.open().lane(other), LaneState::default());
    }
}

pub fn a_lane_rests_as_it_was_committed_last(kept: &dyn Kept) {
    let rest = Rest {
        drawn_ms: 1_500,
        wait_ms: 3_000,
        until_ms: Some(1_700_000_000_000),
        connection_lost: true,
        server_errors: 4,
    };
    let values = [
        rest,
        Rest {
            until_ms: None,
            ..rest
        },
        Rest::default(),
        Rest {
            connection_lost: false,
            ..rest
        },
    ];
    let lane = kept.has().last_lane();
    let change = |rest| Change::Rest { lane, rest };
    each_is_kept(kept, &values, change, |store| store.rest(lane));
    for other in 0..lane {
        assert_eq!(kept.open().rest(other), Rest::default());
    }
}

fn suspects(store: &dyn Store) -> Vec<Suspect> {
    let mut suspects = store.suspects();
    suspects.sort_by(|a, b| a.user.cmp(&b.user));
    suspects
}

pub fn a_suspect_is_known_until_it_is_cleared(kept: &dyn Kept) {
    let suspect = |user: &str, waiting| Suspect {
        user: user.as_bytes().to_vec(),
        lane: kept.has().last_lane(),
        waiting,
        accepted: false,
    };
    let (one, other) = (suspect(r"\u00fc\\1", 5), suspect("u-2", 0));
    let mut store = kept.open();
    let changes = [Change::Suspect(&one), Change::Suspect(&other)];
    store.commit(&changes).unwrap();
    assert_eq!(suspects(&*store), [one.clone(), other.clone()]);
    let changed = Suspect {
        waiting: 4,
        accepted: true,
        ..one
    };
    store.commit(&[Change::Suspect(&changed)]).unwrap();
    assert_eq!(suspects(&*store), [changed.clone(), other.clone()]);
    drop(store);

    let mut store = kept.open();
    assert_eq!(suspects(&*store), [changed.clone(), other]);
    // Who is no suspect may be cleared, too.
    let changes = [
        Change::Cleared { user: b"u-2" },
        Change::Cleared { user: b"u-3" },
    ];
    store.commit(&changes).unwrap();
    assert_eq!(suspects(&*store), std::slice::from_ref(&changed));
    drop(store);
    assert_eq!(suspects(&*kept.open()), [changed]);
}

fn refused_in_a_row(store: &dyn Store) -> BTreeSet<String> {
    let users = store.refused_in_a_row();
    let count = users.len();
    let users: BTreeSet<String> = users.into_iter().collect();
    assert_eq!(users.len(), count, "one of them twice");
    users
}

pub fn users_refused_in_a_row_are_counted_until_something_is_accepted(kept: &dyn Kept) {
    let mut store = kept.open();
    let refused = |user| Change::RefusedInARow { user };
    store.commit(&[refused("b"), refused("a")]).unwrap();
    store.commit(&[refused("ü \" c")]).unwrap();
    let expected = ["b", "a", "ü \" c"].map(str::to_owned).into();
    assert_eq!(refused_in_a_row(&*store), expected);
    drop(store);
    let mut store = kept.open();
    assert_eq!(refused_in_a_row(&*store), expected);
    let changes = [Change::AcceptedSince, refused("a")];
    store.commit(&changes).unwrap();
    assert_eq!(store.refused_in_a_row(), ["a"]);
    store.commit(&[Change::AcceptedSince]).unwrap();
    drop(store);
    assert!(kept.open().refused_in_a_row().is_empty());
}

pub fn a_pause_is_kept_with_all_that_it_says_until_it_ends(kept: &dyn Kept) {
    let pauses = PauseReason::ALL.into_iter().flat_map(|reason| {
        let full = PauseState {
            reason,
            since_ms: 1_700_000_000_000,
            probe_ms: Some(1_700_000_060_000),
            probe_wait_ms: 60_000,
            http_status: Some(401),
            api_code: Some("A_1000".to_owned()),
            message: "the token is \"unknown\"".to_owned(),
            fingerprint: Some(vec![0, 255, 7]),
        };
        let bare = PauseState {
            probe_ms: None,
            http_status: None,
            api_code: None,
            fingerprint: None,
            ..full.clone()
        };
        [Some(full), None, Some(bare)]
    });
    let pauses: Vec<Option<PauseState>> = pauses.collect();
    let change = |pause| Change::Pause(Option::as_ref(pause));
    each_is_kept(kept, &pauses, change, |store| store.pause());
}

pub fn the_number_of_lanes_is_kept(kept: &dyn Kept) {
    let change = |lanes: &u8| Change::Lanes(*lanes);
    each_is_kept(kept, &[4, 1, 16], change, |store| store.lanes());
    let mut store = kept.open();
    let changes = [Change::Lanes(3), Change::Lanes(4)];
    store.commit(&changes).unwrap();
    drop(store);
    assert_eq!(kept.open().lanes(), 4);
}

pub fn each_sum_is_kept_in_its_own_place(kept: &dyn Kept) {
    let mut first = Totals::default();
    for (number, sum) in (1..).zip(first.numbers()) {
        *sum = number * 1_000;
    }
    let mut second = first;
    for sum in second.numbers().step_by(3) {
        *sum = u64::MAX;
    }
    let values = [first, second, Totals::default()];
    each_is_kept(kept, &values, Change::Totals, |store| store.totals());
}

pub fn of_two_changes_of_the_same_thing_the_later_one_counts(kept: &dyn Kept) {
    let mut store = kept.open();
    let states = [Some(in_doubt(0)), Some(in_doubt(1))].map(|in_doubt| LaneState {
        in_doubt,
        ..LaneState::default()
    });
    let rests = [1, 2].map(|drawn_ms| Rest {
        drawn_ms,
        ..Rest::default()
    });
    let sums = [5, 6].map(|delivered| Totals {
        delivered,
        ..Totals::default()
    });
    let changes: Vec<Change<'_>> = (0..2)
        .flat_map(|at| {
            [
                Change::Lane {
                    lane: 0,
                    state: &states[at],
                },
                Change::Rest {
                    lane: 0,
                    rest: &rests[at],
                },
                Change::Totals(&sums[at]),
            ]
        })
        .collect();
    store.commit(&changes).unwrap();
    drop(store);
    let store = kept.open();
    assert_eq!(store.lane(0), states[1]);
    assert_eq!(store.rest(0), rests[1]);
    assert_eq!(store.totals(), sums[1]);
}
