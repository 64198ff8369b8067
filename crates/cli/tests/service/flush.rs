//! `meditopia flush`: one delivery, a line that tells, and an exit status that a script can go by.

use std::process::Output;

use meditopia::error::ErrorKind;
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
    assert_eq!(line(&output), "9 delivered, 1 rejected; nothing pending");

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
    assert!(line(&output).contains("10 pending"), "{output:?}");

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
    assert_eq!(line(&output), "10 delivered, 0 rejected; nothing pending");
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
    assert_eq!(said.matches("is no option").count(), 1, "{said}");
}
