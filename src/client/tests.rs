//! Calls of an application while the sender is in the middle of a step that does not end.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::Client;
use crate::config::Config;
use crate::sender::Standing;

const PATIENCE: Duration = Duration::from_secs(60);

/// The configuration of a process that sends, and that nobody answers.
fn config(dir: &tempfile::TempDir, token: &str) -> Config {
    let path = dir.path().join("spool");
    let mut config = Config::new();
    config.set("spool", path.to_str().unwrap()).unwrap();
    config.set("endpoint", "http://127.0.0.1:9/").unwrap();
    config.set("bearer_token", token).unwrap();
    config
}

#[test]
fn close_with_0_and_another_client_do_not_wait_for_a_step_of_the_sender() {
    let dir = tempfile::tempdir().unwrap();
    let client = Client::open(&config(&dir, "one")).unwrap();
    let core = client.core().unwrap().clone();
    client.start().unwrap();
    let begun = Instant::now();
    while core.sender.vitals().standing != Standing::Elected {
        assert!(begun.elapsed() < PATIENCE, "it is not elected");
        std::thread::yield_now();
    }

    let (sent, received) = mpsc::channel();
    std::thread::scope(|scope| {
        let returned = core.sender.in_a_long_step(|| {
            scope.spawn(|| {
                let another = Client::open(&config(&dir, "another")).unwrap();
                client.set_bearer_token("third").unwrap();
                // The last one stops the sender.
                let closed = [client, another].map(|client| client.close(Duration::ZERO).is_ok());
                sent.send(closed)
            });
            received.recv_timeout(PATIENCE)
        });
        assert!(returned.is_ok(), "a call waits for the step");
    });
    assert!(core.sender.wait_ended(Instant::now() + PATIENCE));
}
