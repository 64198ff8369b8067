//! A spool that is removed or replaced under a running `meditopia run`: the service ends with a failure, and
//! its supervisor starts it on what is there then.

use std::fs;

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::ClientExt;
use meditopia_testkit::wait::wait_until;

use crate::fixtures::configured;

#[test]
fn a_service_whose_spool_is_replaced_ends_and_the_next_one_sends_from_the_new_spool() {
    let api = Sandbox::start();
    let spool = configured(&api);
    let mut service = spool.start_service(&[]);
    service.wait_for_log("elected");
    fs::rename(spool.spool(), spool.path("old")).unwrap();
    // An application has made the new one.
    spool.client().enqueue_users(0..100);
    let ended = service.wait_for_end();
    service.wait_for_log("another directory is in its place; this service ends");
    assert_eq!(ended.code(), Some(1));
    assert_eq!(api.ledger().requests, 0);

    let _service = spool.start_service(&[]);
    api.wait_for_events(100);
}

#[test]
fn a_service_whose_spool_is_removed_ends_and_the_next_one_makes_it() {
    let api = Sandbox::start();
    let spool = configured(&api);
    let mut service = spool.start_service(&[]);
    service.wait_for_log("elected");
    // The service may make a file in it meanwhile.
    wait_until("the whole spool is removed", || {
        fs::remove_dir_all(spool.spool()).is_ok() || !spool.spool().exists()
    });
    assert_eq!(service.wait_for_end().code(), Some(1));
    let service = spool.start_service(&[]);
    service.wait_for_log("elected");
    spool.client().enqueue_users(0..100);
    api.wait_for_events(100);
}

#[test]
fn a_service_on_stand_by_whose_spool_is_replaced_ends_too() {
    let api = Sandbox::start();
    let spool = configured(&api);
    let first = spool.start_service(&[]);
    first.wait_for_log("elected");
    let mut second = spool.start_service(&[]);
    second.wait_for_log("stand-by");
    fs::rename(spool.spool(), spool.path("old")).unwrap();
    assert_eq!(second.wait_for_end().code(), Some(1));
}

#[test]
fn a_service_whose_spool_is_away_for_a_moment_goes_on() {
    let api = Sandbox::start();
    let spool = configured(&api);
    let service = spool.start_service(&[]);
    service.wait_for_log("elected");
    fs::rename(spool.spool(), spool.path("aside")).unwrap();
    service.wait_for_answer("/readyz", 503, "was removed");
    fs::rename(spool.path("aside"), spool.spool()).unwrap();
    spool.client().enqueue_users(0..100);
    api.wait_for_events(100);
    service.wait_for_answer("/readyz", 200, "sending");
}
