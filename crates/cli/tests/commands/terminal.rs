//! What commands do differently at a terminal: colours and questions. `script` provides the
//! terminal.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use meditopia_testkit::meditopia_command;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;

use crate::cli::{run, run_json};

/// Runs a command on a terminal at which `typed` is typed; returns its exit status and what it
/// shows.
fn at_terminal(
    arguments: &str,
    spool: &Path,
    environment: &[(&str, &str)],
    typed: &str,
) -> (i32, String) {
    let command = format!(
        "exec '{}' {arguments} '{}'",
        meditopia_command().display(),
        spool.display()
    );
    let mut script = Command::new("script");
    script
        .args(["-q", "-e", "-c", &command, "/dev/null"])
        .env("TERM", "xterm")
        .env_remove("NO_COLOR");
    script.envs(environment.iter().copied());
    let mut child = script
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let _ = input.write_all(typed.as_bytes());
    let output = child.wait_with_output().unwrap();
    drop(input);
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

#[test]
fn output_is_coloured_on_a_terminal_or_if_an_option_asks_for_it() {
    let spool = TestSpool::for_endpoint("http://127.0.0.1:9/events");
    spool.client().enqueue_users(0..1);
    let path = spool.path();
    let is_coloured = |text: &str| text.contains("\x1b[");
    assert!(is_coloured(&at_terminal("status", &path, &[], "").1));
    assert!(!is_coloured(
        &at_terminal("status", &path, &[("NO_COLOR", "1")], "").1
    ));
    assert!(is_coloured(
        &at_terminal("status", &path, &[("NO_COLOR", "")], "").1
    ));
    assert!(!is_coloured(
        &at_terminal("status --color never", &path, &[], "").1
    ));
    assert!(!is_coloured(
        &at_terminal("status", &path, &[("TERM", "dumb")], "").1
    ));
    assert!(!is_coloured(&run(&["status"], &path)));
    assert!(is_coloured(&run(&["status", "--color=always"], &path)));
    assert!(!is_coloured(&run(
        &["status", "--json", "--color=always"],
        &path
    )));
}

#[test]
fn discard_asks_at_a_terminal_and_keeps_every_event_unless_the_answer_is_yes() {
    let api = Sandbox::builder().unknown_user("u-0").start();
    let spool = TestSpool::for_sandbox(&api);
    let client = spool.client();
    client.enqueue_users(0..1);
    client.flush_ok(secs(60));
    let left = || run_json(&["rejected", "list", "--json"], &spool.path()).len();
    for (typed, status, kept) in [("n\n", 3, 1), ("\n", 3, 1), ("y\n", 0, 0)] {
        let (ended, shown) = at_terminal("rejected discard --all", &spool.path(), &[], typed);
        assert_eq!(ended, status, "{typed:?}: {shown}");
        assert!(shown.contains("discard 1 event for good? [y/N]"), "{shown}");
        assert_eq!(left(), kept, "{typed:?}: {shown}");
    }
}

#[test]
fn text_in_events_cannot_control_the_terminal() {
    let api = Sandbox::start();
    let spool = TestSpool::for_sandbox(&api);
    let client = spool.client();
    client.enqueue_for("u-\u{9b}2J\u{202e}", 1);
    let listed = run(&["pending", "list"], &spool.path());
    assert!(listed.contains(r"u-\u{9b}2J\u{202e}"), "{listed:?}");
}
