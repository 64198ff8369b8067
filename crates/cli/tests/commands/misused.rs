//! Commands that are given something wrong: they say so before they do or tell anything else.

use std::path::Path;
use std::process::{Command, Output};

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::TestSpool;

const FAILED: i32 = 1;
const USAGE: i32 = 2;
const UNKNOWN: i32 = 3;

fn meditopia(words: &str, spool: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meditopia"));
    let mut words = words.split(' ');
    command.args(words.next()).arg(spool).args(words);
    command.output().unwrap()
}

#[track_caller]
fn ends_with(status: i32, output: &Output) -> (String, String) {
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_event_that_doctor_is_to_send_is_checked_before_anything_is_looked_at() {
    let api = Sandbox::start();
    let host = TestSpool::for_sandbox(&api);
    host.client();
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
        let (told, said) = ends_with(USAGE, &meditopia(&words, &host.path()));
        assert_eq!(told, "", "{words}");
        assert!(said.contains(part), "{words}: {said}");
    }
    assert_eq!(api.ledger().requests, 0);
}

#[test]
fn doctor_takes_the_spool_as_every_other_command_does() {
    let api = Sandbox::start();
    let host = TestSpool::for_sandbox(&api);
    host.client();
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_meditopia"));
    doctor.arg("doctor").arg(host.path());
    doctor.env("MEDITOPIA_BEARER_TOKEN", api.token());
    let (told, _) = ends_with(0, &doctor.output().unwrap());
    assert!(told.contains("ok    spool identity"), "{told}");
}

#[test]
fn a_warning_that_would_come_after_what_is_critical_is_refused() {
    let host = TestSpool::for_endpoint("http://127.0.0.1:9/events");
    host.client();
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
        let output = meditopia(&format!("status --check {limits}"), &host.path());
        let status = if refused.is_some() { UNKNOWN } else { 0 };
        let (told, _) = ends_with(status, &output);
        if let Some(what) = refused {
            let part = format!("UNKNOWN - --warn-{what}: --crit-{what}");
            assert!(told.contains(&part), "{limits}: {told}");
        }
    }
}

#[test]
fn a_spool_that_is_no_directory_is_refused_with_what_to_name_instead() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for words in ["run", "flush", "status"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meditopia"));
        command.arg(words).arg(file.path());
        command.env("MEDITOPIA_ENDPOINT", "http://127.0.0.1:9/events");
        command.env("MEDITOPIA_BEARER_TOKEN", "t");
        let (_, said) = ends_with(FAILED, &command.output().unwrap());
        assert!(
            said.contains("Not a directory") && said.contains("; name a directory that is there"),
            "{words}: {said}"
        );
    }
}
