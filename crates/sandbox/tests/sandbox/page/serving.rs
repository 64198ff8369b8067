//! How the sandbox serves the page: where, with which policy, and without changing the API.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::page_of;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::sandbox::raw_http::{RawConnection, RawResponse};

fn request(api: &Sandbox, line: &str) -> RawResponse {
    let mut connection = RawConnection::new(api);
    connection.send(&format!("{line} HTTP/1.1\r\nhost: localhost\r\n\r\n"));
    connection.read_response()
}

#[test]
fn the_page_allows_only_its_own_files_and_contains_no_token() {
    let api = Sandbox::builder().token("a-secret-token").start();
    for path in ["/", "/sandbox/page.css", "/sandbox/page.js"] {
        let file = request(&api, &format!("GET {path}"));
        assert_eq!(file.status, 200, "{path}");
        for header in [
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self';",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "x-content-type-options: nosniff",
            "cache-control: no-store",
        ] {
            assert!(file.head.contains(header), "{path}: {}", file.head);
        }
        assert!(!file.body.contains("a-secret-token"));
        for foreign in ["https://", "//cdn", "@import", "innerHTML"] {
            assert!(!file.body.contains(foreign), "{path} has {foreign}");
        }
    }
}

#[test]
fn opening_the_page_is_not_recorded_as_a_request_and_any_other_path_is() {
    let api = Sandbox::start();
    assert_eq!(request(&api, "GET /").status, 200);
    assert_eq!(api.ledger().requests, 0);
    for what in [
        "POST /",
        "GET /index.html",
        "GET /default/v1/events",
        "PUT /",
    ] {
        assert_eq!(request(&api, what).status, 404, "{what}");
    }
    assert_eq!(api.ledger().outcome("not_found"), 4);
    assert_eq!(request(&api, "GET /sandbox/page").status, 404);
    assert_eq!(api.ledger().requests, 4);
}

#[test]
fn a_web_page_of_another_site_may_not_use_the_control_api() {
    let api = Sandbox::start();
    for origin in ["https://site.example", "http://localhost:1", "null"] {
        let asked = format!(
            "POST /sandbox/stop HTTP/1.1\r\nhost: localhost\r\norigin: {origin}\r\ncontent-length: 0"
        );
        let mut connection = RawConnection::new(&api);
        connection.send(&format!("{asked}\r\n\r\n"));
        let answer = connection.read_response();
        assert_eq!(answer.status, 403, "{origin}");
        assert!(answer.body.contains(origin), "{}", answer.body);
    }
    let own =
        "DELETE /sandbox/ledger HTTP/1.1\r\nhost: localhost\r\norigin: http://localhost\r\n\r\n";
    let mut connection = RawConnection::new(&api);
    connection.send(own);
    assert_eq!(connection.read_response().status, 204);
}

#[test]
fn a_browser_that_opens_the_page_requests_only_files_of_the_page() {
    let api = Sandbox::start();
    let browser = page_of(&api);
    assert_eq!(browser.console_messages(), Vec::<String>::new());
    let asked =
        browser.evaluate("performance.getEntriesByType('resource').map(({ name }) => name)");
    for url in asked.as_array().unwrap() {
        let url = url.as_str().unwrap();
        let own = url.starts_with("data:")
            || url.starts_with(&format!("http://{}/sandbox/", api.address()));
        assert!(own, "{url}");
    }
    assert_eq!(api.ledger().requests, 0, "{:?}", api.requests());
}

/// The commands that an empty page shows, run by a shell as a developer would.
#[test]
fn the_commands_that_an_empty_page_shows_deliver_an_event() {
    let api = Sandbox::builder().token("it's-a-secret").start();
    let browser = page_of(&api);
    assert!(browser.text("main").contains("No request has arrived yet"));
    assert!(browser.text("#variable-endpoint") == api.endpoint());
    let lines = ["#line-environment", "#line-curl"].map(|line| browser.text(line));
    assert!(!browser.text("body").contains("secret"));

    let ran = Command::new("sh")
        .args(["-ec", &lines.join("\n")])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&ran.stdout);
    assert!(output.starts_with("HTTP/1.1 204"), "{ran:?}");

    browser.wait_for_text("#feed", "user-1");
    browser.wait_until("!document.querySelector('#start').open");
    assert_eq!(api.events()[0].fields.event_value, Value::Null);
}
