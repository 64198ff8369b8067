//! The connections that the threads of a relay share.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use meditopia_fleet::connection::{Connection, column};
use meditopia_fleet::failure::{Outcome, Result, WRONG_PLACE};
use meditopia_fleet::place;
use meditopia_fleet::relay::pool::Pool;
use meditopia_testkit::postgres_server::PostgresServer;
use meditopia_testkit::wait::wait_until;

use crate::fleet::{address, connect, plan, set_up};

fn backend(connection: &mut Connection) -> Result<i32> {
    column(&connection.query_one("SELECT pg_backend_pid()", &[])?, 0)
}

#[test]
fn many_threads_share_few_connections_and_each_gets_its_turn() {
    let (server, database) = set_up();
    let pool = Pool::new(address(&server.url(&database)), 3);
    let (at_once, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let backends = Mutex::new(BTreeSet::new());
    std::thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let pid = pool.with(|connection| {
                        most.fetch_max(
                            at_once.fetch_add(1, Ordering::SeqCst) + 1,
                            Ordering::SeqCst,
                        );
                        let pid = backend(connection);
                        at_once.fetch_sub(1, Ordering::SeqCst);
                        pid
                    });
                    backends.lock().unwrap().insert(pid.unwrap());
                }
            });
        }
    });
    assert!(most.into_inner() <= 3);
    assert!(backends.into_inner().unwrap().len() <= 3);
    assert_eq!(pool.breaks(), 0);
}

#[test]
fn a_connection_that_breaks_is_replaced_and_so_are_the_idle_ones() {
    let (server, database) = set_up();
    let pool = Pool::new(address(&server.url(&database)), 2);
    // Both are open.
    let first = pool.with(|one| {
        let other = pool.with(backend)?;
        Ok([backend(one)?, other])
    });
    let first = first.unwrap();
    let ended = pool
        .with(|connection| connection.query("SELECT pg_terminate_backend(pg_backend_pid())", &[]));
    assert_eq!(*ended.unwrap_err().outcome(), Outcome::Unknown);
    assert_eq!(pool.breaks(), 1);
    let next = pool.with(backend).unwrap();
    assert!(!first.contains(&next));
    // A refusal breaks nothing.
    let refused = pool.with(|connection| connection.query("SELECT 1 / 0", &[]));
    assert!(matches!(
        refused.unwrap_err().outcome(),
        Outcome::Refused { .. }
    ));
    assert_eq!(pool.with(backend).unwrap(), next);
    assert_eq!(pool.breaks(), 1);
}

#[test]
fn a_connection_that_the_server_ended_while_it_was_idle_costs_no_statement_and_counts_as_a_break() {
    let (server, database) = set_up();
    let pool = Pool::new(address(&server.url(&database)), 2);
    let first = pool.with(backend).unwrap();
    server.sql(&database, &format!("SELECT pg_terminate_backend({first})"));
    wait_until("the pool has noticed", || {
        pool.with(backend).is_ok_and(|pid| pid != first)
    });
    assert!(pool.breaks() >= 1);
}

#[test]
fn a_panic_leaves_its_place_to_the_next() {
    let (server, database) = set_up();
    let pool = Pool::new(address(&server.url(&database)), 1);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        pool.with(|_| -> Result<()> { panic!("on purpose") })
    }));
    assert!(panicked.is_err());
    pool.with(backend).unwrap();
}

#[test]
fn while_the_database_is_away_it_is_asked_now_and_then_and_found_when_it_is_back() {
    let mut server = PostgresServer::start();
    let database = server.create_database();
    meditopia_fleet::schema::install(&mut connect(&server.url(&database)), &plan()).unwrap();
    let pool = Pool::new(address(&server.url(&database)), 4);
    pool.with(backend).unwrap();
    assert_eq!(pool.rest(), Duration::ZERO);
    server.crash();
    let mut failures = 0;
    wait_until("the pool rests", || {
        failures += usize::from(pool.with(backend).is_err());
        !pool.rest().is_zero()
    });
    // Nothing is tried meanwhile, and what failed last is said again.
    let failure = pool.with(backend).unwrap_err();
    assert_eq!(*failure.outcome(), Outcome::Unreachable);
    server.run();
    wait_until("the pool has found it", || pool.with(backend).is_ok());
    assert_eq!(pool.rest(), Duration::ZERO);
    assert!(pool.breaks() >= 1);
}

#[test]
fn a_pool_refuses_a_copy_and_a_fleet_that_has_become_another_one() {
    let (server, database) = set_up();
    let copy = format!("{database}_copy");
    server.sql(
        "postgres",
        &format!("CREATE DATABASE {copy} TEMPLATE {database}"),
    );
    let pool = Pool::new(address(&server.url(&copy)), 1);
    assert!(pool.with(backend).unwrap_err().is_refused_with(WRONG_PLACE));

    let pool = Pool::new(address(&server.url(&database)), 1);
    assert_eq!(pool.place().unwrap().lanes, 4);
    let other = Some("https://other.example/");
    place::adopt(&mut connect(&server.url(&database)), other, None).unwrap();
    let _ = pool
        .with(|connection| connection.query("SELECT pg_terminate_backend(pg_backend_pid())", &[]));
    let refused = pool.with(backend).unwrap_err();
    assert!(refused.is_refused_with(WRONG_PLACE), "{refused}");
    assert!(
        refused.message().contains("start the relay again"),
        "{refused}"
    );
}

#[test]
fn while_the_database_is_away_one_attempt_serves_all_who_ask() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let pool = Pool::new(
        address(&format!(
            "postgres://u@{}/d",
            listener.local_addr().unwrap()
        )),
        2,
    );
    let attempts = std::sync::Arc::new(AtomicUsize::new(0));
    let counted = attempts.clone();
    // It ends every connection. The thread ends with the test program.
    std::thread::spawn(move || {
        while listener.accept().is_ok() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    for _ in 0..1_000 {
        let failure = pool.with(backend).unwrap_err();
        assert_eq!(*failure.outcome(), Outcome::Unreachable);
    }
    let attempts = attempts.load(Ordering::SeqCst);
    assert!((1..100).contains(&attempts), "{attempts}");
}
