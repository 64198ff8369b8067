//! `meditopia flush`: one delivery, a line that tells, and an exit status that a script can go by.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod host;
mod patience;
mod sandbox;
mod service;

use std::process::Output;

use host::Story;
use sandbox::Sandbox;
use service::Place;

fn line(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap().trim_end()
}

#[test]
fn a_flush_tells_what_it_delivered_and_rejected() {
    let api = Sandbox::builder().unknown_user("u-3").start();
    let place = Place::of(api.endpoint(), api.token());
    place.host().enqueue_users(0..10);
    let output = place.output("flush", &["--quiet"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(line(&output), "9 delivered, 1 rejected; nothing waits");

    // With nothing to say, a quiet one says nothing.
    place.host().enqueue_users(10..20);
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
    let place = Place::of(api.endpoint(), api.token());
    api.set_fault(serde_json::json!({"fault": "status", "status": 503}));
    place.host().enqueue_users(0..10);
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
    let place = Place::of(api.endpoint(), "stale");
    place.host().enqueue_users(0..10);
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
    let place = Place::of(api.endpoint(), api.token());
    place.configure(&format!(
        "flush_interval_ms = 86400000\nbearer_token_file = {:?}",
        place.token_file()
    ));
    let service = place.run(&[]);
    service.said("elected");
    place.host().enqueue_users(0..10);
    let output = place.output("flush", &[]);
    assert_eq!(line(&output), "10 delivered, 0 rejected; nothing waits");
    let stats = place.host().stats().unwrap();
    assert_eq!(stats.sender_pid, Some(service.pid()));
}
