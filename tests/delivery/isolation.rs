//! Isolation: only events that the API refused alone are rejected, the others arrive in order, and
//! a pause in the middle costs nothing.

use std::time::Duration;

use meditopia::{Client, RowReason};
use meditopia::{ErrorKind, PauseReason};
use meditopia_testkit::ledger::Arrivals;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, SpoolClient, TestSpool};
use meditopia_testkit::wait::secs;
use serde_json::json;

use crate::fixtures::{accepted_values, values};

#[test]
fn only_an_event_that_was_refused_alone_is_rejected_and_the_rest_of_its_batch_arrives() {
    let api = Sandbox::builder()
        .unknown_user("u-17")
        .unknown_user("u-60")
        .start();
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_users(0..100);

    let report = client.flush_ok(secs(30));

    assert_eq!(
        (report.delivered, report.rejected, report.pending),
        (98, 2, 0)
    );
    assert_eq!(client.rejected_users(), ["u-17", "u-60"]);
    let row = &client.rejected_rows()[0];
    assert_eq!(row.http_status, Some(404));
    assert!(!row.api_code.is_empty() && !row.message.is_empty());
    assert_eq!(api.ledger().distinct_events, 98);
    assert_eq!(api.ledger().accepted_events, 98);
}

#[test]
fn the_events_of_a_suspect_stay_in_order_if_more_are_enqueued_while_a_batch_is_in_doubt() {
    let api = Sandbox::builder().unknown_user("u-x").start();
    let client = TestSpool::for_sandbox(&api).into_client();
    let enqueue_for_suspect = |numbers: std::ops::Range<usize>| {
        numbers.for_each(|number| client.enqueue_for("u-x", number));
    };
    // The acceptances make regular batches long, and the refusals keep those of suspects short.
    client.enqueue_users(0..500);
    enqueue_for_suspect(0..10);
    client.flush_ok(secs(10));

    api.set_fault(json!({"fault": "status", "status": 503, "when": "after"}));
    client.enqueue_users(500..510);
    enqueue_for_suspect(10..30);
    let (report, _) = client.flush(Duration::from_millis(500));
    assert!(report.in_doubt > 0);
    enqueue_for_suspect(30..40);
    let (report, _) = client.flush(Duration::from_millis(500));
    assert_eq!(report.pending, 40);

    api.clear_faults();
    api.set_unknown_users(Vec::<String>::new());
    client.flush_ok(secs(30));
    assert_eq!(accepted_values(&api, "u-x"), values(10..40));
}

#[test]
fn the_events_of_each_user_keep_their_order_through_isolation_suspicion_and_lanes() {
    let api = Sandbox::builder().seed(7).start();
    // These users are refused for a while and then good again; their events are in the suspects'
    // queue meanwhile.
    api.set_unknown(json!([{"prefix": "bad-"}]));
    api.set_faults(json!({"faults": [{"fault": "reset", "probability": 0.05, "when": "after"}]}));
    let client = TestSpool::for_sandbox(&api)
        .with("lanes", "4")
        .with("brake_users", "0")
        .into_client();
    for number in 0..3_000 {
        let user = if number % 37 == 0 {
            format!("bad-{}", number % 5)
        } else {
            format!("good-{}", number % 23)
        };
        client.enqueue_for(&user, number);
        if number == 1_500 {
            client.flush_ok(secs(60));
            api.set_unknown_users(Vec::<String>::new());
        }
    }
    client.flush_ok(secs(60));

    let accepted = Arrivals::from_sandbox(&api).first_appearances();
    for (user, numbers) in &accepted {
        assert!(numbers.is_sorted(), "{user}: {numbers:?}");
    }
    let rejected = client.rejected_rows();
    assert!(
        rejected
            .iter()
            .all(|row| row.event_json.contains(r#""bad-"#))
    );
    let delivered: usize = accepted.values().map(Vec::len).sum();
    // An event that was refused after a lost answer may be delivered as well; its row says so.
    let doubtful = rejected
        .iter()
        .filter(|row| {
            row.reason
                == RowReason::Refused {
                    may_be_delivered: true,
                }
        })
        .count();
    assert!(delivered + rejected.len() >= 3_000);
    assert!(delivered + rejected.len() <= 3_000 + doubtful);
    assert!(accepted.keys().any(|user| user.starts_with("bad-")));
}

#[test]
fn a_suspect_whose_event_was_too_large_is_cleared_by_an_accepted_event() {
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

    // After so many good events, bad ones are expected to be rare again, and good ones share a
    // request.
    client.enqueue_users(100..5_000);
    client.flush_ok(secs(60));
    let before = api.ledger().requests;
    client.enqueue_users(1..3);
    assert_eq!(client.flush_ok(secs(60)).delivered, 2);
    assert_eq!(api.ledger().requests, before + 1, "u-1 is still sent apart");
}

#[test]
fn a_refused_address_in_the_middle_of_isolation_blames_nobody() {
    let api = Sandbox::builder().unknown_user("u-17").start();
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_users(0..100);
    api.set_faults(json!({"faults": [
        {"fault": "status", "status": 401, "code": "A_1004", "message": "no", "after_requests": 3}
    ]}));

    let (report, outcome) = client.flush(secs(10));

    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Paused);
    assert_eq!(error.pause_reason(), Some(PauseReason::Ip));
    assert_eq!(report.pause, Some(PauseReason::Ip));
    assert!(client.rejected_rows().is_empty());

    api.clear_faults();
    client.resume().unwrap();
    client.flush_ok(secs(10));
    assert_eq!(client.rejected_users(), ["u-17"]);
    assert_eq!(api.ledger().accepted_events, 99);
}

/// The users of a hundred whose events are refused.
const BAD: [&str; 3] = ["u-17", "u-18", "u-60"];

fn with_bad_events() -> (Sandbox, SpoolClient) {
    let api = Sandbox::start();
    api.set_unknown_users(BAD);
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_users(0..100);
    (api, client)
}

fn assert_isolated(api: &Sandbox, client: &Client) {
    assert_eq!(client.rejected_users(), BAD);
    let ledger = api.ledger();
    assert_eq!((ledger.accepted_events, ledger.distinct_events), (97, 97));
}

#[test]
fn an_auth_or_ip_error_anywhere_in_an_isolation_blames_nobody_and_costs_one_request() {
    let (api, client) = with_bad_events();
    client.flush_ok(secs(60));
    assert_isolated(&api, &client);
    let undisturbed = api.ledger().requests;

    for (code, reason) in [("A_1002", PauseReason::Auth), ("A_1004", PauseReason::Ip)] {
        for after_requests in 0..undisturbed {
            let (api, client) = with_bad_events();
            api.set_fault(json!({"fault": "status", "status": 401, "code": code,
                "after_requests": after_requests, "count": 1}));
            let error = client.flush(secs(60)).1.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Paused);
            assert_eq!(error.pause_reason(), Some(reason));
            let so_far = client.rejected_users();
            assert!(BAD.starts_with(&so_far.iter().map(String::as_str).collect::<Vec<_>>()));

            client.resume().unwrap();
            client.flush_ok(secs(60));
            assert_isolated(&api, &client);
            // Isolation continued where it was, in a sender that read its state from the store.
            assert_eq!(
                api.ledger().requests,
                undisturbed + 1,
                "after {after_requests}"
            );
        }
    }
}
