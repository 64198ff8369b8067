//! How `meditopia run` ends: by a signal, by a second one, without an API, and with a stuck sender.

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::service::{ConfiguredSpool, Service, ServiceManager};
use meditopia_testkit::spool::ClientExt;
use rustix::process::Signal;

use crate::fixtures::{HangingTokenFile, NEVER_SEND_BY_ITSELF, configured, unused_endpoint};

#[test]
fn a_service_that_receives_sigterm_delivers_pending_events_before_it_ends() {
    let api = Sandbox::start();
    let spool = configured(&api);
    spool.configure(&format!(
        "{NEVER_SEND_BY_ITSELF}\nbearer_token_file = {:?}",
        spool.token_file()
    ));
    let manager = ServiceManager::listen(&spool.path("manager"));
    let mut command = spool.command("run", &[]);
    command.env("NOTIFY_SOCKET", manager.notify_socket());
    let mut service = Service::start(command);
    manager.wait_for_message("READY=1");
    service.wait_for_log("elected");
    spool.client().enqueue_users(0..5);

    assert_eq!(service.terminate().code(), Some(0));
    manager.wait_for_message("STOPPING=1");
    manager
        .wait_for_message("STATUS=ended: 5 delivered, 0 rejected since SIGTERM; nothing pending");
    service.wait_for_log("5 delivered, 0 rejected since SIGTERM; nothing pending");
    assert_eq!(api.ledger().accepted_events, 5);
}

#[test]
fn a_service_without_an_api_ends_within_its_drain_timeout_and_says_what_is_left() {
    let spool = ConfiguredSpool::new(&unused_endpoint(), "token");
    let manager =
        ServiceManager::listen_abstract(&format!("meditopia-test-{}", std::process::id()));
    let mut command = spool.command("run", &["--drain-timeout", "2"]);
    command.env("NOTIFY_SOCKET", manager.notify_socket());
    let mut service = Service::start(command);
    manager.wait_for_message("READY=1");
    service.wait_for_log("elected");
    spool.client().enqueue_users(0..5);

    service.signal(Signal::INT);
    manager.wait_for_message("EXTEND_TIMEOUT_USEC=");
    assert_eq!(service.wait_for_end().code(), Some(0));
    service.wait_for_log("0 delivered, 0 rejected since SIGINT; 5 pending, for the next sender (");
    assert_eq!(spool.client().stats().unwrap().pending, 5);
}

#[test]
fn a_second_signal_ends_a_service_at_once_and_loses_nothing() {
    let spool = ConfiguredSpool::new(&unused_endpoint(), "token");
    let mut service = spool.start_service(&["--drain-timeout", "86400"]);
    service.wait_for_log("elected");
    spool.client().enqueue_users(0..5);
    service.signal(Signal::TERM);
    service.wait_for_log("ending within");
    service.signal(Signal::TERM);
    assert_eq!(service.wait_for_end().code(), Some(6));
    service.wait_for_log("ended at once");
    assert_eq!(spool.client().stats().unwrap().pending, 5);
}

#[test]
fn a_service_whose_sender_is_stuck_ends_on_a_signal() {
    let spool = ConfiguredSpool::new(&unused_endpoint(), "token");
    let token_file = HangingTokenFile::of(&spool);
    let mut command = spool.command("run", &["--drain-timeout", "1"]);
    command.args(["--listen", "127.0.0.1:0"]);
    token_file.prepare(&mut command);
    let mut service = Service::start(command);
    service.wait_for_log("elected");
    token_file.hang("token");
    service.wait_for_answer("/healthz", 503, "stuck");
    spool.client().enqueue_users(0..5);
    service.terminate();
    assert_eq!(spool.client().stats().unwrap().pending, 5);
}
