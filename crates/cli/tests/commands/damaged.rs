//! `meditopia damaged`: what was set aside is listed, shown, queued again once, and acknowledged.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use meditopia::Client;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;
use serde_json::{Value, json};

use crate::cli::{
    FAILED, NEEDS_YES, output, run, run_failing, run_json, status, stderr, stdout, user_of,
};

/// Enqueues three events as one record.
fn enqueue_three(client: &Client, first: usize) {
    let events: Vec<Value> = (first..first + 3)
        .map(|number| {
            json!({
                "token": "token", "partner_user_id": format!("u-{number}"), "event": "video",
                "event_value": number.to_string(), "received_at": "2024-08-06 15:04:05",
            })
        })
        .collect();
    let text = serde_json::to_vec(&json!({ "events": events })).unwrap();
    assert_eq!(client.enqueue_json(&text).unwrap(), 3);
}

fn segment(spool: &Path) -> PathBuf {
    let names = fs::read_dir(spool.join("journal")).unwrap();
    let mut segments: Vec<PathBuf> = names.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(segments.len(), 1, "{segments:?}");
    segments.remove(0)
}

/// Changes the byte of a file at the first place of `text`.
fn flip(file: &Path, text: &str) {
    let mut bytes = fs::read(file).unwrap();
    let at = bytes
        .windows(text.len())
        .position(|bytes| bytes == text.as_bytes());
    bytes[at.unwrap() + text.len() - 1] ^= 0x20;
    fs::write(file, bytes).unwrap();
}

/// A spool of which three events were delivered, three are damaged, and three more delivered.
fn with_damage(api: &Sandbox) -> TestSpool {
    let spool = TestSpool::for_sandbox(api);
    let client = spool.client();
    for first in [0, 3, 6] {
        enqueue_three(&client, first);
    }
    flip(&segment(&spool.path()), "u-4");
    client.flush_ok(secs(10));
    spool
}

fn damaged_file(spool: &Path) -> PathBuf {
    let files = run_json(&["damaged", "list", "--json"], spool);
    spool
        .join("damaged")
        .join(files[0]["file"].as_str().unwrap())
}

/// How often each event arrived, by its number.
fn arrivals(api: &Sandbox, events: usize) -> Vec<usize> {
    let mut arrived = vec![0; events];
    for event in api.events() {
        arrived[event
            .fields
            .event_value
            .as_str()
            .unwrap()
            .parse::<usize>()
            .unwrap()] += 1;
    }
    arrived
}

#[test]
fn damage_is_listed_with_its_place_and_how_many_events_may_stand_in_it() {
    let api = Sandbox::start();
    let spool = with_damage(&api);
    let path = spool.path();
    let files = run_json(&["damaged", "list", "--json"], &path);
    assert_eq!(files.len(), 1, "{files:?}");
    let file = &files[0];
    assert_eq!(file["kind"], "piece");
    assert_eq!(
        (&file["readable"], &file["unreadable_at_most"]),
        (&json!(0), &json!(3))
    );
    assert!(
        file["offset"].as_u64() > Some(64) && file["bytes"].as_u64() > Some(300),
        "{file}"
    );
    let table = run(&["damaged", "list"], &path);
    assert!(
        table.contains("<= 3") && table.contains("meditopia damaged acknowledge"),
        "{table}"
    );
    assert!(run(&["damaged", "show"], &path).contains("0 events can be read"));
    assert!(run(&["damaged", "requeue", "--all", "--yes"], &path).contains("nothing was done"));
    let missing = run_failing(&["damaged", "show", "--file=x"], &path, FAILED);
    assert!(missing.contains("meditopia damaged list"), "{missing}");
    assert_eq!(run_json(&["damaged", "list", "--json"], &path), files);
}

#[test]
fn what_can_be_read_of_the_damage_is_queued_again_exactly_once() {
    let api = Sandbox::start();
    let spool = with_damage(&api);
    let path = spool.path();
    assert_eq!(arrivals(&api, 9), [1, 1, 1, 0, 0, 0, 1, 1, 1]);
    // The disk reads again what it could not read.
    let file = damaged_file(&path);
    flip(&file, "u-\u{14}");
    let shown = run_json(&["damaged", "show", "--json"], &path);
    let users: Vec<&str> = shown.iter().map(user_of).collect();
    assert_eq!(users, ["u-3", "u-4", "u-5"]);
    assert!(run(&["damaged", "show"], &path).contains("2024-08-06 15:04:05"));

    let asked = run_failing(&["damaged", "requeue", "--all"], &path, NEEDS_YES);
    assert!(
        asked.contains("requeue 3 events") && asked.contains("arrive twice"),
        "{asked}"
    );
    assert!(run(&["damaged", "requeue", "--all", "--yes"], &path).contains("requeued 3 events"));
    assert!(run(&["damaged", "list"], &path).contains("requeued"));
    assert!(run(&["damaged", "requeue", "--all", "--yes"], &path).contains("nothing was done"));
    // As if the command had been killed once the events were queued, before it gave the file its new name.
    let requeued = file.with_file_name(format!(
        "{}.requeued",
        file.file_name().unwrap().to_str().unwrap()
    ));
    fs::rename(&requeued, &file).unwrap();
    assert!(run(&["damaged", "requeue", "--all", "--yes"], &path).contains("requeued 0 events"));
    assert!(requeued.exists() && !file.exists());
    spool.client().flush_ok(secs(10));
    assert_eq!(arrivals(&api, 9), [1; 9]);
}

