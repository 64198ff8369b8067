//! Statements whose outcome the forwarder does not know.

use meditopia_fleet::address::{Address, StoreOptions};
use meditopia_fleet::connection::Connection;
use meditopia_testkit::postgres_server::PostgresServer;
use meditopia_testkit::wait::wait_until;

use super::cut::{Cut, Where};
use super::host::{Host, Service, new_fleet, users, users_in};

#[test]
fn a_connection_that_is_cut_before_or_after_the_statement_makes_no_event_lost_or_repeated() {
    let server = PostgresServer::shared();
    for place in [Where::BeforeTheServer, Where::BeforeTheAnswer] {
        let database = new_fleet(server);
        let cut = Cut::start(server.port(), place, 3);
        let url = format!("postgres://postgres@127.0.0.1:{}/{database}", cut.port());
        let host = Host::new(server, &database).forwarding_to(&url);
        host.enqueue(0..4_000);
        host.forward_once();
        assert_eq!(cut.left(), 0);
        assert_eq!(users_in(server, &database), users(0..4_000), "{place:?}");
    }
}

#[test]
fn a_connection_that_the_server_ends_while_it_is_idle_is_replaced_and_is_no_failure() {
    let server = PostgresServer::shared();
    let database = new_fleet(server);
    let host = Host::new(server, &database);
    let service = host.start();
    host.enqueue(0..5);
    wait_until("5 events are handed over", || host.status()["pending"] == 0);

    let others = "FROM pg_stat_activity
      WHERE datname = current_database() AND application_name = 'meditopia'";
    let count = || server.sql(&database, &format!("SELECT count(*) {others}"));
    assert_eq!(count(), "1");
    server.sql(
        &database,
        &format!("SELECT pg_terminate_backend(pid) {others}"),
    );
    wait_until("the server has ended the connection", || count() == "0");
    host.enqueue(5..9);
    wait_until("the rest is handed over", || host.status()["pending"] == 0);

    assert_eq!(service.log().matches("cannot forward").count(), 0);
    assert!(host.status()["forwarding"]["failure"].is_null());
    assert_eq!(service.terminate(), Some(0));
    assert_eq!(users_in(server, &database), users(0..9));
}

fn connect(url: &str) -> Connection {
    let options = StoreOptions {
        url: url.into(),
        ca_file: None,
        allow_plaintext: false,
    };
    Connection::open(&Address::read(&options).unwrap()).unwrap()
}

/// A forwarder is killed while the server still works on its statement, and another one begins. Returns the users
/// that are in the database at the end, and how many there should be.
fn late_statement(forward: &str) -> (Vec<String>, usize) {
    let server = PostgresServer::shared();
    let database = new_fleet(server);
    server.sql(&database, forward);
    let host = Host::new(server, &database);
    host.enqueue(0..1);
    host.forward_once();
    let waiting = || {
        let count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
           AND wait_event_type = 'Lock'";
        server.sql(&database, count)
    };
    // Both statements wait here.
    let mut holder = connect(&server.url(&database));
    holder.query("BEGIN", &[]).unwrap();
    let lock = "SELECT 1 FROM meditopia.spool FOR UPDATE";
    holder.query(lock, &[]).unwrap();

    host.enqueue(1..4);
    let killed = host.start();
    wait_until("the first statement waits", || waiting() == "1");
    killed.kill();
    host.enqueue(4..6);
    let second = Service::start(&mut host.forward(&["--once"]));
    wait_until("the second statement waits", || waiting() == "2");
    holder.query("COMMIT", &[]).unwrap();
    assert_eq!(second.wait(), Some(0));
    (users_in(server, &database), 6)
}

#[test]
fn a_statement_of_a_killed_forwarder_that_the_server_still_works_on_counts_once() {
    let (found, expected) = late_statement("");
    assert_eq!(found, users(0..expected));
}

/// What the compare-and-set is for: without the step and its mark in the statement, the late one comes in beside its repetition.
#[test]
fn without_the_step_and_its_mark_in_the_statement_the_same_events_are_there_twice() {
    let without_step = "DO $$ BEGIN EXECUTE replace(
        pg_get_functiondef('meditopia.forward'::regproc), 'AND s.step = forward.step AND substr(s.offsets, 1, 9) = forward.mark', ''); END $$";
    let (found, expected) = late_statement(without_step);
    assert!(found.len() > expected, "{found:?}");
}
