//! The brake: many users refused in a row are more likely our mistake than theirs, but a few dozen side
//! by side in an import are not to stop the others.

use meditopia::client::Client;
use meditopia::error::PauseReason;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;
use serde_json::json;

/// An API that knows no user whose name begins with `bad-`.
fn api() -> Sandbox {
    let api = Sandbox::start();
    api.set_unknown(json!([{"prefix": "bad-"}]));
    api
}

fn enqueue_four_each(client: &Client, kind: &str, users: std::ops::Range<usize>) {
    for user in users {
        for number in 0..4 {
            client.enqueue_for(&format!("{kind}-{user}"), number);
        }
    }
}

#[test]
fn twenty_five_bad_users_in_a_row_do_not_stop_an_import_that_is_sorted_by_user() {
    let api = api();
    let client = TestSpool::for_sandbox(&api).into_client();
    enqueue_four_each(&client, "a", 0..50);
    enqueue_four_each(&client, "bad", 0..25);
    enqueue_four_each(&client, "c", 0..50);

    let report = client.flush_ok(secs(60));

    assert_eq!((report.delivered, report.rejected), (400, 100));
    let users = client.rejected_users();
    assert!(users.iter().all(|user| user.starts_with("bad-")));
    let requests = api.ledger().requests;
    assert!(requests < 200, "{requests} requests for 500 events");
}

#[test]
fn when_everything_is_refused_few_are_rejected_and_the_rest_is_kept() {
    let api = api();
    let client = TestSpool::for_sandbox(&api)
        .with("brake_users", "5")
        .into_client();
    enqueue_four_each(&client, "bad", 0..50);
    let (report, outcome) = client.flush(secs(30));
    assert_eq!(
        outcome.unwrap_err().pause_reason(),
        Some(PauseReason::MassRejection)
    );
    assert!((5..=20).contains(&report.rejected), "{report:?}");
    assert_eq!(report.pending, 200 - report.rejected);
    let mut users = client.rejected_users();
    users.dedup();
    users.sort();
    users.dedup();
    assert_eq!(users.len(), 5, "{users:?}");

    // The mistake is mended: what was kept arrives, each user's events in their order.
    api.set_unknown(json!([]));
    client.resume().unwrap();
    client.flush_ok(secs(60));
    let events = api.events();
    assert_eq!(events.len() as u64, 200 - report.rejected);
    for user in 5..50 {
        let of_user = format!("bad-{user}");
        let numbers: Vec<_> = events
            .iter()
            .filter(|event| event.fields.partner_user_id == of_user)
            .map(|event| event.fields.event_value.clone())
            .collect();
        let expected: Vec<_> = (0..4).map(|number| json!(number.to_string())).collect();
        assert_eq!(numbers, expected, "{of_user}");
    }
}

#[test]
fn senders_that_live_for_one_flush_share_the_count() {
    let api = api();
    let host = TestSpool::for_sandbox(&api)
        .with("brake_users", "5")
        .with("role", "both");
    let mut rejected = 0;
    let mut lives = 0;
    let reason = loop {
        let client = host.client();
        client.enqueue_for(&format!("bad-{lives}"), lives);
        let (report, outcome) = client.flush(secs(30));
        rejected += report.rejected;
        lives += 1;
        client.close(secs(30)).unwrap_or_default();
        if let Err(e) = outcome {
            break e.pause_reason();
        }
        assert!(lives < 20, "no brake: {rejected} rejected");
    };
    assert_eq!(reason, Some(PauseReason::MassRejection));
    assert_eq!(rejected, 5);
}

#[test]
fn a_chatty_bad_user_alone_is_no_reason_to_brake() {
    let api = api();
    let client = TestSpool::for_sandbox(&api).into_client();
    for number in 0..300 {
        client.enqueue_for("bad-1", number);
    }
    assert_eq!(client.flush_ok(secs(60)).rejected, 300);
    client.enqueue_for("a-1", 0);
    assert_eq!(client.flush_ok(secs(60)).delivered, 1);
}
