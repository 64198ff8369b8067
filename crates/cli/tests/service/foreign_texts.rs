//! Texts of the API and of users, on their way to the log and to a terminal: without the bearer token, and with
//! nothing in them that cannot be seen.

use std::fs;
use std::path::Path;

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::service::ConfiguredSpool;
use meditopia_testkit::spool::ClientExt;
use meditopia_testkit::wait::wait_until;
use serde_json::json;

const TOKEN: &str = "/s3cr3t-t0k3n+of/the=shop";
/// How [`TOKEN`] looks in base64, in hex, and in a URL.
const ENCODED: [&str; 3] = [
    "L3MzY3IzdC10MGszbitvZi90aGU9c2hvc",
    "2f7333637233742d74306b336e2b6f662f7468653d73686f70",
    "%2fs3cr3t-t0k3n%2bof%2fthe%3dshop",
];
const HIDDEN: [char; 6] = [
    '\u{202e}', '\u{2066}', '\u{2028}', '\u{200b}', '\u{1b}', '\u{feff}',
];

/// An error of the API, as `status`, that repeats the token in every way and holds what cannot be seen.
fn repeating(status: u16, code: &str) -> serde_json::Value {
    let hidden: String = HIDDEN.iter().collect();
    let encoded = ENCODED.join(" ");
    let message = format!("Bearer {TOKEN} {encoded} {hidden}[31m");
    let body = json!({"success": false, "errors": [{"code": format!("{code}{TOKEN}"), "message": message}]});
    let body = body.to_string().replace('/', "\\/");
    json!({"fault": "status", "status": status, "body": body, "content_type": "application/json"})
}

#[track_caller]
fn check(what: &str, text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    let folded = text.to_ascii_lowercase();
    for secret in ENCODED.iter().chain([&TOKEN]) {
        assert!(
            !folded.contains(&secret.to_ascii_lowercase()),
            "{what}: {text}"
        );
        let json = secret.to_ascii_lowercase().replace('/', "\\/");
        assert!(!folded.contains(&json), "{what}: {text}");
    }
    for hidden in HIDDEN {
        assert!(!text.contains(hidden), "{what}: {hidden:?} in {text:?}");
    }
}

fn check_files(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            check_files(&entry.path());
        } else if entry.file_type().unwrap().is_file() {
            let text = fs::read(entry.path()).unwrap();
            let folded = String::from_utf8_lossy(&text).to_ascii_lowercase();
            for secret in ENCODED.iter().chain([&TOKEN]) {
                assert!(!folded.contains(&secret.to_ascii_lowercase()), "{entry:?}");
            }
        }
    }
}

#[test]
fn texts_of_the_api_reach_no_file_log_or_list_with_the_token_or_with_what_cannot_be_seen() {
    let api = Sandbox::builder().token(TOKEN).start();
    let spool = ConfiguredSpool::new(api.endpoint(), TOKEN);
    spool.configure(&format!(
        "flush_interval_ms = 20\nlog_level = \"debug\"\nbearer_token_file = {:?}",
        spool.token_file()
    ));
    let mut service = spool.start_service(&[]);
    service.wait_for_log("elected");
    let user = format!("u-{}x", HIDDEN.iter().collect::<String>());
    spool.client().enqueue_for(&user, 1);
    api.wait_for_events(1);

    api.set_fault(repeating(422, "U_404"));
    spool.client().enqueue_for(&user, 2);
    wait_until("the event is rejected", || {
        spool.client().rejected_rows().len() == 1
    });
    api.set_fault(repeating(418, "I_1"));
    spool.client().enqueue_for(&user, 3);
    service.wait_for_answer("/readyz", 503, "paused (misrouted)");

    let row = &spool.client().rejected_rows()[0];
    assert_eq!(row.api_code, "U_404***");
    assert!(
        row.message.starts_with("Bearer *** *** *** *** \\u{202e}"),
        "{}",
        row.message
    );
    check("message", row.message.as_bytes());
    for (name, arguments) in [
        ("status", &[][..]),
        ("status", &["--json"]),
        ("status", &["--check"]),
        ("rejected", &["list"]),
        ("rejected", &["list", "--json"]),
        ("rejected", &["export"]),
        ("pending", &["list"]),
        ("pending", &["list", "--json"]),
        ("in-doubt", &["list"]),
        ("receipts", &["list"]),
        ("receipts", &["list", "--json"]),
        ("find", &["--user", user.as_str()]),
        ("find", &["--json", "--user", user.as_str()]),
        ("flush", &["--timeout", "1"]),
        ("doctor", &[]),
        ("doctor", &["--json"]),
    ] {
        let mut command = spool.command(name, &[]);
        if matches!(name, "rejected" | "pending" | "in-doubt" | "receipts") {
            // The subcommand precedes the options.
            command = std::process::Command::new(meditopia_testkit::meditopia_command());
            command
                .arg(name)
                .arg(arguments[0])
                .arg("--config")
                .arg(spool.path("config.toml"));
            command.args(&arguments[1..]).env_clear();
        } else {
            command.args(arguments);
        }
        let output = command.output().unwrap();
        let what = format!("{name} {arguments:?}");
        let text = [output.stdout, output.stderr].concat();
        assert!(
            !text.is_empty() && !String::from_utf8_lossy(&text).contains("Usage:"),
            "{what}: {}",
            String::from_utf8_lossy(&text)
        );
        check(&what, &text);
        if arguments.contains(&"--json") {
            for line in String::from_utf8(text).unwrap().lines() {
                serde_json::from_str::<serde_json::Value>(line).expect(&what);
            }
        }
    }
    service.terminate();
    check("log", service.log().as_bytes());
    check_files(&spool.spool());
}
