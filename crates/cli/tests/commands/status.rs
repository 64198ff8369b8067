//! `meditopia status`, with `--watch` and `--check`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use meditopia_testkit::disks::ReadOnlyView;
use meditopia_testkit::meditopia_command;
use meditopia_testkit::privileges::{is_root, report_skip};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool, copy_spool};
use meditopia_testkit::store_files::damage_ledger;
use meditopia_testkit::wait::secs;
use serde_json::Value;

use crate::cli::{
    FAILED, USAGE, command, output, run, run_failing, status, stderr, stdout, wait_for_status,
};
use crate::live_spool::LiveSpool;

/// A spool with ten pending events.
fn spool_with_pending(api: &Sandbox) -> TestSpool {
    let spool = TestSpool::for_sandbox(api);
    spool.client().enqueue_users(0..10);
    spool
}

fn check(arguments: &[&str], spool: &Path) -> (i32, String) {
    let all: Vec<&str> = ["status", "--check"]
        .iter()
        .chain(arguments)
        .copied()
        .collect();
    let output = output(&all, spool);
    (output.status.code().unwrap(), stdout(&output))
}

#[test]
fn status_shows_progress_and_disturbs_neither_writer_nor_sender() {
    let api = Sandbox::start();
    let live = LiveSpool::start(&api);
    let own_pid = std::process::id();
    wait_for_status(&live.path(), |status| {
        status["delivered"].as_u64() > Some(100)
    });
    let mut last = 0;
    for _ in 0..5 {
        let status = status(&live.path());
        let count = |name: &str| status[name].as_u64().unwrap();
        assert_eq!(status["sender"]["pid"], own_pid, "{status:#}");
        assert_eq!(status["sender"]["alive"], true, "{status:#}");
        assert_eq!(status["paused"], Value::Null);
        assert!(count("delivered") >= last, "{status:#}");
        assert!(
            count("delivered") + count("pending") <= live.enqueued(),
            "{status:#}"
        );
        last = count("delivered");
        let table = run(&["status"], &live.path());
        assert!(
            table.contains(&format!("pid {own_pid} is alive")),
            "{table}"
        );
    }
    let enqueued = live.end_with_all_delivered(&api);
    assert!(last <= enqueued);
}

#[test]
fn status_of_a_spool_without_a_store_says_that_no_sender_is_running() {
    let api = Sandbox::start();
    let spool = spool_with_pending(&api);
    let before = names_in(&spool.path());
    let status = status(&spool.path());
    assert_eq!(status["pending"], 10);
    assert_eq!(status["sender"], Value::Null);
    assert!(status["oldest_age_ms"].as_i64().unwrap() >= 0);
    assert_eq!(status["endpoint"], api.endpoint());
    let table = run(&["status"], &spool.path());
    assert!(
        table.contains("events are pending, and no sender is running"),
        "{table}"
    );
    assert_eq!(names_in(&spool.path()), before);
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
    let spool = spool_with_pending(&api);
    run(&["hold"], &spool.path());
    damage_ledger(&spool.path());
    assert_eq!(status(&spool.path())["paused"], "store_damaged");
    let table = run(&["status"], &spool.path());
    assert!(table.contains("meditopia recover"), "{table}");
    assert_eq!(check(&[], &spool.path()).0, 2);
}

#[test]
fn status_reads_a_spool_on_a_read_only_disk() {
    let api = Sandbox::start();
    let spool = TestSpool::for_sandbox(&api);
    let client = spool.client();
    client.enqueue_users(0..10);
    client.flush_ok(secs(60));
    client.enqueue_users(0..5);
    let spool = spool.path();
    let Some(view) = ReadOnlyView::mount(&spool) else {
        return;
    };
    let seen = status(view.path());
    assert_eq!(
        (&seen["pending"], &seen["delivered"]),
        (&5.into(), &10.into())
    );
    drop(view);

    // Readers without write access see everything that a running sender does.
    let live = LiveSpool::start(&api);
    live.wait_for_enqueued(100);
    let view = ReadOnlyView::mount(&live.path()).unwrap();
    let seen = wait_for_status(view.path(), |seen| seen["delivered"].as_u64() > Some(100));
    assert_eq!(seen["sender"]["pid"], std::process::id());
    // So they do in what a killed sender leaves.
    let killed = tempfile::tempdir().unwrap();
    let copy = killed.path().join("copy");
    copy_spool(&live.path(), &copy);
    let view = ReadOnlyView::mount(&copy).unwrap();
    assert!(status(view.path())["delivered"].as_u64() > Some(100));
    live.end_with_all_delivered(&api);
}

