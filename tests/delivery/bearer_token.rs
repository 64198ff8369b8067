//! A bearer token that the API refuses pauses delivery, and a new one takes effect: set by a call,
//! in a file, or in another process than the sender's.

use std::path::Path;

use meditopia::Client;
use meditopia::PauseReason;
use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, SpoolClient, TestSpool};
use meditopia_testkit::status_client::StatusClient;
use meditopia_testkit::wait::{secs, wait_until};

#[test]
fn a_wrong_token_loses_no_event_and_the_right_one_delivers_at_once() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api)
        .with("bearer_token", "wrong")
        .into_client();
    client.enqueue_users(0..50);

    let (report, outcome) = client.flush(secs(10));

    assert_eq!(outcome.unwrap_err().pause_reason(), Some(PauseReason::Auth));
    assert_eq!(
        (report.pending, report.delivered, report.rejected),
        (50, 0, 0)
    );
    assert!(client.in_doubt_rows().is_empty());

    client.set_bearer_token(api.token()).unwrap();
    assert_eq!(client.flush_ok(secs(10)).delivered, 50);
}

#[test]
fn a_changed_token_file_is_read_and_a_refused_token_is_not_tried_again_by_the_next_flush() {
    let api = Sandbox::start();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "wrong\n").unwrap();
    let spool =
        TestSpool::for_endpoint(api.endpoint()).with("bearer_token_file", file.to_str().unwrap());
    let client = spool.into_client();
    client.enqueue_users(0..10);
    for _ in 0..3 {
        let (_, outcome) = client.flush(secs(10));
        assert_eq!(outcome.unwrap_err().pause_reason(), Some(PauseReason::Auth));
    }
    assert_eq!(api.ledger().requests, 1);

    std::fs::write(&file, api.token()).unwrap();
    assert_eq!(client.flush_ok(secs(10)).delivered, 10);
}

#[test]
fn a_missing_token_file_is_named_by_the_pause_and_read_once_it_exists() {
    let api = Sandbox::start();
    let spool = TestSpool::for_sandbox(&api)
        .with("role", "both")
        .with("flush_interval_ms", "10");
    let file = spool.path().with_extension("token");
    let client = spool
        .with("bearer_token_file", file.to_str().unwrap())
        .into_client();
    client.enqueue_users(0..3);

    let error = client.flush(secs(10)).1.unwrap_err();

    assert_eq!(error.pause_reason(), Some(PauseReason::Auth));
    let named = format!("bearer_token_file {}: No such file", file.display());
    assert!(error.message().contains(&named), "{error}");

    std::fs::write(&file, api.token()).unwrap();
    api.wait_for_events(3);
}

#[test]
fn a_token_file_that_changes_ends_the_pause_without_a_call() {
    let mut api = Sandbox::start();
    let spool = TestSpool::for_endpoint(api.endpoint()).with("role", "both");
    let file = spool.path().with_extension("token");
    std::fs::write(&file, "stale\n").unwrap();
    let client = spool
        .with("bearer_token_file", file.to_str().unwrap())
        .with("flush_interval_ms", "10")
        .into_client();
    client.enqueue_users(0..3);
    let error = client.flush(secs(60)).1.unwrap_err();
    assert_eq!(error.pause_reason(), Some(PauseReason::Auth));

    for token in ["first", "second"] {
        let accepted = api.ledger().accepted_events;
        api.set_token(token);
        std::fs::write(&file, format!("{token}\n")).unwrap();
        client.enqueue_users(0..1);
        api.wait_for_events(accepted + 1);
    }
    assert!(client.rejected_rows().is_empty());
}

/// An elected process with an event, paused because the API has refused its token.
struct RefusedSender {
    api: Sandbox,
    program: CProgram,
    sender: StatusClient,
}

impl RefusedSender {
    fn start() -> Self {
        let api = Sandbox::start();
        let options = [
            ("role", "both"),
            ("bearer_token", "stale"),
            ("flush_interval_ms", "20"),
        ];
        let program = CProgram::compile("status_client.c").with_config(&api, &options);
        let mut sender = StatusClient::start(program.command(&[]));
        sender.enqueue("u-1", 1);
        let refused = Self {
            api,
            program,
            sender,
        };
        let other = refused.other("enqueue", "stale");
        wait_until("the pause", || {
            other.stats().unwrap().paused == Some(PauseReason::Auth)
        });
        refused
    }

    /// A client of this process on the same spool.
    fn other(&self, role: &str, token: &str) -> SpoolClient {
        TestSpool::for_endpoint(self.api.endpoint())
            .with("spool", self.program.spool().to_str().unwrap())
            .with("bearer_token", token)
            .with("role", role)
            .with("flush_interval_ms", "20")
            .into_client()
    }

    fn assert_paused(&self, client: &Client) {
        assert_eq!(client.stats().unwrap().paused, Some(PauseReason::Auth));
        assert_eq!(self.api.ledger().accepted_events, 0);
    }
}

/// Waits until the sender has published its heartbeat several times, so that it has noticed the
/// others.
fn wait_for_heartbeats(spool: &Path) {
    let heartbeat = || {
        let text = std::fs::read(spool.join("sender.json")).unwrap_or_default();
        let heartbeat: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        heartbeat["seen_ms"].as_i64().unwrap_or_default()
    };
    for _ in 0..8 {
        let last = heartbeat();
        wait_until("the next heartbeat", || heartbeat() != last);
    }
}

#[test]
fn a_process_with_another_token_becomes_the_sender_after_a_token_was_refused() {
    let mut refused = RefusedSender::start();
    let other = refused.other("both", refused.api.token());
    other.enqueue_for("u-1", 2);
    refused.api.wait_for_events(2);
    let stats = other.stats().unwrap();
    assert_eq!(stats.paused, None);
    assert_eq!(stats.sender_pid, Some(std::process::id()));

    // The process that gave up the election enqueues as before, and can be elected again.
    refused.sender.enqueue("u-1", 3);
    refused.api.wait_for_events(3);
}

#[test]
fn a_flush_with_another_token_delivers_what_a_sender_with_a_refused_token_cannot() {
    let refused = RefusedSender::start();
    let other = refused.other("enqueue", refused.api.token());
    let report = other.flush_ok(secs(60));
    assert_eq!((report.delivered, report.pending), (1, 0));
}

#[test]
fn a_token_that_is_set_in_a_process_that_is_not_elected_takes_effect() {
    let refused = RefusedSender::start();
    let other = refused.other("both", "stale");
    other.enqueue_for("u-1", 2);
    wait_for_heartbeats(&refused.program.spool());
    refused.assert_paused(&other);
    assert_eq!(
        refused.api.ledger().requests,
        1,
        "the same token was tried again"
    );

    other.set_bearer_token(refused.api.token()).unwrap();
    refused.api.wait_for_events(2);
}

#[test]
fn two_wrong_tokens_are_tried_once_each_and_then_the_election_stays_as_it_is() {
    let refused = RefusedSender::start();
    let other = refused.other("both", "also-stale");
    other.enqueue_for("u-1", 2);
    refused.api.wait_for_requests(2);
    wait_for_heartbeats(&refused.program.spool());
    refused.assert_paused(&other);
    assert_eq!(refused.api.ledger().requests, 2);
}
