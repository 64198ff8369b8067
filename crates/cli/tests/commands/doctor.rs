//! `meditopia doctor`: each thing that can stand between a spool and the API is found and named, nothing
//! is sent that counts, and the token is never shown.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::{secs, wait_until};
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};

const TOKEN: &str = "s3cret-t0ken";
const OK: i32 = 0;
const WARNINGS: i32 = 1;
const FAILURES: i32 = 2;

/// A spool in its directory, and what the environment says beside.
struct Patient {
    host: TestSpool,
    variables: Vec<(String, String)>,
}

impl Patient {
    fn at(endpoint: &str, token: &str) -> Self {
        let host = TestSpool::for_endpoint(endpoint);
        host.client();
        let patient = Self {
            host,
            variables: Vec::new(),
        };
        patient.with("MEDITOPIA_BEARER_TOKEN", token)
    }

    fn of(api: &Sandbox) -> Self {
        Self::at(api.endpoint(), api.token())
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meditopia"));
        command.arg("doctor").args(arguments);
        command.arg("--spool").arg(self.host.path());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// What it says line by line, having ended so.
    #[track_caller]
    fn told(&self, status: i32, arguments: &[&str]) -> Vec<String> {
        told(status, &mut self.command(arguments))
    }
}

#[track_caller]
fn told(status: i32, command: &mut Command) -> Vec<String> {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{text}{errors}");
    for secret in [TOKEN, "sandbox-token", "pa55word"] {
        assert!(
            !text.contains(secret) && !errors.contains(secret),
            "{text}{errors}"
        );
    }
    text.lines().map(str::to_owned).collect()
}

#[track_caller]
fn assert_says(lines: &[String], beginning: &str, part: &str) {
    let found = lines
        .iter()
        .any(|line| line.starts_with(beginning) && line.contains(part));
    assert!(found, "no line {beginning}...{part}... in {lines:#?}");
}

/// A server that sends `answer` to each request.
fn server(answer: String) -> SocketAddr {
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

/// Reads a head, and the body that it announces.
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

fn dead_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

#[test]
fn all_is_well_with_a_good_spool_token_and_api_and_no_event_is_sent() {
    let api = Sandbox::start();
    let patient = Patient::of(&api);
    patient.host.client().enqueue_users(0..3);

    let lines = patient.told(OK, &[]);

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
        assert_says(&lines, &format!("ok    {what}: "), "");
    }
    assert_says(&lines, "ok    API", "A_1102");
    let ledger = api.ledger();
    assert_eq!((ledger.requests, ledger.accepted_events), (1, 0));
    assert_eq!(patient.host.client().stats().unwrap().pending, 3);

    let lines = patient.told(OK, &["--json"]);
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
fn an_event_is_sent_only_when_asked_for_and_with_its_user() {
    let api = Sandbox::builder().unknown_user("nobody").start();
    let patient = Patient::of(&api);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "user-token\n").unwrap();
    let file = file.path().to_str().unwrap();

    let lines = patient.told(OK, &["--send-event", "somebody", "--user-token-file", file]);
    assert_says(&lines, "ok    API", "it took the event, which counts");
    let lines = patient.told(
        FAILURES,
        &["--send-event", "nobody", "--user-token-file", file],
    );
    assert_says(&lines, "FAIL  API", "A_1104");

    let events = api.events();
    assert_eq!(events.len(), 1);
    assert_eq!(
        (&*events[0].fields.partner_user_id, &*events[0].fields.token),
        ("somebody", "user-token")
    );
}

#[test]
fn a_wrong_token_a_missing_one_and_a_refused_address_are_told_apart() {
    let api = Sandbox::start();
    let lines = Patient::at(api.endpoint(), TOKEN).told(FAILURES, &[]);
    assert_says(&lines, "FAIL  API", "refuses the bearer token (A_1002");

    let lines = Patient::at(api.endpoint(), "").told(FAILURES, &[]);
    assert_says(&lines, "FAIL  bearer token", "there is none");
    assert_says(&lines, "FAIL  API", "asks for a token");

    api.refuse_address();
    let lines = Patient::of(&api).told(FAILURES, &[]);
    assert_says(&lines, "FAIL  API", "refuses this host's address (A_1004");
}

#[test]
fn the_shape_and_the_rights_of_a_token_file_are_told_and_never_the_token() {
    let api = Sandbox::start();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    let patient = Patient::of(&api).with("MEDITOPIA_BEARER_TOKEN_FILE", file.to_str().unwrap());
    for (text, why) in [
        (String::new(), "is empty"),
        (format!("{TOKEN} {TOKEN}"), "not visible ASCII"),
        (format!("{TOKEN}\n{TOKEN}\n"), "not visible ASCII"),
        (format!("{TOKEN}\u{e9}"), "not visible ASCII"),
        (format!("Bearer {TOKEN}"), "the word Bearer"),
    ] {
        fs::write(&file, text).unwrap();
        let lines = patient.told(FAILURES, &[]);
        assert_says(&lines, "FAIL  bearer token", why);
    }
    fs::write(&file, format!("{}\n", api.token())).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let lines = patient.told(WARNINGS, &[]);
    assert_says(&lines, "warn  token file rights", "mode 0644");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    patient.told(OK, &[]);
}

#[test]
fn a_dead_port_a_wrong_name_and_a_login_page_are_told() {
    let lines = Patient::at(&format!("http://{}/events", dead_port()), TOKEN).told(FAILURES, &[]);
    assert_says(&lines, "FAIL  connection", "connection refused");

    let lines = Patient::at("https://no-such-host.invalid/events", TOKEN).told(FAILURES, &[]);
    assert_says(&lines, "FAIL  name", "no-such-host.invalid");

    let page = server("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_owned());
    let lines = Patient::at(&format!("http://{page}/events"), TOKEN).told(FAILURES, &[]);
    assert_says(
        &lines,
        "FAIL  API",
        "does not look like the Partners API: HTTP 200 without",
    );
}

#[test]
fn a_proxy_that_refuses_is_named_without_its_password() {
    let proxy = server("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_owned());
    let patient = Patient::at("https://partners.example/events", TOKEN)
        .with("MEDITOPIA_PROXY", &format!("http://me:pa55word@{proxy}"));
    let lines = patient.told(FAILURES, &[]);
    assert_says(&lines, "ok    connection", "proxy");
    assert_says(&lines, "FAIL  proxy", "HTTP 403");

    let patient = Patient::at("https://partners.example/events", TOKEN)
        .with("MEDITOPIA_PROXY", &format!("http://{}", dead_port()));
    assert_says(&patient.told(FAILURES, &[]), "FAIL  connection", "proxy");
}

#[test]
fn a_certificate_of_an_unknown_authority_is_told_with_its_issuer() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec![]).unwrap();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "Corporate Middlebox");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer = rcgen::Issuer::new(params.clone(), &key);
    let authority = params.self_signed(&key).unwrap();
    let own_key = rcgen::KeyPair::generate().unwrap();
    let own = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = own.signed_by(&own_key, &issuer).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(
        vec![certificate.der().clone()],
        PrivateKeyDer::try_from(own_key.serialize_der()).unwrap(),
    )
    .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            // The client may leave when it has seen the certificate.
            if connection.complete_io(&mut stream).is_err() {
                continue;
            }
            let mut tls = rustls::Stream::new(&mut connection, &mut stream);
            let mut request = [0; 4096];
            if tls.read(&mut request).is_ok_and(|read| read > 0) {
                let _ = tls.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
            }
        }
    });

    let patient = Patient::at(&format!("https://localhost:{port}/events"), TOKEN);
    let lines = patient.told(FAILURES, &[]);
    assert_says(&lines, "ok    certificate", "signed by Corporate Middlebox");
    assert_says(&lines, "FAIL  TLS", "unknown issuer");

    let bundle = tempfile::NamedTempFile::new().unwrap();
    fs::write(bundle.path(), authority.pem()).unwrap();
    let patient = patient.with("MEDITOPIA_CA_FILE", bundle.path().to_str().unwrap());
    let lines = patient.told(WARNINGS, &[]);
    assert_says(&lines, "ok    TLS", "trusted");
    assert_says(&lines, "warn  clock", "no date");
}

