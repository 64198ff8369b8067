//! What it costs in requests that one user in a hundred is bad: counted by the API.

use std::collections::BTreeMap;

use meditopia_testkit::isolation::zipf::Zipf;
use meditopia_testkit::ledger::Arrivals;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;
use serde_json::json;

const USERS: usize = 10_000;
/// Of a hundred users one is bad.
const ONE_BAD_OF: usize = 100;
/// Requests at most, as a multiple of full batches and one request for each rejected event.
const AT_MOST: f64 = 1.15;
/// Requests to find a bad user, which a million events pay off and fewer do not.
const TO_FIND: f64 = 8.0;
/// With so many events the search has to be paid off.
const MANY: usize = 1_000_000;

fn is_bad(user: usize) -> bool {
    user % ONE_BAD_OF == 37
}

#[test]
fn one_bad_user_in_a_hundred_costs_little_more_than_a_request_for_each_rejected_event() {
    let events = meditopia_testkit::fault_table::trial_count(50_000, MANY as u64) as usize;
    let api = Sandbox::start();
    let bad = (0..USERS).filter(|user| is_bad(*user));
    api.set_unknown_users(bad.map(|user| format!("u-{user}")));
    let client = TestSpool::for_sandbox(&api).into_client();
    let (zipf, mut rng) = (Zipf::new(USERS), fastrand::Rng::with_seed(1));
    let mut sent = vec![0_u64; USERS];
    for _ in 0..events {
        let user = zipf.draw(&mut rng);
        client.enqueue_for(&format!("u-{user}"), sent[user] as usize);
        sent[user] += 1;
    }

    let report = client.flush_ok(secs(540));

    let of_bad: u64 = (0..USERS)
        .filter(|user| is_bad(*user))
        .map(|user| sent[user])
        .sum();
    assert_eq!(report.rejected, of_bad);
    assert_eq!(report.delivered, events as u64 - of_bad);
    let summary = api.ledger();
    assert_eq!(summary.distinct_events, report.delivered);
    assert_eq!(summary.accepted_events, report.delivered);
    let first_appearances: BTreeMap<String, Vec<u64>> =
        Arrivals::from_sandbox(&api).first_appearances();
    for user in (0..USERS).filter(|user| !is_bad(*user) && sent[*user] > 0) {
        let whole: Vec<u64> = (0..sent[user]).collect();
        assert_eq!(first_appearances[&format!("u-{user}")], whole, "u-{user}");
    }
    let least = events as f64 / 100.0 + of_bad as f64;
    let times = summary.requests as f64 / least;
    println!(
        "{events} events, {of_bad} of them rejected: {} requests, {times:.3} times {least:.0}",
        summary.requests
    );
    let found = (0..USERS)
        .filter(|user| is_bad(*user) && sent[*user] > 0)
        .count();
    let finding = if events >= MANY {
        0.0
    } else {
        TO_FIND * found as f64
    };
    assert!(
        summary.requests as f64 <= AT_MOST * least + finding,
        "{times:.3} times the least, {found} bad users"
    );
}

#[test]
fn a_suspect_whose_event_was_too_large_is_trusted_again_after_a_good_one() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    api.set_unknown_users(["u-1"]);
    client.enqueue_for("u-1", 0);
    assert_eq!(client.flush_ok(secs(60)).rejected, 1);
    api.set_unknown(json!([{"user": "u-1", "status": 413, "code": "A_1400"}]));
    client.enqueue_for("u-1", 1);
    assert_eq!(client.flush_ok(secs(60)).rejected, 1);
    api.set_unknown(json!([]));
    client.enqueue_for("u-1", 2);
    assert_eq!(client.flush_ok(secs(60)).delivered, 1);

    // So that bad events are believed to be seldom again, and good ones share a request.
    client.enqueue_users(100..5_000);
    client.flush_ok(secs(60));
    let before = api.ledger().requests;
    client.enqueue_users(1..3);
    assert_eq!(client.flush_ok(secs(60)).delivered, 2);
    assert_eq!(api.ledger().requests, before + 1, "u-1 still goes apart");
}
