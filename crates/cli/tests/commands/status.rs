//! `meditopia status`, with `--watch` and `--check`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::live::{Live, command, output, refused, said, status, status_when};
use meditopia_testkit::disks::ReadOnlyView;
use meditopia_testkit::privileges::is_root;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;

/// A spool with ten events that wait.
fn waiting(api: &Sandbox) -> TestSpool {
    let host = TestSpool::for_sandbox(api);
    host.client().enqueue_users(0..10);
    host
}

fn check(arguments: &[&str], spool: &Path) -> (i32, String) {
    let all: Vec<&str> = ["status", "--check"]
        .iter()
        .chain(arguments)
        .copied()
        .collect();
    let output = output(&all, spool);
    let line = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), line)
}

#[test]
fn status_tells_what_goes_on_and_disturbs_neither_writer_nor_sender() {
    let api = Sandbox::start();
    let live = Live::start(&api);
    let us = std::process::id();
    status_when(&live.spool(), |status| {
        status["delivered"].as_u64() > Some(100)
    });
    let mut last = 0;
    for _ in 0..5 {
        let status = status(&live.spool());
        let count = |name: &str| status[name].as_u64().unwrap();
        assert_eq!(status["sender"]["pid"], us, "{status:#}");
        assert_eq!(status["sender"]["alive"], true, "{status:#}");
        assert_eq!(status["paused"], Value::Null);
        assert!(count("delivered") >= last, "{status:#}");
        assert!(
            count("delivered") + count("pending") <= live.enqueued(),
            "{status:#}"
        );
        last = count("delivered");
        let table = said(&["status"], &live.spool());
        assert!(table.contains(&format!("pid {us} is alive")), "{table}");
    }
    let enqueued = live.end_with_all_delivered(&api);
    assert!(last <= enqueued);
}

#[test]
fn status_looks_at_a_spool_without_a_store_and_says_that_nobody_sends() {
    let api = Sandbox::start();
    let host = waiting(&api);
    let before = names_in(&host.path());
    let status = status(&host.path());
    assert_eq!(status["pending"], 10);
    assert_eq!(status["sender"], Value::Null);
    assert!(status["oldest_age_ms"].as_i64().unwrap() >= 0);
    assert_eq!(status["endpoint"], api.endpoint());
    let table = said(&["status"], &host.path());
    assert!(table.contains("events wait, and nobody sends"), "{table}");
    assert_eq!(names_in(&host.path()), before);
}

fn names_in(dir: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let names = fs::read_dir(dir).unwrap().map(name);
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn status_says_that_a_store_is_damaged_and_what_to_do() {
    let api = Sandbox::start();
    let host = waiting(&api);
    said(&["hold"], &host.path());
    fs::write(host.path().join("store.db"), vec![7; 8192]).unwrap();
    for name in ["store.db-wal", "store.db-shm"] {
        let _ = fs::remove_file(host.path().join(name));
    }
    assert_eq!(status(&host.path())["paused"], "store_damaged");
    let table = said(&["status"], &host.path());
    assert!(table.contains("meditopia recover"), "{table}");
    assert_eq!(check(&[], &host.path()).0, 2);
}

#[test]
fn status_looks_at_a_disk_that_cannot_be_written_to() {
    let api = Sandbox::start();
    let host = TestSpool::for_sandbox(&api);
    let client = host.client();
    client.enqueue_users(0..10);
    client.flush_ok(secs(60));
    client.enqueue_users(0..5);
    let spool = host.path();
    // A sender that has ended in peace leaves no log of the store.
    assert!(!spool.join("store.db-shm").exists());
    let Some(view) = ReadOnlyView::mount(&spool) else {
        return;
    };
    let seen = status(view.path());
    assert_eq!(
        (&seen["pending"], &seen["delivered"]),
        (&5.into(), &10.into())
    );
    drop(view);

    // One that runs has one, and readers who cannot write there see all that is in it.
    let live = Live::start(&api);
    live.go_on(100);
    let view = ReadOnlyView::mount(&live.spool()).unwrap();
    let seen = status_when(view.path(), |seen| seen["delivered"].as_u64() > Some(100));
    assert_eq!(seen["sender"]["pid"], std::process::id());
    // One that was killed leaves a log, and what it shared.
    let killed = tempfile::tempdir().unwrap();
    let copy = killed.path().join("copy");
    let copied = Command::new("cp")
        .arg("-a")
        .args([live.spool(), copy.clone()])
        .status();
    assert!(copied.unwrap().success());
    let view = ReadOnlyView::mount(&copy).unwrap();
    assert!(status(view.path())["delivered"].as_u64() > Some(100));
    drop(view);
    fs::remove_file(copy.join("store.db-shm")).unwrap();
    let view = ReadOnlyView::mount(&copy).unwrap();
    let unread = refused(&["status"], view.path(), 1);
    assert!(unread.contains("copy the spool"), "{unread}");
    live.end_with_all_delivered(&api);
}

#[test]
fn status_of_a_copy_says_to_adopt_it_and_acts_are_refused() {
    let api = Sandbox::start();
    let host = waiting(&api);
    let copy = host.path().with_file_name("copy");
    let copied = Command::new("cp")
        .arg("-a")
        .args([host.path(), copy.clone()])
        .status();
    assert!(copied.unwrap().success());
    let table = said(&["status"], &copy);
    assert!(table.contains("meditopia adopt"), "{table}");
    assert_eq!(check(&[], &copy).0, 2);
    let held = refused(&["hold"], &copy, 1);
    assert!(held.contains("meditopia adopt"), "{held}");
    said(&["adopt"], &copy);
    said(&["hold"], &copy);
}

#[test]
fn status_of_another_users_spool_says_whose_it_is() {
    if !is_root() {
        println!("not tested: without root there is no second user");
        return;
    }
    let api = Sandbox::start();
    let host = waiting(&api);
    let parent = host.path().parent().unwrap().to_owned();
    std::os::unix::fs::chown(&parent, Some(54_321), Some(54_321)).unwrap();
    // Where the command was built another user may not look.
    let program = parent.join("meditopia");
    fs::copy(env!("CARGO_BIN_EXE_meditopia"), &program).unwrap();
    let mut setpriv = Command::new("setpriv");
    let user = ["--reuid=54321", "--regid=54321", "--clear-groups"];
    let output = setpriv
        .args(user)
        .arg(&program)
        .arg("status")
        .arg(host.path())
        .output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("belongs to uid 0"), "{said}");
    assert!(said.contains("run as that user"), "{said}");
}

