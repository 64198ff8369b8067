//! A flush by an application: what it waits for, and what its report counts.

use meditopia::ErrorKind;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::{secs, wait_until};

#[test]
fn a_flush_delivers_once_a_missing_ca_file_exists() {
    let api = Sandbox::start();
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("ca.pem");
    let client = TestSpool::for_sandbox(&api)
        .with("ca_file", bundle.to_str().unwrap())
        .into_client();
    client.enqueue_for("u-1", 0);
    let error = client.flush(secs(60)).1.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&bundle, signed.cert.pem()).unwrap();
    wait_until("a flush delivers", || client.flush(secs(1)).1.is_ok());
    assert_eq!(api.ledger().accepted_events, 1);
}

#[test]
fn the_report_of_a_flush_counts_events_that_are_taken_over_meanwhile() {
    const EVENTS: usize = 8_000;
    let api = Sandbox::start();
    api.refuse_address();
    for _ in 0..20 {
        let client = TestSpool::for_sandbox(&api).into_client();
        client.enqueue_users(0..EVENTS);
        for _ in 0..20 {
            let (report, outcome) = client.flush(secs(0));
            outcome.unwrap_err();
            assert_eq!(report.pending, EVENTS as u64);
        }
    }
}
