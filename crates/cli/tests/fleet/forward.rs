//! What a host that forwards promises, with nothing in its way.

use std::time::Duration;

use meditopia_testkit::postgres_server::PostgresServer;
use meditopia_testkit::wait::wait_until;
use meditopia_testkit::{meditopia, unused_address};

use super::host::{Host, enqueue, forward, new_fleet, said, users, users_in};

#[test]
fn every_acknowledged_event_is_in_the_database_once_in_the_order_of_its_spool() {
    let server = PostgresServer::shared();
    let database = new_fleet(server);
    let host = Host::new(server, &database);
    let other = host.spool.client();
    host.enqueue(0..1_500);
    enqueue(&other, 1_500..2_600);
    assert_eq!(
        host.forward_once(),
        "everything is handed over, 2,600 events by this process\n"
    );
    host.enqueue(2_600..2_610);
    host.forward_once();
    host.forward_once();

    assert_eq!(users_in(server, &database), users(0..2_610));
    let row = "SELECT events, behind_bytes, closed FROM meditopia.spool";
    assert_eq!(server.sql(&database, row), "2610|0|f");
    let status = host.status();
    assert_eq!(
        (&status["pending"], &status["damaged_records"]),
        (&0.into(), &0.into())
    );
    assert_eq!(host.client.waiting_bytes().unwrap(), 0);
}

#[test]
fn a_forwarder_that_stays_hands_over_what_comes_and_ends_by_a_signal_with_nothing_left() {
    let server = PostgresServer::shared();
    let database = new_fleet(server);
    let host = Host::new(server, &database);
    let service = host.start();
    host.enqueue(0..50);
    wait_until("50 events are handed over", || {
        users_in(server, &database).len() == 50
    });
    // Another one has this one do it.
    host.enqueue(50..60);
    let once = host.forward(&["--once"]).output().unwrap();
    assert!(once.status.success(), "{once:?}");
    assert_eq!(users_in(server, &database).len(), 60);
    // So has a flush of the application, which never sends by itself.
    host.enqueue(60..70);
    host.client.flush(Duration::from_secs(60)).1.unwrap();
    assert_eq!(users_in(server, &database).len(), 70);
    // It does not leave for another one.
    let leave = host
        .forward(&["--leave", "--timeout", "1"])
        .output()
        .unwrap();
    assert_eq!(leave.status.code(), Some(6), "{leave:?}");
    let said = String::from_utf8_lossy(&leave.stderr).into_owned();
    assert!(
        said.contains("another process forwards this spool; end it"),
        "{said}"
    );
    host.enqueue(70..80);
    let log = service.log();
    assert_eq!(service.terminate(), Some(0));
    assert_eq!(users_in(server, &database), users(0..80));
    assert!(log.contains("forwarding to"), "{log}");
}

#[test]
fn a_pod_is_drained_by_its_sidecar_and_says_that_the_spool_is_not_used_any_more() {
    let server = PostgresServer::shared();
    let database = new_fleet(server);
    let host = Host::new(server, &database);
    let closed = || server.sql(&database, "SELECT closed FROM meditopia.spool");
    host.enqueue(0..5);
    let service = host.start();
    service.wait_for_line("forwarding to");
    let drained = host
        .forward(&["--drain", "--timeout", "60"])
        .output()
        .unwrap();
    assert!(drained.status.success(), "{drained:?}");
    assert_eq!(
        (closed().as_str(), users_in(server, &database)),
        ("t", users(0..5))
    );
    // It is used again all the same.
    host.enqueue(5..6);
    wait_until("the spool is open again", || closed() == "f");
    assert_eq!(service.terminate(), Some(0));
    // Without a sidecar the command does it itself.
    host.enqueue(6..8);
    let drained = host.forward(&["--drain"]).output().unwrap();
    assert!(
        said(&drained).contains("the spool is closed"),
        "{drained:?}"
    );
    assert_eq!(
        (closed().as_str(), users_in(server, &database)),
        ("t", users(0..8))
    );
}

#[test]
fn a_forwarded_spool_is_never_sent_from_and_one_that_a_sender_uses_is_not_forwarded() {
    let server = PostgresServer::shared();
    let database = new_fleet(server);
    let host = Host::new(server, &database);
    let flush = || {
        let mut flush = meditopia();
        flush.arg("flush").arg(host.spool.path());
        flush
            .args(["--timeout", "20"])
            .env("MEDITOPIA_BEARER_TOKEN", "t");
        flush.output().unwrap()
    };
    host.client.hold().unwrap();
    host.enqueue(0..3);
    // Takes them over, and sends nothing.
    flush();
    let refused = host.forward(&["--once"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(
        said(&refused).contains("has taken 3 events over"),
        "{refused:?}"
    );

    let host = Host::new(server, &database);
    host.enqueue(0..3);
    host.forward_once();
    host.enqueue(3..5);
    let mut flush = meditopia();
    flush.arg("flush").arg(host.spool.path());
    flush
        .args(["--timeout", "20"])
        .env("MEDITOPIA_BEARER_TOKEN", "t");
    let refused = flush.output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(
        said(&refused).contains("run meditopia forward"),
        "{refused:?}"
    );

    let left = host.forward(&["--leave"]).output().unwrap();
    assert!(left.status.success(), "{left:?}");
    let closed = "SELECT bool_and(closed) FROM meditopia.spool WHERE step > 0";
    assert_eq!(server.sql(&database, closed), "t");
    assert_eq!(users_in(server, &database), users(0..5));
    host.client.hold().unwrap();
}

#[test]
fn a_fleet_of_another_endpoint_and_a_database_without_a_fleet_are_refused_by_name() {
    let server = PostgresServer::shared();
    let database = server.create_database();
    let host = Host::new(server, &database);
    host.enqueue(0..1);
    let refused = host
        .forward(&["--once", "--timeout", "1"])
        .output()
        .unwrap();
    assert!(
        said(&refused).contains("meditopia fleet init"),
        "{refused:?}"
    );

    let made = meditopia()
        .args(["fleet", "init", "--endpoint", "https://other.example/"])
        .args(["--store", &server.url(&database)])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let refused = host.forward(&["--once"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(
        said(&refused).contains("https://other.example/"),
        "{refused:?}"
    );

    let nowhere = format!(
        "postgres://postgres@127.0.0.1:{}/x",
        unused_address().port()
    );
    let late = forward(&host.spool.path(), &nowhere, &["--once", "--timeout", "1"]);
    let late = { late }.output().unwrap();
    assert_eq!(late.status.code(), Some(6), "{late:?}");
    assert_eq!(host.status()["pending"], 1);
}
