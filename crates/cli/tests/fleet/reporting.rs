//! What an operator of a host sees of its forwarder.

use std::process::Output;

use meditopia_testkit::meditopia;
use meditopia_testkit::postgres_server::PostgresServer;
use meditopia_testkit::wait::wait_until;

use super::host::{Host, Service, new_fleet, said};

fn about(host: &Host, command: &str, argument: &str) -> Output {
    let mut about = meditopia();
    about.arg(command).arg(host.spool.path()).arg(argument);
    about.output().unwrap()
}

/// The body of an answer, and its status.
fn get(address: &str, path: &str) -> (u16, String) {
    let agent = ureq::Agent::new_with_config(
        ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build(),
    );
    let mut answer = agent.get(format!("http://{address}{path}")).call().unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    (answer.status().as_u16(), text)
}

#[test]
fn a_forwarder_that_is_alive_is_shown_as_what_takes_the_events_and_its_figures_are_served() {
    let mut server = PostgresServer::start();
    let database = new_fleet(&server);
    let host = Host::new(&server, &database);
    host.enqueue(0..7);
    let mut command = host.forward(&["--listen", "127.0.0.1:0"]);
    let service = Service::start(command.env("MEDITOPIA_FORWARD_INTERVAL_MS", "20"));
    service.wait_for_line("listening on http://");
    let log = service.log();
    let (_, address) = log.split_once("listening on http://").unwrap();
    let address = address.lines().next().unwrap();
    wait_until("all is handed over", || host.status()["pending"] == 0);

    let (status, metrics) = get(address, "/metrics");
    assert_eq!(status, 200);
    for figure in [
        "meditopia_forward_failing",
        "meditopia_events_pending",
        "meditopia_spool_bytes",
    ] {
        let line = metrics
            .lines()
            .find(|line| line.starts_with(&format!("{figure}{{")));
        assert!(
            line.is_some_and(|line| line.ends_with(" 0")),
            "{figure}: {metrics}"
        );
    }
    assert_eq!(get(address, "/readyz"), (200, "forwarding\n".to_owned()));
    assert_eq!(get(address, "/healthz").0, 200);
    let check = about(&host, "status", "--check");
    assert_eq!(check.status.code(), Some(0), "{check:?}");
    let shown = said(&about(&host, "doctor", "--json"));
    assert!(shown.contains("events go to"), "{shown}");
    assert!(!shown.contains("no process forwards"), "{shown}");

    server.stop();
    host.enqueue(7..9);
    service.wait_for_line("cannot forward");
    let shown = said(&about(&host, "doctor", "--json"));
    assert!(shown.contains("cannot be handed to"), "{shown}");
    wait_until("it is not ready any more", || {
        get(address, "/readyz").0 == 503
    });
    let check = about(&host, "status", "--check");
    assert!(said(&check).contains("cannot be handed to"), "{check:?}");
    let (_, metrics) = get(address, "/metrics");
    assert!(
        metrics.contains("meditopia_forward_failing_since_seconds"),
        "{metrics}"
    );
    service.kill();
    let shown = said(&about(&host, "doctor", "--json"));
    assert!(shown.contains("start the process that forwards"), "{shown}");
}
