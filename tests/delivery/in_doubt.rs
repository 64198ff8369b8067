//! What is in doubt: known before its bytes leave, listed through the C door with its times, repeated
//! with the same bytes, and never called undelivered afterwards.

use std::collections::BTreeMap;

use meditopia_testkit::background_sender::BackgroundSender;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;
use serde_json::{Value, json};

const IN_DOUBT: i64 = 3;
const REFUSED: i64 = 1;
const REFUSED_MAY_BE_DELIVERED: i64 = 4;

const REST_S: i64 = 3_000;

/// A server error for events that the API has accepted, and a rest that only the test's clock ends.
fn untold() -> Value {
    json!({"fault": "status", "status": 503, "when": "after", "retry_after": REST_S})
}

fn rows(stepped: &mut BackgroundSender, list: &str) -> Vec<Value> {
    stepped.client.ask_json(list).as_array().unwrap().clone()
}

fn figure(rows: &[Value], member: &str) -> Vec<i64> {
    rows.iter()
        .map(|row| row[member].as_i64().unwrap())
        .collect()
}

fn users(rows: &[Value]) -> Vec<&str> {
    rows.iter()
        .map(|row| row["event"]["partner_user_id"].as_str().unwrap())
        .collect()
}

/// How often each accepted event came, by its bytes.
fn times_accepted(api: &Sandbox) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for event in api.events() {
        *times.entry(event.text).or_default() += 1;
    }
    times
}

#[test]
fn the_list_tells_which_events_may_stand_twice_since_when_and_after_how_many_requests() {
    let mut stepped = BackgroundSender::start(&[]);
    stepped.api.set_fault(untold());
    let before = stepped.now_ms();
    stepped.enqueue_users(0..3);
    stepped.wait_for_answers(1);
    let listed = rows(&mut stepped, "in_doubt");
    assert_eq!(figure(&listed, "reason"), [IN_DOUBT; 3]);
    assert_eq!(figure(&listed, "attempts"), [1; 3]);
    let first = figure(&listed, "first_ms");
    assert!((before..=stepped.now_ms()).contains(&first[0]));
    assert_eq!(first, [first[0]; 3]);
    assert_eq!(figure(&listed, "last_ms"), first);

    // More comes, the request fails again, and the process dies: only its times and their number change.
    stepped.enqueue_users(3..6);
    let again = stepped.now_ms() + REST_S * 1_000;
    stepped.advance(REST_S + 1);
    stepped.wait_for_answers(2);
    stepped.kill_and_restart();
    let listed = rows(&mut stepped, "in_doubt");
    assert_eq!(users(&listed), ["u-0", "u-1", "u-2"]);
    assert_eq!(figure(&listed, "attempts"), [2; 3]);
    assert_eq!(figure(&listed, "first_ms"), first);
    let last = figure(&listed, "last_ms");
    assert!((again..=stepped.now_ms()).contains(&last[0]), "{last:?}");
    assert_eq!(stepped.stats()["in_doubt"], 3);
    let texts: Vec<String> = listed.iter().map(|row| row["event"].to_string()).collect();

    stepped.api.clear_faults();
    // The process that came after keeps to what the API asked of the one before.
    stepped.advance(REST_S + 1);
    stepped.client.ask("flush 60000");
    assert!(rows(&mut stepped, "in_doubt").is_empty());
    let requests = stepped.api.requests();
    let repeats = requests
        .iter()
        .filter(|r| r.body_hash == requests[0].body_hash);
    assert_eq!(repeats.count(), 3);
    for (text, times) in times_accepted(&stepped.api) {
        let parsed: Value = serde_json::from_str(&text).unwrap();
        let was_listed = texts.contains(&parsed.to_string());
        assert_eq!(times, if was_listed { 3 } else { 1 }, "{text}");
    }
}

#[test]
fn a_sender_that_dies_while_its_bytes_are_on_the_way_leaves_them_listed() {
    let mut stepped = BackgroundSender::start(&[]);
    // The API has them, and its answer never comes.
    let silence = json!({"fault": "delay", "ms": 3_600_000, "when": "after"});
    stepped.api.set_fault(silence);
    stepped.enqueue_users(0..3);
    stepped.api.wait_for_events(3);
    stepped.client.process.kill();

    let other = TestSpool::for_sandbox(&stepped.api)
        .with("spool", stepped.program.spool().to_str().unwrap())
        .into_client();
    let listed = other.in_doubt_rows();
    assert_eq!(listed.len(), 3);
    assert!(listed.iter().all(|row| row.attempts == 1));
    other.enqueue_users(3..5);
    stepped.api.clear_faults();

    assert_eq!(other.flush_ok(secs(60)).delivered, 5);
    let requests = stepped.api.requests();
    assert_eq!(requests[0].body_hash, requests[1].body_hash);
    let twice = times_accepted(&stepped.api)
        .into_values()
        .filter(|times| *times == 2);
    assert_eq!(twice.count(), 3);
}

#[test]
fn a_refusal_of_what_was_in_doubt_says_that_it_may_be_delivered_and_a_later_one_does_not() {
    let mut stepped = BackgroundSender::start(&[]);
    stepped.api.set_fault(untold());
    stepped.enqueue_users(0..3);
    stepped.wait_for_answers(1);
    // The user is removed after the API has taken the event and before it could say so.
    stepped.api.set_unknown_users(["u-1"]);
    stepped.api.clear_faults();
    stepped.client.enqueue("u-1", 7);
    stepped.advance(REST_S + 1);
    stepped.client.ask("flush 60000");

    let rejected = rows(&mut stepped, "rejected");
    assert_eq!(users(&rejected), ["u-1", "u-1"]);
    let reasons = figure(&rejected, "reason");
    assert_eq!(reasons, [REFUSED_MAY_BE_DELIVERED, REFUSED]);
    assert_eq!(figure(&rejected, "http_status"), [404; 2]);
    assert_eq!(rejected[0]["api_code"], "A_1104");
    let accepted = times_accepted(&stepped.api);
    let of_user = |text: &&String| text.contains(r#""u-1""#);
    let accepted: Vec<_> = accepted.keys().filter(of_user).collect();
    assert_eq!(accepted.len(), 1);
    let accepted: Value = serde_json::from_str(accepted[0]).unwrap();
    assert_eq!(accepted, rejected[0]["event"]);
    assert!(rows(&mut stepped, "in_doubt").is_empty());
}

#[test]
fn what_is_in_doubt_stays_so_through_a_pause_and_another_number_of_events_in_a_request() {
    let mut stepped = BackgroundSender::start(&[]);
    stepped.api.set_fault(untold());
    stepped.enqueue_users(0..10);
    stepped.wait_for_answers(1);
    let listed = rows(&mut stepped, "in_doubt");
    stepped.api.clear_faults();
    stepped.api.refuse_address();
    stepped.advance(REST_S + 1);
    stepped.wait_for_stats("the pause", |stats| stats["paused"] == "ip");
    // The API never looked at it: nothing is settled, and there is no further request in doubt.
    assert_eq!(rows(&mut stepped, "in_doubt"), listed);
    stepped.client.process.kill();

    let other = TestSpool::for_sandbox(&stepped.api)
        .with("spool", stepped.program.spool().to_str().unwrap())
        .with("batch_max", "4")
        .into_client();
    stepped.api.allow_address();
    other.resume().unwrap();
    assert_eq!(other.flush_ok(secs(60)).delivered, 10);
    let requests = stepped.api.requests();
    assert!(
        requests
            .iter()
            .all(|request| request.body_hash == requests[0].body_hash)
    );
}
