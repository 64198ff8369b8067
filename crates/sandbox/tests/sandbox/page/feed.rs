//! The page shows what arrived and what became of it, always as text.

use serde_json::json;

use super::{page_of, page_url};
use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::sandbox::raw_http::{RawConnection, events_json, numbered_events_json};
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;

#[test]
fn the_page_shows_what_a_program_in_c_delivers_as_it_arrives() {
    let api = Sandbox::builder().unknown_user("stranger").start();
    let browser = page_of(&api);
    let program = CProgram::compile("delivers.c");
    let delivered = std::process::Command::new(program.path())
        .args(["ada", "stranger", "grace"])
        .env("MEDITOPIA_ENDPOINT", api.endpoint())
        .env("MEDITOPIA_BEARER_TOKEN", api.token())
        .status()
        .unwrap();
    assert!(delivered.success());

    let ledger = api.ledger();
    browser.wait_for_text("#count-events", "2");
    browser.wait_for_text("#count-requests", &ledger.requests.to_string());
    browser.wait_for_text("#count-refused", &ledger.refused.to_string());
    browser.wait_for_text("#note-refused", "A_1104");
    let feed = browser.text("#feed");
    assert!(feed.contains("User not found. (stranger)"), "{feed}");
    assert!(feed.contains("ada") && feed.contains("grace"), "{feed}");
    let rows = browser.evaluate("document.querySelectorAll('.request').length");
    assert_eq!(rows, json!(ledger.requests));
}

#[test]
fn the_page_shows_which_event_of_a_long_request_was_refused_though_the_api_does_not_name_it() {
    let api = Sandbox::builder().unknown_user("u-70").start();
    let browser = page_of(&api);
    let mut connection = RawConnection::new(&api);
    let refused = connection.post(&api, &numbered_events_json(100));
    assert!(!refused.body.contains("70"), "{}", refused.body);

    browser.wait_for_text(
        ".request.bad .why",
        "404 A_1104 User not found. (event 71: u-70)",
    );
    browser.wait_for_text(".event.culprit .user", "u-70");
    browser.wait_for_text(".request.bad .more", "and 97 more");
}

#[test]
fn all_events_of_a_request_are_shown_when_it_is_opened_whatever_became_of_it() {
    let api = Sandbox::builder().unknown_user("u-70").start();
    let browser = page_of(&api);
    let hundred = numbered_events_json(100);
    let long = format!(
        r#"{{"events":[{{"token":"a-secret","partner_user_id":"ada","event":"video","event_value":"{}","received_at":"2026-03-02 09:14:05"}}]}}"#,
        "long-".repeat(100)
    );
    RawConnection::new(&api).post(&api, &hundred);
    api.set_unknown(json!([]));
    api.set_fault(json!({ "fault": "status", "status": 502, "when": "before" }));
    RawConnection::new(&api).post(&api, &hundred);
    api.clear_faults();
    RawConnection::new(&api).post(&api, &hundred);
    RawConnection::new(&api).post(&api, &long);

    // The newest is the first: text that was cut, then the accepted, the faulted and the refused one.
    browser.wait_until("document.querySelectorAll('.request').length === 4");
    for (place, events, hint) in [
        (1, 1, "and the whole text"),
        (2, 100, "and 98 more"),
        (3, 100, "and 98 more"),
        (4, 100, "and 97 more"),
    ] {
        let request = format!(".request:nth-child({place})");
        browser.wait_for_text(&format!("{request} .more"), hint);
        browser.click(&format!("{request} .more"));
        browser.wait_until(&format!(
            "document.querySelectorAll('{request} .event').length === {events}"
        ));
        let last = if events == 1 { "long-long-\"" } else { "u-99" };
        browser.wait_for_text(&format!("{request} .event:last-child"), last);
        browser.click(&format!("{request} .more"));
        browser.wait_for_text(&format!("{request} .more"), hint);
    }
    let whole = browser.evaluate("document.documentElement.outerHTML");
    assert!(!whole.as_str().unwrap().contains("a-secret"));
}

#[test]
fn a_request_whose_events_are_no_longer_kept_says_so_when_it_is_opened() {
    let api = Sandbox::builder().unknown_user("u-70").start();
    let browser = page_of(&api);
    let mut connection = RawConnection::new(&api);
    connection.post(&api, &numbered_events_json(100));
    browser.wait_for_text(".request", "and 97 more");
    browser.click("#pause");
    for _ in 0..200 {
        assert_eq!(connection.post(&api, "{}").status, 422);
    }
    browser.click(".request .more");
    browser.wait_for_text(".request", "the events of request 1 are no longer kept");
}

