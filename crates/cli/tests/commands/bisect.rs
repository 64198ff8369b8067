//! `meditopia in-doubt bisect`: the event on which the API fails is found, set aside, and the rest goes on.

use std::path::{Path, PathBuf};
use std::process::Output;

use meditopia::Client;
use meditopia_testkit::meditopia;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::{secs, wait_until};
use serde_json::json;

use crate::cli::{
    EVENTS_LEFT, FAILED, NEEDS_YES, USAGE, output, run, run_failing, run_json, stderr, stdout,
    user_of, wait_for_status,
};

/// An API that fails on the events of these users.
fn failing_on(users: &[&str]) -> Sandbox {
    let api = Sandbox::start();
    let entries: Vec<_> = users
        .iter()
        .map(|user| json!({ "user": user, "status": 503, "code": "X_1" }))
        .collect();
    api.set_unknown(json!(entries));
    api
}

/// Enqueues 30 events as one batch, of which some are poison, and waits until it is in doubt.
fn with_batch_in_doubt(spool: &TestSpool, poison: &[(usize, &str)]) -> Client {
    let client = spool.client();
    client.hold().unwrap();
    for number in 0..30 {
        let of = poison.iter().find(|(at, _)| *at == number);
        client.enqueue_for(of.map_or("u-1", |(_, user)| *user), number);
    }
    client.resume().unwrap();
    client
}

fn wait_in_doubt(spool: &Path) {
    wait_until("the batch is in doubt", || {
        let rows = run_json(&["in-doubt", "list", "--json"], spool);
        rows.iter().any(|row| row["http_status"] == 503)
    });
}

fn users_set_aside(spool: &Path) -> Vec<String> {
    let rows = run_json(&["rejected", "list", "--reason=set-aside", "--json"], spool);
    rows.iter().map(|row| user_of(row).to_owned()).collect()
}

fn delivered_numbers(api: &Sandbox) -> Vec<usize> {
    let events = api.events().into_iter();
    let numbers = events.map(|event| event.fields.event_value.as_str().unwrap().parse().unwrap());
    let mut numbers: Vec<usize> = numbers.collect();
    numbers.dedup();
    numbers
}

#[test]
fn a_poison_event_is_found_by_one_command_beside_a_running_sender_and_the_rest_is_delivered() {
    let api = failing_on(&["poison", "poison-2"]);
    let spool = TestSpool::for_sandbox(&api)
        .with("role", "both")
        .with("flush_interval_ms", "10");
    let client = with_batch_in_doubt(&spool, &[(0, "poison"), (17, "poison-2")]);
    let path = spool.path();
    wait_in_doubt(&path);
    let list = run(&["in-doubt", "list"], &path);
    assert!(list.contains("in doubt, 503"), "{list}");

    let refused = run_failing(&["in-doubt", "bisect"], &path, NEEDS_YES);
    assert!(
        refused.contains("30 events") && refused.contains("arrive twice"),
        "{refused}"
    );
    assert_eq!(users_set_aside(&path), [""; 0]);

    let found = run(&["in-doubt", "bisect", "--yes"], &path);
    assert!(found.contains("HTTP 503 to it alone"), "{found}");
    assert!(found.contains("set 2 events aside"), "{found}");
    wait_for_status(&path, |status| {
        status["pending"] == 0 && status["paused"].is_null()
    });
    let mut aside = users_set_aside(&path);
    aside.sort();
    assert_eq!(aside, ["poison", "poison-2"]);
    let all_others: Vec<usize> = (0..30).filter(|number| ![0, 17].contains(number)).collect();
    assert_eq!(delivered_numbers(&api), all_others);
    assert!(run(&["in-doubt", "list"], &path).contains("nothing is in doubt"));
    assert!(run(&["in-doubt", "bisect", "--yes"], &path).contains("nothing is in doubt"));
    client.close(secs(10)).unwrap();
}

/// Runs the command with a configuration file that has the token.
fn bisect_with_token(spool: &TestSpool, api: &Sandbox) -> Output {
    let path: PathBuf = spool.path();
    let file = path.with_file_name("meditopia.toml");
    let text = format!(
        "spool = {:?}\nendpoint = {:?}\nbearer_token = {:?}\n",
        path,
        api.endpoint(),
        api.token()
    );
    std::fs::write(&file, text).unwrap();
    let mut command = meditopia();
    command.args(["in-doubt", "bisect", "--yes", "--config"]);
    command.arg(file).output().unwrap()
}

#[test]
fn a_poison_event_is_found_without_a_sender_by_a_command_that_has_the_token() {
    let api = failing_on(&["poison"]);
    let spool = TestSpool::for_sandbox(&api);
    let client = with_batch_in_doubt(&spool, &[(29, "poison")]);
    let _ = client.flush(secs(1));
    // Its threads have ended then, so nobody is elected.
    let _ = client.close(secs(1));
    let path = spool.path();
    wait_in_doubt(&path);
    let refused = run_failing(&["in-doubt", "bisect", "--yes"], &path, USAGE);
    assert!(refused.contains("--config FILE"), "{refused}");

    let found = bisect_with_token(&spool, &api);
    assert!(found.status.success(), "{found:?}");
    assert!(stdout(&found).contains("poison"), "{found:?}");
    assert_eq!(users_set_aside(&path), ["poison"]);
    assert_eq!(delivered_numbers(&api), (0..29).collect::<Vec<_>>());
}

