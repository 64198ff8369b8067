//! Imports that are killed at any moment, and continued.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::tracer::{SystemCall, TraceEvent, Tracer};
use meditopia_testkit::wait::secs;

use super::{Fixture, SOME_BAD, arrived_once, printed, records};

#[test]
fn an_interrupted_import_of_standard_input_continues_with_the_same_input_whatever_came_between() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    let text = records(&["a"], 0..2_000);
    let pipe = |text: &str, then: Then| {
        let mut command = fixture.command(&["-", "--format", "ndjson", "--commit-bytes", "1000"]);
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = process.stdin.take().unwrap();
        // Writing fails if the command has refused the input and ended.
        let _ = input.write_all(text.as_bytes());
        if then == Then::Kill {
            fixture.wait_for_committed("-", 1);
            process.kill().unwrap();
        }
        drop(input);
        process.wait_with_output().unwrap()
    };
    pipe(&text, Then::Kill);
    for (text, queued) in [
        (records(&["b"], 0..10), "queued 10 of 10"),
        (text, "queued before"),
        (records(&["b"], 0..10), "queued 0 of 10"),
    ] {
        let output = pipe(&text, Then::End);
        let printed = printed(&output);
        assert_eq!(output.status.code(), Some(0), "{printed}");
        assert!(printed.contains(queued), "{printed}");
    }
    fixture.spool.client().flush_ok(secs(30));
    let users = arrived_once(&api);
    assert_eq!((users["a"].len(), users["b"].len()), (2_000, 10));
}

#[derive(PartialEq, Eq)]
enum Then {
    End,
    Kill,
}

/// Whether a kill before this call leaves something else behind than a kill after it.
fn has_lasting_effect(call: &SystemCall) -> bool {
    // Locks and descriptors end with their process.
    call.has_effect() && !matches!(call.number, libc::SYS_close | libc::SYS_flock)
}

/// Runs an import and kills it before its `moment`th call with a lasting effect. Returns `false` if
/// the import ended before.
fn kill_before_call(command: Command, moment: usize) -> bool {
    let mut tracer = Tracer::default();
    let pid = tracer.start(command);
    let (mut left, mut has_begun) = (moment, false);
    while let Some(event) = tracer.next_event() {
        match event {
            TraceEvent::Entry(call) => {
                has_begun |= call.path().ends_with("import");
                if has_begun && has_lasting_effect(&call) {
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
fn an_import_that_is_killed_before_any_system_call_queues_each_record_once() {
    kill_at_each_call(false);
}

#[test]
fn an_all_or_nothing_import_that_is_killed_before_any_system_call_queues_each_record_once() {
    kill_at_each_call(true);
}

fn kill_at_each_call(all_or_nothing: bool) {
    const RECORDS: usize = 12;
    // Each import looks at all that the spool remembers, and the tracer stops at each system call.
    const IMPORTS_OF_A_SPOOL: usize = 16;
    let api = Sandbox::start();
    let mut fixture = Fixture::new(&api);
    let deliver = |fixture: &Fixture| {
        fixture.spool.client().flush_ok(secs(120));
        assert!(!fixture.spool.path().join("damaged").exists());
    };
    let mut users = Vec::new();
    for moment in 0.. {
        if moment % IMPORTS_OF_A_SPOOL == IMPORTS_OF_A_SPOOL - 1 {
            deliver(&fixture);
            fixture = Fixture::new(&api);
        }
        let (a, b) = (
            format!("{all_or_nothing}-{moment}-a"),
            format!("{all_or_nothing}-{moment}-b"),
        );
        let name = format!("{all_or_nothing}-{moment}.ndjson");
        let mut text = records(&[&a, &b], 0..RECORDS);
        let status = if all_or_nothing { 0 } else { SOME_BAD };
        let mut arguments = vec![name.as_str(), "--commit-bytes", "1500"];
        if all_or_nothing {
            arguments.push("--all-or-nothing");
        } else {
            text = format!("{{}}\n{text}{{}}\n");
        }
        fixture.input(&name, &text);
        let mut command = fixture.command(&arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let was_killed = kill_before_call(command, moment);
        fixture.import_ending_with(status, &arguments);
        if !all_or_nothing {
            let bad = fixture.listed(&name);
            let lines: Vec<_> = bad.iter().map(|bad| bad.0).collect();
            assert_eq!(lines, [1, 2 * RECORDS as u64 + 2], "killed at {moment}");
        }
        users.extend([a, b]);
        if !was_killed {
            println!("killed at {moment} moments");
            assert!(moment > 10, "killed only at {moment} moments");
            break;
        }
    }
    deliver(&fixture);
    let arrived = arrived_once(&api);
    for user in &users {
        let numbers = arrived.get(user).map_or(0, Vec::len);
        assert_eq!(numbers, RECORDS, "{user}");
    }
    assert_eq!(arrived.len(), users.len());
}

#[test]
fn an_import_that_is_killed_often_beside_a_sender_and_a_writer_queues_each_record_once() {
    const RECORDS: usize = 10_000;
    const KILLS: u64 = 8;
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    let path = fixture.input("x.ndjson", records(&["a", "b", "c"], 0..RECORDS));
    let name = path.to_str().unwrap().to_owned();
    let spool = TestSpool::for_sandbox(&api)
        .with("spool", fixture.spool.path().to_str().unwrap())
        .with("role", "both")
        .with("flush_interval_ms", "20");
    let client = spool.client();
    let arguments = ["x.ndjson", "--commit-bytes", "20000"];
    let mut live = 0;
    for kill in 1..=KILLS {
        let mut command = fixture.command(&arguments);
        let mut process = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let target = kill * 3 * RECORDS as u64 / (KILLS + 1);
        while fixture.committed_records(&name) < target {
            client.enqueue_for("live", live);
            live += 1;
            std::thread::sleep(Duration::from_millis(1));
            assert_eq!(
                process.try_wait().unwrap(),
                None,
                "ended before kill {kill}"
            );
        }
        process.kill().unwrap();
        process.wait().unwrap();
    }
    fixture.import_ending_with(0, &arguments);
    client.flush_ok(secs(120));
    let users = arrived_once(&api);
    assert_eq!(users["live"].len(), live);
    for user in ["a", "b", "c"] {
        assert_eq!(users[user].len(), RECORDS, "{user}");
    }
}
