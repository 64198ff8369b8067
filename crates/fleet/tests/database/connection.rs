//! What is known of a statement whose connection ends, and what no error shows.

use std::time::Duration;

use meditopia_fleet::connection::{Connection, column};
use meditopia_fleet::failure::Outcome;
use meditopia_testkit::postgres_server::PostgresServer;
use meditopia_testkit::unused_address;

use crate::fleet::{address, connect, set_up};

#[test]
fn a_refused_statement_was_not_done_and_the_connection_goes_on() {
    let server = PostgresServer::shared();
    let mut connection = connect(&server.url("postgres"));
    let refused = connection.query("SELECT 1 / 0", &[]).unwrap_err();
    let sqlstate = "22012".to_owned();
    assert_eq!(*refused.outcome(), Outcome::Refused { sqlstate });
    assert!(refused.message().contains("division by zero"), "{refused}");
    let row = connection.query_one("SELECT 7", &[]).unwrap();
    assert_eq!(column::<i32>(&row, 0).unwrap(), 7);
}

#[test]
fn the_outcome_of_a_statement_whose_server_ends_the_connection_is_unknown() {
    let (server, database) = set_up();
    let mut connection = connect(&server.url(&database));
    let failure = connection
        .query("SELECT pg_terminate_backend(pg_backend_pid())", &[])
        .unwrap_err();
    assert_eq!(*failure.outcome(), Outcome::Unknown);
    assert!(connection.is_broken());
    let failure = connection.query("SELECT 1", &[]).unwrap_err();
    assert_eq!(*failure.outcome(), Outcome::Unreachable);
}

#[test]
fn the_outcome_of_a_statement_behind_its_deadline_is_unknown() {
    let server = PostgresServer::shared();
    let mut connection = connect(&server.url("postgres"));
    connection.set_statement_timeout(Duration::from_millis(50));
    let failure = connection.query("SELECT pg_sleep(60)", &[]).unwrap_err();
    assert_eq!(*failure.outcome(), Outcome::Unknown);
    assert!(connection.is_broken());
}

#[test]
fn where_no_server_answers_nothing_was_done() {
    let nobody = unused_address();
    let failure = Connection::open(&address(&format!("postgres://u@{nobody}/d"))).unwrap_err();
    assert_eq!(*failure.outcome(), Outcome::Unreachable);
    assert!(failure.message().contains(&nobody.to_string()), "{failure}");
}

#[test]
fn no_error_has_the_password_whoever_wrote_the_text() {
    let mut server = PostgresServer::start();
    server.sql("postgres", "CREATE ROLE ada LOGIN PASSWORD 'okapi-17'");
    let rules =
        "local all postgres trust\nlocal all all scram-sha-256\nhost all all all scram-sha-256\n";
    std::fs::write(server.dir().join("data/pg_hba.conf"), rules).unwrap();
    server.stop();
    server.run();
    let port = server.port();
    let url = |password: &str| format!("postgres://ada:{password}@127.0.0.1:{port}/postgres");
    let failure = Connection::open(&address(&url("quagga-42"))).unwrap_err();
    assert!(
        failure.message().contains("password authentication failed"),
        "{failure}"
    );
    assert!(!failure.message().contains("quagga"), "{failure}");
    // A server that quotes what it was sent.
    let mut connection = connect(&url("okapi-17"));
    let statement =
        "DO $$ BEGIN RAISE EXCEPTION 'seen: okapi-17, okapi%%2D17, b2thcGktMTc='; END $$";
    let failure = connection.query(statement, &[]).unwrap_err();
    assert!(failure.message().contains("seen: ***"), "{failure}");
    assert!(
        !failure.message().contains("okapi") && !failure.message().contains("b2th"),
        "{failure}"
    );
    // A row that a constraint refuses is quoted in the details.
    let statement = "CREATE TEMPORARY TABLE t (token text, a int CHECK (a > 1))";
    connection.query(statement, &[]).unwrap();
    let failure = connection
        .query("INSERT INTO t VALUES ('tapir', 1)", &[])
        .unwrap_err();
    assert!(!failure.message().contains("tapir"), "{failure}");
}