#[test]
fn status_of_a_copy_says_to_adopt_it_and_other_commands_refuse_it() {
    let api = Sandbox::start();
    let spool = spool_with_pending(&api);
    let copy = spool.path().with_file_name("copy");
    copy_spool(&spool.path(), &copy);
    let table = run(&["status"], &copy);
    assert!(table.contains("meditopia adopt"), "{table}");
    assert_eq!(check(&[], &copy).0, 2);
    let held = run_failing(&["hold"], &copy, FAILED);
    assert!(held.contains("meditopia adopt"), "{held}");
    run(&["adopt"], &copy);
    run(&["hold"], &copy);
}

#[test]
fn status_of_another_users_spool_names_its_owner() {
    if !is_root() {
        report_skip("without root there is no second user");
        return;
    }
    let api = Sandbox::start();
    let spool = spool_with_pending(&api);
    let parent = spool.path().parent().unwrap().to_owned();
    std::os::unix::fs::chown(&parent, Some(54_321), Some(54_321)).unwrap();
    // The other user may have no access to the directory in which the command was built.
    let program = parent.join("meditopia");
    // By another process: a child that a thread of this one forks meanwhile would have it open for writing.
    let mut copy = Command::new("cp");
    copy.arg(meditopia_command()).arg(&program);
    assert!(copy.status().unwrap().success());
    let mut setpriv = Command::new("setpriv");
    let user = ["--reuid=54321", "--regid=54321", "--clear-groups"];
    let output = setpriv
        .args(user)
        .arg(&program)
        .arg("status")
        .arg(spool.path())
        .output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let errors = stderr(&output);
    assert!(errors.contains("belongs to uid 0"), "{errors}");
    assert!(errors.contains("run as that user"), "{errors}");
}

#[test]
fn status_check_prints_a_line_and_a_status_for_nagios() {
    let api = Sandbox::start();
    let spool = spool_with_pending(&api);
    let path = spool.path();
    let (code, line) = check(&[], &path);
    assert_eq!(code, 0, "{line}");
    assert!(
        line.starts_with("MEDITOPIA OK - 10 events pending, 0 rejected | pending=10;;;0 "),
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
        let (code, line) = check(&arguments, &path);
        assert_eq!(code, grade, "{arguments:?}: {line}");
        let name = ["OK", "WARNING", "CRITICAL"][grade as usize];
        assert!(line.starts_with(&format!("MEDITOPIA {name} - ")), "{line}");
    }

    run(&["hold"], &path);
    let (code, line) = check(&[], &path);
    assert_eq!(code, 1, "{line}");
    run(&["resume"], &path);
    api.refuse_address();
    let _ = spool.client().flush(secs(60));
    let (code, line) = check(&[], &path);
    assert_eq!(code, 2, "{line}");
    assert!(line.contains("paused: ip"), "{line}");

    let (code, line) = check(&[], &path.join("nowhere"));
    assert_eq!(code, 3, "{line}");
    assert!(line.starts_with("MEDITOPIA UNKNOWN - "), "{line}");
    assert_eq!(check(&["--warn-age=soon"], &path).0, 3);
    run_failing(&["status", "--no-such-option"], &path, USAGE);
}

#[test]
fn status_watch_appends_lines_and_ends_with_its_reader() {
    let api = Sandbox::start();
    let live = LiveSpool::start(&api);
    for json in [false, true] {
        let mut arguments = vec!["status", "--watch=0.1"];
        arguments.extend(json.then_some("--json"));
        let mut watch = command(&arguments, &live.path());
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
        // The reader closes the pipe.
        drop(lines);
        let ended = watch.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        assert!(ended.stderr.is_empty(), "{ended:?}");
    }
    live.end_with_all_delivered(&api);
}
