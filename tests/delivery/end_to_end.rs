//! The way of an event over real HTTP: from `enqueue` to the API's ledger.

use meditopia::{Client, Config, ErrorKind};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::store_files::ledger;
use meditopia_testkit::wait::secs;
use serde_json::json;

use crate::fixtures::values;

#[test]
fn enqueued_events_arrive_in_order_and_byte_for_byte() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    for number in 0..250 {
        client.enqueue_for("u-1", number);
    }
    client.enqueue_json(br#"{"token":"t","partner_user_id":"u-1","event":"audio","event_value":{"a": [1, 2.50]},"received_at":"2024-08-06T17:04:05+02:00"}"#).unwrap();

    let report = client.flush_ok(secs(10));

    assert_eq!(
        (report.delivered, report.pending, report.in_doubt),
        (251, 0, 0)
    );
    let events = api.events();
    let accepted: Vec<_> = events
        .iter()
        .take(250)
        .map(|event| event.fields.event_value.clone())
        .collect();
    assert_eq!(accepted, values(0..250));
    assert_eq!(
        events[250].text,
        r#"{"token":"t","partner_user_id":"u-1","event":"audio","event_value":{"a": [1, 2.50]},"received_at":"2024-08-06 15:04:05"}"#
    );
    assert_eq!(api.ledger().requests, 3);
}

#[test]
fn a_background_sender_delivers_after_the_flush_interval_and_at_a_full_batch() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api)
        .with("role", "both")
        .with("flush_interval_ms", "50")
        .into_client();
    client.enqueue_users(0..5);
    api.wait_for_events(5);

    let with_full_batch = TestSpool::for_sandbox(&api)
        .with("role", "both")
        .with("flush_interval_ms", "3600000")
        .into_client();
    with_full_batch.enqueue_users(0..100);
    api.wait_for_events(105);

    let (report, outcome) = client.close_with_report(secs(5));
    outcome.unwrap();
    assert_eq!(report.pending, 0);
    assert_eq!(
        std::fs::read_dir(client.spool.path().join("journal"))
            .unwrap()
            .count(),
        0,
        "segments are left over"
    );
}

#[test]
fn a_second_client_with_other_options_is_refused_and_one_with_the_same_options_shares_the_spool() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    let mut other = client.spool.config().clone();
    let second = Client::open(&other).unwrap();
    second.enqueue_users(0..3);
    client.enqueue_users(3..5);
    assert_eq!(client.stats().unwrap().enqueued, 5);

    other.set("lanes", "2").unwrap();
    let Err(error) = Client::open(&other) else {
        panic!("a client with other options was opened");
    };
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains("lanes"), "{error}");

    second.close(secs(1)).unwrap();
    assert_eq!(
        second.flush(secs(1)).1.unwrap_err().kind(),
        ErrorKind::Closed
    );
    assert_eq!(client.flush_ok(secs(10)).delivered, 5);
}

#[test]
fn a_flush_that_times_out_says_how_the_last_request_ended() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_users(0..3);
    api.set_fault(json!({"fault": "status", "status": 503}));

    let error = client.flush(secs(3)).1.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(
        error.message().contains("the last request: HTTP 503"),
        "{error}"
    );
}

#[test]
fn a_flush_ends_at_its_deadline_although_another_program_has_locked_the_store() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_users(0..3);
    client.flush_ok(secs(10));
    let holder = std::fs::File::open(ledger(&client.spool.path())).unwrap();
    holder.lock().unwrap();
    client.enqueue_users(3..5);

    let (_, outcome) = client.flush(std::time::Duration::from_millis(300));

    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Timeout);
    drop(holder);
    assert_eq!(client.flush_ok(secs(10)).delivered, 2);
}

#[test]
fn closing_a_temporary_spool_reports_the_pending_events_that_are_removed_with_it() {
    let mut config = Config::new();
    config.set("durability", "memory").unwrap();
    config.set("role", "enqueue").unwrap();
    let client = Client::open(&config).unwrap();
    client.enqueue_users(0..3);

    let (report, outcome) = client.close_with_report(secs(10));

    outcome.unwrap();
    assert_eq!(report.pending, 3);
}
