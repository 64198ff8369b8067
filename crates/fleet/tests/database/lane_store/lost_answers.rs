//! A statement whose answer is lost has happened or not, and the lane says which when it is opened again.

use std::time::Duration;

use meditopia::internals::store::{Change, Store, Totals};
use meditopia_fleet::lane_store::LaneStore;
use meditopia_testkit::wait::wait_until;

use super::kept::InDatabase;
use super::proxy::Proxy;
use crate::fleet::connect;

fn delivered(delivered: u64) -> Totals {
    Totals {
        delivered,
        ..Totals::default()
    }
}

#[test]
fn a_step_whose_answer_is_lost_is_there_as_a_whole_once_the_lane_is_opened_again() {
    let kept = InDatabase::new();
    let proxy = Proxy::to(kept.server.port());
    let mut store = kept.take_over_by(&kept.pool_through(proxy.port));
    store.commit(&[Change::Totals(&delivered(1))]).unwrap();
    let before = kept.step();

    proxy.cut_answers();
    store.commit(&[Change::Totals(&delivered(2))]).unwrap_err();
    proxy.pass();
    // Nothing more is sent of what may not be true.
    let refused = store.commit(&[Change::Totals(&delivered(9))]).unwrap_err();
    assert!(refused.message().contains("opened again"), "{refused}");
    assert_eq!(kept.step(), before + 1);

    let lease = store.lease();
    assert!(!lease.is_lost());
    let mut store = LaneStore::open_again(&lease).unwrap().unwrap();
    assert_eq!(store.totals(), delivered(2));
    store.commit(&[Change::Totals(&delivered(3))]).unwrap();
    assert_eq!(
        LaneStore::open_again(&lease).unwrap().unwrap().totals(),
        delivered(3)
    );
}

#[test]
fn a_step_that_never_came_to_the_server_has_not_happened_and_is_taken_anew() {
    let kept = InDatabase::new();
    let proxy = Proxy::to(kept.server.port());
    let mut store = kept.take_over_by(&kept.pool_through(proxy.port));
    store.commit(&[Change::Totals(&delivered(1))]).unwrap();
    let before = kept.step();

    proxy.cut_requests();
    store.commit(&[Change::Totals(&delivered(2))]).unwrap_err();
    proxy.pass();
    assert_eq!(kept.step(), before);
    let mut store = LaneStore::open_again(&store.lease()).unwrap().unwrap();
    assert_eq!(store.totals(), delivered(1));
    store.commit(&[Change::Totals(&delivered(2))]).unwrap();
}

#[test]
fn a_server_that_does_not_answer_keeps_the_lane_no_longer_than_a_statement_may_take() {
    let kept = InDatabase::new();
    let mut store = kept.take_over_by(&kept.pool_with_deadline(Duration::from_millis(300)));
    let mut other = connect(&kept.server.url(&kept.database));
    other
        .run_script("BEGIN; SELECT FROM meditopia.lane FOR UPDATE")
        .unwrap();
    store.commit(&[Change::Totals(&delivered(1))]).unwrap_err();
    let lease = store.lease();
    LaneStore::open_again(&lease).unwrap_err();
    other.run_script("ROLLBACK").unwrap();

    // Whatever waited for the row has changed it by then, or never will.
    let first = LaneStore::open_again(&lease).unwrap().unwrap().totals();
    let waiting = "SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database() AND usename = 'lane_owner' AND state = 'active'";
    wait_until("no statement is left", || kept.sql(waiting) == "0");
    let mut store = LaneStore::open_again(&lease).unwrap().unwrap();
    assert_eq!(store.totals(), first);
    store.commit(&[Change::Totals(&delivered(2))]).unwrap();
}

#[test]
fn a_step_is_one_round_trip_whatever_it_changes() {
    let kept = InDatabase::new();
    let proxy = Proxy::to(kept.server.port());
    let mut store = kept.take_over_by(&kept.pool_through(proxy.port));
    let before = proxy.trips();
    store.commit(&[Change::Totals(&delivered(1))]).unwrap();
    assert_eq!(proxy.trips(), before + 1);

    let (runs, rejected) = super::rows::a_lane_with_something_of_each_kind(&kept, &mut store);
    let before = proxy.trips();
    super::rows::change_something_of_each_kind(&mut store, &runs, &rejected);
    assert_eq!(proxy.trips(), before + 1);
}
