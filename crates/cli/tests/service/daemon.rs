//! `meditopia run`: what it does at signals, with another sender beside it, and when it is stuck.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::service::{ConfiguredSpool, Service, ServiceManager};
use meditopia_testkit::spool::ClientExt;
use meditopia_testkit::wait::wait_until;
use rustix::process::Signal;

/// Longer than any test.
const NEVER_BY_ITSELF: &str = "flush_interval_ms = 86400000";

/// A URL at which nobody listens.
fn nowhere() -> String {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    format!("http://127.0.0.1:{port}/default/v1/events")
}

fn place(api: &Sandbox) -> ConfiguredSpool {
    ConfiguredSpool::new(api.endpoint(), api.token())
}

/// Puts a pipe in the place of the token's file: to open one that nobody writes to takes for ever, as on
/// a file system whose server is gone. Gives the way to the other end.
fn hang_at_the_token(place: &ConfiguredSpool) -> PathBuf {
    let pipe = place.path("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let link = place.path("link");
    std::fs::hard_link(&pipe, &link).unwrap();
    std::fs::rename(link, place.token_file()).unwrap();
    pipe
}

#[test]
fn a_service_that_is_told_to_end_delivers_what_waits_first() {
    let api = Sandbox::start();
    let place = place(&api);
    place.configure(&format!(
        "{NEVER_BY_ITSELF}\nbearer_token_file = {:?}",
        place.token_file()
    ));
    let manager = ServiceManager::listen(&place.path("manager"));
    let mut command = place.command("run", &[]);
    command.env("NOTIFY_SOCKET", manager.notify_socket());
    let mut service = Service::start(command);
    manager.wait_for_message("READY=1");
    service.wait_for_log("elected");
    place.client().enqueue_users(0..5);

    assert_eq!(service.terminate().code(), Some(0));
    manager.wait_for_message("STOPPING=1");
    manager.wait_for_message("STATUS=ended: 5 delivered, 0 rejected since SIGTERM; nothing waits");
    service.wait_for_log("5 delivered, 0 rejected since SIGTERM; nothing waits");
    assert_eq!(api.ledger().accepted_events, 5);
}

#[test]
fn a_service_without_an_api_ends_within_its_time_and_says_what_is_left() {
    let place = ConfiguredSpool::new(&nowhere(), "token");
    let manager =
        ServiceManager::listen_abstract(&format!("meditopia-test-{}", std::process::id()));
    let mut command = place.command("run", &["--drain-timeout", "2"]);
    command.env("NOTIFY_SOCKET", manager.notify_socket());
    let mut service = Service::start(command);
    manager.wait_for_message("READY=1");
    service.wait_for_log("elected");
    place.client().enqueue_users(0..5);

    service.signal(Signal::INT);
    manager.wait_for_message("EXTEND_TIMEOUT_USEC=");
    assert_eq!(service.wait_for_end().code(), Some(0));
    service.wait_for_log("0 delivered, 0 rejected since SIGINT; 5 events wait for the next sender");
    assert_eq!(place.client().stats().unwrap().pending, 5);
}

#[test]
fn a_second_signal_ends_it_at_once_and_loses_nothing() {
    let place = ConfiguredSpool::new(&nowhere(), "token");
    let mut service = place.start_service(&["--drain-timeout", "86400"]);
    service.wait_for_log("elected");
    place.client().enqueue_users(0..5);
    service.signal(Signal::TERM);
    service.wait_for_log("ending within");
    service.signal(Signal::TERM);
    assert_eq!(service.wait_for_end().code(), Some(6));
    service.wait_for_log("ended at once");
    assert_eq!(place.client().stats().unwrap().pending, 5);
}

#[test]
fn a_reload_takes_a_new_token_and_the_pause_is_over() {
    let mut api = Sandbox::start();
    let place = place(&api);
    place.configure("flush_interval_ms = 20\nbearer_token = \"sandbox-token\"");
    let service = place.start_service(&[]);
    let host = place.client();
    host.enqueue_users(0..1);
    api.wait_for_events(1);
    service.wait_for_answer("/readyz", 200, "sending");

    api.set_token("renewed");
    host.enqueue_users(1..2);
    service.wait_for_answer("/readyz", 503, "paused (auth)");
    service.wait_for_answer("/healthz", 200, "alive");
    place.configure("flush_interval_ms = 20\nbearer_token = \"renewed\"");
    service.signal(Signal::HUP);
    service.wait_for_log("reload: changed bearer_token");
    api.wait_for_events(2);
    service.wait_for_answer("/readyz", 200, "sending");
}

#[test]
fn a_token_file_that_is_replaced_needs_no_signal() {
    let mut api = Sandbox::start();
    let place = place(&api);
    let service = place.start_service(&[]);
    service.wait_for_log("elected");
    api.set_token("renewed");
    place.client().enqueue_users(0..100);
    service.wait_for_answer("/readyz", 503, "paused (auth)");
    place.write_token("renewed");
    api.wait_for_events(100);
}

#[test]
fn a_reload_changes_what_can_change_and_refuses_another_endpoint_by_name() {
    let api = Sandbox::start();
    let place = place(&api);
    let token = format!("bearer_token_file = {:?}", place.token_file());
    place.configure(&format!("{NEVER_BY_ITSELF}\n{token}"));
    let manager = ServiceManager::listen(&place.path("manager"));
    let mut command = place.command("run", &["--listen", "127.0.0.1:0"]);
    command.env("NOTIFY_SOCKET", manager.notify_socket());
    let service = Service::start(command);
    manager.wait_for_message("READY=1");
    service.wait_for_log("elected");
    place.client().enqueue_users(0..5);

    place.write_config(&format!(
        "endpoint = {:?}\nspool = {:?}\nflush_interval_ms = 20\n{token}",
        nowhere(),
        place.spool()
    ));
    service.signal(Signal::HUP);
    manager.wait_for_message("RELOADING=1\nMONOTONIC_USEC=");
    manager.wait_for_message("READY=1");
    service.wait_for_log("reload: endpoint cannot change");
    service.wait_for_log("reload: changed flush_interval_ms");
    // By the new interval, to the old endpoint.
    api.wait_for_events(5);

    place.write_config("flush_intervall_ms = 20\nlanes = 99");
    service.signal(Signal::HUP);
    service.wait_for_log("lanes");
    service.wait_for_log("nothing was changed");
    place.client().enqueue_users(5..6);
    api.wait_for_events(6);
}

#[test]
fn a_sender_that_is_stuck_is_not_said_to_be_alive() {
    const WATCHDOG: Duration = Duration::from_secs(2);
    let api = Sandbox::start();
    let place = place(&api);
    let manager = ServiceManager::listen(&place.path("manager"));
    let mut command = place.command("run", &["--listen", "127.0.0.1:0"]);
    command
        .env("NOTIFY_SOCKET", manager.notify_socket())
        .env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
    let service = Service::start(command);
    service.wait_for_log("elected");
    for _ in 0..3 {
        manager.wait_for_message("WATCHDOG=1");
    }

    let pipe = hang_at_the_token(&place);
    service.wait_for_answer("/healthz", 503, "stuck");
    service.wait_for_answer("/readyz", 503, "stuck");
    service.wait_for_log("the sender is stuck");
    manager.wait_for_silence(2 * WATCHDOG);

    // And alive again when it comes back.
    place.write_token(api.token());
    std::fs::write(pipe, api.token()).unwrap();
    manager.wait_for_message("WATCHDOG=1");
    service.wait_for_answer("/healthz", 200, "alive");
    place.client().enqueue_users(0..100);
    api.wait_for_events(100);
}

#[test]
fn a_service_whose_sender_is_stuck_ends_all_the_same() {
    let place = ConfiguredSpool::new(&nowhere(), "token");
    let mut service = place.start_service(&["--drain-timeout", "1"]);
    service.wait_for_log("elected");
    hang_at_the_token(&place);
    place.client().enqueue_users(0..5);
    service.terminate();
    assert_eq!(place.client().stats().unwrap().pending, 5);
}

#[test]
fn a_second_service_stands_by_and_follows_when_the_first_is_killed() {
    let api = Sandbox::start();
    let place = place(&api);
    let mut first = place.start_service(&[]);
    first.wait_for_log("elected");
    let second = place.start_service(&[]);
    second.wait_for_log(&format!("stand-by: pid {} sends", first.pid()));
    second.wait_for_answer("/readyz", 200, "stand-by");
    assert!(!second.log().contains("elected"));
    place.client().enqueue_users(0..100);
    // Not only sent but settled: a batch that is in doubt is repeated.
    wait_until("the answer's being kept", || {
        place.client().stats().unwrap().delivered == 100
    });

    first.kill();
    second.wait_for_log("elected");
    second.wait_for_answer("/readyz", 200, "sending");
    place.client().enqueue_users(100..200);
    api.wait_for_events(200);
    assert_eq!(api.ledger().distinct_events, 200);
}

#[test]
fn a_stand_by_is_not_ready_when_the_elected_one_is_not_seen() {
    let api = Sandbox::start();
    let place = place(&api);
    let first = place.start_service(&[]);
    first.wait_for_log("elected");
    let mut second = place.start_service(&[]);
    second.wait_for_log("stand-by");
    first.signal(Signal::STOP);
    second.wait_for_answer("/readyz", 503, "nobody was seen to send since");
    // It ends without waiting for what is not its business.
    place.client().enqueue_users(0..5);
    assert_eq!(second.terminate().code(), Some(0));
    second.wait_for_log("5 events wait, and another process sends");
    first.signal(Signal::CONT);
}

/// A service whose log nobody reads; killed when dropped.
struct Unread(Child);

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_reader_of_the_log_that_does_not_read_stops_nobody() {
    const EVENTS: usize = 3_000;
    let api = Sandbox::start();
    let place = place(&api);
    place.configure(&format!(
        "batch_max = 1\nflush_interval_ms = 10\nlog_level = \"debug\"\nlanes = 4\nbearer_token_file = {:?}",
        place.token_file()
    ));
    place.client().enqueue_users(0..EVENTS);
    let mut command = place.command("run", &[]);
    let mut unread = Unread(command.stderr(Stdio::piped()).spawn().unwrap());
    api.wait_for_events(EVENTS as u64);
    let mut stderr = unread.0.stderr.take().unwrap();
    drop(unread);
    let mut log = String::new();
    std::io::Read::read_to_string(&mut stderr, &mut log).unwrap();
    // All that a pipe holds: it was full.
    assert!(log.len() >= 60_000, "only {} bytes were logged", log.len());
}

#[test]
fn the_log_is_json_if_asked_and_has_priorities_where_the_journal_reads() {
    let api = Sandbox::start();
    let place = place(&api);
    let mut service = place.start_service(&["--log-format", "json"]);
    service.wait_for_log("elected");
    assert!(service.terminate().success());
    for line in service.log().lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect(line);
        assert!(line["time"].is_string() && line["level"] == "info");
    }

    // What the journal sets names the very pipe that standard error is.
    let mut shell = Command::new("sh");
    shell
        .args([
            "-c",
            "JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec \"$0\" \"$@\"",
        ])
        .arg(env!("CARGO_BIN_EXE_meditopia"))
        .args(["run", "--config"])
        .arg(place.path("config.toml"));
    let mut service = Service::start(shell);
    let line = service.wait_for_log("elected");
    assert!(line.starts_with("<6>"), "{line}");
    service.terminate();
}