#[test]
fn an_api_that_fails_on_everything_makes_no_event_look_bad() {
    let api = Sandbox::start();
    api.set_fault(json!({ "fault": "status", "status": 503 }));
    let spool = TestSpool::for_sandbox(&api)
        .with("role", "both")
        .with("flush_interval_ms", "10");
    let client = with_batch_in_doubt(&spool, &[]);
    let path = spool.path();
    wait_in_doubt(&path);
    let failed = output(&["in-doubt", "bisect", "--yes"], &path);
    assert_eq!(failed.status.code(), Some(FAILED), "{failed:?}");
    assert!(
        stderr(&failed).contains("it is the API that fails"),
        "{failed:?}"
    );
    assert_eq!(users_set_aside(&path), [""; 0]);
    api.clear_faults();
    run(&["resume"], &path);
    wait_for_status(&path, |status| status["pending"] == 0);
    let mut numbers = delivered_numbers(&api);
    numbers.sort_unstable();
    assert_eq!(numbers, (0..30).collect::<Vec<_>>());
    client.close(secs(10)).unwrap();
}

#[test]
fn bad_events_side_by_side_at_the_head_are_all_found_and_the_rest_is_delivered() {
    let api = failing_on(&["poison"]);
    let spool = TestSpool::for_sandbox(&api)
        .with("role", "both")
        .with("flush_interval_ms", "10");
    let client = with_batch_in_doubt(&spool, &[(0, "poison"), (1, "poison"), (2, "poison")]);
    let path = spool.path();
    wait_in_doubt(&path);

    let found = run(&["in-doubt", "bisect", "--yes"], &path);
    assert!(found.contains("set 3 events aside"), "{found}");
    assert_eq!(users_set_aside(&path), ["poison"; 3]);
    wait_for_status(&path, |status| status["pending"] == 0);
    assert_eq!(delivered_numbers(&api), (3..30).collect::<Vec<_>>());
    client.close(secs(10)).unwrap();
}

#[test]
fn the_bad_events_of_two_lanes_are_both_found_though_the_api_accepts_nothing_in_between() {
    let api = failing_on(&["u-1", "u-2"]);
    let spool = TestSpool::for_sandbox(&api)
        .with("role", "both")
        .with("lanes", "4")
        .with("flush_interval_ms", "10");
    let client = spool.client();
    client.hold().unwrap();
    client.enqueue_for("u-1", 1);
    client.enqueue_for("u-2", 2);
    client.resume().unwrap();
    let path = spool.path();
    wait_until("both are in doubt", || {
        let rows = run_json(&["in-doubt", "list", "--json"], &path);
        rows.iter().filter(|row| row["http_status"] == 503).count() == 2
    });

    let found = run(&["in-doubt", "bisect", "--yes"], &path);
    assert!(found.contains("set 2 events aside"), "{found}");
    let mut aside = users_set_aside(&path);
    aside.sort();
    assert_eq!(aside, ["u-1", "u-2"]);
    client.close(secs(10)).unwrap();
}

#[test]
fn a_search_ends_beside_a_sender_that_is_never_without_a_request_in_flight() {
    let api = failing_on(&["poison"]);
    let spool = TestSpool::for_sandbox(&api)
        .with("role", "both")
        .with("batch_max", "30")
        .with("flush_interval_ms", "10");
    let client = with_batch_in_doubt(&spool, &[(3, "poison")]);
    let path = spool.path();
    wait_in_doubt(&path);
    for number in 30..9_000 {
        client.enqueue_for("u-1", number);
    }
    api.set_fault(json!({ "fault": "delay", "ms": 150 }));

    let found = run(&["in-doubt", "bisect", "--yes", "--timeout", "30"], &path);
    assert!(found.contains("the others are being delivered"), "{found}");
    assert_eq!(users_set_aside(&path), ["poison"]);
    wait_for_status(&path, |status| {
        assert_ne!(status["pending"], 0, "the backlog ended before the search");
        true
    });
    api.clear_faults();
    let _ = client.close(secs(1));
}

#[test]
fn an_event_on_which_the_connection_is_always_lost_is_left_to_the_operator_with_the_next_command() {
    let api = Sandbox::start();
    api.set_fault(json!({ "fault": "reset" }));
    let spool = TestSpool::for_sandbox(&api)
        .with("role", "both")
        .with("flush_interval_ms", "10");
    let client = spool.client();
    client.hold().unwrap();
    client.enqueue_for("cut-off", 0);
    client.enqueue_for("u-1", 1);
    client.resume().unwrap();
    let path = spool.path();
    let in_doubt = || run_json(&["in-doubt", "list", "--json"], &path);
    wait_until("both are in doubt", || in_doubt().len() == 2);

    let bisect = ["in-doubt", "bisect", "--yes", "--timeout", "2"];
    let mut said = String::new();
    wait_until("the search has come down to one", || {
        said = run_failing(&bisect, &path, EVENTS_LEFT);
        said.contains("come down to one event")
    });
    let rows = in_doubt();
    let of_event = rows.iter().find(|row| user_of(row) == "cut-off");
    let id = of_event.expect("it is in doubt")["id"].to_string();
    assert!(said.contains("cut-off") && !said.contains("u-1"), "{said}");
    assert_eq!(users_set_aside(&path), [""; 0]);

    // The command as it is printed, once no request with the event is in flight.
    let advised = format!(
        "meditopia in-doubt set-aside {} --id {id} --yes",
        path.display()
    );
    assert!(said.contains(&advised), "{said}");
    let words: Vec<&str> = advised.split(' ').skip(1).collect();
    wait_until("it is set aside", || {
        meditopia().args(&words).status().unwrap().success()
    });
    assert_eq!(users_set_aside(&path), ["cut-off"]);
    api.clear_faults();
    run(&["resume"], &path);
    wait_for_status(&path, |status| status["pending"] == 0);
    assert_eq!(delivered_numbers(&api), [1]);
    client.close(secs(10)).unwrap();
}
