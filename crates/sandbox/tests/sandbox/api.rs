//! The sandbox judges requests by the API's rules.

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::sandbox::raw_http::{
    RawConnection, event_json, events_json, numbered_events_json, request_text_with,
};
use serde_json::json;

#[test]
fn a_good_request_is_answered_204_without_a_body_and_its_events_are_listed_in_order() {
    let sandbox = Sandbox::start();
    let mut connection = RawConnection::new(&sandbox);

    let first = connection.post(&sandbox, &numbered_events_json(100));
    assert_eq!((first.status, first.body.as_str()), (204, ""));
    assert!(!first.head.contains("content-type"), "{}", first.head);
    connection.post(&sandbox, &events_json(["x"]));

    let events = sandbox.events();
    let users: Vec<&str> = events
        .iter()
        .map(|event| event.fields.partner_user_id.as_str())
        .collect();
    let expected: Vec<String> = (0..100)
        .map(|number| format!("u-{number}"))
        .chain(["x".to_owned()])
        .collect();
    assert_eq!(users, expected);
    assert!(events.iter().map(|event| event.sequence).eq(1..=101));
    assert_eq!((events[99].request, events[100].request), (1, 2));
    assert_eq!(events[100].text, event_json("x"));
}

#[test]
fn the_bearer_token_is_checked_before_everything_else() {
    let sandbox = Sandbox::builder().token("good").start();
    sandbox.refuse_address();
    let mut connection = RawConnection::new(&sandbox);
    let mut ask = |headers: &str| {
        connection.send(&request_text_with(headers, "not JSON"));
        connection.read_response().refusal()
    };

    assert_eq!(ask(""), (401, "A_1000".into()));
    for malformed in [
        "good",
        "Bearer",
        "Bearer ",
        "Basic good",
        "Bearer good more",
    ] {
        assert_eq!(
            ask(&format!("authorization: {malformed}\r\n")),
            (401, "A_1001".into()),
            "{malformed}"
        );
    }
    assert_eq!(ask("authorization: Bearer bad\r\n"), (401, "A_1002".into()));
    assert_eq!(
        ask("authorization: Bearer good\r\n"),
        (401, "A_1004".into())
    );
    sandbox.allow_address();
    assert_eq!(
        ask("authorization: Bearer good\r\n"),
        (422, "A_1100".into())
    );
    assert_eq!(
        ask("authorization: bearer good\r\ncontent-type: application/json\r\n"),
        (422, "A_1101".into())
    );
}

#[test]
fn the_sandbox_refuses_requests_with_0_or_101_events() {
    let sandbox = Sandbox::start();
    let mut connection = RawConnection::new(&sandbox);
    assert_eq!(
        connection
            .post(&sandbox, &numbered_events_json(0))
            .refusal(),
        (422, "A_1102".into())
    );
    assert_eq!(
        connection
            .post(&sandbox, &numbered_events_json(101))
            .refusal(),
        (422, "A_1102".into())
    );
    assert_eq!(
        connection.post(&sandbox, &numbered_events_json(100)).status,
        204
    );
    assert_eq!(sandbox.ledger().accepted_events, 100);
}

#[test]
fn one_bad_event_gets_the_whole_request_refused_and_is_not_named() {
    let sandbox = Sandbox::builder().unknown_user("u-17").start();
    let mut connection = RawConnection::new(&sandbox);

    let unknown = connection.post(&sandbox, &numbered_events_json(100));
    assert_eq!(unknown.refusal(), (404, "A_1104".into()));
    assert!(!unknown.body.contains("17"), "{}", unknown.body);

    let invalid = connection.post(
        &sandbox,
        &numbered_events_json(10).replacen("video", "login", 1),
    );
    assert_eq!(invalid.refusal(), (422, "A_1103".into()));
    assert_eq!(sandbox.ledger().accepted_events, 0);

    sandbox.set_unknown_users(Vec::<String>::new());
    assert_eq!(
        connection.post(&sandbox, &numbered_events_json(100)).status,
        204
    );
}

#[test]
fn users_may_be_unknown_by_prefix_and_refused_with_an_error_of_their_own() {
    let sandbox = Sandbox::start();
    sandbox.set_unknown(
        json!(["u-1", { "prefix": "bad-", "status": 422, "code": "A_1200", "message": "No." }]),
    );
    let mut connection = RawConnection::new(&sandbox);
    assert_eq!(
        connection.post(&sandbox, &events_json(["u-1"])).refusal(),
        (404, "A_1104".into())
    );
    let refused = connection.post(&sandbox, &events_json(["u-2", "bad-9"]));
    assert_eq!(refused.refusal(), (422, "A_1200".into()));
    assert!(refused.body.contains("No."));
    assert_eq!(
        connection
            .post(&sandbox, &events_json(["u-2", "u-10", "bad"]))
            .status,
        204
    );
}

#[test]
fn any_other_method_or_path_is_answered_with_an_html_page() {
    let sandbox = Sandbox::start();
    let mut connection = RawConnection::new(&sandbox);
    for line in [
        "GET /default/v1/events",
        "POST /",
        "POST /default/v1/event",
        "PUT /default/v1/events",
    ] {
        connection.send(&format!(
            "{line} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n"
        ));
        let page = connection.read_response();
        assert_eq!(page.status, 404, "{line}");
        assert!(
            page.head.contains("content-type: text/html") && page.body.starts_with("<html>"),
            "{line}"
        );
    }
    assert_eq!(sandbox.ledger().outcome("not_found"), 4);
}
