//! `meditopia flush`: one delivery, a line about the result, and an exit status for scripts.

use std::net::TcpListener;
use std::process::Output;
use std::time::{Duration, Instant};

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::service::ConfiguredSpool;
use meditopia_testkit::spool::ClientExt;

use crate::fixtures::{NEVER_SEND_BY_ITSELF, configured};

fn line(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap().trim_end()
}

#[test]
fn a_flush_prints_what_it_delivered_and_rejected() {
    let api = Sandbox::builder().unknown_user("u-3").start();
    let spool = configured(&api);
    spool.client().enqueue_users(0..10);
    let output = spool.output("flush", &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(line(&output), "9 delivered, 1 rejected; nothing pending");
}

#[test]
fn a_quiet_flush_says_nothing_unless_it_fails() {
    let api = Sandbox::builder().unknown_user("u-3").start();
    let spool = configured(&api);
    let quiet = || spool.output("flush", &["--quiet", "--timeout", "1"]);
    spool.client().enqueue_users(0..10);
    // Neither what was rejected nor a warning about it.
    let output = quiet();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        output.stdout.is_empty() && output.stderr.is_empty(),
        "{output:?}"
    );
    assert_eq!(api.ledger().accepted_events, 9);

    api.set_fault(serde_json::json!({"fault": "status", "status": 503}));
    spool.client().enqueue_users(10..20);
    let output = quiet();
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    assert!(line(&output).contains("10 pending"), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn a_flush_that_times_out_says_what_is_left() {
    let api = Sandbox::start();
    let spool = configured(&api);
    api.set_fault(serde_json::json!({"fault": "status", "status": 503}));
    spool.client().enqueue_users(0..10);
    let output = spool.output("flush", &["--timeout", "1", "--json"]);
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    let report: serde_json::Value = serde_json::from_str(line(&output)).unwrap();
    assert_eq!(report["outcome"], "left");
    assert_eq!(
        (&report["delivered"], &report["pending"]),
        (&0.into(), &10.into())
    );
    assert_eq!(report["in_doubt"], 10);
}

#[test]
fn a_flush_of_a_paused_spool_names_the_reason() {
    let api = Sandbox::start();
    let spool = ConfiguredSpool::new(api.endpoint(), "stale");
    spool.client().enqueue_users(0..10);
    let output = spool.output("flush", &[]);
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert!(line(&output).contains("auth"), "{output:?}");
    assert!(line(&output).contains("10 pending"), "{output:?}");

    spool.write_token(api.token());
    let output = spool.output("flush", &["--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report: serde_json::Value = serde_json::from_str(line(&output)).unwrap();
    assert_eq!(report["outcome"], "delivered");
    assert_eq!(report["delivered"], 10);
    assert!(report["paused"].is_null());
}

#[test]
fn a_pause_that_begins_before_anything_is_taken_over_does_not_say_that_nothing_is_kept() {
    let api = Sandbox::start();
    let spool = configured(&api);
    spool.client().enqueue_users(0..2);
    std::fs::remove_file(spool.token_file()).unwrap();
    let output = spool.output("flush", &[]);
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert!(
        line(&output).contains("; 2 events are kept; "),
        "{output:?}"
    );
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("paused (auth)"), "{log}");
    assert!(
        log.contains("every event is kept during the pause; "),
        "{log}"
    );
}

#[test]
fn a_flush_beside_a_service_lets_the_service_send() {
    let api = Sandbox::start();
    let spool = configured(&api);
    spool.configure(&format!(
        "{NEVER_SEND_BY_ITSELF}\nbearer_token_file = {:?}",
        spool.token_file()
    ));
    let service = spool.start_service(&[]);
    service.wait_for_log("elected");
    spool.client().enqueue_users(0..10);
    let output = spool.output("flush", &[]);
    assert_eq!(line(&output), "10 delivered, 0 rejected; nothing pending");
    let stats = spool.client().stats().unwrap();
    assert_eq!(stats.sender_pid, Some(service.pid()));
}

#[test]
fn a_flush_reports_an_unknown_option_of_the_configuration_once() {
    let api = Sandbox::start();
    let spool = configured(&api);
    spool.configure("colour = \"red\"");
    let output = spool.output("flush", &[]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(errors.matches("is not an option").count(), 1, "{errors}");
}

#[test]
fn a_flush_ends_by_its_timeout_behind_a_silent_proxy_and_nothing_is_in_doubt() {
    // It accepts connections and says nothing.
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let spool = ConfiguredSpool::new("https://partners.example/events", "token");
    spool.configure(&format!(
        "{NEVER_SEND_BY_ITSELF}\nbearer_token_file = {:?}\nproxy = \"http://{}\"",
        spool.token_file(),
        proxy.local_addr().unwrap()
    ));
    spool.client().enqueue_users(0..10);
    let begun = Instant::now();

    let output = spool.output("flush", &["--timeout", "1", "--json"]);

    // The connect timeout is 10 s.
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    let report: serde_json::Value = serde_json::from_str(line(&output)).unwrap();
    assert_eq!(
        (&report["pending"], &report["in_doubt"]),
        (&10.into(), &0.into())
    );
}
