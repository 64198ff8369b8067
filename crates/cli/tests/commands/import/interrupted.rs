//! Imports that are killed at any moment, and taken up again.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Place, SOME_BAD, arrived_once, lines, said};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::tracer::{SystemCall, TraceEvent, Tracer};
use meditopia_testkit::wait::secs;

#[test]
fn standard_input_is_taken_up_only_if_the_same_comes_again() {
    let api = Sandbox::start();
    let place = Place::of(&api);
    let text = lines(&["a"], 0..2_000);
    let pipe = |text: &str, then: Then| {
        let mut command = place.command(&["-", "--format", "ndjson", "--commit-bytes", "1000"]);
        let mut process = command
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = process.stdin.take().unwrap();
        // It may have refused, and be gone.
        let _ = input.write_all(text.as_bytes());
        if then == Then::Kill {
            place.wait_for_records("-", 1);
            process.kill().unwrap();
        }
        drop(input);
        process.wait_with_output().unwrap()
    };
    pipe(&text, Then::Kill);
    let other = pipe(&lines(&["b"], 0..10), Then::End);
    assert_eq!(other.status.code(), Some(1), "{}", said(&other));
    assert!(
        said(&other).contains("this is another input"),
        "{}",
        said(&other)
    );
    let same = pipe(&text, Then::End);
    assert_eq!(same.status.code(), Some(0), "{}", said(&same));
    let news = pipe(&lines(&["b"], 0..10), Then::End);
    assert_eq!(news.status.code(), Some(0), "{}", said(&news));
    place.host.client().flush_ok(secs(30));
    let users = arrived_once(&api);
    assert_eq!((users["a"].len(), users["b"].len()), (2_000, 10));
}

#[derive(PartialEq, Eq)]
enum Then {
    End,
    Kill,
}

fn changes(call: &SystemCall) -> bool {
    // Locks and descriptors go with their process.
    call.has_effect() && !matches!(call.number, libc::SYS_close | libc::SYS_flock)
}

/// Runs an import until it is about to make its `moment`th call that changes something, and kills it there; `false`: it ended before.
fn killed_at(command: Command, moment: usize) -> bool {
    let mut tracer = Tracer::default();
    let pid = tracer.start(command);
    let (mut left, mut begun) = (moment, false);
    while let Some(event) = tracer.next_event() {
        match event {
            TraceEvent::Entry(call) => {
                begun |= call.path().ends_with("import");
                if begun && changes(&call) {
                    if left == 0 {
                        tracer.kill(pid);
                        return true;
                    }
                    left -= 1;
                }
                tracer.resume(&call);
            }
            TraceEvent::Exit(call, _) => tracer.resume(&call),
            TraceEvent::Ended(..) => return false,
        }
    }
    false
}

#[test]
fn an_import_that_is_killed_before_any_of_its_calls_queues_each_record_once() {
    die_at_each_call(false);
}

#[test]
fn an_import_of_all_or_nothing_that_is_killed_before_any_of_its_calls_queues_each_record_once() {
    die_at_each_call(true);
}

fn die_at_each_call(all_or_nothing: bool) {
    const RECORDS: usize = 12;
    let api = Sandbox::start();
    let place = Place::of(&api);
    let mut users = Vec::new();
    for moment in 0.. {
        let (a, b) = (
            format!("{all_or_nothing}-{moment}-a"),
            format!("{all_or_nothing}-{moment}-b"),
        );
        let name = format!("{all_or_nothing}-{moment}.ndjson");
        let mut text = lines(&[&a, &b], 0..RECORDS);
        let status = if all_or_nothing { 0 } else { SOME_BAD };
        let mut orders = vec![name.as_str(), "--commit-bytes", "1500"];
        if all_or_nothing {
            orders.push("--all-or-nothing");
        } else {
            text = format!("{{}}\n{text}{{}}\n");
        }
        place.input(&name, &text);
        let mut command = place.command(&orders);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let was_killed = killed_at(command, moment);
        place.ends_with(status, &orders);
        if !all_or_nothing {
            let told = place.bad(&format!("{name}.rejected.ndjson"));
            let lines: Vec<_> = told.iter().map(|bad| bad.0).collect();
            assert_eq!(lines, [1, 2 * RECORDS as u64 + 2], "killed at {moment}");
        }
        users.extend([a, b]);
        if !was_killed {
            println!("{moment} moments");
            assert!(moment > 10, "only {moment} moments");
            break;
        }
    }
    place.host.client().flush_ok(secs(120));
    let arrived = arrived_once(&api);
    for user in &users {
        let numbers = arrived.get(user).map_or(0, Vec::len);
        assert_eq!(numbers, RECORDS, "{user}");
    }
    assert_eq!(arrived.len(), users.len());
    assert!(!place.host.path().join("damaged").exists());
}

#[test]
fn an_import_beside_a_sender_and_a_writer_is_killed_often_and_brings_each_record_once() {
    const RECORDS: usize = 10_000;
    const KILLS: u64 = 8;
    let api = Sandbox::start();
    let place = Place::of(&api);
    let path = place.input("x.ndjson", lines(&["a", "b", "c"], 0..RECORDS));
    let name = path.to_str().unwrap().to_owned();
    let spool = place.host.path();
    let host = TestSpool::for_sandbox(&api)
        .with("spool", spool.to_str().unwrap())
        .with("role", "both")
        .with("flush_interval_ms", "20");
    let client = host.client();
    let orders = ["x.ndjson", "--commit-bytes", "20000"];
    let mut live = 0;
    for kill in 1..=KILLS {
        let mut command = place.command(&orders);
        let mut process = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let target = kill * 3 * RECORDS as u64 / (KILLS + 1);
        while place.records(&name) < target {
            client.enqueue_for("live", live);
            live += 1;
            std::thread::sleep(Duration::from_millis(1));
            assert_eq!(process.try_wait().unwrap(), None, "it ended at {kill}");
        }
        process.kill().unwrap();
        process.wait().unwrap();
    }
    place.ends_with(0, &orders);
    client.flush_ok(secs(120));
    let users = arrived_once(&api);
    assert_eq!(users["live"].len(), live);
    for user in ["a", "b", "c"] {
        assert_eq!(users[user].len(), RECORDS, "{user}");
    }
}