#[test]
fn damage_that_nobody_has_acknowledged_is_a_gauge_that_the_command_ends() {
    let api = Sandbox::start();
    let spool = with_damage(&api);
    let path = spool.path();
    assert_eq!(status(&path)["damage_unacknowledged"], 1);
    let acknowledged = run(&["damaged", "acknowledge"], &path);
    assert!(acknowledged.contains("acknowledged 1 "), "{acknowledged}");
    let after = status(&path);
    assert_eq!(
        (&after["damage_unacknowledged"], &after["damaged_records"]),
        (&json!(0), &json!(1))
    );
    assert!(!run(&["damaged", "list"], &path).contains("acknowledge"));
    assert!(run(&["damaged", "acknowledge"], &path).contains("nothing was done"));

    // What is damaged later rings again, and a sender keeps the number.
    let client = spool.client();
    for first in [9, 12] {
        enqueue_three(&client, first);
    }
    let last = fs::read_dir(path.join("journal")).unwrap();
    let last = last.map(|entry| entry.unwrap().path()).max().unwrap();
    flip(&last, "u-10");
    client.flush_ok(secs(10));
    assert_eq!(status(&path)["damage_unacknowledged"], 1);
}

#[test]
fn events_of_a_kept_segment_that_a_sender_had_read_are_not_queued_again() {
    let api = Sandbox::start();
    let spool = TestSpool::for_sandbox(&api);
    let client = spool.client();
    enqueue_three(&client, 0);
    let path = spool.path();
    let read_upto = fs::metadata(segment(&path)).unwrap().len();
    enqueue_three(&client, 3);
    drop(client);
    let segment = segment(&path);
    let name = segment.file_name().unwrap().to_str().unwrap();
    let damaged = path.join("damaged");
    fs::create_dir_all(&damaged).unwrap();

    // While the sender has not passed it, nothing of it is queued.
    fs::copy(&segment, damaged.join(format!("{name}.from-{read_upto}"))).unwrap();
    let early = run_failing(&["damaged", "requeue", "--all", "--yes"], &path, FAILED);
    assert!(early.contains("has not passed"), "{early}");

    fs::remove_file(&segment).unwrap();
    let shown = run_json(&["damaged", "show", "--json"], &path);
    assert_eq!(
        shown.iter().map(user_of).collect::<Vec<_>>(),
        ["u-3", "u-4", "u-5"]
    );
    run(&["damaged", "requeue", "--all", "--yes"], &path);
    spool.client().flush_ok(secs(10));
    assert_eq!(arrivals(&api, 6), [0, 0, 0, 1, 1, 1]);
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_the_others_are_listed_shown_and_queued_again() {
    let api = Sandbox::start();
    let spool = with_damage(&api);
    let path = spool.path();
    let readable = damaged_file(&path);
    flip(&readable, "u-\u{14}");
    // A link is never followed, so it is a file that cannot be read, for root as well.
    let segment = readable.file_name().unwrap().to_str().unwrap();
    let (segment, _) = segment.rsplit_once('-').unwrap();
    let bad = format!("{segment}-9999999");
    symlink(&readable, path.join("damaged").join(&bad)).unwrap();

    let run_failing = |arguments: &[&str]| {
        let ended = output(arguments, &path);
        assert_eq!(ended.status.code(), Some(FAILED), "{ended:?}");
        let said = stderr(&ended);
        assert!(
            said.contains(&bad) && said.contains("1 of 2 files"),
            "{said}"
        );
        stdout(&ended)
    };
    let listed = run_failing(&["damaged", "list", "--json"]);
    let files: Vec<Value> = listed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        (&files[0]["readable"], &files[0]["error"]),
        (&json!(3), &Value::Null)
    );
    assert_eq!(files[1]["file"], bad);
    assert!(
        files[1]["error"].as_str().unwrap().contains(&bad),
        "{listed}"
    );
    let table = run_failing(&["damaged", "list"]);
    assert!(table.contains("   error  "), "{table}");
    let shown = run_failing(&["damaged", "show"]);
    assert!(
        shown.contains(&format!("{bad}: it cannot be read")) && shown.contains("  u-4  "),
        "{shown}"
    );
    let requeued = run_failing(&["damaged", "requeue", "--all", "--yes"]);
    assert!(requeued.contains("requeued 3 events"), "{requeued}");
    let rest = run_failing(&["damaged", "requeue", "--all", "--yes"]);
    assert!(rest.contains("nothing was done"), "{rest}");
    spool.client().flush_ok(secs(10));
    assert_eq!(arrivals(&api, 9), [1; 9]);
}
