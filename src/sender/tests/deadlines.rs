//! A step takes as long as the disk does; a call of an application ends by its deadline.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use super::panics::{PATIENCE, one_event_for};
use crate::config::BearerToken;
use crate::dispatch::{Command, OnPause};
use crate::error::ErrorKind;
use crate::log::Log;
use crate::sender::{Sender, Standing};
use crate::transport::tests::server::Server;

/// Calls `call` in a thread of its own during a step that does not end before it, and fails if the
/// call waits for the step.
fn returns_during_a_step<T: Send>(
    sender: &Sender,
    what: &str,
    call: impl FnOnce() -> T + Send,
) -> T {
    let (sent, received) = mpsc::channel();
    std::thread::scope(|scope| {
        let returned = sender.in_a_long_step(|| {
            scope.spawn(move || sent.send(call()));
            received.recv_timeout(PATIENCE)
        });
        returned.unwrap_or_else(|_| panic!("{what} waits for the step"))
    })
}

#[test]
fn no_call_of_an_application_waits_longer_than_its_deadline_for_a_step() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::answering("HTTP/1.1 204 No Content\r\n\r\n");
    let sender = &one_event_for(&server, &dir, &Arc::new(Log::new(None)));
    let wanted = sender.want().unwrap();
    let begun = Instant::now();
    while sender.vitals().standing != Standing::Elected {
        assert!(begun.elapsed() < PATIENCE, "it is not elected");
        std::thread::yield_now();
    }
    let now = Instant::now;

    let flushed = returns_during_a_step(sender, "flush", || sender.flush(OnPause::Probe, now()));
    assert_eq!(flushed.unwrap_err().kind(), ErrorKind::Timeout);
    let soon = || now() + Duration::from_millis(20);
    let held = returns_during_a_step(sender, "hold", || {
        sender.shared.command(&Command::Hold, soon())
    });
    assert_eq!(held.unwrap_err().kind(), ErrorKind::Timeout);
    returns_during_a_step(sender, "a new token", || {
        sender.replace_token(BearerToken::new("another").unwrap());
    });
    let sums = returns_during_a_step(sender, "a look at the sums", || sender.sums(now()));
    assert_eq!(sums, None);
    let vitals = returns_during_a_step(sender, "a look at the vitals", || sender.vitals());
    assert_eq!(vitals.standing, Standing::Busy);
    let more = returns_during_a_step(sender, "to want it", || sender.want().unwrap());
    returns_during_a_step(sender, "to want it no more", || {
        drop(more);
        drop(wanted);
        assert!(!sender.wait_ended(now()));
    });
    assert!(sender.wait_ended(now() + PATIENCE));
}
