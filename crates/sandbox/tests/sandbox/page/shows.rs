//! What the page shows: what came, what became of it, and never anything else than text.

use serde_json::json;

use super::{page_of, page_url};
use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::sandbox::raw_http::RawConnection;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;

#[test]
fn what_a_program_in_c_delivers_is_shown_as_it_comes() {
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
fn of_a_long_refused_request_the_page_shows_the_event_that_the_api_does_not_name() {
    let api = Sandbox::builder().unknown_user("u-70").start();
    let browser = page_of(&api);
    let mut caller = RawConnection::new(&api);
    let refused = caller.post(
        &api,
        &meditopia_testkit::sandbox::raw_http::numbered_events_json(100),
    );
    assert!(!refused.body.contains("70"), "{}", refused.body);

    browser.wait_for_text(
        ".request.bad .why",
        "404 A_1104 User not found. (event 71: u-70)",
    );
    browser.wait_for_text(".event.culprit .user", "u-70");
    browser.wait_for_text(".request.bad .more", "and 97 more");
}

#[test]
fn an_answer_that_a_fault_spoiled_says_what_has_become_of_the_events() {
    let api = Sandbox::builder().unknown_user("bad").start();
    let browser = page_of(&api);
    let send = |when: &str, body: &str| {
        api.set_fault(json!({ "fault": "status", "status": 502, "when": when }));
        assert_eq!(RawConnection::new(&api).post(&api, body).status, 502);
    };
    let (good, bad) = (
        meditopia_testkit::sandbox::raw_http::events_json(["good"]),
        meditopia_testkit::sandbox::raw_http::events_json(["bad"]),
    );
    send("before", &good);
    browser.wait_for_text(".request", "The API did not see it; no event was accepted.");
    send("after", &good);
    browser.wait_for_text(
        ".request",
        "Its events are in, but the caller does not know.",
    );
    browser.wait_for_text(".request", "The same bytes for the second time.");
    send("after", &bad);
    browser.wait_for_text(".request", "The caller was not told so.");
    browser.wait_for_text("#note-spoiled", "status × 3");
}

#[test]
fn whatever_an_event_or_a_path_contains_stays_text() {
    let hostile =
        r#"<img src=x onerror="document.title='broken'"><script>document.title='broken'</script>"#;
    let api = Sandbox::builder().unknown_user(hostile).start();
    let browser = page_of(&api);
    let host = TestSpool::for_sandbox(&api).into_client();
    host.enqueue(&meditopia::event::Fields {
        token: "token",
        partner_user_id: "plain",
        event: "video",
        event_value: Some(hostile),
        received_at: None,
    })
    .unwrap();
    host.enqueue_for(hostile, 1);
    host.flush_ok(secs(30));
    let mut caller = RawConnection::new(&api);
    caller.send("GET /%3Cb%3Ebold HTTP/1.1\r\nhost: localhost\r\n\r\n");
    caller.read_response();
    api.set_fault(json!({ "fault": "status", "code": "<b>X</b>", "message": hostile, "status": 422, "containing": hostile }));
    api.set_unknown(
        json!([{ "prefix": "<u>p", "code": "<s>", "message": "<em>no</em>" }, hostile]),
    );
    RawConnection::new(&api).post(
        &api,
        &meditopia_testkit::sandbox::raw_http::events_json(["<u>p</u>"]),
    );

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
fn the_page_comes_back_by_itself_when_the_sandbox_does() {
    let api = Sandbox::start();
    let port = api.address().port();
    let browser = page_of(&api);
    RawConnection::new(&api).post(
        &api,
        &meditopia_testkit::sandbox::raw_http::events_json(["before"]),
    );
    browser.wait_for_text("#feed", "before");
    drop(api);
    browser.wait_for_text("#connection", "trying again every second");
    browser.wait_until("document.querySelector('#controls').disabled");

    let again = Sandbox::builder().port(port).start();
    assert_eq!(page_url(&again), format!("http://127.0.0.1:{port}/"));
    browser.wait_for_text("#connection", "Live");
    browser.wait_until("document.querySelectorAll('.request').length === 0");
    browser.wait_for_text("#count-requests", "0");
    RawConnection::new(&again).post(
        &again,
        &meditopia_testkit::sandbox::raw_http::events_json(["after"]),
    );
    browser.wait_for_text("#feed", "after");
    assert!(!browser.text("#feed").contains("before"));
}
