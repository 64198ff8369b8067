//! A damaged store pauses delivery until `recover`.

use meditopia::internals::client::{Repair, recover};
use meditopia::{ErrorKind, PauseReason};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;

#[test]
fn a_damaged_store_pauses_delivery_and_lets_enqueue_continue() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_users(0..3);
    let store = client.spool.path().join("store.db");
    let garbage = "this is no database, by far ".repeat(200);
    std::fs::write(&store, &garbage).unwrap();

    let (report, outcome) = client.flush(secs(10));

    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Paused, "{error}");
    assert_eq!(error.pause_reason(), Some(PauseReason::StoreDamaged));
    assert_eq!(report.pause, Some(PauseReason::StoreDamaged));
    let stats = client.stats().unwrap();
    assert_eq!(stats.paused, Some(PauseReason::StoreDamaged));
    client.enqueue_users(3..5);
    assert_eq!(std::fs::read_to_string(&store).unwrap(), garbage);

    std::fs::remove_file(&store).unwrap();
    assert_eq!(client.flush_ok(secs(10)).delivered, 5);
}

#[test]
fn a_damaged_store_pauses_delivery_until_recover_and_resume_does_not_end_the_pause() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_users(0..3);
    let (sender, logged) = std::sync::mpsc::channel();
    let callback = move |record: &meditopia::LogRecord| {
        let _ = sender.send(record.message.clone());
    };
    client.set_log_callback(Some(Box::new(callback))).unwrap();
    let store = client.spool.path().join("store.db");
    std::fs::write(&store, "this is no database ".repeat(200)).unwrap();

    let mut since = Vec::new();
    for _ in 0..2 {
        let (report, outcome) = client.flush(secs(60));
        let error = outcome.unwrap_err();
        assert_eq!(error.pause_reason(), Some(PauseReason::StoreDamaged));
        assert!(error.message().contains("meditopia recover"), "{error}");
        let stats = client.stats().unwrap();
        assert_eq!(stats.paused, Some(PauseReason::StoreDamaged));
        assert_eq!(stats.next_probe_ms, None);
        assert_eq!(report.paused_since_ms, stats.paused_since_ms);
        since.push(stats.paused_since_ms.expect("since when"));
        assert!(client.resume().is_err());
        assert!(client.hold().is_err());
        client.set_bearer_token(api.token()).unwrap();
    }
    assert_eq!(since[0], since[1]);
    assert!(logged.recv_timeout(secs(60)).unwrap().contains("recover"));
    assert_eq!(api.ledger().requests, 0);
    client.enqueue_users(3..5);

    let found = recover(&client.spool.path(), Repair::Replace).unwrap();
    assert!(found.kept.is_some());
    assert_eq!(client.flush_ok(secs(60)).delivered, 5);
    assert_eq!(client.stats().unwrap().paused, None);
}
