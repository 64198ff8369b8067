//! Rejected events: what is kept of them, how they are found, and how they are requeued, discarded,
//! exported or set aside.

use meditopia::{Client, ErrorKind, RejectedFilter, RejectedReason, Row, RowReason};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, SpoolClient, TestSpool};
use meditopia_testkit::wait::secs;
use serde_json::{Value, json};

use crate::fixtures::{accepted_values, values, wall_ms};

/// A client that has delivered 30 events each of three users and had 30 each of two others
/// rejected.
fn with_rejected(api: &Sandbox) -> SpoolClient {
    api.set_unknown(json!([
        {"user": "bad-1"},
        {"user": "bad-2", "code": "U_1009", "message": "User is not active.", "status": 409},
    ]));
    let client = TestSpool::for_sandbox(api).into_client();
    for number in 0..30 {
        for user in ["a", "bad-1", "b", "bad-2", "c"] {
            client.enqueue_for(user, number);
        }
    }
    assert_eq!(client.flush_ok(secs(60)).rejected, 60);
    client
}

fn matching(client: &Client, filter: &RejectedFilter) -> Vec<Row> {
    let mut cursor = client.rejected_matching(filter).unwrap();
    std::iter::from_fn(|| cursor.next_row().unwrap()).collect()
}

fn all() -> RejectedFilter {
    RejectedFilter::default()
}

fn of_user(user: &str) -> RejectedFilter {
    RejectedFilter {
        user: Some(user.to_owned()),
        ..all()
    }
}

#[test]
fn a_rejected_event_keeps_its_reason_answer_and_times_over_a_restart() {
    let api = Sandbox::start();
    let before = wall_ms();
    let client = with_rejected(&api);
    let rows = client.rejected_rows();
    assert_eq!(rows.len(), 60);
    let row = rows
        .iter()
        .find(|row| row.event_json.contains("bad-2"))
        .unwrap();
    assert_eq!(
        row.reason,
        RowReason::Refused {
            may_be_delivered: false
        }
    );
    assert_eq!(row.api_code, "U_1009");
    assert_eq!(row.message, "User is not active.");
    assert_eq!(row.http_status, Some(409));
    assert!(row.attempts > 1, "{row:?}");
    assert!(
        row.first_ms >= before && row.last_ms >= row.first_ms,
        "{row:?}"
    );

    client.close(secs(30)).unwrap();
    assert_eq!(client.spool.client().rejected_rows(), rows);
}

#[test]
fn rejected_events_are_found_by_user_code_reason_time_and_row() {
    let api = Sandbox::start();
    let client = with_rejected(&api);
    let rows = client.rejected_rows();
    let count = |filter: RejectedFilter| matching(&client, &filter).len();

    assert_eq!(count(all()), 60);
    assert_eq!(count(of_user("bad-1")), 30);
    assert_eq!(count(of_user("a")), 0);
    let code = |code: &str| RejectedFilter {
        api_code: Some(code.to_owned()),
        ..all()
    };
    assert_eq!(count(code("U_1009")), 30);
    assert_eq!(
        count(RejectedFilter {
            user: Some("bad-1".to_owned()),
            ..code("U_1009")
        }),
        0
    );
    let reason = |reason| RejectedFilter {
        reason: Some(reason),
        ..all()
    };
    assert_eq!(count(reason(RejectedReason::Refused)), 60);
    assert_eq!(count(reason(RejectedReason::Expired)), 0);

    let at = rows[30].last_ms;
    let before = rows.iter().filter(|row| row.last_ms < at).count();
    let until = RejectedFilter {
        until_ms: Some(at),
        ..all()
    };
    let from = RejectedFilter {
        from_ms: Some(at),
        ..all()
    };
    assert_eq!(count(until), before);
    assert_eq!(count(from), 60 - before);
    let later = RejectedFilter {
        after_id: rows[9].id,
        ..all()
    };
    assert_eq!(matching(&client, &later), rows[10..]);
}

