//! What `meditopia status` says about the sender: whether it is alive, and which retry it waits for.

use std::path::Path;
use std::process::Command;

use meditopia_testkit::privileges::can_run_under;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::service::{ConfiguredSpool, Service};
use meditopia_testkit::spool::ClientExt;
use meditopia_testkit::wait::wait_until;
use meditopia_testkit::{meditopia_command, unused_address};
use serde_json::{Value, json};

use crate::cli::{output, run, status, stdout, wait_for_status};
use crate::live_spool::LiveSpool;

fn has_living_sender(spool: &Path) -> bool {
    status(spool)["sender"]["alive"] == true
}

fn start_service(api: &Sandbox) -> (ConfiguredSpool, Service) {
    let spool = ConfiguredSpool::new(api.endpoint(), api.token());
    let service = spool.start_service(&[]);
    wait_for_status(&spool.spool(), |status| status["sender"]["alive"] == true);
    (spool, service)
}

#[test]
fn status_does_not_report_a_killed_or_ended_sender_as_alive() {
    let api = Sandbox::start();
    let terminate = |service: &mut Service| assert!(service.terminate().success());
    for end in [Service::kill, terminate] {
        let (spool, mut service) = start_service(&api);

        end(&mut service);
        spool.client().enqueue_users(0..3);

        assert!(!has_living_sender(&spool.spool()));
        let table = run(&["status"], &spool.spool());
        assert!(
            table.contains("events are pending, and no sender is running"),
            "{table}"
        );
    }
}

#[test]
fn status_of_a_copy_reports_no_sender_while_the_original_has_one() {
    let api = Sandbox::start();
    let (spool, _service) = start_service(&api);
    let copy = spool.path("copy");
    // Copying fails if the sender removes a file meanwhile.
    wait_until("a copy with a heartbeat", || {
        let _ = Command::new("rm").arg("-rf").arg(&copy).status();
        let copied = Command::new("cp")
            .arg("-a")
            .args([&spool.spool(), &copy])
            .status();
        copied.unwrap().success() && copy.join("sender.json").exists()
    });

    assert!(!has_living_sender(&copy));
    assert!(has_living_sender(&spool.spool()));
}

#[test]
fn status_in_a_container_reports_a_sender_whose_lock_it_cannot_see() {
    let runner = ["unshare", "--pid", "--fork", "--mount-proc"];
    if !can_run_under(&runner) {
        return;
    }
    let api = Sandbox::start();
    let live = LiveSpool::start(&api);
    let spool = live.path();
    wait_until("the sender is seen from the container", || {
        let mut status = Command::new(runner[0]);
        status.args(&runner[1..]).arg(meditopia_command());
        status.args(["status", "--json"]).arg(&spool);
        stdout(&status.output().unwrap()).contains("\"alive\":true")
    });
    live.end_with_all_delivered(&api);
}

/// Starts a service that sends events as soon as they are enqueued.
fn start_prompt_service(spool: &ConfiguredSpool) -> Service {
    spool.configure(&format!(
        "flush_interval_ms = 20\nbearer_token_file = {:?}",
        spool.token_file()
    ));
    spool.start_service(&[])
}

#[test]
fn status_reports_the_retry_while_nothing_listens_at_the_endpoint() {
    let endpoint = format!("http://{}/events", unused_address());
    let spool = ConfiguredSpool::new(&endpoint, "token");
    let _service = start_prompt_service(&spool);
    spool.client().enqueue_users(0..3);

    let status = wait_for_status(&spool.spool(), |status| !status["retry"].is_null());

    assert_eq!(status["paused"], Value::Null, "{status:#}");
    assert_eq!(status["retry"]["server_errors"], 0, "{status:#}");
    let table = run(&["status"], &spool.spool());
    assert!(table.contains("waiting for a retry: "), "{table}");
    assert!(table.contains("meditopia doctor"), "{table}");
}

#[test]
fn status_reports_the_retry_and_its_server_errors_until_the_api_is_back() {
    let api = Sandbox::start();
    api.set_fault(json!({ "fault": "status", "status": 503, "retry_after": 60 }));
    let spool = ConfiguredSpool::new(api.endpoint(), api.token());
    let _service = start_prompt_service(&spool);
    spool.client().enqueue_users(0..3);

    let status = wait_for_status(&spool.spool(), |status| {
        status["retry"]["server_errors"] == 1
    });

    assert_eq!(status["retry"]["lasting"], true, "{status:#}");
    let left = status["retry"]["next_ms"].as_i64().unwrap() - status["time_ms"].as_i64().unwrap();
    assert!((1..=60_000).contains(&left), "{status:#}");
    let table = run(&["status"], &spool.spool());
    assert!(table.contains(" s, after a server error"), "{table}");
    let check = output(&["status", "--check"], &spool.spool());
    assert_eq!(check.status.code(), Some(1), "{check:?}");

    api.clear_faults();
    run(&["resume"], &spool.spool());
    api.wait_for_events(3);
    let delivered = |status: &Value| status["pending"] == 0 && status["retry"].is_null();
    wait_for_status(&spool.spool(), delivered);
}
