//! The brake: if many users are refused in a row, the cause is probably not in their events. A few
//! dozen bad users side by side in an import must not stop the others, though.

use meditopia::Client;
use meditopia::PauseReason;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;
use serde_json::json;

use crate::fixtures::{accepted_values, values};

/// An API that knows no user whose name begins with `bad-`.
fn api_without_bad_users() -> Sandbox {
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
    let api = api_without_bad_users();
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
fn if_the_api_refuses_everything_few_events_are_rejected_and_the_rest_is_kept() {
    let api = api_without_bad_users();
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

    // Once the cause is removed, the events that were kept arrive, those of each user in order.
    api.set_unknown(json!([]));
    client.resume().unwrap();
    client.flush_ok(secs(60));
    assert_eq!(api.events().len() as u64, 200 - report.rejected);
    for user in 5..50 {
        let user = format!("bad-{user}");
        assert_eq!(accepted_values(&api, &user), values(0..4), "{user}");
    }
}

#[test]
fn senders_that_live_for_one_flush_share_the_count_of_the_brake() {
    let api = api_without_bad_users();
    let spool = TestSpool::for_sandbox(&api)
        .with("brake_users", "5")
        .with("role", "both");
    let mut rejected = 0;
    let mut clients = 0;
    let reason = loop {
        let client = spool.client();
        client.enqueue_for(&format!("bad-{clients}"), clients);
        let (report, outcome) = client.flush(secs(30));
        rejected += report.rejected;
        clients += 1;
        client.close(secs(30)).unwrap_or_default();
        if let Err(error) = outcome {
            break error.pause_reason();
        }
        assert!(clients < 20, "no brake: {rejected} rejected");
    };
    assert_eq!(reason, Some(PauseReason::MassRejection));
    assert_eq!(rejected, 5);
}

#[test]
fn many_refusals_of_a_single_user_do_not_trigger_the_brake() {
    let api = api_without_bad_users();
    let client = TestSpool::for_sandbox(&api).into_client();
    for number in 0..300 {
        client.enqueue_for("bad-1", number);
    }
    assert_eq!(client.flush_ok(secs(60)).rejected, 300);
    client.enqueue_for("a-1", 0);
    assert_eq!(client.flush_ok(secs(60)).delivered, 1);
}
