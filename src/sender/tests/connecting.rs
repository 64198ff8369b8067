//! Requests that wait for a connection: what the store says of their events meanwhile.

use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::panics::{PATIENCE, one_event_for};
use crate::dispatch::OnPause;
use crate::log::Log;
use crate::sender::Sender;
use crate::store::Reader;
use crate::transport::tests::addresses::Silent;
use crate::transport::tests::server::Server;
use crate::transport::{self, Transport};

const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\n\r\n";

/// A sender of one event, to a name that has these addresses.
fn sender_to(addresses: Vec<SocketAddr>, dir: &tempfile::TempDir) -> Sender {
    let unused = Server::answering(NO_CONTENT);
    let sender = one_event_for(&unused, dir, &Arc::new(Log::new(None)));
    let connection = transport::Options::new("http://partners.example/");
    let transport = Transport::new(&connection).unwrap();
    let set = sender
        .shared
        .transport
        .set(transport.with_addresses(addresses));
    assert!(set.is_ok());
    sender
}

fn is_in_flight(sender: &Sender) -> bool {
    let session = sender.shared.session();
    session
        .state()
        .is_some_and(|state| state.dispatcher.is_in_flight())
}

/// Whether the store on disk has events in doubt, as another process sees it.
fn is_in_doubt(sender: &Sender) -> bool {
    let store = Reader::open(&sender.shared.spool).unwrap().unwrap();
    let lanes = store.lanes();
    lanes.iter().any(|(_, lane)| lane.in_doubt.is_some())
}

/// Lets the connection come about that waits, and checks that it ends without a byte.
#[track_caller]
fn assert_connects_and_sends_nothing(silent: &Silent) {
    silent.listen();
    let mut connection = silent.accept();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    let read = connection.read(&mut [0]);
    let is_empty =
        matches!(&read, Ok(0)) || matches!(&read, Err(e) if e.kind() == ErrorKind::ConnectionReset);
    assert!(is_empty, "{read:?}");
}

#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "not so: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_flush_of_four_seconds_succeeds_though_only_the_last_of_nine_addresses_answers() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::answering(NO_CONTENT);
    let silent: Vec<_> = (0..8).map(|_| Silent::new()).collect();
    let mut addresses: Vec<_> = silent.iter().map(Silent::address).collect();
    addresses.push(server.address());
    let sender = sender_to(addresses, &dir);

    let _wanted = sender.want().unwrap();
    let deadline = Instant::now() + Duration::from_secs(4);
    sender.flush(OnPause::Probe, deadline).unwrap();

    assert_eq!(server.requests().len(), 1);
}

#[test]
fn an_event_is_in_doubt_only_once_its_request_has_a_connection() {
    let dir = tempfile::tempdir().unwrap();
    let silent = Silent::new();
    let sender = sender_to(vec![silent.address()], &dir);
    let _wanted = sender.want().unwrap();
    wait_until("it connects", || {
        is_in_flight(&sender) && !is_in_doubt(&sender)
    });
    let flushed = sender.flush(OnPause::Probe, Instant::now());
    assert!(flushed.is_err() && !is_in_doubt(&sender));

    let dir = tempfile::tempdir().unwrap();
    let mute = Server::mute();
    let sender = sender_to(vec![mute.address()], &dir);
    let _wanted = sender.want().unwrap();
    wait_until("the request has left", || mute.requests().len() == 1);
    assert!(is_in_doubt(&sender));
}

#[test]
fn a_request_does_not_leave_if_its_store_was_closed_while_it_was_given_a_connection() {
    let dir = tempfile::tempdir().unwrap();
    let silent = Silent::new();
    let sender = sender_to(vec![silent.address()], &dir);
    let wanted = sender.want().unwrap();
    wait_until("it connects", || silent.is_asked() && !is_in_doubt(&sender));
    sender.shared.session().close();
    drop(wanted);
    assert_connects_and_sends_nothing(&silent);
    assert!(!is_in_doubt(&sender));
}

#[test]
fn a_batch_in_doubt_is_not_repeated_if_its_store_was_closed_while_it_was_given_a_connection() {
    let dir = tempfile::tempdir().unwrap();
    let silent = Silent::new();
    silent.listen();
    let sender = sender_to(vec![silent.address()], &dir);
    let wanted = sender.want().unwrap();
    let mut first = silent.accept();
    first.set_read_timeout(Some(PATIENCE)).unwrap();
    first.read_exact(&mut [0]).unwrap();
    let _waiting = silent.fall_silent();
    drop(first);
    wait_until("the answer is given up", || !is_in_flight(&sender));
    // A request is in flight a moment before it asks for its connection.
    wait_until("it connects again", || silent.is_asked());
    assert!(is_in_doubt(&sender));
    sender.shared.session().close();
    drop(wanted);
    assert_connects_and_sends_nothing(&silent);
}
