//! What a terminal makes different: colours, and questions. `script` lends one.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::live::{objects, said};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;

/// What a command shows on a terminal where `typed` is typed, and its exit status.
fn at_terminal(
    arguments: &str,
    spool: &Path,
    environment: &[(&str, &str)],
    typed: &str,
) -> (i32, String) {
    let line = format!(
        "'{}' {arguments} '{}'",
        env!("CARGO_BIN_EXE_meditopia"),
        spool.display()
    );
    let mut script = Command::new("script");
    script
        .args(["-q", "-e", "-c", &line, "/dev/null"])
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
fn colours_are_for_terminals_and_for_those_who_want_them() {
    let host = TestSpool::for_endpoint("http://127.0.0.1:9/events");
    host.client().enqueue_users(0..1);
    let spool = host.path();
    let is_coloured = |text: &str| text.contains("\x1b[");
    assert!(is_coloured(&at_terminal("status", &spool, &[], "").1));
    assert!(!is_coloured(
        &at_terminal("status", &spool, &[("NO_COLOR", "1")], "").1
    ));
    assert!(is_coloured(
        &at_terminal("status", &spool, &[("NO_COLOR", "")], "").1
    ));
    assert!(!is_coloured(
        &at_terminal("status --color never", &spool, &[], "").1
    ));
    assert!(!is_coloured(
        &at_terminal("status", &spool, &[("TERM", "dumb")], "").1
    ));
    assert!(!is_coloured(&said(&["status"], &spool)));
    assert!(is_coloured(&said(&["status", "--color=always"], &spool)));
    assert!(!is_coloured(&said(
        &["status", "--json", "--color=always"],
        &spool
    )));
}

#[test]
fn discard_asks_at_a_terminal_and_keeps_all_unless_the_answer_is_yes() {
    let api = Sandbox::builder().unknown_user("u-0").start();
    let host = TestSpool::for_sandbox(&api);
    let client = host.client();
    client.enqueue_users(0..1);
    client.flush_ok(secs(60));
    let left = || objects(&["rejected", "list", "--json"], &host.path()).len();
    for (typed, status, kept) in [("n\n", 3, 1), ("\n", 3, 1), ("y\n", 0, 0)] {
        let (ended, shown) = at_terminal("rejected discard --all", &host.path(), &[], typed);
        assert_eq!(ended, status, "{typed:?}: {shown}");
        assert!(shown.contains("discard 1 event for good? [y/N]"), "{shown}");
        assert_eq!(left(), kept, "{typed:?}: {shown}");
    }
}

#[test]
fn what_the_api_says_cannot_steer_a_terminal() {
    let api = Sandbox::start();
    let host = TestSpool::for_sandbox(&api);
    let client = host.client();
    client.enqueue_for("u-\u{9b}2J\u{202e}", 1);
    let listed = said(&["pending", "list"], &host.path());
    assert!(listed.contains("u-\u{fffd}2J\u{fffd}"), "{listed:?}");
}
