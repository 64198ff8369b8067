//! `meditopia rejected`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use meditopia_testkit::meditopia_command;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;
use serde_json::{Value, json};

use crate::cli::{
    FAILED, NEEDS_YES, USAGE, command, run, run_failing, run_json, stderr, user_of, wait_for_status,
};
use crate::live_spool::LiveSpool;

/// A live spool with three rejected events of each of two users whom the API does not know.
fn with_rejected(api: &Sandbox) -> LiveSpool {
    api.set_unknown_users(["bad-1", "bad-2"]);
    let live = LiveSpool::start(api);
    for number in 0..3 {
        live.client.enqueue_for("bad-1", number);
        live.client.enqueue_for("bad-2", number);
        live.wait_for_enqueued(50);
    }
    wait_for_status(&live.path(), |status| status["rejected"] == 6);
    live
}

#[test]
fn rejected_events_are_listed_filtered_and_exported_beside_a_running_sender() {
    let api = Sandbox::start();
    let live = with_rejected(&api);
    let spool = live.path();
    let count = |filter: &[&str]| {
        let all: Vec<&str> = ["rejected", "list", "--json"]
            .iter()
            .chain(filter)
            .copied()
            .collect();
        run_json(&all, &spool).len()
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

    let exported = run_json(&["rejected", "export"], &spool);
    assert_eq!(exported, run_json(&["rejected", "list", "--json"], &spool));
    for user in ["bad-1", "bad-2"] {
        let of_user = exported.iter().filter(|row| user_of(row) == user);
        let numbers: Vec<_> = of_user.map(|row| &row["event"]["event_value"]).collect();
        assert_eq!(numbers, ["0", "1", "2"]);
    }
    assert!(exported.iter().all(|row| row["api_code"] == "A_1104"));

    let id = exported[1]["id"].to_string();
    let shown = run(&["rejected", "show", "--id", &id], &spool);
    assert!(
        shown.contains("A_1104") && shown.contains(user_of(&exported[1])),
        "{shown}"
    );
    let list = run(&["rejected", "list"], &spool);
    assert_eq!(list.lines().count(), 7, "{list}");
    let file = spool.with_file_name("out.ndjson");
    let exported_to_file = run(
        &["rejected", "export", "--output", file.to_str().unwrap()],
        &spool,
    );
    assert!(
        exported_to_file.contains("exported 6 events"),
        "{exported_to_file}"
    );
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
    let again = run_failing(
        &["rejected", "export", "--output", file.to_str().unwrap()],
        &spool,
        FAILED,
    );
    assert!(again.contains("name a new file"), "{again}");
    live.end_with_all_delivered(&api);
}

#[test]
fn requeued_events_arrive_once_their_user_is_known_and_discard_needs_a_yes() {
    let api = Sandbox::start();
    let live = with_rejected(&api);
    let spool = live.path();

    let ambiguous = run_failing(&["rejected", "discard", "--yes"], &spool, USAGE);
    assert!(ambiguous.contains("--all"), "{ambiguous}");
    let question = run_failing(&["rejected", "discard", "--user=bad-2"], &spool, NEEDS_YES);
    assert!(
        question.contains("would discard 3 events for good"),
        "{question}"
    );
    assert!(question.contains("--yes"), "{question}");
    assert_eq!(run_json(&["rejected", "list", "--json"], &spool).len(), 6);

    let discarded = run(&["rejected", "discard", "--user=bad-2", "--yes"], &spool);
    assert!(discarded.contains("discarded 3 events"), "{discarded}");
    api.set_unknown_users(["bad-2"]);
    let requeued = run(
        &["rejected", "requeue", "--user=bad-1", "--limit=1"],
        &spool,
    );
    assert!(requeued.contains("requeued 1 event;"), "{requeued}");
    run(&["rejected", "requeue", "--all"], &spool);
    let none = run(&["rejected", "requeue", "--all"], &spool);
    assert!(none.contains("nothing was done"), "{none}");
    let gone = run_failing(&["rejected", "requeue", "--id=1"], &spool, FAILED);
    assert!(gone.contains("no rejected event has the id 1"), "{gone}");

    assert!(run_json(&["rejected", "list", "--json"], &spool).is_empty());
    live.end_with_all_delivered(&api);
    let arrived = |user: &str| {
        let events = api.events().into_iter();
        let of_user = events.filter(|event| event.fields.partner_user_id == user);
        of_user
            .map(|event| event.fields.event_value)
            .collect::<Vec<_>>()
    };
    assert_eq!(arrived("bad-1"), [json!("0"), json!("1"), json!("2")]);
    assert!(arrived("bad-2").is_empty());
}

#[test]
fn requeue_needs_a_yes_for_events_that_may_have_been_delivered() {
    let api = Sandbox::start();
    let spool = TestSpool::for_sandbox(&api);
    let client = spool.client();
    client.enqueue_for("u-1", 1);
    api.set_fault(json!({ "fault": "close", "when": "after" }));
    let _ = client.flush(secs(1));
    let ids = run_json(&["in-doubt", "list", "--json"], &spool.path());
    assert_eq!(ids.len(), 1);
    let id = ids[0]["id"].to_string();
    run(
        &["in-doubt", "set-aside", "--yes", "--id", &id],
        &spool.path(),
    );
    let question = run_failing(&["rejected", "requeue", "--all"], &spool.path(), NEEDS_YES);
    assert!(question.contains("may have been delivered"), "{question}");
    run(&["rejected", "requeue", "--all", "--yes"], &spool.path());
    api.clear_faults();
    run(&["resume"], &spool.path());
    client.flush_ok(secs(60));
    // The event had arrived before, and the operator chose to deliver it twice.
    assert!(api.events().len() >= 2);
}

#[test]
fn a_list_ends_silently_when_its_reader_closes_the_pipe() {
    let api = Sandbox::start();
    let spool = TestSpool::for_sandbox(&api);
    spool.client().enqueue_users(0..5_000);
    let script = "\"$0\" pending list --json \"$1\" | head -n 1; exit ${PIPESTATUS[0]}";
    let mut shell = Command::new("bash");
    shell
        .args(["-c", script])
        .arg(meditopia_command())
        .arg(spool.path());
    let output = shell.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    assert_eq!(
        output.stdout.iter().filter(|byte| **byte == b'\n').count(),
        1
    );

    // A full disk, however, is an error.
    let mut full = command(&["pending", "list", "--json"], &spool.path());
    let full = full
        .stdout(fs::File::create("/dev/full").unwrap())
        .output()
        .unwrap();
    assert_eq!(full.status.code(), Some(1), "{full:?}");
    assert!(stderr(&full).contains("standard output"), "{full:?}");
}
