//! What `in-doubt bisect` advises at each of its ends.

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::service::{ConfiguredSpool, Service};
use meditopia_testkit::spool::ClientExt;
use meditopia_testkit::wait::wait_until;
use serde_json::json;

use super::Shell;
use crate::cli::{EVENTS_LEFT, FAILED, PAUSED, USAGE, wait_for_status};

const BISECT: &str = "meditopia in-doubt bisect --config config.toml --yes";

/// A service with one batch in doubt, of which the API fails on each event of these users.
fn searched(bad: &[&str], events: usize) -> (Sandbox, ConfiguredSpool, Service) {
    let api = Sandbox::start();
    let entries: Vec<_> = bad
        .iter()
        .map(|user| json!({ "user": user, "status": 503, "code": "X_1" }))
        .collect();
    api.set_unknown(json!(entries));
    let spool = ConfiguredSpool::new(api.endpoint(), api.token());
    let token = spool.token_file();
    spool.configure(&format!(
        "flush_interval_ms = 10\nlanes = 1\nbearer_token_file = {token:?}"
    ));
    let client = spool.client();
    client.hold().unwrap();
    client.enqueue_users(0..events);
    client.resume().unwrap();
    let service = spool.start_service(&[]);
    wait_until("the batch is in doubt", || {
        let rows = client.in_doubt_rows();
        rows.len() == events && rows[0].http_status == Some(503)
    });
    (api, spool, service)
}

#[test]
fn what_a_search_advises_that_has_found_the_event_works_as_typed() {
    let (api, spool, service) = searched(&["u-2"], 5);
    let shell = Shell::of(&spool);
    let found = shell.provoke(BISECT, 0, "set 1 event aside; see: ");
    assert!(found.type_all(&shell)[0].contains("u-2"));
    api.wait_for_events(4);
    drop(service);
}

#[test]
fn what_a_search_advises_without_a_sender_works_as_typed() {
    let (api, spool, mut service) = searched(&["u-0"], 5);
    let shell = Shell::of(&spool);
    service.terminate();
    let without = shell.provoke(
        "meditopia in-doubt bisect spool --yes",
        USAGE,
        "this command has no bearer token to do so: give it --config FILE, or start the sender",
    );
    // No answer comes, or the command may have found the event by the time that it looks at the clock. Its last
    // request has the bad event, which is at the head.
    api.set_fault(json!({ "fault": "delay", "ms": 3_600_000 }));
    let late = shell.provoke(
        &format!("{BISECT} --timeout 0"),
        EVENTS_LEFT,
        "every event is kept; to see what is in doubt: ",
    );
    api.clear_faults();
    // It searches on by the command that it names, which ends the search.
    let said = late.type_all(&shell);
    assert!(
        said[0].contains("u-0") && said[1].contains("found: "),
        "{said:?}"
    );
    assert!(
        said[1].contains("no sender runs; start it, or deliver what waits: "),
        "{said:?}"
    );
    for command in super::commands_in(&said[1]) {
        shell.type_in(&command);
    }
    assert_eq!(api.ledger().accepted_events, 4);
    shell.provoke(&without.line, 0, "nothing is in doubt");
}

#[test]
fn what_a_search_advises_that_has_found_one_event_in_its_time_works_as_typed() {
    let (api, spool, _service) = searched(&["u-0"], 5);
    let shell = Shell::of(&spool);
    // The rest gets no answer that settles it.
    api.set_fault(json!({ "fault": "reset", "containing": r#""u-4""# }));
    let late = shell.provoke(
        &format!("{BISECT} --timeout 3"),
        EVENTS_LEFT,
        "1 event set aside so far: ",
    );
    api.clear_faults();
    let said = late.type_all(&shell);
    assert!(said[0].contains("u-0"), "{said:?}");
    api.wait_for_events(4);
}

#[test]
fn what_a_search_advises_of_a_pause_works_as_typed() {
    let (api, spool, _service) = searched(&["u-2"], 5);
    let shell = Shell::of(&spool);
    api.refuse_address();
    let paused = shell.provoke(BISECT, PAUSED, "; every event is kept; to see why: ");
    let commands = paused.commands();
    assert_eq!(commands.len(), 2, "{commands:?}");
    let status = shell.type_in(&commands[0]);
    let refused = shell.provoke(
        BISECT,
        PAUSED,
        "so nothing can be searched; end that first; to see how: ",
    );
    assert_eq!(refused.commands()[0], commands[0]);
    api.allow_address();
    for command in super::commands_in(&status) {
        shell.type_in(&command);
    }
    wait_for_status(&spool.spool(), |status| status["paused"] != "ip");
    assert!(shell.type_in(&commands[1]).contains("u-2"));
}

#[test]
fn what_a_search_advises_of_an_api_that_fails_works_as_typed() {
    let users: Vec<String> = (0..12).map(|number| format!("u-{number}")).collect();
    let all: Vec<&str> = users.iter().map(String::as_str).collect();
    let (api, spool, _service) = searched(&all, 12);
    let shell = Shell::of(&spool);
    let failed = shell.provoke(
        BISECT,
        FAILED,
        "went back to the end of the queue; wait, or ask Meditopia, then: ",
    );
    api.set_unknown(json!([]));
    failed.type_all(&shell);
    api.wait_for_events(12);
}

#[test]
fn what_a_search_advises_of_many_bad_events_works_as_typed() {
    let users: Vec<String> = (1..13).map(|number| format!("u-{number}")).collect();
    let bad: Vec<&str> = users.iter().map(String::as_str).collect();
    let (api, spool, _service) = searched(&bad, 13);
    let shell = Shell::of(&spool);
    let stopped = shell.provoke(
        BISECT,
        FAILED,
        "that were sent alone; set 10 events aside; if the API works, search again: ",
    );
    let commands = stopped.commands();
    assert_eq!(commands.len(), 2, "{commands:?}");
    assert!(shell.type_in(&commands[0]).contains("set 2 events aside"));
    api.set_unknown(json!([]));
    assert!(shell.type_in(&commands[1]).contains("requeued 12 events"));
    api.wait_for_events(13);
}
