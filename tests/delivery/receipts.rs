//! Receipts: one for each delivered request, found by user and by time.

use meditopia::{Client, Receipt, ReceiptFilter};
use meditopia::{EventKind, Fields};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;
use serde_json::json;

use crate::fixtures::wall_ms;

fn receipts(client: &Client, filter: &ReceiptFilter) -> Vec<Receipt> {
    let mut cursor = client.receipts(filter).unwrap();
    std::iter::from_fn(|| cursor.next_receipt().unwrap()).collect()
}

fn all() -> ReceiptFilter {
    ReceiptFilter::default()
}

fn of_user(user: &str) -> ReceiptFilter {
    ReceiptFilter {
        user: Some(user.to_owned()),
        ..all()
    }
}

#[test]
fn each_delivered_request_leaves_a_receipt_with_its_time_its_users_and_their_events() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    let before = wall_ms();
    for number in 0..250 {
        client
            .enqueue(&Fields {
                token: "token",
                partner_user_id: &format!("u-{}", number % 60),
                event: EventKind::ALL[number % 5].name(),
                event_value: None,
                received_at: None,
            })
            .unwrap();
    }
    client.flush_ok(secs(60));
    let kept = receipts(&client, &all());
    let events: Vec<u32> = kept.iter().map(|receipt| receipt.events).collect();
    assert_eq!(events, [100, 100, 50]);
    for receipt in &kept {
        assert!((before..=wall_ms()).contains(&receipt.time_ms));
        assert_eq!((receipt.http_status, receipt.attempts), (204, 1));
        assert_eq!(receipt.kinds().iter().sum::<u32>(), receipt.events);
        assert_eq!(receipt.kinds(), [receipt.events / 5; 5]);
    }
    assert_eq!(kept[0].users.len(), 60);
    assert_eq!(kept[0].users[7].user, "u-7");
    assert_eq!(
        kept[0].users[7].kinds,
        [0, 0, 2, 0, 0],
        "the audio events 7 and 67"
    );
    assert!(kept.is_sorted_by(|one, next| one.id < next.id));
    let later = ReceiptFilter {
        after_id: kept[0].id,
        ..all()
    };
    assert_eq!(receipts(&client, &later), kept[1..]);
}

#[test]
fn the_receipts_of_a_user_are_found_among_those_of_thousands() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api)
        .with("batch_max", "2")
        .into_client();
    client.enqueue_for("first \"é\"", 0);
    client.enqueue_users(0..1_200);
    client.enqueue_for("last", 0);
    client.flush_ok(secs(60));
    let kept = receipts(&client, &all());
    assert_eq!(kept.len(), 601, "more than the list reads at a time, twice");
    let found = |user: &str| receipts(&client, &of_user(user));
    assert_eq!(found("first \"é\""), kept[..1]);
    assert_eq!(found("last"), kept[600..]);
    assert_eq!(found("u-600").len(), 1);
    assert_eq!(found("u-"), []);
    let at = kept[300].time_ms;
    let until = ReceiptFilter {
        until_ms: Some(at),
        ..all()
    };
    let from = ReceiptFilter {
        from_ms: Some(at),
        ..all()
    };
    let earlier = kept.iter().filter(|receipt| receipt.time_ms < at).count();
    assert_eq!(receipts(&client, &until), kept[..earlier]);
    assert_eq!(receipts(&client, &from), kept[earlier..]);
}

#[test]
fn only_accepted_events_have_a_receipt_and_it_counts_the_requests() {
    let api = Sandbox::start();
    api.set_unknown(json!([{"user": "bad"}]));
    api.set_fault(json!({"fault": "close", "when": "after", "count": 1}));
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_users(0..3);
    client.flush_ok(secs(60));
    client.enqueue_for("bad", 0);
    client.enqueue_users(3..5);
    client.flush_ok(secs(60));
    let kept = receipts(&client, &all());
    assert_eq!(kept[0].attempts, 2, "the first answer was lost");
    assert_eq!(kept[0].events, 3);
    assert_eq!(
        kept[1..].iter().map(|receipt| receipt.events).sum::<u32>(),
        2
    );
    assert!(kept[1..].iter().all(|receipt| receipt.attempts == 1));
    assert_eq!(receipts(&client, &of_user("bad")), []);
}

#[test]
fn receipts_days_of_zero_keeps_no_receipts_and_removes_the_old_ones() {
    let api = Sandbox::start();
    let spool = TestSpool::for_sandbox(&api);
    let client = spool.client();
    client.enqueue_users(0..3);
    client.flush_ok(secs(60));
    assert_eq!(receipts(&client, &all()).len(), 1);
    drop(client);

    let off = spool.with("receipts_days", "0").into_client();
    off.enqueue_users(0..3);
    off.flush_ok(secs(60));
    assert_eq!(receipts(&off, &all()), []);
}
