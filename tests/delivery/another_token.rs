//! A token that is renewed in another process than the sender's takes effect.

use std::path::Path;

use meditopia::client::Client;
use meditopia::error::PauseReason;
use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, SpoolClient, TestSpool};
use meditopia_testkit::status_client::StatusClient;
use meditopia_testkit::wait::{secs, wait_until};

/// A process of its own that is elected, has an event, and whose token the API has refused.
struct Refused {
    api: Sandbox,
    program: CProgram,
    sender: StatusClient,
}

impl Refused {
    fn sender() -> Self {
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

/// Waits until the sender has looked around some times more.
fn let_it_look_around(spool: &Path) {
    let beat = || {
        let text = std::fs::read(spool.join("sender.json")).unwrap_or_default();
        let beat: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        beat["seen_ms"].as_i64().unwrap_or_default()
    };
    for _ in 0..8 {
        let last = beat();
        wait_until("the next heartbeat", || beat() != last);
    }
}

#[test]
fn a_worker_with_another_token_takes_over_from_a_sender_whose_token_was_refused() {
    let mut refused = Refused::sender();
    let worker = refused.other("both", refused.api.token());
    worker.enqueue_for("u-1", 2);
    refused.api.wait_for_events(2);
    let stats = worker.stats().unwrap();
    assert_eq!(stats.paused, None);
    assert_eq!(stats.sender_pid, Some(std::process::id()));

    // The one that stepped aside is a worker like any other, and sends again when its turn comes.
    refused.sender.enqueue("u-1", 3);
    refused.api.wait_for_events(3);
}

#[test]
fn a_flush_with_another_token_delivers_what_the_sender_cannot() {
    let refused = Refused::sender();
    let script = refused.other("enqueue", refused.api.token());
    let report = script.flush_ok(secs(60));
    assert_eq!((report.delivered, report.pending), (1, 0));
}

#[test]
fn a_token_that_is_set_in_a_process_that_does_not_send_takes_effect() {
    let refused = Refused::sender();
    let worker = refused.other("both", "stale");
    worker.enqueue_for("u-1", 2);
    let_it_look_around(&refused.program.spool());
    refused.assert_paused(&worker);
    assert_eq!(
        refused.api.ledger().requests,
        1,
        "the same token was tried again"
    );

    worker.set_bearer_token(refused.api.token()).unwrap();
    refused.api.wait_for_events(2);
}

#[test]
fn two_wrong_tokens_are_tried_once_each_and_do_not_pass_the_seat_on_for_ever() {
    let refused = Refused::sender();
    let worker = refused.other("both", "also-stale");
    worker.enqueue_for("u-1", 2);
    refused.api.wait_for_requests(2);
    let_it_look_around(&refused.program.spool());
    refused.assert_paused(&worker);
    assert_eq!(refused.api.ledger().requests, 2);
}
