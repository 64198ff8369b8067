//! What the page shows: what came, what became of it, and never anything else than text.

use serde_json::json;

use super::{page_of, page_url};
use meditopia_testkit::c_host::Program;
use meditopia_testkit::host::{Host, Story, secs};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::sandbox::wire::Caller;

#[test]
fn what_a_program_in_c_delivers_is_shown_as_it_comes() {
    let api = Sandbox::builder().unknown_user("stranger").start();
    let browser = page_of(&api);
    let program = Program::of("delivers.c");
    let delivered = std::process::Command::new(program.path())
        .args(["ada", "stranger", "grace"])
        .env("MEDITOPIA_ENDPOINT", api.endpoint())
        .env("MEDITOPIA_BEARER_TOKEN", api.token())
        .status()
        .unwrap();
    assert!(delivered.success());

    let ledger = api.ledger();
    browser.until_shown("#count-events", "2");
    browser.until_shown("#count-requests", &ledger.requests.to_string());
    browser.until_shown("#count-refused", &ledger.refused.to_string());
    browser.until_shown("#note-refused", "A_1104");
    let feed = browser.text("#feed");
    assert!(feed.contains("User not found. (stranger)"), "{feed}");
    assert!(feed.contains("ada") && feed.contains("grace"), "{feed}");
    let rows = browser.value("document.querySelectorAll('.request').length");
    assert_eq!(rows, json!(ledger.requests));
}

#[test]
fn of_a_long_refused_request_the_page_shows_the_event_that_the_api_does_not_name() {
    let api = Sandbox::builder().unknown_user("u-70").start();
    let browser = page_of(&api);
    let mut caller = Caller::new(&api);
    let refused = caller.post(&api, &meditopia_testkit::sandbox::wire::numbered(100));
    assert!(!refused.body.contains("70"), "{}", refused.body);

    browser.until_shown(
        ".request.bad .why",
        "404 A_1104 User not found. (event 71: u-70)",
    );
    browser.until_shown(".event.culprit .user", "u-70");
    browser.until_shown(".request.bad .more", "and 97 more");
}

#[test]
fn an_answer_that_a_fault_spoiled_says_what_has_become_of_the_events() {
    let api = Sandbox::builder().unknown_user("bad").start();
    let browser = page_of(&api);
    let send = |when: &str, body: &str| {
        api.set_fault(json!({ "fault": "status", "status": 502, "when": when }));
        assert_eq!(Caller::new(&api).post(&api, body).status, 502);
    };
    let (good, bad) = (
        meditopia_testkit::sandbox::wire::events_of(["good"]),
        meditopia_testkit::sandbox::wire::events_of(["bad"]),
    );
    send("before", &good);
    browser.until_shown(
        ".request",
        "The API did not see the request; no event was accepted.",
    );
    send("after", &good);
    browser.until_shown(
        ".request",
        "The API accepted the events, but its answer was not sent.",
    );
    browser.until_shown(".request", "The same body for the second time.");
    send("after", &bad);
    browser.until_shown(
        ".request",
        "The API refused the request, but its answer was not sent.",
    );
    browser.until_shown("#note-faulted", "status × 3");
}

#[test]
fn whatever_an_event_or_a_path_contains_stays_text() {
    let hostile =
        r#"<img src=x onerror="document.title='broken'"><script>document.title='broken'</script>"#;
    let api = Sandbox::builder().unknown_user(hostile).start();
    let browser = page_of(&api);
    let host = Host::of(&api).open();
    host.enqueue(&meditopia::event::Fields {
        token: "token",
        partner_user_id: "plain",
        event: "video",
        event_value: Some(hostile),
        received_at: None,
    })
    .unwrap();
    host.enqueue_for(hostile, 1);
    host.flushed(secs(30));
    let mut caller = Caller::new(&api);
    caller.say("GET /%3Cb%3Ebold HTTP/1.1\r\nhost: localhost\r\n\r\n");
    caller.hear();
    api.set_fault(json!({ "fault": "status", "code": "<b>X</b>", "message": hostile, "status": 422, "containing": hostile }));
    api.set_unknown(
        json!([{ "prefix": "<u>p", "code": "<s>", "message": "<em>no</em>" }, hostile]),
    );
    Caller::new(&api).post(
        &api,
        &meditopia_testkit::sandbox::wire::events_of(["<u>p</u>"]),
    );

    browser.until_shown("#feed", "<em>no</em>");
    browser.until_shown("#feed", "/%3Cb%3Ebold");
    browser.until_shown("#feed", "<img src=x onerror=");
    browser.until_shown("#users", "<u>p");
    let made = browser.value("document.querySelectorAll('main img, main b, main i, main u, main s, main em, .columns script').length");
    assert_eq!(made, json!(0));
    assert_eq!(browser.value("document.title"), json!("Meditopia sandbox"));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn the_page_comes_back_by_itself_when_the_sandbox_does() {
    let api = Sandbox::start();
    let port = api.address().port();
    let browser = page_of(&api);
    Caller::new(&api).post(
        &api,
        &meditopia_testkit::sandbox::wire::events_of(["before"]),
    );
    browser.until_shown("#feed", "before");
    drop(api);
    browser.until_shown("#connection", "trying again every second");
    browser.until("document.querySelector('#controls').disabled");

    let again = Sandbox::builder().port(port).start();
    assert_eq!(page_url(&again), format!("http://127.0.0.1:{port}/"));
    browser.until_shown("#connection", "Live");
    browser.until("document.querySelectorAll('.request').length === 0");
    browser.until_shown("#count-requests", "0");
    Caller::new(&again).post(
        &again,
        &meditopia_testkit::sandbox::wire::events_of(["after"]),
    );
    browser.until_shown("#feed", "after");
    assert!(!browser.text("#feed").contains("before"));
}
