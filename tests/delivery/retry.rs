//! When a request is sent again: not sooner than the API asks for and not later than after an hour;
//! events that have become too old are not sent.

use meditopia_testkit::background_sender::BackgroundSender;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;
use serde_json::{Value, json};

const HOUR: i64 = 3_600;
/// The longest random backoff, in seconds.
const LONGEST_BACKOFF: i64 = 300;

/// A sender with three events that has received one answer: this status with this `Retry-After`.
fn sender_told_to_wait(status: u16, retry_after: Value) -> BackgroundSender {
    let mut sender = BackgroundSender::start(&[]);
    let fault =
        json!({"fault": "status", "status": status, "retry_after": retry_after, "count": 1});
    sender.api.set_fault(fault);
    sender.enqueue_users(0..3);
    sender.wait_for_answers(1);
    sender
}

fn http_date(in_seconds: i64) -> Value {
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(in_seconds);
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string().into()
}

/// Checks that no second request is sent, even though a flush wakes the sender.
fn assert_sends_nothing(sender: &mut BackgroundSender) {
    assert_eq!(
        sender.client.ask("flush 300"),
        "MEDITOPIA_ERROR_TIMEOUT 0 0 3"
    );
    assert_eq!(sender.api.ledger().requests, 1);
}

fn assert_sends(mut sender: BackgroundSender) {
    sender.api.wait_for_events(3);
    sender.wait_for_answers(2);
    sender.client.close();
}

/// The shortest wait after a failure, in milliseconds: a second, less one for rounding.
const SHORTEST_WAIT_MS: u64 = 999;

#[test]
fn a_sender_waits_after_a_failure_and_after_the_second_lost_connection_in_a_row() {
    for (fault, wait_after) in [
        (json!({"fault": "status", "status": 503, "count": 1}), 0),
        (json!({"fault": "status", "status": 429, "count": 1}), 0),
        (json!({"fault": "reset", "count": 2}), 1),
        (json!({"fault": "hang_up", "count": 2}), 1),
    ] {
        let api = Sandbox::start();
        let client = TestSpool::for_sandbox(&api).into_client();
        client.enqueue_users(0..3);
        api.set_fault(fault.clone());

        client.flush_ok(secs(60));

        let times: Vec<u64> = api.requests().iter().map(|r| r.time_ms).collect();
        assert_eq!(times.len(), wait_after + 2, "{fault}: {times:?}");
        let wait = times[wait_after + 1] - times[wait_after];
        assert!(wait >= SHORTEST_WAIT_MS, "{fault}: {times:?}");
    }
}

#[test]
fn a_retry_waits_as_long_as_the_api_asks_in_seconds_or_as_a_date() {
    for (status, retry_after) in [
        (429, json!(3_000)),
        (429, http_date(3_000)),
        (425, json!(3_000)),
        (503, json!(3_000)),
        (503, http_date(3_000)),
        (408, json!(3_000)),
    ] {
        println!("{status} {retry_after}");
        let mut sender = sender_told_to_wait(status, retry_after);
        sender.advance(2_000);
        assert_sends_nothing(&mut sender);
        sender.advance(1_001);
        assert_sends(sender);
    }
}

#[test]
fn a_wait_that_the_api_asked_for_applies_to_later_processes_too() {
    for status in [429, 503] {
        let mut sender = sender_told_to_wait(status, json!(3_000));
        sender.kill_and_restart();
        assert_sends_nothing(&mut sender);
        sender.advance(2_000);
        sender.kill_and_restart();
        assert_sends_nothing(&mut sender);
        sender.advance(1_001);
        assert_sends(sender);
    }
}

#[test]
fn a_retry_waits_at_most_an_hour_even_if_the_api_asks_for_more() {
    for retry_after in [
        json!(24 * HOUR),
        json!("99999999999999999999"),
        http_date(24 * HOUR),
    ] {
        println!("{retry_after}");
        let mut sender = sender_told_to_wait(429, retry_after);
        sender.advance(HOUR - 600);
        assert_sends_nothing(&mut sender);
        sender.advance(601);
        assert_sends(sender);
    }
}

#[test]
fn an_answer_with_a_useless_retry_after_is_retried_as_if_it_had_none() {
    for retry_after in [
        json!("soon"),
        json!("-5"),
        json!(""),
        json!(0),
        http_date(-HOUR),
    ] {
        println!("{retry_after}");
        let mut sender = sender_told_to_wait(503, retry_after);
        sender.advance(LONGEST_BACKOFF + 1);
        assert_sends(sender);
    }
}

#[test]
fn a_wait_that_the_api_asked_for_ends_when_an_operator_resumes() {
    let mut sender = sender_told_to_wait(429, json!(3_000));
    assert_eq!(sender.client.ask("hold"), "MEDITOPIA_OK");
    assert_eq!(sender.client.ask("resume"), "MEDITOPIA_OK");
    assert_sends(sender);
}

#[test]
fn events_in_doubt_do_not_expire_before_they_are_settled_and_those_behind_them_do() {
    let mut sender = BackgroundSender::start(&[("event_ttl_s", "1000")]);
    sender.api.set_fault(
        json!({"fault": "status", "status": 503, "when": "after", "retry_after": 3_000}),
    );
    sender.enqueue_users(0..3);
    sender.wait_for_answers(1);
    sender.enqueue_users(3..5);
    sender.wait_for_stats("all taken over", |stats| stats["journal_bytes"] == 0);
    sender.advance(1_001);
    // The flush makes the sender read its clock.
    assert_eq!(
        sender.client.ask("flush 300"),
        "MEDITOPIA_ERROR_TIMEOUT 0 0 5"
    );
    let stats = sender.stats();
    assert_eq!(
        (&stats["expired"], &stats["in_doubt"]),
        (&json!(0), &json!(3))
    );

    sender.api.clear_faults();
    sender.advance(2_000);
    let stats = sender.wait_for_stats("nothing pending", |stats| stats["pending"] == 0);
    assert_eq!(
        (&stats["expired"], &stats["delivered"]),
        (&json!(2), &json!(3))
    );
    let rejected = sender.client.ask_json("rejected");
    let users: Vec<_> = rejected
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["event"]["partner_user_id"].as_str().unwrap())
        .collect();
    assert_eq!(users, ["u-3", "u-4"]);
    assert_eq!(sender.api.ledger().distinct_events, 3);
}
