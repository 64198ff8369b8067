//! How an import ends: with figures that add up, with one status for the import and its delivery, and when
//! it is interrupted.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::process::{Command, Output, Stdio};

use meditopia_testkit::meditopia_command;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::ClientExt;
use meditopia_testkit::wait::secs;
use serde_json::Value;

use super::{Fixture, NOTHING_QUEUED, SOME_BAD, STOPPED, arrived_once, printed, records};

const EVENTS_LEFT: i32 = 6;
const PAUSED: i32 = 7;

/// The JSON that an import printed, whose figures have to add up.
#[track_caller]
fn json(output: &Output) -> Value {
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let figure = |name: &str| json[name].as_u64().unwrap();
    let parts = ["queued", "already_queued", "bad", "not_reached"];
    let sum: u64 = parts.iter().map(|name| figure(name)).sum();
    assert_eq!(sum, figure("records"), "{json}");
    json
}

/// The figures of the sentence for people add up to its number of records.
#[track_caller]
fn check_sentence(output: &Output) {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("queued "))
        .unwrap();
    // The name of the file of bad records may have figures, too.
    let without_file = match line.split_once(" (listed in ") {
        Some((before, after)) => before.to_owned() + after.split_once(')').unwrap().1,
        None => line.to_owned(),
    };
    let words = without_file.split(|c: char| !c.is_ascii_digit());
    let figures: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
    let [queued, records, others @ ..] = &figures[..] else {
        panic!("{line}");
    };
    assert_eq!(queued + others.iter().sum::<u64>(), *records, "{line}");
}

#[test]
fn the_figures_of_an_import_add_up_however_it_ends() {
    let api = Sandbox::start();
    let good = records(&["a"], 0..1_000);
    let mixed = format!("{{}}\n{good}{{}}\n{{}}\n");
    let broken = format!("{mixed}{{\"token\":");
    // The arguments, the input, how much fits into the spool, and the statuses of two runs.
    let cases: [(&[&str], &str, &str, [i32; 2]); 6] = [
        (&[], &mixed, "0", [SOME_BAD, SOME_BAD]),
        (&["--accept-bad"], &mixed, "0", [0, 0]),
        (
            &["--all-or-nothing"],
            &mixed,
            "0",
            [NOTHING_QUEUED, NOTHING_QUEUED],
        ),
        (&[], &mixed, "100000", [STOPPED, STOPPED]),
        (
            &["--commit-bytes", "9000"],
            &broken,
            "0",
            [STOPPED, STOPPED],
        ),
        (
            &["--all-or-nothing"],
            &broken,
            "0",
            [NOTHING_QUEUED, NOTHING_QUEUED],
        ),
    ];
    for (arguments, input, limit, statuses) in cases {
        for as_json in [true, false] {
            let fixture = Fixture::new(&api);
            fixture.input("x.ndjson", input);
            for status in statuses {
                let mut command = fixture.command(&["x.ndjson"]);
                command
                    .args(arguments)
                    .env("MEDITOPIA_MAX_SPOOL_BYTES", limit);
                let output = command.args(as_json.then_some("--json")).output().unwrap();
                assert_eq!(
                    output.status.code(),
                    Some(status),
                    "{arguments:?}: {}",
                    printed(&output)
                );
                if !as_json {
                    check_sentence(&output);
                    continue;
                }
                let json = json(&output);
                if limit != "0" {
                    // The rest is counted although the import has not come so far.
                    assert_eq!(
                        (&json["records"], &json["end_reached"]),
                        (&1_003.into(), &true.into())
                    );
                    assert_ne!(json["not_reached"], 0, "{json}");
                }
            }
        }
    }
}

#[test]
fn one_command_imports_and_delivers_and_its_status_speaks_for_both() {
    let api = Sandbox::builder().unknown_user("nobody").start();
    let fixture = Fixture::new(&api);
    let run = |input: &str, more: &[&str]| {
        let mut command = fixture.command(&[input, "--flush", "--timeout", "60"]);
        command.env("MEDITOPIA_BEARER_TOKEN", api.token());
        command.args(more).output().unwrap()
    };
    fixture.input(
        "1.ndjson",
        format!("{}{{}}\n", records(&["a", "nobody"], 0..50)),
    );
    let output = run("1.ndjson", &["--accept-bad"]);
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    let said = printed(&output);
    assert!(said.contains("queued 100 of 101 records; 1 bad"), "{said}");
    assert!(
        said.contains("50 delivered, 50 rejected; nothing pending"),
        "{said}"
    );
    assert_eq!(api.ledger().accepted_events, 50);

    // Without --accept-bad the bad record is told, and with --quiet only what somebody has to see.
    let output = run("1.ndjson", &[]);
    assert_eq!(output.status.code(), Some(SOME_BAD), "{}", printed(&output));
    fixture.input("2.ndjson", records(&["a"], 50..60));
    assert_eq!(printed(&run("2.ndjson", &["--quiet"])), "");
    let output = run("2.ndjson", &["--json"]);
    assert_eq!(json(&output)["delivery"]["outcome"], "delivered");

    // A broken input is no reason to keep what is queued.
    fixture.input(
        "3.ndjson",
        format!("{}{{\"token\":", records(&["a"], 60..70)),
    );
    let output = run("3.ndjson", &[]);
    assert_eq!(output.status.code(), Some(STOPPED), "{}", printed(&output));
    assert!(
        printed(&output).contains("10 delivered"),
        "{}",
        printed(&output)
    );

    // A full spool is emptied on the way.
    fixture.input("4.ndjson", records(&["b"], 0..2_000));
    let mut command = fixture.command(&["4.ndjson", "--flush", "--timeout", "60"]);
    command.env("MEDITOPIA_BEARER_TOKEN", api.token());
    let output = command
        .env("MEDITOPIA_MAX_SPOOL_BYTES", "100000")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    assert_eq!(arrived_once(&api)["b"].len(), 2_000);

    api.revoke_token();
    fixture.input("5.ndjson", records(&["a"], 70..80));
    let output = run("5.ndjson", &[]);
    assert_eq!(output.status.code(), Some(PAUSED), "{}", printed(&output));
    assert_eq!(fixture.pending(), 10);
}

