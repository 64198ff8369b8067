//! `meditopia doctor`: it finds and names everything that can stop delivery, sends nothing that
//! counts, and never shows the token.

mod api;
mod network;
mod spool;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use meditopia_testkit::meditopia;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use serde_json::Value;

use crate::cli::{stderr, stdout};

const TOKEN: &str = "s3cret-t0ken";
const OK: i32 = 0;
const WARNINGS: i32 = 1;
const FAILURES: i32 = 2;

/// A spool, and the environment of `doctor`.
struct Fixture {
    spool: TestSpool,
    variables: Vec<(String, String)>,
}

impl Fixture {
    /// A spool with the endpoint and the token of `api`.
    fn new(api: &Sandbox) -> Self {
        Self::at(api.endpoint(), api.token())
    }

    fn at(endpoint: &str, token: &str) -> Self {
        let spool = TestSpool::for_endpoint(endpoint);
        spool.client();
        let fixture = Self {
            spool,
            variables: Vec::new(),
        };
        fixture.with("MEDITOPIA_BEARER_TOKEN", token)
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = meditopia();
        command.arg("doctor").args(arguments);
        command.arg("--spool").arg(self.spool.path());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs `doctor`, which has to end with `status`; returns its lines.
    #[track_caller]
    fn findings(&self, status: i32, arguments: &[&str]) -> Vec<String> {
        findings_of(status, &mut self.command(arguments))
    }
}

#[track_caller]
fn findings_of(status: i32, command: &mut Command) -> Vec<String> {
    let output = command.output().unwrap();
    let (text, errors) = (stdout(&output), stderr(&output));
    assert_eq!(output.status.code(), Some(status), "{text}{errors}");
    for secret in [TOKEN, "sandbox-token", "pa55word"] {
        assert!(
            !text.contains(secret) && !errors.contains(secret),
            "{text}{errors}"
        );
    }
    text.lines().map(str::to_owned).collect()
}

/// Asserts that a line begins with `beginning` and contains `part`.
#[track_caller]
fn assert_finding(lines: &[String], beginning: &str, part: &str) {
    let found = lines
        .iter()
        .any(|line| line.starts_with(beginning) && line.contains(part));
    assert!(found, "no line {beginning}...{part}... in {lines:#?}");
}

/// Starts a server that gives the same answer to each request.
fn start_server(answer: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            if read_request(&mut stream) {
                let _ = stream.write_all(answer.as_bytes());
            }
        }
    });
    address
}

/// Reads the head of a request, and the body whose length it declares.
fn read_request(stream: &mut TcpStream) -> bool {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => text.push(byte[0]),
            _ => return false,
        }
    }
    let head = String::from_utf8_lossy(&text).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length = length.map_or(0, |length| length.trim().parse().unwrap());
    stream.read_exact(&mut vec![0; length]).is_ok()
}

#[test]
fn doctor_finds_all_well_with_a_good_spool_token_and_api_and_sends_no_event() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    fixture.spool.client().enqueue_users(0..3);

    let lines = fixture.findings(OK, &[]);

    for what in [
        "configuration",
        "spool rights",
        "spool writable",
        "spool identity",
        "disk",
        "delivery",
        "bearer token",
        "name",
        "connection",
        "API",
        "clock",
    ] {
        assert_finding(&lines, &format!("ok    {what}: "), "");
    }
    assert_finding(&lines, "ok    API", "A_1102");
    let ledger = api.ledger();
    assert_eq!((ledger.requests, ledger.accepted_events), (1, 0));
    assert_eq!(fixture.spool.client().stats().unwrap().pending, 3);

    let lines = fixture.findings(OK, &["--json"]);
    let states: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(
        states
            .iter()
            .all(|one| one["state"] == "ok" && one["finding"].is_string())
    );
}

#[test]
fn doctor_reports_a_wrong_configuration_as_a_finding() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api).with("MEDITOPIA_LANES", "17");
    let lines = fixture.findings(FAILURES, &[]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_finding(&lines, "FAIL  configuration", "MEDITOPIA_LANES");
}