#[test]
fn a_check_grades_a_spool_as_nagios_wants_it() {
    let api = Sandbox::start();
    let host = waiting(&api);
    let spool = host.path();
    let (code, line) = check(&[], &spool);
    assert_eq!(code, 0, "{line}");
    assert!(
        line.starts_with("MEDITOPIA OK - 10 events wait, 0 rejected | pending=10;;;0 "),
        "{line}"
    );
    assert_eq!(line.lines().count(), 1);
    for figure in [
        "oldest_age=",
        "in_doubt=0;;;0",
        "rejected=0;;;0",
        "delivered=0c;;;0",
        "free=",
    ] {
        assert!(line.contains(figure), "{line}");
    }

    for (arguments, grade) in [
        (vec!["--warn-pending=10"], 1),
        (vec!["--warn-pending=11"], 0),
        (vec!["--warn-pending=5", "--crit-pending=10"], 2),
        (vec!["--warn-age=0s"], 1),
        (vec!["--crit-age=0s"], 2),
        (vec!["--warn-sender=1m"], 1),
        (vec!["--crit-sender=1m"], 2),
        (vec!["--crit-rejected=1"], 0),
        (vec!["--warn-free=99999999999"], 1),
        (vec!["--crit-free=99999999999"], 2),
    ] {
        let (code, line) = check(&arguments, &spool);
        assert_eq!(code, grade, "{arguments:?}: {line}");
        let name = ["OK", "WARNING", "CRITICAL"][grade as usize];
        assert!(line.starts_with(&format!("MEDITOPIA {name} - ")), "{line}");
    }

    said(&["hold"], &spool);
    let (code, line) = check(&[], &spool);
    assert_eq!(code, 1, "{line}");
    said(&["resume"], &spool);
    api.refuse_address();
    let _ = host.client().flush(secs(60));
    let (code, line) = check(&[], &spool);
    assert_eq!(code, 2, "{line}");
    assert!(line.contains("paused: ip"), "{line}");

    let (code, line) = check(&[], &spool.join("nowhere"));
    assert_eq!(code, 3, "{line}");
    assert!(line.starts_with("MEDITOPIA UNKNOWN - "), "{line}");
    assert_eq!(check(&["--warn-age=soon"], &spool).0, 3);
    refused(&["status", "--no-such-option"], &spool, 2);
}

#[test]
fn a_watch_appends_lines_and_ends_with_its_reader() {
    let api = Sandbox::start();
    let live = Live::start(&api);
    for json in [false, true] {
        let mut arguments = vec!["status", "--watch=0.1"];
        arguments.extend(json.then_some("--json"));
        let mut watch = command(&arguments, &live.spool());
        let mut watch = watch
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
        for _ in 0..3 {
            let line = lines.next().unwrap().unwrap();
            match json {
                true => assert!(serde_json::from_str::<Value>(&line).unwrap()["pending"].is_u64()),
                false => assert!(
                    line.contains("  pending ") && !line.contains('\x1b'),
                    "{line}"
                ),
            }
        }
        // Whoever reads has seen enough.
        drop(lines);
        let ended = watch.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        assert!(ended.stderr.is_empty(), "{ended:?}");
    }
    live.end_with_all_delivered(&api);
}
