//! A damaged store pauses delivery until `recover`.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use meditopia::internals::client::{Repair, recover};
use meditopia::{ErrorKind, PauseReason};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;

/// Puts a file that is no ledger in the place of the ledger of a spool from which nobody has sent yet.
fn put_garbage_for_a_ledger(spool: &Path) -> PathBuf {
    let dir = spool.join("ledger");
    fs::DirBuilder::new().mode(0o700).create(&dir).unwrap();
    let path = dir.join(format!("{:016}", 1));
    fs::write(&path, "this is no ledger, by far ".repeat(200)).unwrap();
    path
}

#[test]
fn a_damaged_store_pauses_delivery_and_lets_enqueue_continue() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_users(0..3);
    let ledger = put_garbage_for_a_ledger(&client.spool.path());
    let garbage = fs::read(&ledger).unwrap();

    let (report, outcome) = client.flush(secs(10));

    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Paused, "{error}");
    assert_eq!(error.pause_reason(), Some(PauseReason::StoreDamaged));
    assert_eq!(report.pause, Some(PauseReason::StoreDamaged));
    let stats = client.stats().unwrap();
    assert_eq!(stats.paused, Some(PauseReason::StoreDamaged));
    client.enqueue_users(3..5);
    assert_eq!(fs::read(&ledger).unwrap(), garbage);

    fs::remove_file(&ledger).unwrap();
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
    let ledger = put_garbage_for_a_ledger(&client.spool.path());
    let garbage = fs::read(&ledger).unwrap();

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
    let kept = found.kept.unwrap().join(format!("ledger-{:016}", 1));
    assert_eq!(fs::read(kept).unwrap(), garbage);
    assert_eq!(client.flush_ok(secs(60)).delivered, 5);
    assert_eq!(client.stats().unwrap().paused, None);
}