#[test]
fn a_clock_that_is_off_is_told_by_how_much() {
    let refusing = |ahead: jiff::SignedDuration| {
        let date = (jiff::Timestamp::now() + ahead).strftime("%a, %d %b %Y %H:%M:%S GMT");
        let body = r#"{"success":false,"errors":[{"code":"A_1102","message":"no"}]}"#;
        let length = body.len();
        let at = server(format!(
            "HTTP/1.1 422 No\r\nDate: {date}\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        Patient::at(&format!("http://{at}/events"), TOKEN)
    };
    let lines = refusing(jiff::SignedDuration::from_hours(2)).told(FAILURES, &[]);
    assert_says(&lines, "FAIL  clock", "behind the API");
    let lines = refusing(jiff::SignedDuration::from_secs(-100)).told(WARNINGS, &[]);
    assert_says(&lines, "warn  clock", "ahead of the API");
    refusing(jiff::SignedDuration::ZERO).told(OK, &[]);
}

#[test]
fn a_spool_that_others_may_write_to_that_is_read_only_or_of_another_endpoint_is_told() {
    let api = Sandbox::start();
    let patient = Patient::of(&api);
    let spool = patient.host.path();
    fs::set_permissions(&spool, Permissions::from_mode(0o770)).unwrap();
    let lines = patient.told(FAILURES, &[]);
    assert_says(&lines, "FAIL  spool rights", "mode 0770");
    fs::set_permissions(&spool, Permissions::from_mode(0o700)).unwrap();

    let lines = told(FAILURES, &mut read_only(&patient.command(&[]), &spool));
    assert_says(&lines, "FAIL  spool writable", "no file can be made");

    let elsewhere =
        Patient::of(&api).with("MEDITOPIA_ENDPOINT", "https://elsewhere.example/events");
    assert_says(
        &elsewhere.told(FAILURES, &[]),
        "FAIL  spool identity",
        "elsewhere.example",
    );
}

/// The same command where `dir` cannot be written to: for root that takes a mount of its own.
fn read_only(command: &Command, dir: &Path) -> Command {
    let script = r#"mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@""#;
    let mut wrapped = Command::new("unshare");
    wrapped.args(["--mount", "sh", "-c", script]).arg(dir);
    wrapped.arg(command.get_program()).args(command.get_args());
    wrapped.envs(
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    wrapped
}

#[test]
fn a_hold_and_any_other_pause_are_failures_with_what_ends_them() {
    let api = Sandbox::start();
    let patient = Patient::of(&api);
    let client = patient.host.client();
    client.enqueue_users(0..3);
    client.hold().unwrap();
    let lines = patient.told(FAILURES, &[]);
    assert_says(
        &lines,
        "FAIL  delivery: paused: hold, since ",
        "3 events wait",
    );
    assert_says(&lines, "FAIL  delivery", "meditopia resume ");
    client.resume().unwrap();
    patient.told(OK, &[]);

    api.refuse_address();
    let sending = TestSpool::for_sandbox(&api).with("spool", patient.host.path().to_str().unwrap());
    sending.client().flush(secs(10)).1.unwrap_err();
    api.allow_address();
    let lines = patient.told(FAILURES, &[]);
    assert_says(
        &lines,
        "FAIL  delivery: paused: ip, since ",
        "next probe in ",
    );
    assert_says(&lines, "ok    API", "");
}

#[test]
fn a_damaged_store_is_a_failure_and_is_left_as_it_is() {
    let api = Sandbox::start();
    let patient = Patient::of(&api);
    let spool = patient.host.path();
    let damaged = vec![7; 8192];
    fs::write(spool.join("store.db"), &damaged).unwrap();
    let lines = patient.told(FAILURES, &[]);
    assert_says(&lines, "FAIL  delivery: paused: store_damaged", "damaged");
    assert_says(&lines, "FAIL  delivery", "meditopia recover ");
    assert_eq!(fs::read(spool.join("store.db")).unwrap(), damaged);
}

#[test]
fn a_sender_that_waits_for_a_retry_is_a_warning_and_is_not_disturbed() {
    let api = Sandbox::start();
    api.set_fault(json!({ "fault": "status", "status": 429, "retry_after": 60, "count": 1 }));
    let patient = Patient::of(&api);
    let sending = TestSpool::for_sandbox(&api)
        .with("spool", patient.host.path().to_str().unwrap())
        .with("role", "both")
        .with("flush_interval_ms", "20");
    let client = sending.client();
    client.enqueue_users(0..3);
    wait_until("the API's asking to wait", || {
        client.retry().unwrap().is_some()
    });

    let lines = patient.told(WARNINGS, &[]);

    assert_says(
        &lines,
        "warn  delivery: waiting for a retry",
        "next try in ",
    );
    client.resume().unwrap();
    api.wait_for_events(3);
    let lines = patient.told(OK, &[]);
    assert_says(&lines, "ok    delivery", "");
}

#[test]
fn a_wrong_configuration_is_a_finding_too() {
    let api = Sandbox::start();
    let patient = Patient::of(&api).with("MEDITOPIA_LANES", "17");
    let lines = patient.told(FAILURES, &[]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_says(&lines, "FAIL  configuration", "MEDITOPIA_LANES");
}
