//! Checks of the spool: its directory, its identity, and what stops delivery from it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::store_files::damage_ledger;
use meditopia_testkit::wait::{secs, wait_until};
use serde_json::json;

use super::{FAILURES, Fixture, OK, WARNINGS, assert_finding, findings_of};

#[test]
fn doctor_reports_a_spool_that_is_writable_for_others_read_only_or_of_another_endpoint() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    let spool = fixture.spool.path();
    fs::set_permissions(&spool, Permissions::from_mode(0o770)).unwrap();
    let lines = fixture.findings(FAILURES, &[]);
    assert_finding(&lines, "FAIL  spool rights", "mode 0770");
    assert_finding(&lines, "ok    spool writable", "a file can be created");
    let mode = fs::metadata(&spool).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o770, "a look changes nothing");
    fs::set_permissions(&spool, Permissions::from_mode(0o700)).unwrap();

    let lines = findings_of(FAILURES, &mut read_only(&fixture.command(&[]), &spool));
    assert_finding(&lines, "FAIL  spool writable", "no file can be created");

    let elsewhere =
        Fixture::new(&api).with("MEDITOPIA_ENDPOINT", "https://elsewhere.example/events");
    assert_finding(
        &elsewhere.findings(FAILURES, &[]),
        "FAIL  spool identity",
        "elsewhere.example",
    );
}

/// The same command in a mount namespace in which `dir` is read-only, even for root.
fn read_only(command: &Command, dir: &Path) -> Command {
    let script = r#"mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@""#;
    let mut wrapped = Command::new("unshare");
    wrapped.args(["--mount", "sh", "-c", script]).arg(dir);
    wrapped.arg(command.get_program()).args(command.get_args());
    wrapped.envs(
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    wrapped
}

#[test]
fn doctor_reports_any_pause_as_a_failure_and_says_what_ends_it() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    let client = fixture.spool.client();
    client.enqueue_users(0..3);
    client.hold().unwrap();
    let lines = fixture.findings(FAILURES, &[]);
    assert_finding(
        &lines,
        "FAIL  delivery: paused: hold, since ",
        "3 events pending",
    );
    assert_finding(&lines, "FAIL  delivery", "meditopia resume ");
    client.resume().unwrap();
    fixture.findings(OK, &[]);

    api.refuse_address();
    let sending =
        TestSpool::for_sandbox(&api).with("spool", fixture.spool.path().to_str().unwrap());
    sending.client().flush(secs(10)).1.unwrap_err();
    api.allow_address();
    let lines = fixture.findings(FAILURES, &[]);
    assert_finding(
        &lines,
        "FAIL  delivery: paused: ip, since ",
        "next probe in ",
    );
    assert_finding(&lines, "ok    API", "");
}

#[test]
fn doctor_reports_a_damaged_store_as_a_failure_and_does_not_change_it() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    let spool = fixture.spool.path();
    let ledger = damage_ledger(&spool);
    let damaged = fs::read(&ledger).unwrap();
    let lines = fixture.findings(FAILURES, &[]);
    assert_finding(&lines, "FAIL  delivery: paused: store_damaged", "damaged");
    assert_finding(&lines, "FAIL  delivery", "meditopia recover ");
    assert_eq!(fs::read(ledger).unwrap(), damaged);
}

#[test]
fn doctor_reports_a_retry_as_a_warning_and_does_not_disturb_the_sender() {
    let api = Sandbox::start();
    api.set_fault(json!({ "fault": "status", "status": 429, "retry_after": 60, "count": 1 }));
    let fixture = Fixture::new(&api);
    let sending = TestSpool::for_sandbox(&api)
        .with("spool", fixture.spool.path().to_str().unwrap())
        .with("role", "both")
        .with("flush_interval_ms", "20");
    let client = sending.client();
    client.enqueue_users(0..3);
    wait_until("the API's asking to wait", || {
        client.retry().unwrap().is_some()
    });

    let lines = fixture.findings(WARNINGS, &[]);

    assert_finding(
        &lines,
        "warn  delivery: waiting for a retry",
        "next try in ",
    );
    client.resume().unwrap();
    api.wait_for_events(3);
    let lines = fixture.findings(OK, &[]);
    assert_finding(&lines, "ok    delivery", "");
}
