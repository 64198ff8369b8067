//! A statement whose answer is lost has happened or not, and the lane says which when it is opened again.

use meditopia::internals::store::{Change, Store, Totals};
use meditopia_fleet::lane_store::LaneStore;

use super::kept::InDatabase;
use super::proxy::Proxy;

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
