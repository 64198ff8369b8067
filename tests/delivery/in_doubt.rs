//! Batches in doubt: recorded before their bytes leave, listed through the C API with their times,
//! repeated byte for byte, and never called undelivered afterwards.

use std::collections::BTreeMap;
use std::time::Duration;

use meditopia::ErrorKind;
use meditopia_testkit::background_sender::BackgroundSender;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;
use serde_json::{Value, json};

use crate::fixtures::spool_of;

#[test]
fn a_batch_is_in_doubt_in_the_store_before_its_answer_can_arrive() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_users(0..30);
    api.set_fault(json!({"fault": "delay", "ms": 500, "when": "before"}));
    std::thread::scope(|scope| {
        let flush = scope.spawn(|| client.flush(secs(10)));
        let mut seen = 0;
        while seen == 0 && !flush.is_finished() {
            seen = client.in_doubt_rows().len();
        }
        assert_eq!(seen, 30);
        assert_eq!(flush.join().unwrap().0.delivered, 30);
    });
    assert!(client.in_doubt_rows().is_empty());
}

#[test]
fn a_batch_without_an_answer_is_listed_in_doubt_and_repeated_byte_for_byte() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_users(0..30);
    api.set_fault(json!({"fault": "status", "status": 503, "when": "after"}));

    let (report, outcome) = client.flush(Duration::from_millis(700));

    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!((report.pending, report.in_doubt), (30, 30));
    let rows = client.in_doubt_rows();
    assert_eq!(rows.len(), 30);
    assert!(rows.iter().all(|row| row.attempts >= 1 && row.first_ms > 0));

    client.enqueue_users(30..60);
    api.clear_faults();
    client.flush_ok(secs(30));
    let requests = api.requests();
    let first = &requests[0];
    let repeated: Vec<_> = requests
        .iter()
        .filter(|r| r.body_hash == first.body_hash)
        .collect();
    assert!(repeated.len() >= 2);
    assert!(client.in_doubt_rows().is_empty());
    assert_eq!(api.ledger().distinct_events, 60);
}

#[test]
fn a_batch_in_doubt_is_repeated_whole_though_batch_max_was_lowered() {
    let api = Sandbox::start();
    let spool = TestSpool::for_sandbox(&api);
    let client = spool.client();
    // One row for each event: more rows than the sender reads ahead.
    client.hold().unwrap();
    for number in 0..60 {
        client.enqueue_for("u", number);
        client.flush(secs(5)).1.unwrap_err();
    }
    client.resume().unwrap();
    api.set_fault(json!({"fault": "close", "when": "after"}));
    let (_, outcome) = client.flush(Duration::from_millis(500));
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Timeout);
    client.close(secs(1)).unwrap();

    api.clear_faults();
    let client = spool.with("batch_max", "10").into_client();
    client.flush_ok(secs(20));
    let requests = api.requests();
    assert!(
        requests
            .iter()
            .all(|request| request.body_hash == requests[0].body_hash)
    );
    assert_eq!(api.ledger().distinct_events, 60);
}

const IN_DOUBT: i64 = 3;
const REFUSED: i64 = 1;
const REFUSED_MAY_BE_DELIVERED: i64 = 4;

const WAIT_S: i64 = 3_000;

/// A server error for events that the API has accepted, and a wait that ends only when the test
/// sets the clock forward.
fn server_error_after_acceptance() -> Value {
    json!({"fault": "status", "status": 503, "when": "after", "retry_after": WAIT_S})
}

fn rows(sender: &mut BackgroundSender, list: &str) -> Vec<Value> {
    sender.client.ask_json(list).as_array().unwrap().clone()
}

fn integers(rows: &[Value], member: &str) -> Vec<i64> {
    rows.iter()
        .map(|row| row[member].as_i64().unwrap())
        .collect()
}

fn users(rows: &[Value]) -> Vec<&str> {
    rows.iter()
        .map(|row| row["event"]["partner_user_id"].as_str().unwrap())
        .collect()
}

/// How often each event was accepted, by its bytes.
fn times_accepted(api: &Sandbox) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for event in api.events() {
        *times.entry(event.text).or_default() += 1;
    }
    times
}

