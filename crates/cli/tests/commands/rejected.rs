//! `meditopia rejected`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::live::{Live, objects, refused, said, status_when, user_of};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;

/// A live spool whose host also enqueues three events each of two users that the API does not know.
fn with_rejected(api: &Sandbox) -> Live {
    api.set_unknown_users(["bad-1", "bad-2"]);
    let live = Live::start(api);
    for number in 0..3 {
        live.client.enqueue_for("bad-1", number);
        live.client.enqueue_for("bad-2", number);
        live.go_on(50);
    }
    status_when(&live.spool(), |status| status["rejected"] == 6);
    live
}

#[test]
fn rejected_events_are_listed_filtered_and_exported_beside_a_running_sender() {
    let api = Sandbox::start();
    let live = with_rejected(&api);
    let spool = live.spool();
    let count = |filter: &[&str]| {
        let all: Vec<&str> = ["rejected", "list", "--json"]
            .iter()
            .chain(filter)
            .copied()
            .collect();
        objects(&all, &spool).len()
    };
    assert_eq!(count(&[]), 6);
    assert_eq!(count(&["--user=bad-1"]), 3);
    assert_eq!(count(&["--code=A_1104"]), 6);
    assert_eq!(count(&["--code=A_1100"]), 0);
    assert_eq!(count(&["--reason=refused"]), 6);
    assert_eq!(count(&["--reason=expired"]), 0);
    assert_eq!(count(&["--since=1h ago"]), 6);
    assert_eq!(count(&["--until=1h ago"]), 0);
    assert_eq!(count(&["--since", "2020-01-01", "--utc", "--limit=4"]), 4);

    let exported = objects(&["rejected", "export"], &spool);
    assert_eq!(exported, objects(&["rejected", "list", "--json"], &spool));
    for user in ["bad-1", "bad-2"] {
        let of_user = exported.iter().filter(|row| user_of(row) == user);
        let numbers: Vec<_> = of_user.map(|row| &row["event"]["event_value"]).collect();
        assert_eq!(numbers, ["0", "1", "2"]);
    }
    assert!(exported.iter().all(|row| row["api_code"] == "A_1104"));

    let id = exported[1]["id"].to_string();
    let shown = said(&["rejected", "show", "--id", &id], &spool);
    assert!(
        shown.contains("A_1104") && shown.contains(user_of(&exported[1])),
        "{shown}"
    );
    let list = said(&["rejected", "list"], &spool);
    assert_eq!(list.lines().count(), 7, "{list}");
    let file = spool.with_file_name("out.ndjson");
    let told = said(
        &["rejected", "export", "--output", file.to_str().unwrap()],
        &spool,
    );
    assert!(told.contains("exported 6 events"), "{told}");
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let lines = fs::read_to_string(&file).unwrap();
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines, exported);
    let again = refused(
        &["rejected", "export", "--output", file.to_str().unwrap()],
        &spool,
        1,
    );
    assert!(again.contains("name a new file"), "{again}");
    live.end_with_all_delivered(&api);
}

#[test]
fn requeued_events_arrive_once_the_user_is_known_and_discarded_ones_go_only_by_a_yes() {
    let api = Sandbox::start();
    let live = with_rejected(&api);
    let spool = live.spool();

    let which = refused(&["rejected", "discard", "--yes"], &spool, 2);
    assert!(which.contains("--all"), "{which}");
    let asks = refused(&["rejected", "discard", "--user=bad-2"], &spool, 3);
    assert!(asks.contains("would discard 3 events for good"), "{asks}");
    assert!(asks.contains("--yes"), "{asks}");
    assert_eq!(objects(&["rejected", "list", "--json"], &spool).len(), 6);

    let told = said(&["rejected", "discard", "--user=bad-2", "--yes"], &spool);
    assert!(told.contains("discarded 3 events"), "{told}");
    api.set_unknown_users(["bad-2"]);
    let told = said(
        &["rejected", "requeue", "--user=bad-1", "--limit=1"],
        &spool,
    );
    assert!(told.contains("requeued 1 event;"), "{told}");
    said(&["rejected", "requeue", "--all"], &spool);
    let none = said(&["rejected", "requeue", "--all"], &spool);
    assert!(none.contains("nothing was done"), "{none}");
    let gone = refused(&["rejected", "requeue", "--id=1"], &spool, 1);
    assert!(gone.contains("no rejected event has the id 1"), "{gone}");

    assert!(objects(&["rejected", "list", "--json"], &spool).is_empty());
    live.end_with_all_delivered(&api);
    let came = |user: &str| {
        let events = api.events().into_iter();
        let of_user = events.filter(|event| event.fields.partner_user_id == user);
        of_user
            .map(|event| event.fields.event_value)
            .collect::<Vec<_>>()
    };
    assert_eq!(came("bad-1"), [json!("0"), json!("1"), json!("2")]);
    assert!(came("bad-2").is_empty());
}

#[test]
fn what_may_have_arrived_already_is_requeued_only_by_a_yes() {
    let api = Sandbox::start();
    let host = TestSpool::for_sandbox(&api);
    let client = host.client();
    client.enqueue_for("u-1", 1);
    api.set_fault(json!({ "fault": "close", "when": "after" }));
    let _ = client.flush(secs(1));
    let ids = objects(&["in-doubt", "list", "--json"], &host.path());
    assert_eq!(ids.len(), 1);
    let id = ids[0]["id"].to_string();
    said(
        &["in-doubt", "set-aside", "--yes", "--id", &id],
        &host.path(),
    );
    let asks = refused(&["rejected", "requeue", "--all"], &host.path(), 3);
    assert!(asks.contains("may have been delivered"), "{asks}");
    said(&["rejected", "requeue", "--all", "--yes"], &host.path());
    api.clear_faults();
    said(&["resume"], &host.path());
    client.flush_ok(secs(60));
    // It had arrived, and the operator has chosen to have it twice.
    assert!(api.events().len() >= 2);
}

#[test]
fn a_reader_that_has_seen_enough_ends_a_list_without_a_word() {
    let api = Sandbox::start();
    let host = TestSpool::for_sandbox(&api);
    host.client().enqueue_users(0..5_000);
    let script = "\"$0\" pending list --json \"$1\" | head -n 1; exit ${PIPESTATUS[0]}";
    let mut shell = std::process::Command::new("bash");
    shell
        .args(["-c", script, env!("CARGO_BIN_EXE_meditopia")])
        .arg(host.path());
    let output = shell.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    assert_eq!(
        output.stdout.iter().filter(|byte| **byte == b'\n').count(),
        1
    );

    // A disk that takes no more is an error.
    let mut full = crate::live::command(&["pending", "list", "--json"], &host.path());
    let full = full
        .stdout(fs::File::create("/dev/full").unwrap())
        .output()
        .unwrap();
    assert_eq!(full.status.code(), Some(1), "{full:?}");
    assert!(output_says(&full.stderr, "standard output"), "{full:?}");
}

fn output_says(bytes: &[u8], what: &str) -> bool {
    String::from_utf8_lossy(bytes).contains(what)
}
