//! `meditopia pending`, `find` and `in-doubt`.

use serde_json::json;

use crate::live::{Live, objects, output, refused, said, status, user_of};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;

#[test]
fn waiting_events_are_listed_in_order_while_others_are_enqueued_and_delivery_is_held() {
    let api = Sandbox::start();
    let live = Live::start(&api);
    live.go_on(100);
    let spool = live.spool();
    said(&["hold"], &spool);
    live.go_on(200);
    let rows = objects(&["pending", "list", "--user=live-3", "--json"], &spool);
    let numbers: Vec<u64> = rows
        .iter()
        .map(|row| {
            row["event"]["event_value"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    assert!(numbers.len() >= 19, "{numbers:?}");
    assert!(
        numbers.windows(2).all(|pair| pair[1] == pair[0] + 10),
        "{numbers:?}"
    );
    assert_eq!(
        objects(&["pending", "list", "--json", "--limit=5"], &spool).len(),
        5
    );
    assert!(objects(&["pending", "list", "--json", "--until=1h ago"], &spool).is_empty());
    assert!(said(&["pending", "list", "--limit=1"], &spool).contains("live-"));
    said(&["resume"], &spool);
    live.end_with_all_delivered(&api);
}

#[test]
fn find_tells_what_waits_what_was_rejected_and_what_was_delivered_of_a_user() {
    let api = Sandbox::builder().unknown_user("u-1").start();
    let host = TestSpool::for_sandbox(&api);
    let client = host.client();
    client.enqueue_for("u-1", 0);
    client.enqueue_for("u-2", 1);
    client.flush_ok(secs(60));
    client.enqueue_for("u-1", 2);
    let found = objects(&["find", "--user=u-1", "--json"], &host.path());
    assert!(found.iter().all(|row| user_of(row) == "u-1"));
    let why: Vec<_> = found
        .iter()
        .map(|row| row["reason"].as_str().unwrap())
        .collect();
    assert_eq!(why, ["refused", "journalled"]);
    assert_eq!(found[0]["api_code"], "A_1104");
    let table = said(&["find", "--user=u-1"], &host.path());
    assert!(
        table.contains("A_1104") && table.contains("in the journal"),
        "{table}"
    );
    let delivered = objects(&["find", "--user=u-2", "--json"], &host.path());
    assert_eq!(delivered.len(), 1);
    assert_eq!(delivered[0]["reason"], "delivered");
    assert_eq!(delivered[0]["users"], json!({ "u-2": { "video": 1 } }));
    let table = said(&["find", "--user=u-2", "--since=1h ago"], &host.path());
    assert!(table.contains("delivered 1 event (1 video)"), "{table}");
    let receipts = objects(&["receipts", "list", "--json"], &host.path());
    assert_eq!(receipts, delivered);
    assert!(said(&["receipts", "list", "--until=1h ago"], &host.path()).contains("no receipt"));
    let nothing = output(&["find", "--user=u-9"], &host.path());
    assert_eq!(nothing.status.code(), Some(5), "{nothing:?}");
    let wrong = refused(&["find", "--user=u-1", "--since=whenever"], &host.path(), 2);
    assert!(wrong.contains("2h ago"), "{wrong}");
}

#[test]
fn the_event_that_the_api_fails_on_is_set_aside_and_the_rest_goes() {
    let api = Sandbox::start();
    let host = TestSpool::for_sandbox(&api);
    let client = host.client();
    client.enqueue_users(0..3);
    api.set_fault(json!({ "fault": "status", "status": 500 }));
    let _ = client.flush(secs(1));
    assert_eq!(status(&host.path())["in_doubt"], 3);
    let rows = objects(&["in-doubt", "list", "--json"], &host.path());
    let bad = rows.iter().find(|row| user_of(row) == "u-1").unwrap();
    let id = bad["id"].to_string();
    refused(&["in-doubt", "set-aside"], &host.path(), 2);
    let asks = refused(&["in-doubt", "set-aside", "--id", &id], &host.path(), 3);
    assert!(asks.contains("would set 1 event aside"), "{asks}");
    assert!(
        refused(
            &["in-doubt", "set-aside", "--id=1", "--yes"],
            &host.path(),
            1
        )
        .contains("id 1")
    );
    said(
        &["in-doubt", "set-aside", "--id", &id, "--yes"],
        &host.path(),
    );
    let aside = objects(
        &["rejected", "list", "--reason=set-aside", "--json"],
        &host.path(),
    );
    assert_eq!(aside.iter().map(user_of).collect::<Vec<_>>(), ["u-1"]);
    api.clear_faults();
    said(&["resume"], &host.path());
    assert_eq!(client.flush_ok(secs(60)).delivered, 2);
}
