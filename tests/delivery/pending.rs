//! What waits: every event once, with its user and since when, whoever has it and while a sender runs.

use std::collections::HashSet;

use meditopia::client::{Client, PendingFilter, Row, RowReason};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;
use serde_json::{Value, json};

/// From here on ids only tell a place in the list.
const JOURNAL: i64 = 1 << 62;

fn pending(client: &Client, filter: &PendingFilter) -> Vec<Row> {
    let mut cursor = client.pending(filter).unwrap();
    std::iter::from_fn(|| cursor.next_row().unwrap()).collect()
}

fn all() -> PendingFilter {
    PendingFilter::default()
}

fn users(rows: &[Row]) -> Vec<String> {
    let user = |row: &Row| {
        let event: Value = serde_json::from_str(&row.event_json).unwrap();
        event["partner_user_id"].as_str().unwrap().to_owned()
    };
    rows.iter().map(user).collect()
}

fn named(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("u-{number}")).collect()
}

fn reasons(rows: &[Row]) -> HashSet<RowReason> {
    rows.iter().map(|row| row.reason).collect()
}

/// An outage: what was enqueued before is taken over, its first batch is in doubt.
fn outage(api: &Sandbox, client: &Client) {
    api.set_fault(json!({"fault": "status", "status": 503}));
    client.flush(secs(2)).1.unwrap_err();
    // What ends at its deadline may be at its last request still; this one has ended when it returns.
    client.hold().unwrap();
    client.flush(secs(60)).1.unwrap_err();
}

fn ids(rows: &[Row]) -> Vec<i64> {
    rows.iter().map(|row| row.id).collect()
}

#[test]
fn every_waiting_event_is_listed_once_taken_over_or_not_and_by_page() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_users(0..10);
    let before = pending(&client, &all());
    assert_eq!(users(&before), named(0..10), "nobody has sent yet");
    assert_eq!(reasons(&before), [RowReason::Journalled].into());

    // More than a page of the store.
    client.enqueue_users(10..5_000);
    outage(&api, &client);
    client.enqueue_users(5_000..5_100);
    let rows = pending(&client, &all());
    assert_eq!(users(&rows), named(0..5_100));
    assert_eq!(reasons(&rows[..100]), [RowReason::InDoubt].into());
    assert!(
        rows[..100]
            .iter()
            .all(|row| row.attempts > 0 && row.last_ms > 0)
    );
    assert_eq!(reasons(&rows[100..5_000]), [RowReason::Pending].into());
    assert_eq!(reasons(&rows[5_000..]), [RowReason::Journalled].into());
    assert!(rows.is_sorted_by(|one, next| one.id < next.id));
    assert!(rows.is_sorted_by_key(|row| row.first_ms));
    assert_eq!(before[0].first_ms, rows[0].first_ms);
    assert!(
        rows.iter()
            .all(|row| (row.id >= JOURNAL) == (row.reason == RowReason::Journalled))
    );
    assert_eq!(client.stats().unwrap().pending, 5_100);

    for at in [0, 99, 100, 3_199, 3_200, 4_998, 4_999, 5_050] {
        let behind = PendingFilter {
            after_id: rows[at].id,
            ..all()
        };
        let rest = pending(&client, &behind);
        assert_eq!(ids(&rest), ids(&rows[at + 1..]), "behind {at}");
    }
}

#[test]
fn waiting_events_are_found_by_user_and_by_time() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    for number in 0..500 {
        client.enqueue_for("a", number);
        client.enqueue_for("with \"quotes\" é", number);
        client.enqueue_for("ab", number);
    }
    outage(&api, &client);
    client.enqueue_for("a", 500);
    let of = |user: &str| PendingFilter {
        user: Some(user.to_owned()),
        ..all()
    };
    assert_eq!(pending(&client, &of("a")).len(), 501);
    let quoted = pending(&client, &of("with \"quotes\" é"));
    assert_eq!(quoted.len(), 500);
    assert!(users(&quoted).iter().all(|user| user.contains("quotes")));
    assert!(pending(&client, &of("b")).is_empty());

    let rows = pending(&client, &all());
    let at = rows[1_500].first_ms;
    let from = PendingFilter {
        from_ms: Some(at),
        ..all()
    };
    let until = PendingFilter {
        until_ms: Some(at),
        ..all()
    };
    let (earlier, later): (Vec<Row>, Vec<Row>) =
        rows.into_iter().partition(|row| row.first_ms < at);
    assert!(!earlier.is_empty() && !later.is_empty());
    assert_eq!(ids(&pending(&client, &until)), ids(&earlier));
    assert_eq!(ids(&pending(&client, &from)), ids(&later));
}

#[test]
fn what_is_settled_of_a_run_is_not_listed_any_more() {
    let api = Sandbox::start();
    // Ten of a run of a hundred leave, and then no more.
    let failing = json!({"fault": "status", "status": 503, "after_requests": 1});
    api.set_fault(failing);
    let client = TestSpool::for_sandbox(&api)
        .with("batch_max", "10")
        .into_client();
    client.enqueue_users(0..100);
    client.flush(secs(2)).1.unwrap_err();
    assert_eq!(users(&pending(&client, &all())), named(10..100));
}

#[test]
fn a_list_is_walked_beside_a_running_sender_and_disturbs_it_not() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api)
        .with("role", "both")
        .into_client();
    let reader = client.spool.client();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| client.enqueue_users(0..20_000));
        while !writer.is_finished() {
            let rows = pending(&reader, &all());
            let ids: HashSet<i64> = rows.iter().map(|row| row.id).collect();
            assert_eq!(ids.len(), rows.len(), "an event is listed once");
        }
    });
    client.flush_ok(secs(60));
    assert!(pending(&reader, &all()).is_empty());
    assert_eq!(api.ledger().accepted_events, 20_000);
}
