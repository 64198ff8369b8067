//! The metrics that alert rules need beside the statistics: what is true of them in a service that runs.

use std::time::{SystemTime, UNIX_EPOCH};

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::service::{ConfiguredSpool, Service};
use meditopia_testkit::spool::ClientExt;
use meditopia_testkit::wait::wait_until;
use serde_json::json;

use crate::fixtures::{HangingTokenFile, configured, unused_endpoint};

/// The value of a metric with no label but the spool's; `None`: it has no sample.
fn metric(service: &Service, name: &str) -> Option<f64> {
    let (status, text) = service.get("/metrics");
    assert_eq!(status, 200, "{text}");
    let begin = format!("{name}{{spool=");
    let line = text.lines().find(|line| line.starts_with(&begin))?;
    Some(line.rsplit_once(' ').unwrap().1.parse().unwrap())
}

fn wait_for_metric(service: &Service, name: &str, wanted: f64) {
    wait_until(name, || metric(service, name) == Some(wanted));
}

fn prompt(spool: &ConfiguredSpool) -> Service {
    spool.configure(&format!(
        "flush_interval_ms = 20\nbearer_token_file = {:?}",
        spool.token_file()
    ));
    spool.start_service(&[])
}

fn now_s() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs_f64()
}

#[test]
fn the_metrics_say_when_the_api_accepted_and_answered_last_also_after_a_restart() {
    let api = Sandbox::builder().unknown_user("u-7").start();
    let spool = configured(&api);
    let mut service = prompt(&spool);
    let accepted =
        |service: &Service| metric(service, "meditopia_events_accepted_timestamp_seconds");
    let answered = |service: &Service| metric(service, "meditopia_api_answered_timestamp_seconds");
    service.wait_for_log("elected");
    assert_eq!((accepted(&service), answered(&service)), (None, None));
    let begun = now_s() - 1.0;
    spool.client().enqueue_users(0..3);
    wait_until("the time of the acceptance", || {
        accepted(&service) > Some(begun)
    });
    let first = accepted(&service).unwrap();
    assert!(answered(&service) >= Some(first));

    // A refusal is an answer and no acceptance.
    spool.client().enqueue_users(7..8);
    wait_for_metric(&service, "meditopia_rejected_kept", 1.0);
    wait_until("the time of the answer", || {
        answered(&service) > Some(first)
    });
    assert_eq!(accepted(&service), Some(first));
    // A server error is no answer.
    let last = answered(&service).unwrap();
    api.set_fault(json!({ "fault": "status", "status": 503, "retry_after": 600 }));
    spool.client().enqueue_users(8..9);
    wait_for_metric(&service, "meditopia_api_away", 1.0);
    assert_eq!(answered(&service), Some(last));

    assert!(service.terminate().success());
    let service = prompt(&spool);
    service.wait_for_log("elected");
    wait_until("the times of the sender before", || {
        (accepted(&service), answered(&service)) == (Some(first), Some(last))
    });
}

#[test]
fn the_metrics_say_that_the_api_is_away_and_how_much_room_the_disk_has() {
    let spool = ConfiguredSpool::new(&unused_endpoint(), "token");
    let service = prompt(&spool);
    service.wait_for_log("elected");
    assert_eq!(metric(&service, "meditopia_api_away"), Some(0.0));
    spool.client().enqueue_users(0..3);
    wait_for_metric(&service, "meditopia_api_away", 1.0);
    assert!(metric(&service, "meditopia_spool_disk_free_bytes") > Some(0.0));
    assert!(metric(&service, "meditopia_spool_disk_free_inodes") > Some(0.0));
    assert_eq!(metric(&service, "meditopia_rejected_kept"), Some(0.0));
    assert_eq!(metric(&service, "meditopia_store_unreadable"), Some(0.0));
}

#[test]
fn a_sender_that_hangs_without_being_stopped_is_seen_as_silent() {
    let api = Sandbox::start();
    let spool = configured(&api);
    let token_file = HangingTokenFile::of(&spool);
    let mut command = spool.command("run", &["--listen", "127.0.0.1:0"]);
    token_file.prepare(&mut command);
    let service = Service::start(command);
    service.wait_for_log("elected");
    token_file.hang(api.token());
    service.wait_for_answer("/healthz", 200, "alive");
    let status = || {
        let output = spool.output("status", &["--json"]);
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    wait_until("a silent sender", || {
        status()["sender"]["state"] == "silent"
    });
    let output = spool.output("status", &["--check"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let line = String::from_utf8(output.stdout).unwrap();
    assert!(
        line.contains("it is stopped, or stuck on its disk"),
        "{line}"
    );

    token_file.go_on();
    wait_until("the sender goes on", || {
        status()["sender"]["state"] == "alive"
    });
}
