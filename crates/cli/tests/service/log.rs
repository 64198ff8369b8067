//! The log of `meditopia run`: its formats, a reader that does not read, and no secret in it.

use std::io::Read;
use std::process::{Command, Stdio};

use meditopia_testkit::process::ChildProcess;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::service::{ConfiguredSpool, Service, ServiceManager};
use meditopia_testkit::spool::ClientExt;
use meditopia_testkit::{meditopia_command, repository_path};
use rustix::process::Signal;

use crate::fixtures::configured;

#[test]
fn a_log_that_is_not_read_does_not_stop_the_service() {
    const EVENTS: usize = 3_000;
    let api = Sandbox::start();
    let spool = configured(&api);
    spool.configure(&format!(
        "batch_max = 1\nflush_interval_ms = 10\nlog_level = \"debug\"\nlanes = 4\nbearer_token_file = {:?}",
        spool.token_file()
    ));
    spool.client().enqueue_users(0..EVENTS);
    let mut command = spool.command("run", &[]);
    let mut unread = ChildProcess(command.stderr(Stdio::piped()).spawn().unwrap());
    api.wait_for_events(EVENTS as u64);
    let mut stderr = unread.0.stderr.take().unwrap();
    drop(unread);
    let mut log = String::new();
    stderr.read_to_string(&mut log).unwrap();
    // The pipe was full.
    assert!(log.len() >= 60_000, "only {} bytes were logged", log.len());
}

#[test]
fn the_log_of_a_service_is_json_on_request_and_has_priorities_for_the_systemd_journal() {
    let api = Sandbox::start();
    let spool = configured(&api);
    let mut service = spool.start_service(&["--log-format", "json"]);
    service.wait_for_log("elected");
    assert!(service.terminate().success());
    for line in service.log().lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect(line);
        assert!(line["time"].is_string() && line["level"] == "info");
    }

    // systemd sets the variable to the device and inode of standard error.
    let mut shell = Command::new("sh");
    shell
        .args([
            "-c",
            "JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec \"$0\" \"$@\"",
        ])
        .arg(meditopia_command())
        .args(["run", "--config"])
        .arg(spool.path("config.toml"));
    let mut service = Service::start(shell);
    let line = service.wait_for_log("elected");
    assert!(line.starts_with("<6>"), "{line}");
    service.terminate();
}

#[test]
fn the_bearer_token_of_a_service_is_in_no_argument_variable_log_metric_or_state() {
    let secret = "s3cr3t-t0k3n";
    let api = Sandbox::builder().token(secret).start();
    let spool = ConfiguredSpool::new(api.endpoint(), secret);
    spool.configure(&format!(
        "flush_interval_ms = 20\nlog_level = \"debug\"\nbearer_token_file = {:?}",
        spool.token_file()
    ));
    let manager = ServiceManager::listen(&spool.path("manager"));
    let mut command = spool.command("run", &["--listen", "127.0.0.1:0"]);
    command.env("NOTIFY_SOCKET", manager.notify_socket());
    let mut service = Service::start(command);
    spool.client().enqueue_users(0..1);
    api.wait_for_events(1);
    api.revoke_token();
    spool.client().enqueue_users(1..2);
    service.wait_for_answer("/readyz", 503, "paused (auth)");
    let status = manager.wait_for_message("STATUS=");
    service.signal(Signal::HUP);
    service.wait_for_log("reload:");

    let texts = [
        status,
        service.read_proc("cmdline"),
        service.read_proc("environ"),
        service.get("/metrics").1,
        service.get("/readyz").1,
    ];
    service.terminate();
    for text in texts.iter().chain([&service.log()]) {
        assert!(!text.contains(secret), "{text}");
    }
}

/// The first column of the table below this heading of the guide.
fn names_in_guide(heading: &str) -> Vec<String> {
    let guide = std::fs::read_to_string(repository_path("docs/operating.md")).unwrap();
    let (_, section) = guide.split_once(heading).expect(heading);
    let section = section.split("\n## ").next().unwrap();
    let names = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut names: Vec<String> = names
        .map(|line| line.split('`').next().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_line_of_the_log_as_json_has_the_members_that_the_guide_lists_and_no_others() {
    let listed = names_in_guide("## The log as JSON");
    assert!(listed.len() >= 3, "{listed:?}");
    let api = Sandbox::builder().unknown_user("u-1").start();
    let spool = configured(&api);
    spool.configure(&format!(
        "flush_interval_ms = 20\nlog_level = \"debug\"\nbearer_token_file = {:?}",
        spool.token_file()
    ));
    let mut service = spool.start_service(&["--log-format", "json"]);
    spool.client().enqueue_users(0..3);
    service.wait_for_log("rejected event");
    api.refuse_address();
    spool.client().enqueue_users(3..4);
    service.wait_for_log("paused (ip)");
    assert!(service.terminate().success());
    let log = service.log();
    let mut levels = std::collections::BTreeSet::new();
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect(line);
        let mut members: Vec<String> = line.as_object().unwrap().keys().cloned().collect();
        members.sort();
        assert_eq!(members, listed, "{line}");
        levels.insert(line["level"].as_str().unwrap().to_owned());
    }
    assert!(levels.len() >= 3, "{levels:?}");
}
