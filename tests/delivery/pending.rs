//! The list of pending events: each event once, with its user and its time, whether it is in the
//! journal or in the store, and while a sender runs.

use std::collections::HashSet;

use meditopia::{Client, PendingFilter, Row, RowReason};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;
use serde_json::{Value, json};

/// The first id of events in the journal. Such an id is only a position in the list.
const FIRST_JOURNAL_ID: i64 = 1 << 62;

fn pending_rows(client: &Client, filter: &PendingFilter) -> Vec<Row> {
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

fn user_names(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("u-{number}")).collect()
}

fn reasons(rows: &[Row]) -> HashSet<RowReason> {
    rows.iter().map(|row| row.reason).collect()
}

/// Makes the API fail, so that all events are taken over and the first batch is in doubt.
fn take_over_in_an_outage(api: &Sandbox, client: &Client) {
    api.set_fault(json!({"fault": "status", "status": 503}));
    client.flush(secs(2)).1.unwrap_err();
    // A flush that ends at its deadline may still have a request in flight; this one has none.
    client.hold().unwrap();
    client.flush(secs(60)).1.unwrap_err();
}

fn ids(rows: &[Row]) -> Vec<i64> {
    rows.iter().map(|row| row.id).collect()
}

#[test]
fn every_pending_event_is_listed_once_whether_in_the_journal_or_in_the_store_and_by_page() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_users(0..10);
    let before = pending_rows(&client, &all());
    assert_eq!(
        users(&before),
        user_names(0..10),
        "before any sender has run"
    );
    assert_eq!(reasons(&before), [RowReason::Journalled].into());

    // More than the list reads from the store at a time.
    client.enqueue_users(10..5_000);
    take_over_in_an_outage(&api, &client);
    client.enqueue_users(5_000..5_100);
    let rows = pending_rows(&client, &all());
    assert_eq!(users(&rows), user_names(0..5_100));
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
            .all(|row| (row.id >= FIRST_JOURNAL_ID) == (row.reason == RowReason::Journalled))
    );
    assert_eq!(client.stats().unwrap().pending, 5_100);

    for index in [0, 99, 100, 3_199, 3_200, 4_998, 4_999, 5_050] {
        let later = PendingFilter {
            after_id: rows[index].id,
            ..all()
        };
        let rest = pending_rows(&client, &later);
        assert_eq!(ids(&rest), ids(&rows[index + 1..]), "after row {index}");
    }
}

#[test]
fn pending_events_are_found_by_user_and_by_time() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    for number in 0..500 {
        client.enqueue_for("a", number);
        client.enqueue_for("with \"quotes\" é", number);
        client.enqueue_for("ab", number);
    }
    take_over_in_an_outage(&api, &client);
    client.enqueue_for("a", 500);
    let of_user = |user: &str| PendingFilter {
        user: Some(user.to_owned()),
        ..all()
    };
    assert_eq!(pending_rows(&client, &of_user("a")).len(), 501);
    let quoted = pending_rows(&client, &of_user("with \"quotes\" é"));
    assert_eq!(quoted.len(), 500);
    assert!(users(&quoted).iter().all(|user| user.contains("quotes")));
    assert!(pending_rows(&client, &of_user("b")).is_empty());

    let rows = pending_rows(&client, &all());
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
    assert_eq!(ids(&pending_rows(&client, &until)), ids(&earlier));
    assert_eq!(ids(&pending_rows(&client, &from)), ids(&later));
}

#[test]
fn settled_events_of_a_run_are_no_longer_listed_as_pending() {
    let api = Sandbox::start();
    // Of a run of a hundred events, ten are delivered and the rest stays.
    let failing = json!({"fault": "status", "status": 503, "after_requests": 1});
    api.set_fault(failing);
    let client = TestSpool::for_sandbox(&api)
        .with("batch_max", "10")
        .into_client();
    client.enqueue_users(0..100);
    client.flush(secs(2)).1.unwrap_err();
    assert_eq!(users(&pending_rows(&client, &all())), user_names(10..100));
}

#[test]
fn listing_pending_events_does_not_disturb_a_running_sender() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api)
        .with("role", "both")
        .into_client();
    let reader = client.spool.client();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| client.enqueue_users(0..20_000));
        while !writer.is_finished() {
            let rows = pending_rows(&reader, &all());
            let ids: HashSet<i64> = rows.iter().map(|row| row.id).collect();
            assert_eq!(ids.len(), rows.len(), "an event is listed once");
        }
    });
    client.flush_ok(secs(60));
    assert!(pending_rows(&reader, &all()).is_empty());
    assert_eq!(api.ledger().accepted_events, 20_000);
}