#[test]
fn requeued_events_of_a_user_arrive_in_order_and_those_of_other_users_stay_rejected() {
    let api = Sandbox::start();
    let client = with_rejected(&api);
    api.set_unknown(json!([{"user": "bad-2"}]));
    assert_eq!(client.requeue_matching(&of_user("bad-1")).unwrap(), 30);
    client.flush_ok(secs(60));
    assert_eq!(accepted_values(&api, "bad-1"), values(0..30));
    assert_eq!(client.rejected_rows().len(), 30);
    assert_eq!(client.requeue_matching(&of_user("bad-1")).unwrap(), 0);
}

#[test]
fn thousands_of_rejected_events_are_requeued_and_discarded_by_filter_through_the_sender() {
    const EVENTS: usize = 2_500;
    let api = Sandbox::start();
    api.set_unknown(json!([{"user": "bad-1"}, {"user": "bad-2"}]));
    let client = TestSpool::for_sandbox(&api)
        .with("role", "both")
        .into_client();
    for number in 0..EVENTS {
        client.enqueue_for("bad-1", number);
        client.enqueue_for("bad-2", number);
    }
    client.flush_ok(secs(120));
    assert_eq!(client.rejected_rows().len(), 2 * EVENTS);
    api.set_unknown(json!([]));
    assert_eq!(client.discard_matching(&of_user("bad-2")).unwrap(), EVENTS);
    assert_eq!(client.requeue_matching(&all()).unwrap(), EVENTS);
    client.flush_ok(secs(60));
    assert_eq!(accepted_values(&api, "bad-1"), values(0..EVENTS));
    assert_eq!(accepted_values(&api, "bad-2"), values(0..0));
    assert!(client.rejected_rows().is_empty());
}

#[test]
fn an_export_of_rejected_events_has_one_line_for_each_event_as_it_was_sent() {
    let api = Sandbox::start();
    let client = with_rejected(&api);
    let mut text = Vec::new();
    let filter = of_user("bad-2");
    assert_eq!(client.export_rejected(&filter, &mut text).unwrap(), 30);
    let text = String::from_utf8(text).unwrap();
    let rows = matching(&client, &filter);
    assert_eq!(text.lines().count(), rows.len());
    for (line, row) in text.lines().zip(&rows) {
        assert!(line.contains(&row.event_json), "{line}");
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["id"], row.id);
        assert_eq!(line["reason"], "refused");
        assert_eq!(line["may_be_delivered"], false);
        assert_eq!(line["api_code"], "U_1009");
        assert_eq!(line["message"], "User is not active.");
        assert_eq!(line["http_status"], 409);
        assert_eq!(line["attempts"], row.attempts);
        assert_eq!(line["first_ms"], row.first_ms);
        assert_eq!(line["last_ms"], row.last_ms);
        assert_eq!(line["event"]["partner_user_id"], "bad-2");
    }
    assert_eq!(
        client.rejected_rows().len(),
        60,
        "an export removes nothing"
    );
}

#[test]
fn an_exported_event_is_one_line_even_if_its_value_has_line_breaks() {
    let api = Sandbox::builder().unknown_user("u").start();
    let client = TestSpool::for_sandbox(&api).into_client();
    let pretty = "{\"token\":\"t\",\"partner_user_id\":\"u\",\"event\":\"video\",\"event_value\":{\n  \"a\": 1\r\n}}";
    client.enqueue_json(pretty.as_bytes()).unwrap();
    assert_eq!(client.flush_ok(secs(60)).rejected, 1);
    let mut text = Vec::new();
    let all = RejectedFilter::default();
    assert_eq!(client.export_rejected(&all, &mut text).unwrap(), 1);
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["event"]["event_value"], json!({"a": 1}));
}

