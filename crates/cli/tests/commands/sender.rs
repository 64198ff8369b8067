//! What `meditopia status` says of the sender: whether it lives, from the moment that it dies on, and what
//! it waits for while the API is away.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::live::{Live, output, said, status, status_when};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::service::{ConfiguredSpool, Service};
use meditopia_testkit::spool::ClientExt;
use meditopia_testkit::wait::wait_until;

fn sends(spool: &Path) -> bool {
    status(spool)["sender"]["alive"] == true
}

fn started(api: &Sandbox) -> (ConfiguredSpool, Service) {
    let place = ConfiguredSpool::new(api.endpoint(), api.token());
    let service = place.start_service(&[]);
    status_when(&place.spool(), |seen| seen["sender"]["alive"] == true);
    (place, service)
}

#[test]
fn a_sender_that_was_killed_or_has_ended_is_not_said_to_be_alive() {
    let api = Sandbox::start();
    let terminate = |service: &mut Service| assert!(service.terminate().success());
    for end in [Service::kill, terminate] {
        let (place, mut service) = started(&api);

        end(&mut service);
        place.client().enqueue_users(0..3);

        assert!(!sends(&place.spool()));
        let table = said(&["status"], &place.spool());
        assert!(table.contains("events wait, and nobody sends"), "{table}");
    }
}

#[test]
fn a_copy_has_no_sender_while_that_of_the_spool_lives() {
    let api = Sandbox::start();
    let (place, _service) = started(&api);
    let copy = place.path("copy");
    // The sender may remove and make files meanwhile.
    wait_until("a copy with the word of the sender", || {
        let _ = Command::new("rm").arg("-rf").arg(&copy).status();
        let copied = Command::new("cp")
            .arg("-a")
            .args([&place.spool(), &copy])
            .status();
        copied.unwrap().success() && copy.join("sender.json").exists()
    });

    assert!(!sends(&copy));
    assert!(sends(&place.spool()));
}

#[test]
fn a_sender_is_seen_from_a_container_that_cannot_see_its_lock() {
    let runner = ["unshare", "--pid", "--fork", "--mount-proc"];
    let contained = |arguments: &[&str]| {
        let mut command = Command::new(runner[0]);
        command.args(&runner[1..]).args(arguments).output()
    };
    if !contained(&["true"]).is_ok_and(|tried| tried.status.success()) {
        println!("skipped: {runner:?} is not possible here");
        return;
    }
    let api = Sandbox::start();
    let live = Live::start(&api);
    let spool = live.spool();
    wait_until("it is seen", || {
        let program = env!("CARGO_BIN_EXE_meditopia");
        let seen = contained(&[program, "status", "--json", spool.to_str().unwrap()]);
        String::from_utf8(seen.unwrap().stdout)
            .unwrap()
            .contains("\"alive\":true")
    });
    live.end_with_all_delivered(&api);
}

/// A sender that sends what is enqueued at once.
fn prompt(place: &ConfiguredSpool) -> Service {
    place.configure(&format!(
        "flush_interval_ms = 20\nbearer_token_file = {:?}",
        place.token_file()
    ));
    place.start_service(&[])
}

#[test]
fn an_api_that_nobody_listens_for_is_waited_for_and_status_says_so() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = format!("http://{}/events", port.local_addr().unwrap());
    drop(port);
    let place = ConfiguredSpool::new(&nowhere, "token");
    let _service = prompt(&place);
    place.client().enqueue_users(0..3);

    let seen = status_when(&place.spool(), |seen| !seen["retry"].is_null());

    assert_eq!(seen["paused"], Value::Null, "{seen:#}");
    assert_eq!(seen["retry"]["server_errors"], 0, "{seen:#}");
    let table = said(&["status"], &place.spool());
    assert!(table.contains("waiting for a retry: "), "{table}");
    assert!(table.contains("meditopia doctor"), "{table}");
}

#[test]
fn an_api_that_fails_is_waited_for_with_the_number_of_its_failures_until_it_is_back() {
    let api = Sandbox::start();
    api.set_fault(json!({ "fault": "status", "status": 503, "retry_after": 60 }));
    let place = ConfiguredSpool::new(api.endpoint(), api.token());
    let _service = prompt(&place);
    place.client().enqueue_users(0..3);

    let seen = status_when(&place.spool(), |seen| seen["retry"]["server_errors"] == 1);

    assert_eq!(seen["retry"]["lasting"], true, "{seen:#}");
    let left = seen["retry"]["next_ms"].as_i64().unwrap() - seen["time_ms"].as_i64().unwrap();
    assert!((1..=60_000).contains(&left), "{seen:#}");
    let table = said(&["status"], &place.spool());
    assert!(table.contains(" s, after a server error"), "{table}");
    let check = output(&["status", "--check"], &place.spool());
    assert_eq!(check.status.code(), Some(1), "{check:?}");

    api.clear_faults();
    said(&["resume"], &place.spool());
    api.wait_for_events(3);
    let delivered = |seen: &Value| seen["pending"] == 0 && seen["retry"].is_null();
    status_when(&place.spool(), delivered);
}
