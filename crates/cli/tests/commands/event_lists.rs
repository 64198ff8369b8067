//! `meditopia pending`, `find`, `receipts` and `in-doubt`.

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;
use serde_json::json;

use crate::cli::{
    FAILED, NEEDS_YES, NOTHING_FOUND, USAGE, output, run, run_failing, run_json, status, user_of,
};
use crate::live_spool::LiveSpool;

#[test]
fn pending_events_are_listed_in_order_while_others_are_enqueued_and_delivery_is_held() {
    let api = Sandbox::start();
    let live = LiveSpool::start(&api);
    live.wait_for_enqueued(100);
    let spool = live.path();
    run(&["hold"], &spool);
    live.wait_for_enqueued(200);
    let rows = run_json(&["pending", "list", "--user=live-3", "--json"], &spool);
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
        run_json(&["pending", "list", "--json", "--limit=5"], &spool).len(),
        5
    );
    assert!(run_json(&["pending", "list", "--json", "--until=1h ago"], &spool).is_empty());
    assert!(run(&["pending", "list", "--limit=1"], &spool).contains("live-"));
    run(&["resume"], &spool);
    live.end_with_all_delivered(&api);
}

#[test]
fn find_lists_the_pending_rejected_and_delivered_events_of_a_user() {
    let api = Sandbox::builder().unknown_user("u-1").start();
    let spool = TestSpool::for_sandbox(&api);
    let client = spool.client();
    client.enqueue_for("u-1", 0);
    client.enqueue_for("u-2", 1);
    client.flush_ok(secs(60));
    client.enqueue_for("u-1", 2);
    let found = run_json(&["find", "--user=u-1", "--json"], &spool.path());
    assert!(found.iter().all(|row| user_of(row) == "u-1"));
    let reasons: Vec<_> = found
        .iter()
        .map(|row| row["reason"].as_str().unwrap())
        .collect();
    assert_eq!(reasons, ["refused", "journalled"]);
    assert_eq!(found[0]["api_code"], "A_1104");
    let table = run(&["find", "--user=u-1"], &spool.path());
    assert!(
        table.contains("A_1104") && table.contains("in the journal"),
        "{table}"
    );
    let delivered = run_json(&["find", "--user=u-2", "--json"], &spool.path());
    assert_eq!(delivered.len(), 1);
    assert_eq!(delivered[0]["reason"], "delivered");
    assert_eq!(delivered[0]["users"], json!({ "u-2": { "video": 1 } }));
    let table = run(&["find", "--user=u-2", "--since=1h ago"], &spool.path());
    assert!(table.contains("delivered 1 event (1 video)"), "{table}");
    let receipts = run_json(&["receipts", "list", "--json"], &spool.path());
    assert_eq!(receipts, delivered);
    assert!(run(&["receipts", "list", "--until=1h ago"], &spool.path()).contains("no receipt"));
    let nothing = output(&["find", "--user=u-9"], &spool.path());
    assert_eq!(nothing.status.code(), Some(NOTHING_FOUND), "{nothing:?}");
    let wrong = run_failing(
        &["find", "--user=u-1", "--since=whenever"],
        &spool.path(),
        USAGE,
    );
    assert!(wrong.contains("2h ago"), "{wrong}");
}

#[test]
fn an_event_that_the_api_fails_on_can_be_set_aside_and_the_rest_is_delivered() {
    let api = Sandbox::start();
    let spool = TestSpool::for_sandbox(&api);
    let client = spool.client();
    client.enqueue_users(0..3);
    api.set_fault(json!({ "fault": "status", "status": 500 }));
    let _ = client.flush(secs(1));
    assert_eq!(status(&spool.path())["in_doubt"], 3);
    let rows = run_json(&["in-doubt", "list", "--json"], &spool.path());
    let bad = rows.iter().find(|row| user_of(row) == "u-1").unwrap();
    let id = bad["id"].to_string();
    run_failing(&["in-doubt", "set-aside"], &spool.path(), USAGE);
    let question = run_failing(
        &["in-doubt", "set-aside", "--id", &id],
        &spool.path(),
        NEEDS_YES,
    );
    assert!(question.contains("would set 1 event aside"), "{question}");
    assert!(
        run_failing(
            &["in-doubt", "set-aside", "--id=1", "--yes"],
            &spool.path(),
            FAILED
        )
        .contains("id 1")
    );
    run(
        &["in-doubt", "set-aside", "--id", &id, "--yes"],
        &spool.path(),
    );
    let set_aside = run_json(
        &["rejected", "list", "--reason=set-aside", "--json"],
        &spool.path(),
    );
    assert_eq!(set_aside.iter().map(user_of).collect::<Vec<_>>(), ["u-1"]);
    api.clear_faults();
    run(&["resume"], &spool.path());
    assert_eq!(client.flush_ok(secs(60)).delivered, 2);
}

/// The words of the first row of a list, by the heading above each.
fn first_row(list: &str) -> Vec<(String, String)> {
    let mut lines = list.lines();
    let (headings, row) = (lines.next().unwrap(), lines.next().unwrap());
    let mut columns: Vec<(usize, &str)> = Vec::new();
    for word in headings.split_whitespace() {
        columns.push((headings.find(word).unwrap(), word));
    }
    let ends = columns
        .iter()
        .skip(1)
        .map(|(at, _)| Some(*at))
        .chain([None]);
    let cells = columns.iter().zip(ends).map(|((at, name), end)| {
        let cell = &row[*at..end.unwrap_or(row.len())];
        ((*name).to_owned(), cell.trim().to_owned())
    });
    cells.collect()
}

#[test]
fn every_list_shows_the_attempts_where_the_store_knows_them() {
    let api = Sandbox::builder().unknown_user("u-1").start();
    let spool = TestSpool::for_sandbox(&api);
    let path = spool.path();
    let client = spool.client();
    client.enqueue_users(0..2);
    client.flush_ok(secs(60));
    api.set_fault(json!({ "fault": "status", "status": 503, "retry_after": 600 }));
    client.enqueue_users(2..3);
    let _ = client.flush(secs(1));
    client.enqueue_users(3..4);

    let attempts = |list: &[&str]| {
        let row = first_row(&run(list, &path));
        let cell = row.iter().find(|(name, _)| name == "ATTEMPTS");
        cell.expect("a column with the attempts").1.clone()
    };
    let known = |list: &[&str]| run_json(list, &path)[0]["attempts"].to_string();
    for list in ["rejected", "in-doubt"] {
        let shown = attempts(&[list, "list"]);
        assert_eq!(shown, known(&[list, "list", "--json"]), "{list}");
        assert!(shown.parse::<u32>().unwrap() >= 1, "{list}: {shown}");
    }
    // Nobody has taken it over yet.
    assert_eq!(attempts(&["pending", "list", "--user=u-3"]), "-");
    assert_eq!(attempts(&["pending", "list", "--user=u-2"]), "1");
    let receipts = run(&["receipts", "list"], &path);
    assert!(receipts.contains("HTTP 204, 1 attempt  u-0"), "{receipts}");
}
