//! How long a lane is its owner's.

use std::time::Duration;

use meditopia::internals::process::random_uuid;
use meditopia::internals::store::{Change, InDoubt, LaneState, Store, Totals};
use meditopia_fleet::lane_store::LaneStore;

use super::kept::{InDatabase, LANE, LENGTHS};

fn in_doubt() -> LaneState {
    LaneState {
        in_doubt: Some(InDoubt {
            queue: 0,
            events: 1,
            attempts: 1,
            first_ms: 5,
            last_ms: 5,
            status: None,
        }),
        ..LaneState::default()
    }
}

/// Whether the lease that the server has is this long, but for the time of a slow test.
fn is_long(kept: &InDatabase, length: Duration) -> bool {
    let left = format!(
        "SELECT (extract(epoch FROM lease_until - clock_timestamp()))::text FROM meditopia.lane WHERE lane = {LANE}"
    );
    let left: f64 = kept.sql(&left).parse().unwrap();
    let length = length.as_secs_f64();
    (length / 2.0..=length).contains(&left)
}

#[test]
fn each_step_renews_the_lease_for_longer_while_a_batch_is_in_doubt() {
    let kept = InDatabase::new();
    let mut store = kept.take_over();
    let lease = store.lease();
    let (state, none) = (in_doubt(), LaneState::default());
    store
        .commit(&[Change::Lane {
            lane: 0,
            state: &none,
        }])
        .unwrap();
    assert!(is_long(&kept, LENGTHS.idle));
    assert!(!lease.lease_outlasts(LENGTHS.idle));
    store
        .commit(&[Change::Lane {
            lane: 0,
            state: &state,
        }])
        .unwrap();
    assert!(is_long(&kept, LENGTHS.in_doubt));
    assert!(lease.lease_outlasts(LENGTHS.idle));
    assert!(!lease.lease_outlasts(LENGTHS.in_doubt));
    // Also by a step that says nothing of the batch, and by one that only renews.
    store.commit(&[Change::Totals(&Totals::default())]).unwrap();
    assert!(is_long(&kept, LENGTHS.in_doubt));
    lease.renew().unwrap();
    assert!(is_long(&kept, LENGTHS.in_doubt));
    store
        .commit(&[Change::Lane {
            lane: 0,
            state: &none,
        }])
        .unwrap();
    lease.renew().unwrap();
    assert!(is_long(&kept, LENGTHS.idle));
    store
        .commit(&[Change::Lane {
            lane: 0,
            state: &state,
        }])
        .unwrap();
}

#[test]
fn a_lane_that_is_opened_is_renewed_for_as_long_as_what_is_in_doubt_in_it_wants() {
    let kept = InDatabase::new();
    let mut store = kept.take_over();
    assert!(is_long(&kept, LENGTHS.idle));
    store.lease().renew().unwrap();
    assert!(is_long(&kept, LENGTHS.idle));
    let state = in_doubt();
    let change = Change::Lane {
        lane: 0,
        state: &state,
    };
    store.commit(&[change]).unwrap();
    let lease = kept.take_over().lease();
    assert!(is_long(&kept, LENGTHS.idle));
    lease.renew().unwrap();
    assert!(is_long(&kept, LENGTHS.in_doubt));
    // An answer to a request may still be awaited when a lane is opened again.
    LaneStore::open_again(&lease).unwrap().unwrap();
    assert!(is_long(&kept, LENGTHS.in_doubt));
}

#[test]
fn a_lane_that_is_given_up_is_taken_at_once_and_one_that_is_owned_is_not() {
    let kept = InDatabase::new();
    let mut one = kept.take_over();
    let open = || LaneStore::open(kept.pool.clone(), LANE, &random_uuid(), LENGTHS).unwrap();
    assert!(open().is_none());
    let lease = one.lease();
    assert!(lease.give_up().unwrap());
    assert!(lease.is_lost() && !lease.lease_outlasts(Duration::ZERO));
    assert!(!lease.give_up().unwrap(), "given up twice");
    one.commit(&[Change::Totals(&Totals::default())])
        .unwrap_err();
    lease.renew().unwrap_err();
    let mut other = open().unwrap();
    other.commit(&[Change::Totals(&Totals::default())]).unwrap();
}
