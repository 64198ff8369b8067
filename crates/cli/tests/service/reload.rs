//! What a running `meditopia run` takes from a changed configuration or token file.

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::service::{Service, ServiceManager};
use meditopia_testkit::spool::ClientExt;
use rustix::process::Signal;

use crate::fixtures::{NEVER_SEND_BY_ITSELF, configured, unused_endpoint};

#[test]
fn a_reload_with_a_new_token_ends_the_pause() {
    let mut api = Sandbox::start();
    let spool = configured(&api);
    spool.configure("flush_interval_ms = 20\nbearer_token = \"sandbox-token\"");
    let service = spool.start_service(&[]);
    let client = spool.client();
    client.enqueue_users(0..1);
    api.wait_for_events(1);
    service.wait_for_answer("/readyz", 200, "sending");

    api.set_token("renewed");
    client.enqueue_users(1..2);
    service.wait_for_answer("/readyz", 503, "paused (auth)");
    service.wait_for_answer("/healthz", 200, "alive");
    spool.configure("flush_interval_ms = 20\nbearer_token = \"renewed\"");
    service.signal(Signal::HUP);
    service.wait_for_log("reload: changed bearer_token");
    api.wait_for_events(2);
    service.wait_for_answer("/readyz", 200, "sending");
}

#[test]
fn a_service_reads_a_replaced_token_file_without_a_signal() {
    let mut api = Sandbox::start();
    let spool = configured(&api);
    let service = spool.start_service(&[]);
    service.wait_for_log("elected");
    api.set_token("renewed");
    spool.client().enqueue_users(0..100);
    service.wait_for_answer("/readyz", 503, "paused (auth)");
    spool.write_token("renewed");
    api.wait_for_events(100);
}

#[test]
fn a_reload_changes_what_can_change_and_refuses_another_endpoint_by_name() {
    let api = Sandbox::start();
    let spool = configured(&api);
    let token = format!("bearer_token_file = {:?}", spool.token_file());
    spool.configure(&format!("{NEVER_SEND_BY_ITSELF}\n{token}"));
    let manager = ServiceManager::listen(&spool.path("manager"));
    let mut command = spool.command("run", &["--listen", "127.0.0.1:0"]);
    command.env("NOTIFY_SOCKET", manager.notify_socket());
    let service = Service::start(command);
    manager.wait_for_message("READY=1");
    service.wait_for_log("elected");
    spool.client().enqueue_users(0..5);

    spool.write_config(&format!(
        "endpoint = {:?}\nspool = {:?}\nflush_interval_ms = 20\n{token}",
        unused_endpoint(),
        spool.spool()
    ));
    service.signal(Signal::HUP);
    manager.wait_for_message("RELOADING=1\nMONOTONIC_USEC=");
    manager.wait_for_message("READY=1");
    service.wait_for_log("reload: endpoint cannot change");
    service.wait_for_log("reload: changed flush_interval_ms");
    // The events are sent at the new interval, to the old endpoint.
    api.wait_for_events(5);

    spool.write_config("flush_intervall_ms = 20\nlanes = 99");
    service.signal(Signal::HUP);
    service.wait_for_log("lanes");
    service.wait_for_log("nothing was changed");
    spool.client().enqueue_users(5..6);
    api.wait_for_events(6);
}
