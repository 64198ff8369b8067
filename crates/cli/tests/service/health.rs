//! What `meditopia run` reports about itself when its sender is stuck or another process sends.

use std::time::Duration;

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::service::{Service, ServiceManager};
use meditopia_testkit::spool::ClientExt;
use meditopia_testkit::wait::wait_until;
use rustix::process::Signal;

use crate::fixtures::{HangingTokenFile, configured};

#[test]
fn a_service_whose_sender_is_stuck_does_not_report_itself_alive() {
    const WATCHDOG: Duration = Duration::from_secs(2);
    let api = Sandbox::start();
    let spool = configured(&api);
    let manager = ServiceManager::listen(&spool.path("manager"));
    let token_file = HangingTokenFile::of(&spool);
    let mut command = spool.command("run", &["--listen", "127.0.0.1:0"]);
    command
        .env("NOTIFY_SOCKET", manager.notify_socket())
        .env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
    token_file.prepare(&mut command);
    let service = Service::start(command);
    service.wait_for_log("elected");
    for _ in 0..3 {
        manager.wait_for_message("WATCHDOG=1");
    }

    token_file.hang(api.token());
    service.wait_for_answer("/healthz", 503, "stuck");
    service.wait_for_answer("/readyz", 503, "stuck");
    service.wait_for_log("the sender is stuck");
    manager.wait_for_silence(2 * WATCHDOG);

    // The sender continues, and the service is alive again.
    token_file.go_on();
    manager.wait_for_message("WATCHDOG=1");
    service.wait_for_answer("/healthz", 200, "alive");
    spool.client().enqueue_users(0..100);
    api.wait_for_events(100);
}

#[test]
fn a_second_service_stands_by_and_replaces_the_first_when_it_is_killed() {
    let api = Sandbox::start();
    let spool = configured(&api);
    let mut first = spool.start_service(&[]);
    first.wait_for_log("elected");
    let second = spool.start_service(&[]);
    second.wait_for_log(&format!("stand-by: pid {} sends", first.pid()));
    second.wait_for_answer("/readyz", 200, "stand-by");
    assert!(!second.log().contains("elected"));
    spool.client().enqueue_users(0..100);
    // The batch has to be settled: one in doubt would be repeated.
    wait_until("the delivery is recorded", || {
        spool.client().stats().unwrap().delivered == 100
    });

    first.kill();
    second.wait_for_log("elected");
    second.wait_for_answer("/readyz", 200, "sending");
    spool.client().enqueue_users(100..200);
    api.wait_for_events(200);
    assert_eq!(api.ledger().distinct_events, 200);
}

#[test]
fn a_service_on_stand_by_is_not_ready_while_the_elected_one_is_stopped() {
    let api = Sandbox::start();
    let spool = configured(&api);
    let first = spool.start_service(&[]);
    first.wait_for_log("elected");
    let mut second = spool.start_service(&[]);
    second.wait_for_log("stand-by");
    first.signal(Signal::STOP);
    let stopped = format!("pid {} is elected and its process is stopped", first.pid());
    second.wait_for_answer("/readyz", 503, &stopped);
    // A service on stand-by ends without delivering.
    spool.client().enqueue_users(0..5);
    assert_eq!(second.terminate().code(), Some(0));
    second.wait_for_log("5 pending; another process sends them");
    first.signal(Signal::CONT);
    let third = spool.start_service(&[]);
    third.wait_for_answer("/readyz", 200, "stand-by");
}
