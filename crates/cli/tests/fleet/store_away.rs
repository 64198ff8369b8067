//! A database that is away, and back.

use meditopia::{ErrorKind, Fields};
use meditopia_testkit::postgres_server::PostgresServer;
use meditopia_testkit::spool::TestSpool;
use meditopia_testkit::wait::wait_until;

use super::host::{ENDPOINT, Host, Service, forward, new_fleet, users, users_in};

#[test]
fn while_the_database_is_away_everything_is_kept_and_status_says_why_and_since_when() {
    let mut server = PostgresServer::start();
    let database = new_fleet(&server);
    let host = Host::new(&server, &database);
    let service = host.start();
    host.enqueue(0..20);
    wait_until("20 events are handed over", || {
        host.status()["pending"] == 0
    });
    server.stop();
    host.enqueue(20..40);
    service.wait_for_line("cannot forward");

    let status = host.status();
    assert_eq!(status["pending"], 20);
    let forwarding = &status["forwarding"];
    assert!(forwarding["failing_since_ms"].is_i64(), "{status}");
    assert!(
        forwarding["failure"].as_str().unwrap().contains("store"),
        "{status}"
    );
    assert_eq!(status["sender"]["alive"], true, "{status}");

    server.run();
    service.wait_for_line("can be reached again");
    wait_until("the rest is handed over", || host.status()["pending"] == 0);
    assert!(host.status()["forwarding"]["failing_since_ms"].is_null());
    assert_eq!(service.terminate(), Some(0));
    assert_eq!(users_in(&server, &database), users(0..40));
}

#[test]
fn while_the_database_is_away_the_journal_is_bounded_by_max_spool_bytes() {
    let spool = TestSpool::for_endpoint(ENDPOINT).with("max_spool_bytes", "100000");
    let client = spool.client();
    let nowhere = "postgres://postgres@127.0.0.1:1/x";
    let service = Service::start(&mut forward(&spool.path(), nowhere, &[]));
    service.wait_for_line("cannot forward");
    let mut queued = 0_u64;
    let full = loop {
        let event = Fields {
            token: "token",
            partner_user_id: "u",
            event: "video",
            event_value: None,
            received_at: None,
        };
        match client.enqueue(&event) {
            Ok(()) => queued += 1,
            Err(full) => break full,
        }
    };
    assert_eq!(full.kind(), ErrorKind::SpoolFull);
    assert_eq!(client.stats().unwrap().pending, queued);
    assert!(client.waiting_bytes().unwrap() >= 100_000);
}