#[test]
fn a_delivery_that_takes_longer_than_its_timeout_leaves_all_queued() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    let spool = meditopia_testkit::spool::TestSpool::for_endpoint("http://127.0.0.1:9/events");
    spool.client();
    fixture.input("x.ndjson", records(&["a"], 0..5));
    let mut command = meditopia_testkit::meditopia();
    command.args(["import", "x.ndjson", "--flush", "--timeout", "1", "--spool"]);
    command.env("MEDITOPIA_BEARER_TOKEN", "t");
    let output = command
        .arg(spool.path())
        .current_dir(fixture.inputs.path())
        .output()
        .unwrap();
    assert_eq!(
        output.status.code(),
        Some(EVENTS_LEFT),
        "{}",
        printed(&output)
    );
    assert!(
        printed(&output).contains("5 pending"),
        "{}",
        printed(&output)
    );
}

#[test]
fn an_import_that_waits_for_space_ends_at_sigterm_and_goes_on_with_the_same_command() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    fixture.input("x.ndjson", records(&["a"], 0..2_000));
    let mut command = fixture.command(&["x.ndjson", "--wait", "--json"]);
    let process = command
        .env("MEDITOPIA_MAX_SPOOL_BYTES", "100000")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let place = fixture.inputs.path().join("x.ndjson");
    fixture.wait_for_committed(place.to_str().unwrap(), 100);
    let pid = rustix::process::Pid::from_raw(process.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let output = process.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(STOPPED), "{}", printed(&output));
    // It has ended by itself, not by the patience of the signals' thread.
    assert!(
        json(&output)["message"]
            .as_str()
            .unwrap()
            .contains("the same command again")
    );
    fixture.import_ending_with(0, &["x.ndjson"]);
    fixture.spool.client().flush_ok(secs(30));
    assert_eq!(arrived_once(&api)["a"].len(), 2_000);
}

#[test]
fn ctrl_c_leaves_the_terminal_whole_and_says_that_the_same_command_goes_on() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    let fifo = fixture.inputs.path().join("fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let command = format!(
        "exec '{}' import fifo --format ndjson --commit-bytes 1000 --spool '{}'",
        meditopia_command().display(),
        fixture.spool.path().display()
    );
    let mut terminal = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .current_dir(fixture.inputs.path())
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let text = records(&["a"], 0..2_000);
    // It waits for more than it gets.
    let mut input = OpenOptions::new().write(true).open(&fifo).unwrap();
    input.write_all(&text.as_bytes()[..text.len() / 2]).unwrap();
    fixture.wait_for_committed(fifo.to_str().unwrap(), 990);
    let mut keys = terminal.stdin.take().unwrap();
    keys.write_all(b"\x03").unwrap();
    let output = terminal.wait_with_output().unwrap();
    drop((input, keys));
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(STOPPED), "{shown:?}");
    // The bar has a line of its own, the message begins and ends one, and the cursor is to be seen.
    let (before, message) = shown.split_once("meditopia: interrupted; ").expect(&shown);
    assert!(before.contains("records"), "{shown:?}");
    let goes_on = "run the same command again: it goes on there\r\n";
    assert_eq!(message.split_once(goes_on).unwrap().1, "", "{shown:?}");
    for line in shown.split('\n') {
        for (part, start) in [("interrupted", "meditopia: "), (" bad", "queued ")] {
            assert!(!line.contains(part) || line.starts_with(start), "{shown:?}");
        }
    }
    assert_eq!(
        shown.matches("\x1b[?25l").count(),
        shown.matches("\x1b[?25h").count()
    );

    let mut again = fixture.command(&["fifo", "--format", "ndjson"]);
    let again = again
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    File::create(&fifo)
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = again.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    fixture.spool.client().flush_ok(secs(30));
    assert_eq!(arrived_once(&api)["a"].len(), 2_000);
}
