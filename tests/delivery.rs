//! The way of an event, over real HTTP: from `enqueue` to the ledger of the API.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod host;
mod sandbox;

use host::{Host, Story, secs};
use meditopia::error::{ErrorKind, PauseReason};
use sandbox::Sandbox;
use serde_json::json;

#[test]
fn what_was_enqueued_arrives_in_order_and_byte_for_byte() {
    let api = Sandbox::start();
    let client = Host::of(&api).open();
    for number in 0..250 {
        client.enqueue_for("u-1", number);
    }
    client.enqueue_json(br#"{"token":"t","partner_user_id":"u-1","event":"audio","event_value":{"a": [1, 2.50]},"received_at":"2024-08-06T17:04:05+02:00"}"#).unwrap();

    let report = client.flushed(secs(10));

    assert_eq!(
        (report.delivered, report.pending, report.in_doubt),
        (251, 0, 0)
    );
    let events = api.events();
    let values: Vec<_> = events
        .iter()
        .take(250)
        .map(|event| event.fields.event_value.clone())
        .collect();
    let expected: Vec<_> = (0..250).map(|number| json!(number.to_string())).collect();
    assert_eq!(values, expected);
    assert_eq!(
        events[250].text,
        r#"{"token":"t","partner_user_id":"u-1","event":"audio","event_value":{"a": [1, 2.50]},"received_at":"2024-08-06 15:04:05"}"#
    );
    assert_eq!(api.ledger().requests, 3);
}

#[test]
fn only_a_lone_event_is_judged_and_its_neighbours_arrive() {
    let api = Sandbox::builder()
        .unknown_user("u-17")
        .unknown_user("u-60")
        .start();
    let client = Host::of(&api).open();
    client.enqueue_users(0..100);

    let report = client.flushed(secs(30));

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
fn a_refused_address_in_the_middle_of_isolation_blames_nobody() {
    let api = Sandbox::builder().unknown_user("u-17").start();
    let client = Host::of(&api).open();
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
    client.flushed(secs(10));
    assert_eq!(client.rejected_users(), ["u-17"]);
    assert_eq!(api.ledger().accepted_events, 99);
}

#[test]
fn a_wrong_token_loses_nothing_and_the_right_one_goes_on_at_once() {
    let api = Sandbox::start();
    let client = Host::of(&api).with("bearer_token", "wrong").open();
    client.enqueue_users(0..50);

    let (report, outcome) = client.flush(secs(10));

    assert_eq!(outcome.unwrap_err().pause_reason(), Some(PauseReason::Auth));
    assert_eq!(
        (report.pending, report.delivered, report.rejected),
        (50, 0, 0)
    );
    assert!(client.in_doubt_rows().is_empty());

    client.set_bearer_token(api.token()).unwrap();
    assert_eq!(client.flushed(secs(10)).delivered, 50);
}

#[test]
fn what_does_not_look_like_the_api_pauses_and_rejects_nothing() {
    for fault in [
        json!({"fault": "status", "status": 404, "body": "<html>not here</html>", "content_type": "text/html"}),
        json!({"fault": "status", "status": 302, "headers": {"Location": "https://login.example/"}}),
        json!({"fault": "status", "status": 200, "body": "<html>log in</html>", "content_type": "text/html"}),
    ] {
        let api = Sandbox::start();
        let client = Host::of(&api).open();
        client.enqueue_users(0..10);
        api.set_fault(fault.clone());

        let (report, outcome) = client.flush(secs(10));

        let error = outcome.unwrap_err();
        assert_eq!(
            error.pause_reason(),
            Some(PauseReason::Misrouted),
            "{fault}: {error}"
        );
        assert_eq!((report.pending, report.rejected), (10, 0), "{fault}");
        api.clear_faults();
        client.resume().unwrap();
        assert_eq!(client.flushed(secs(10)).delivered, 10, "{fault}");
    }
}

#[test]
fn a_batch_without_an_answer_is_listed_in_doubt_and_repeated_byte_for_byte() {
    let api = Sandbox::start();
    let client = Host::of(&api).open();
    client.enqueue_users(0..30);
    api.set_fault(json!({"fault": "status", "status": 503, "when": "after"}));

    let (report, outcome) = client.flush(std::time::Duration::from_millis(700));

    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!((report.pending, report.in_doubt), (30, 30));
    let rows = client.in_doubt_rows();
    assert_eq!(rows.len(), 30);
    assert!(rows.iter().all(|row| row.attempts >= 1 && row.first_ms > 0));

    client.enqueue_users(30..60);
    api.clear_faults();
    client.flushed(secs(30));
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
fn a_requeued_event_goes_to_the_end_and_arrives() {
    let api = Sandbox::builder().unknown_user("u-3").start();
    let client = Host::of(&api).open();
    client.enqueue_users(0..10);
    client.flushed(secs(10));
    let rejected = client.rejected_rows();
    assert_eq!(rejected.len(), 1);

    api.set_unknown_users(Vec::<String>::new());
    client.enqueue_users(10..12);
    assert_eq!(client.requeue_rejected(&[rejected[0].id, 999]).unwrap(), 1);
    client.flushed(secs(10));

    assert!(client.rejected_rows().is_empty());
    let users: Vec<_> = api
        .events()
        .into_iter()
        .map(|event| event.fields.partner_user_id)
        .collect();
    assert_eq!(users.len(), 12);
    assert!(users.contains(&"u-3".to_owned()));
}

#[test]
fn a_background_sender_delivers_at_the_interval_and_at_a_full_batch() {
    let api = Sandbox::start();
    let client = Host::of(&api)
        .with("role", "both")
        .with("flush_interval_ms", "50")
        .open();
    client.enqueue_users(0..5);
    api.wait_for_events(5);

    let full = Host::of(&api)
        .with("role", "both")
        .with("flush_interval_ms", "3600000")
        .open();
    full.enqueue_users(0..100);
    api.wait_for_events(105);

    let (report, outcome) = client.close(secs(5));
    outcome.unwrap();
    assert_eq!(report.pending, 0);
    assert_eq!(
        std::fs::read_dir(client.host.spool().join("journal"))
            .unwrap()
            .count(),
        0,
        "litter"
    );
}

#[test]
fn a_held_spool_sends_nothing_until_it_is_resumed() {
    let api = Sandbox::start();
    let client = Host::of(&api).open();
    client.hold().unwrap();
    client.enqueue_users(0..10);
    let (_, outcome) = client.flush(secs(5));
    assert_eq!(outcome.unwrap_err().pause_reason(), Some(PauseReason::Hold));
    assert_eq!(api.ledger().requests, 0);
    client.resume().unwrap();
    assert_eq!(client.flushed(secs(5)).delivered, 10);
}

// ---- what a newcomer reads ----

#[test]
fn a_token_file_that_is_not_there_is_named_by_the_pause_and_taken_once_it_is() {
    let api = Sandbox::start();
    let host = Host::of(&api)
        .with("role", "both")
        .with("flush_interval_ms", "10");
    let file = host.spool().with_extension("token");
    let client = host
        .with("bearer_token_file", file.to_str().unwrap())
        .open();
    client.enqueue_users(0..3);

    let error = client.flush(secs(10)).1.unwrap_err();

    assert_eq!(error.pause_reason(), Some(PauseReason::Auth));
    let named = format!("bearer_token_file {}: No such file", file.display());
    assert!(error.message().contains(&named), "{error}");

    std::fs::write(&file, api.token()).unwrap();
    api.wait_for_events(3);
}

#[test]
fn a_flush_in_vain_says_what_came_of_the_last_request() {
    let api = Sandbox::start();
    let client = Host::of(&api).open();
    client.enqueue_users(0..3);
    api.set_fault(json!({"fault": "status", "status": 503}));

    let error = client.flush(secs(1)).1.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(
        error.message().contains("the last request: HTTP 503"),
        "{error}"
    );
}

#[test]
fn a_pause_says_what_to_do() {
    let api = Sandbox::start();
    let client = Host::of(&api).open();
    client.enqueue_users(0..3);
    api.refuse_address();

    let error = client.flush(secs(10)).1.unwrap_err();

    let words = "(A_1004, HTTP 401); ask Meditopia to allow this host's address; 3 events are kept";
    assert!(error.message().contains(words), "{error}");
}
