//! Wrong arguments: commands report them before they do anything else.

use std::path::Path;
use std::process::Output;

use meditopia_testkit::meditopia;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::TestSpool;

use crate::cli::{FAILED, UNKNOWN, USAGE, stderr, stdout};

/// Runs a subcommand with the spool as its first argument.
fn run_words(words: &str, spool: &Path) -> Output {
    let mut words = words.split(' ');
    let mut command = meditopia();
    command.args(words.next()).arg(spool).args(words);
    command.output().unwrap()
}

/// Checks the exit status; returns standard output and standard error.
#[track_caller]
fn assert_status(status: i32, output: &Output) -> (String, String) {
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    (stdout(output), stderr(output))
}

#[test]
fn doctor_checks_the_event_to_send_before_anything_else() {
    let api = Sandbox::start();
    let spool = TestSpool::for_sandbox(&api);
    spool.client();
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "user-token").unwrap();
    let token = token.path().display();
    for (words, part) in [
        (
            format!("doctor --send-event u --user-token-file {token} --event bogus"),
            "bogus",
        ),
        (
            "doctor --send-event u --user-token-file /nowhere".to_owned(),
            "--user-token-file /nowhere: No such file",
        ),
        ("doctor --event video".to_owned(), "--send-event"),
    ] {
        let (out, err) = assert_status(USAGE, &run_words(&words, &spool.path()));
        assert_eq!(out, "", "{words}");
        assert!(err.contains(part), "{words}: {err}");
    }
    assert_eq!(api.ledger().requests, 0);
}

#[test]
fn doctor_accepts_the_spool_as_an_argument_like_other_commands() {
    let api = Sandbox::start();
    let spool = TestSpool::for_sandbox(&api);
    spool.client();
    let mut doctor = meditopia();
    doctor.arg("doctor").arg(spool.path());
    doctor.env("MEDITOPIA_BEARER_TOKEN", api.token());
    let (out, _) = assert_status(0, &doctor.output().unwrap());
    assert!(out.contains("ok    spool identity"), "{out}");
}

#[test]
fn status_check_refuses_a_warning_limit_beyond_the_critical_one() {
    let spool = TestSpool::for_endpoint("http://127.0.0.1:9/events");
    spool.client();
    for (limits, refused) in [
        ("--warn-age 1h --crit-age 10m", Some("age")),
        ("--warn-age 2h", Some("age")),
        ("--warn-pending 9 --crit-pending 8", Some("pending")),
        ("--warn-rejected 2 --crit-rejected 1", Some("rejected")),
        ("--warn-sender 2m --crit-sender 1m", Some("sender")),
        ("--warn-free 1 --crit-free 2", Some("free")),
        ("--crit-age 10m", None),
        ("--warn-age 10m --crit-age 10m", None),
        ("--warn-free 2 --crit-free 1", None),
    ] {
        let output = run_words(&format!("status --check {limits}"), &spool.path());
        let status = if refused.is_some() { UNKNOWN } else { 0 };
        let (out, _) = assert_status(status, &output);
        if let Some(what) = refused {
            let part = format!("UNKNOWN - --warn-{what}: --crit-{what}");
            assert!(out.contains(&part), "{limits}: {out}");
        }
    }
}

#[test]
fn a_spool_that_is_not_a_directory_is_refused_and_the_error_says_what_to_name() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for words in ["run", "flush", "status"] {
        let mut command = meditopia();
        command.arg(words).arg(file.path());
        command.env("MEDITOPIA_ENDPOINT", "http://127.0.0.1:9/events");
        command.env("MEDITOPIA_BEARER_TOKEN", "t");
        let (_, err) = assert_status(FAILED, &command.output().unwrap());
        assert!(
            err.contains("Not a directory") && err.contains("; name a directory that is there"),
            "{words}: {err}"
        );
    }
}