#[test]
fn identical_events_are_not_called_repeated_unless_their_request_was() {
    let api = Sandbox::start();
    let browser = page_of(&api);
    let mut connection = RawConnection::new(&api);
    let send = |connection: &mut RawConnection, users: &[&str]| {
        let body = events_json(users.iter().copied());
        assert_eq!(connection.post(&api, &body).status, 204);
    };
    send(&mut connection, &["ada"]);
    browser.wait_for_text("#note-events", "all different");
    // A user who does the same thing three times in a second, in a request that was sent once.
    send(&mut connection, &["ada", "ada", "ada"]);
    browser.wait_for_text(
        "#note-events",
        "3 identical to earlier ones, none in a repeated request",
    );
    browser.wait_for_text("#identical", "An event has no id");
    send(&mut connection, &["ada"]);
    browser.wait_for_text(
        "#note-events",
        "4 identical to earlier ones, 1 in repeated requests",
    );
}

#[test]
fn the_page_says_what_became_of_the_events_where_a_fault_replaced_the_answer() {
    let api = Sandbox::builder().unknown_user("bad").start();
    let browser = page_of(&api);
    let send = |when: &str, body: &str| {
        api.set_fault(json!({ "fault": "status", "status": 502, "when": when }));
        assert_eq!(RawConnection::new(&api).post(&api, body).status, 502);
    };
    let (good, bad) = (events_json(["good"]), events_json(["bad"]));
    send("before", &good);
    browser.wait_for_text(
        ".request",
        "The API did not see the request; no event was accepted.",
    );
    send("after", &good);
    browser.wait_for_text(
        ".request",
        "The API accepted the events, but its answer was not sent.",
    );
    browser.wait_for_text(".request", "The same body for the second time.");
    send("after", &bad);
    browser.wait_for_text(
        ".request",
        "The API refused the request, but its answer was not sent.",
    );
    browser.wait_for_text("#note-faulted", "status × 3");
}

#[test]
fn markup_in_an_event_or_a_path_stays_text_on_the_page() {
    let hostile =
        r#"<img src=x onerror="document.title='broken'"><script>document.title='broken'</script>"#;
    let api = Sandbox::builder().unknown_user(hostile).start();
    let browser = page_of(&api);
    let client = TestSpool::for_sandbox(&api).into_client();
    client
        .enqueue(&meditopia::Fields {
            token: "token",
            partner_user_id: "plain",
            event: "video",
            event_value: Some(hostile),
            received_at: None,
        })
        .unwrap();
    client.enqueue_for(hostile, 1);
    client.flush_ok(secs(30));
    let mut connection = RawConnection::new(&api);
    connection.send("GET /%3Cb%3Ebold HTTP/1.1\r\nhost: localhost\r\n\r\n");
    connection.read_response();
    api.set_fault(json!({ "fault": "status", "code": "<b>X</b>", "message": hostile, "status": 422, "containing": hostile }));
    api.set_unknown(
        json!([{ "prefix": "<u>p", "code": "<s>", "message": "<em>no</em>" }, hostile]),
    );
    RawConnection::new(&api).post(&api, &events_json(["<u>p</u>"]));

    browser.wait_for_text("#feed", "<em>no</em>");
    browser.wait_for_text("#feed", "/%3Cb%3Ebold");
    browser.wait_for_text("#feed", "<img src=x onerror=");
    browser.wait_for_text("#users", "<u>p");
    let made = browser.evaluate("document.querySelectorAll('main img, main b, main i, main u, main s, main em, .columns script').length");
    assert_eq!(made, json!(0));
    assert_eq!(
        browser.evaluate("document.title"),
        json!("Meditopia sandbox")
    );
    assert_eq!(browser.console_messages(), Vec::<String>::new());
}

#[test]
fn the_page_reconnects_by_itself_when_the_sandbox_is_back() {
    let api = Sandbox::start();
    let port = api.address().port();
    let browser = page_of(&api);
    RawConnection::new(&api).post(&api, &events_json(["before"]));
    browser.wait_for_text("#feed", "before");
    drop(api);
    browser.wait_for_text("#connection", "trying again every second");
    browser.wait_until("document.querySelector('#controls').disabled");

    let again = Sandbox::builder().port(port).start();
    assert_eq!(page_url(&again), format!("http://127.0.0.1:{port}/"));
    browser.wait_for_text("#connection", "Live");
    browser.wait_until("document.querySelectorAll('.request').length === 0");
    browser.wait_for_text("#count-requests", "0");
    RawConnection::new(&again).post(&again, &events_json(["after"]));
    browser.wait_for_text("#feed", "after");
    assert!(!browser.text("#feed").contains("before"));
}