#[test]
fn the_list_of_events_in_doubt_says_since_when_and_after_how_many_requests() {
    let mut sender = BackgroundSender::start(&[]);
    sender.api.set_fault(server_error_after_acceptance());
    let before = sender.now_ms();
    sender.enqueue_users(0..3);
    sender.wait_for_answers(1);
    let listed = rows(&mut sender, "in_doubt");
    assert_eq!(integers(&listed, "reason"), [IN_DOUBT; 3]);
    assert_eq!(integers(&listed, "attempts"), [1; 3]);
    let first = integers(&listed, "first_ms");
    assert!((before..=sender.now_ms()).contains(&first[0]));
    assert_eq!(first, [first[0]; 3]);
    assert_eq!(integers(&listed, "last_ms"), first);

    // More events are enqueued, the request fails again, and the process dies: only the number of
    // attempts and the last time change.
    sender.enqueue_users(3..6);
    let again = sender.now_ms() + WAIT_S * 1_000;
    sender.advance(WAIT_S + 1);
    sender.wait_for_answers(2);
    sender.kill_and_restart();
    let listed = rows(&mut sender, "in_doubt");
    assert_eq!(users(&listed), ["u-0", "u-1", "u-2"]);
    assert_eq!(integers(&listed, "attempts"), [2; 3]);
    assert_eq!(integers(&listed, "first_ms"), first);
    let last = integers(&listed, "last_ms");
    assert!((again..=sender.now_ms()).contains(&last[0]), "{last:?}");
    assert_eq!(sender.stats()["in_doubt"], 3);
    let texts: Vec<String> = listed.iter().map(|row| row["event"].to_string()).collect();

    sender.api.clear_faults();
    // The new process waits for as long as the API asked the old one to.
    sender.advance(WAIT_S + 1);
    sender.client.ask("flush 60000");
    assert!(rows(&mut sender, "in_doubt").is_empty());
    let requests = sender.api.requests();
    let repeats = requests
        .iter()
        .filter(|r| r.body_hash == requests[0].body_hash);
    assert_eq!(repeats.count(), 3);
    for (text, times) in times_accepted(&sender.api) {
        let parsed: Value = serde_json::from_str(&text).unwrap();
        let was_listed = texts.contains(&parsed.to_string());
        assert_eq!(times, if was_listed { 3 } else { 1 }, "{text}");
    }
}

#[test]
fn a_sender_that_dies_with_a_request_in_flight_leaves_its_events_listed_in_doubt() {
    let mut sender = BackgroundSender::start(&[]);
    // The API accepts the events, and its answer never arrives.
    let silence = json!({"fault": "delay", "ms": 3_600_000, "when": "after"});
    sender.api.set_fault(silence);
    sender.enqueue_users(0..3);
    sender.api.wait_for_events(3);
    sender.client.process.kill();

    let other = spool_of(&sender.program, &sender.api).into_client();
    let listed = other.in_doubt_rows();
    assert_eq!(listed.len(), 3);
    assert!(listed.iter().all(|row| row.attempts == 1));
    other.enqueue_users(3..5);
    sender.api.clear_faults();

    assert_eq!(other.flush_ok(secs(60)).delivered, 5);
    let requests = sender.api.requests();
    assert_eq!(requests[0].body_hash, requests[1].body_hash);
    let twice = times_accepted(&sender.api)
        .into_values()
        .filter(|times| *times == 2);
    assert_eq!(twice.count(), 3);
}

#[test]
fn the_refusal_of_an_event_in_doubt_says_that_it_may_be_delivered_and_a_later_refusal_does_not() {
    let mut sender = BackgroundSender::start(&[]);
    sender.api.set_fault(server_error_after_acceptance());
    sender.enqueue_users(0..3);
    sender.wait_for_answers(1);
    // The user is removed after the API has accepted the event.
    sender.api.set_unknown_users(["u-1"]);
    sender.api.clear_faults();
    sender.client.enqueue("u-1", 7);
    sender.advance(WAIT_S + 1);
    sender.client.ask("flush 60000");

    let rejected = rows(&mut sender, "rejected");
    assert_eq!(users(&rejected), ["u-1", "u-1"]);
    let reasons = integers(&rejected, "reason");
    assert_eq!(reasons, [REFUSED_MAY_BE_DELIVERED, REFUSED]);
    assert_eq!(integers(&rejected, "http_status"), [404; 2]);
    assert_eq!(rejected[0]["api_code"], "A_1104");
    let accepted = times_accepted(&sender.api);
    let of_user = |text: &&String| text.contains(r#""u-1""#);
    let accepted: Vec<_> = accepted.keys().filter(of_user).collect();
    assert_eq!(accepted.len(), 1);
    let accepted: Value = serde_json::from_str(accepted[0]).unwrap();
    assert_eq!(accepted, rejected[0]["event"]);
    assert!(rows(&mut sender, "in_doubt").is_empty());
}

#[test]
fn a_batch_in_doubt_stays_whole_through_a_pause_and_a_smaller_batch_max() {
    let mut sender = BackgroundSender::start(&[]);
    sender.api.set_fault(server_error_after_acceptance());
    sender.enqueue_users(0..10);
    sender.wait_for_answers(1);
    let listed = rows(&mut sender, "in_doubt");
    sender.api.clear_faults();
    sender.api.refuse_address();
    sender.advance(WAIT_S + 1);
    sender.wait_for_stats("the pause", |stats| stats["paused"] == "ip");
    // The API refused the address without reading the events: nothing is settled, and the attempts
    // are the same.
    assert_eq!(rows(&mut sender, "in_doubt"), listed);
    sender.client.process.kill();

    let other = spool_of(&sender.program, &sender.api)
        .with("batch_max", "4")
        .into_client();
    sender.api.allow_address();
    other.resume().unwrap();
    assert_eq!(other.flush_ok(secs(60)).delivered, 10);
    let requests = sender.api.requests();
    assert!(
        requests
            .iter()
            .all(|request| request.body_hash == requests[0].body_hash)
    );
}
