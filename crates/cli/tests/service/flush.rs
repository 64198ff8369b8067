//! `meditopia flush`: one delivery, a line that tells, and an exit status that a script can go by.

use std::process::Output;

use meditopia::ErrorKind;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::service::ConfiguredSpool;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::{secs, wait_until};

fn line(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap().trim_end()
}

#[test]
fn a_flush_tells_what_it_delivered_and_rejected() {
    let api = Sandbox::builder().unknown_user("u-3").start();
    let place = ConfiguredSpool::new(api.endpoint(), api.token());
    place.client().enqueue_users(0..10);
    let output = place.output("flush", &["--quiet"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(line(&output), "9 delivered, 1 rejected; nothing waits");

    // With nothing to say, a quiet one says nothing.
    place.client().enqueue_users(10..20);
    let output = place.output("flush", &["--quiet"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        output.stdout.is_empty() && output.stderr.is_empty(),
        "{output:?}"
    );
    assert_eq!(api.ledger().accepted_events, 19);
}

#[test]
fn a_flush_whose_time_is_over_says_what_is_left() {
    let api = Sandbox::start();
    let place = ConfiguredSpool::new(api.endpoint(), api.token());
    api.set_fault(serde_json::json!({"fault": "status", "status": 503}));
    place.client().enqueue_users(0..10);
    let output = place.output("flush", &["--timeout", "1", "--json"]);
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    let told: serde_json::Value = serde_json::from_str(line(&output)).unwrap();
    assert_eq!(told["outcome"], "left");
    assert_eq!(
        (&told["delivered"], &told["pending"]),
        (&0.into(), &10.into())
    );
    assert_eq!(told["in_doubt"], 10);
}

#[test]
fn a_flush_of_what_is_paused_names_the_reason() {
    let api = Sandbox::start();
    let place = ConfiguredSpool::new(api.endpoint(), "stale");
    place.client().enqueue_users(0..10);
    let output = place.output("flush", &[]);
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert!(line(&output).contains("auth"), "{output:?}");
    assert!(line(&output).contains("10 wait"), "{output:?}");

    place.write_token(api.token());
    let output = place.output("flush", &["--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let told: serde_json::Value = serde_json::from_str(line(&output)).unwrap();
    assert_eq!(told["outcome"], "delivered");
    assert_eq!(told["delivered"], 10);
    assert!(told["paused"].is_null());
}

#[test]
fn a_flush_beside_a_service_has_that_one_send() {
    let api = Sandbox::start();
    let place = ConfiguredSpool::new(api.endpoint(), api.token());
    place.configure(&format!(
        "flush_interval_ms = 86400000\nbearer_token_file = {:?}",
        place.token_file()
    ));
    let service = place.start_service(&[]);
    service.wait_for_log("elected");
    place.client().enqueue_users(0..10);
    let output = place.output("flush", &[]);
    assert_eq!(line(&output), "10 delivered, 0 rejected; nothing waits");
    let stats = place.client().stats().unwrap();
    assert_eq!(stats.sender_pid, Some(service.pid()));
}

#[test]
fn what_is_wrong_with_a_configuration_is_told_once() {
    let api = Sandbox::start();
    let place = ConfiguredSpool::new(api.endpoint(), api.token());
    place.configure("colour = \"red\"");
    let output = place.output("flush", &[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.matches("is not an option").count(), 1, "{said}");
}

#[test]
fn a_flush_whose_certificates_come_late_delivers_when_they_are_there() {
    let api = Sandbox::start();
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("ca.pem");
    let client = TestSpool::for_sandbox(&api)
        .with("ca_file", bundle.to_str().unwrap())
        .into_client();
    client.enqueue_for("u-1", 0);
    let error = client.flush(secs(60)).1.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&bundle, made.cert.pem()).unwrap();
    wait_until("it delivers", || client.flush(secs(1)).1.is_ok());
    assert_eq!(api.ledger().accepted_events, 1);
}

#[test]
fn a_report_misses_no_event_that_is_taken_over_meanwhile() {
    const EVENTS: usize = 8_000;
    let api = Sandbox::start();
    api.refuse_address();
    for _ in 0..20 {
        let client = TestSpool::for_sandbox(&api).into_client();
        client.enqueue_users(0..EVENTS);
        for _ in 0..20 {
            let (report, outcome) = client.flush(secs(0));
            outcome.unwrap_err();
            assert_eq!(report.pending, EVENTS as u64);
        }
    }
}
