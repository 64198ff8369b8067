//! The page beside the API: where it is, with which policy, and that the rest stays what it was.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::page_of;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::sandbox::raw_http::{RawConnection, RawResponse};

fn ask(api: &Sandbox, what: &str) -> RawResponse {
    let mut caller = RawConnection::new(api);
    caller.send(&format!("{what} HTTP/1.1\r\nhost: localhost\r\n\r\n"));
    caller.read_response()
}

#[test]
fn the_page_forbids_everything_that_is_not_its_own_and_tells_no_token() {
    let api = Sandbox::builder().token("a-secret-token").start();
    for path in ["/", "/sandbox/page.css", "/sandbox/page.js"] {
        let file = ask(&api, &format!("GET {path}"));
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
fn a_page_that_is_looked_at_is_no_request_to_the_api_and_every_other_path_is() {
    let api = Sandbox::start();
    assert_eq!(ask(&api, "GET /").status, 200);
    assert_eq!(api.ledger().requests, 0);
    for what in [
        "POST /",
        "GET /index.html",
        "GET /default/v1/events",
        "PUT /",
    ] {
        assert_eq!(ask(&api, what).status, 404, "{what}");
    }
    assert_eq!(api.ledger().outcome("not_found"), 4);
    assert_eq!(ask(&api, "GET /sandbox/page").status, 404);
    assert_eq!(api.ledger().requests, 4);
}

#[test]
fn a_page_of_another_site_may_not_act_on_the_sandbox() {
    let api = Sandbox::start();
    for origin in ["https://site.example", "http://localhost:1", "null"] {
        let asked = format!(
            "POST /sandbox/stop HTTP/1.1\r\nhost: localhost\r\norigin: {origin}\r\ncontent-length: 0"
        );
        let mut caller = RawConnection::new(&api);
        caller.send(&format!("{asked}\r\n\r\n"));
        let heard = caller.read_response();
        assert_eq!(heard.status, 403, "{origin}");
        assert!(heard.body.contains(origin), "{}", heard.body);
    }
    let own =
        "DELETE /sandbox/ledger HTTP/1.1\r\nhost: localhost\r\norigin: http://localhost\r\n\r\n";
    let mut caller = RawConnection::new(&api);
    caller.send(own);
    assert_eq!(caller.read_response().status, 204);
}

#[test]
fn a_browser_that_opens_the_page_asks_for_nothing_else() {
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
fn the_lines_that_an_empty_page_shows_deliver_an_event() {
    let api = Sandbox::builder().token("it's-a-secret").start();
    let browser = page_of(&api);
    assert!(browser.text("main").contains("Nothing has come yet"));
    assert!(browser.text("#variable-endpoint") == api.endpoint());
    let lines = ["#line-environment", "#line-curl"].map(|line| browser.text(line));
    assert!(!browser.text("body").contains("secret"));

    let ran = Command::new("sh")
        .args(["-ec", &lines.join("\n")])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(said.starts_with("HTTP/1.1 204"), "{ran:?}");

    browser.wait_for_text("#feed", "user-1");
    browser.wait_until("!document.querySelector('#start').open");
    assert_eq!(api.events()[0].fields.event_value, Value::Null);
}