#[test]
fn the_token_is_in_no_argument_environment_log_metric_or_state() {
    let secret = "s3cr3t-t0k3n";
    let api = Sandbox::builder().token(secret).start();
    let place = ConfiguredSpool::new(api.endpoint(), secret);
    place.configure(&format!(
        "flush_interval_ms = 20\nlog_level = \"debug\"\nbearer_token_file = {:?}",
        place.token_file()
    ));
    let manager = ServiceManager::listen(&place.path("manager"));
    let mut command = place.command("run", &["--listen", "127.0.0.1:0"]);
    command.env("NOTIFY_SOCKET", manager.notify_socket());
    let mut service = Service::start(command);
    place.client().enqueue_users(0..1);
    api.wait_for_events(1);
    api.revoke_token();
    place.client().enqueue_users(1..2);
    service.wait_for_answer("/readyz", 503, "paused (auth)");
    let told = manager.wait_for_message("STATUS=");
    service.signal(Signal::HUP);
    service.wait_for_log("reload:");

    let seen = [
        told,
        service.read_proc("cmdline"),
        service.read_proc("environ"),
        service.get("/metrics").1,
        service.get("/readyz").1,
    ];
    service.terminate();
    for text in seen.iter().chain([&service.log()]) {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn a_credential_of_the_service_manager_is_the_token_that_nothing_else_names() {
    let api = Sandbox::start();
    let place = place(&api);
    place.configure("");
    let credentials = place.path("credentials");
    std::fs::create_dir(&credentials).unwrap();
    std::fs::write(credentials.join("bearer-token"), api.token()).unwrap();
    let mut command = place.command("run", &[]);
    command.env("CREDENTIALS_DIRECTORY", &credentials);
    let _service = Service::start(command);
    place.client().enqueue_users(0..100);
    api.wait_for_events(100);
}

#[test]
fn what_cannot_start_says_why() {
    let api = Sandbox::start();
    let place = place(&api);
    let refused = |arguments: &[&str], status: i32, why: &str| {
        let output = place.output("run", arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{said}");
        assert!(said.contains(why), "{said}");
    };
    refused(&["--listen", "0.0.0.0:0"], 2, "--listen-anywhere");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    refused(&["--listen", &taken], 1, "choose another port");
    place.configure("durability = \"memory\"");
    refused(&[], 2, "durability");
    place.configure("ca_file = \"/does/not/exist\"");
    refused(&[], 2, "/does/not/exist");
    place.configure("lanes = 99");
    refused(&[], 2, "lanes");
}