/// A client with a batch of ten events in doubt, because the API answers with a server error, and
/// 15 events behind it.
fn with_batch_in_doubt(api: &Sandbox) -> SpoolClient {
    api.set_fault(json!({"fault": "status", "status": 500}));
    let client = TestSpool::for_sandbox(api)
        .with("batch_max", "10")
        .into_client();
    client.enqueue_users(0..25);
    let (report, outcome) = client.flush(secs(2));
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(report.in_doubt, 10);
    client
}

#[test]
fn an_event_in_doubt_is_set_aside_and_the_rest_of_its_batch_is_delivered() {
    let api = Sandbox::start();
    let client = with_batch_in_doubt(&api);
    let doubt = client.in_doubt_rows();
    assert_eq!(doubt.len(), 10);

    let ids = [doubt[3].id, doubt[9].id, 999];
    assert_eq!(client.set_aside(&ids).unwrap(), 2);
    assert_eq!(
        client.set_aside(&ids).unwrap(),
        0,
        "they are no longer in doubt"
    );
    assert_eq!(client.in_doubt_rows().len(), 8);
    let aside = client.rejected_rows();
    assert_eq!(aside.len(), 2);
    for (row, number) in aside.iter().zip([3, 9]) {
        assert_eq!(row.reason, RowReason::SetAside);
        assert_eq!(row.event_json, doubt[number].event_json);
        assert_eq!(row.attempts, doubt[number].attempts);
    }

    api.clear_faults();
    api.clear_ledger();
    assert_eq!(client.flush_ok(secs(60)).delivered, 23);
    assert_eq!(
        api.requests()[0].events,
        8,
        "the rest of the batch, and no other event"
    );
    let requeued = client.requeue_matching(&RejectedFilter {
        reason: Some(RejectedReason::SetAside),
        ..all()
    });
    assert_eq!(requeued.unwrap(), 2);
    assert_eq!(client.flush_ok(secs(60)).delivered, 2);
    assert_eq!(api.ledger().accepted_events, 25);
}

#[test]
fn an_id_from_an_old_list_never_refers_to_another_event() {
    let api = Sandbox::start();
    let client = with_batch_in_doubt(&api);
    let doubt = client.in_doubt_rows();
    assert_eq!(client.set_aside(&[doubt[0].id]).unwrap(), 1);
    assert_eq!(client.set_aside(&[doubt[0].id]).unwrap(), 0);
    assert_eq!(client.set_aside(&[doubt[5].id]).unwrap(), 1);
    let aside = client.rejected_rows();
    assert_eq!(aside[0].event_json, doubt[0].event_json);
    assert_eq!(aside[1].event_json, doubt[5].event_json);
}

#[test]
fn a_requeued_event_goes_to_the_end_of_its_queue_and_arrives() {
    let api = Sandbox::builder().unknown_user("u-3").start();
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_users(0..10);
    client.flush_ok(secs(10));
    let rejected = client.rejected_rows();
    assert_eq!(rejected.len(), 1);

    api.set_unknown_users(Vec::<String>::new());
    client.enqueue_users(10..12);
    assert_eq!(client.requeue_rejected(&[rejected[0].id, 999]).unwrap(), 1);
    client.flush_ok(secs(10));

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
fn an_event_that_waited_too_long_is_listed_as_expired_and_not_sent() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api)
        .with("event_ttl_s", "1")
        .into_client();
    client.enqueue_users(0..150);
    let enqueued = std::time::Instant::now();
    while enqueued.elapsed() <= secs(1) {
        std::thread::yield_now();
    }
    client.enqueue_users(150..153);

    let report = client.flush_ok(secs(10));

    assert_eq!(
        (report.delivered, report.expired, report.rejected),
        (3, 150, 0)
    );
    let rows = client.rejected_rows();
    assert_eq!(rows.len(), 150);
    let expired = RowReason::Expired {
        may_be_delivered: false,
    };
    assert!(rows.iter().all(|row| row.reason == expired));
}
