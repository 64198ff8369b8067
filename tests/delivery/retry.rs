//! When a request is sent again: no sooner than the API asks for, no later than an hour, and never what
//! has become too old.

use meditopia_testkit::background_sender::BackgroundSender;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;
use serde_json::{Value, json};

const HOUR: i64 = 3_600;
/// Nothing that is drawn is longer.
const LONGEST_DRAWN: i64 = 300;

/// What the API asks for, at its first answer.
fn asking(status: u16, retry_after: Value) -> BackgroundSender {
    let mut stepped = BackgroundSender::start(&[]);
    let fault =
        json!({"fault": "status", "status": status, "retry_after": retry_after, "count": 1});
    stepped.api.set_fault(fault);
    stepped.enqueue_users(0..3);
    stepped.wait_for_answers(1);
    stepped
}

fn http_date(in_seconds: i64) -> Value {
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(in_seconds);
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string().into()
}

/// Although a flush asks for it, and the sender has looked at its clock.
fn assert_sends_nothing(stepped: &mut BackgroundSender) {
    assert_eq!(
        stepped.client.ask("flush 300"),
        "MEDITOPIA_ERROR_TIMEOUT 0 0 3"
    );
    assert_eq!(stepped.api.ledger().requests, 1);
}

fn assert_sends(mut stepped: BackgroundSender) {
    stepped.api.wait_for_events(3);
    stepped.wait_for_answers(2);
    stepped.client.close();
}

/// What a sender rests at least after a failure, in milliseconds; one is lost to rounding.
const SHORTEST_MS: u64 = 999;

#[test]
fn a_failure_is_followed_by_a_rest_and_so_is_the_second_lost_connection_in_a_row() {
    for (fault, rests_after) in [
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
        assert_eq!(times.len(), rests_after + 2, "{fault}: {times:?}");
        let rest = times[rests_after + 1] - times[rests_after];
        assert!(rest >= SHORTEST_MS, "{fault}: {times:?}");
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
        let mut stepped = asking(status, retry_after);
        stepped.advance(2_000);
        assert_sends_nothing(&mut stepped);
        stepped.advance(1_001);
        assert_sends(stepped);
    }
}

#[test]
fn a_rest_that_the_api_asked_for_holds_for_the_processes_that_come_after_too() {
    for status in [429, 503] {
        let mut stepped = asking(status, json!(3_000));
        stepped.kill_and_restart();
        assert_sends_nothing(&mut stepped);
        stepped.advance(2_000);
        stepped.kill_and_restart();
        assert_sends_nothing(&mut stepped);
        stepped.advance(1_001);
        assert_sends(stepped);
    }
}

#[test]
fn a_retry_waits_no_longer_than_an_hour_whatever_the_api_asks() {
    for retry_after in [
        json!(24 * HOUR),
        json!("99999999999999999999"),
        http_date(24 * HOUR),
    ] {
        println!("{retry_after}");
        let mut stepped = asking(429, retry_after);
        stepped.advance(HOUR - 600);
        assert_sends_nothing(&mut stepped);
        stepped.advance(601);
        assert_sends(stepped);
    }
}

#[test]
fn what_asks_for_nothing_sensible_is_retried_as_if_it_had_not_asked() {
    for retry_after in [
        json!("soon"),
        json!("-5"),
        json!(""),
        json!(0),
        http_date(-HOUR),
    ] {
        println!("{retry_after}");
        let mut stepped = asking(503, retry_after);
        stepped.advance(LONGEST_DRAWN + 1);
        assert_sends(stepped);
    }
}

#[test]
fn a_rest_that_the_api_asked_for_ends_when_an_operator_knows_better() {
    let mut stepped = asking(429, json!(3_000));
    assert_eq!(stepped.client.ask("hold"), "MEDITOPIA_OK");
    assert_eq!(stepped.client.ask("resume"), "MEDITOPIA_OK");
    assert_sends(stepped);
}

#[test]
fn what_is_in_doubt_does_not_expire_before_it_is_settled_and_what_waits_behind_it_does() {
    let mut stepped = BackgroundSender::start(&[("event_ttl_s", "1000")]);
    stepped.api.set_fault(
        json!({"fault": "status", "status": 503, "when": "after", "retry_after": 3_000}),
    );
    stepped.enqueue_users(0..3);
    stepped.wait_for_answers(1);
    stepped.enqueue_users(3..5);
    stepped.wait_for_stats("all taken over", |stats| stats["journal_bytes"] == 0);
    stepped.advance(1_001);
    // The sender has looked at its clock by then.
    assert_eq!(
        stepped.client.ask("flush 300"),
        "MEDITOPIA_ERROR_TIMEOUT 0 0 5"
    );
    let stats = stepped.stats();
    assert_eq!(
        (&stats["expired"], &stats["in_doubt"]),
        (&json!(0), &json!(3))
    );

    stepped.api.clear_faults();
    stepped.advance(2_000);
    let stats = stepped.wait_for_stats("nothing pending", |stats| stats["pending"] == 0);
    assert_eq!(
        (&stats["expired"], &stats["delivered"]),
        (&json!(2), &json!(3))
    );
    let rejected = stepped.client.ask_json("rejected");
    let users: Vec<_> = rejected
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["event"]["partner_user_id"].as_str().unwrap())
        .collect();
    assert_eq!(users, ["u-3", "u-4"]);
    assert_eq!(stepped.api.ledger().distinct_events, 3);
}
