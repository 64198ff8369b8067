//! The sandbox held to the API's rules, to a truthful ledger, and to the life of its process.

use std::net::Shutdown;
use std::process::Command;

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::sandbox::raw_http::{
    RawConnection, event_json, events_json, numbered_events_json, request_text, request_text_with,
};
use serde_json::{Value, json};

#[test]
fn a_good_request_is_answered_204_without_a_body_and_its_events_are_listed_in_order() {
    let sandbox = Sandbox::start();
    let mut caller = RawConnection::new(&sandbox);

    let first = caller.post(&sandbox, &numbered_events_json(100));
    assert_eq!((first.status, first.body.as_str()), (204, ""));
    assert!(!first.head.contains("content-type"), "{}", first.head);
    caller.post(&sandbox, &events_json(["x"]));

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
    let mut caller = RawConnection::new(&sandbox);
    let mut ask = |headers: &str| {
        caller.send(&request_text_with(headers, "not JSON"));
        caller.read_response().refusal()
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
fn a_token_can_be_revoked_and_replaced_while_it_runs() {
    let mut sandbox = Sandbox::start();
    let mut caller = RawConnection::new(&sandbox);
    let old = request_text(&sandbox, &numbered_events_json(1));
    sandbox.revoke_token();
    caller.send(&old);
    assert_eq!(caller.read_response().refusal(), (401, "A_1002".into()));

    sandbox.set_token("new");
    caller.send(&old);
    assert_eq!(caller.read_response().refusal(), (401, "A_1002".into()));
    assert_eq!(caller.post(&sandbox, &numbered_events_json(1)).status, 204);
    assert!(
        sandbox.try_put("token", &json!({})).is_err(),
        "nothing said is not a revocation"
    );
    assert_eq!(caller.post(&sandbox, &numbered_events_json(1)).status, 204);
}

#[test]
fn a_revoked_token_can_be_restored_by_who_does_not_know_it() {
    let mut sandbox = Sandbox::start();
    sandbox.set_token("second");
    let mut caller = RawConnection::new(&sandbox);
    sandbox.put("token", &json!({ "revoked": true }));
    assert_eq!(
        caller.post(&sandbox, &numbered_events_json(1)).code(),
        "A_1002"
    );
    assert_eq!(sandbox.get::<Value>("token"), json!({ "token": null }));
    sandbox.put("token", &json!({ "revoked": false }));
    assert_eq!(caller.post(&sandbox, &numbered_events_json(1)).status, 204);
    for both in [
        json!({ "token": "a", "revoked": true }),
        json!({ "revoked": null }),
    ] {
        assert!(sandbox.try_put("token", &both).is_err(), "{both}");
    }
}

#[test]
fn a_shell_learns_where_to_deliver_from_the_environment_it_is_given() {
    let sandbox = Sandbox::builder().token("it's $HOME").start();
    let script = r#"eval "$(curl -s "$0/environment")"; printf '%s %s' "$MEDITOPIA_ENDPOINT" "$MEDITOPIA_BEARER_TOKEN""#;
    let ran = Command::new("sh")
        .args(["-c", script, sandbox.control()])
        .output()
        .unwrap();
    let expected = format!("{} it's $HOME", sandbox.endpoint());
    assert_eq!(String::from_utf8_lossy(&ran.stdout), expected);
}

#[test]
fn users_become_unknown_and_known_one_by_one() {
    let sandbox = Sandbox::start();
    sandbox.set_unknown(json!(["a", { "prefix": "bad-" }]));
    let change = |document: Value| sandbox.try_patch("users", &document);
    change(json!({ "unknown": [{ "user": "a", "status": 422 }, "b"], "known": ["nobody"] }))
        .unwrap();
    let mut caller = RawConnection::new(&sandbox);
    let mut status_of = |user: &str| caller.post(&sandbox, &events_json([user])).status;
    assert_eq!(
        ["a", "b", "bad-1", "c"].map(&mut status_of),
        [422, 404, 404, 204]
    );

    change(json!({ "known": ["a", "b"] })).unwrap();
    assert_eq!(["a", "b", "bad-1"].map(&mut status_of), [204, 204, 404]);
    let refused = change(json!({ "known": ["bad-1"] })).unwrap_err();
    assert!(
        refused.contains(r#""bad-1" is unknown by the prefix "bad-""#),
        "{refused}"
    );
    change(json!({ "known": [{ "prefix": "bad-" }] })).unwrap();
    assert_eq!(status_of("bad-1"), 204);
    assert_eq!(sandbox.get::<Value>("users"), json!({ "unknown": [] }));
    for bad in [
        json!({ "unknwon": ["a"] }),
        json!({ "known": [{ "user": "a", "prefix": "b" }] }),
    ] {
        assert!(change(bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn a_request_carries_1_to_100_events() {
    let sandbox = Sandbox::start();
    let mut caller = RawConnection::new(&sandbox);
    assert_eq!(
        caller.post(&sandbox, &numbered_events_json(0)).refusal(),
        (422, "A_1102".into())
    );
    assert_eq!(
        caller.post(&sandbox, &numbered_events_json(101)).refusal(),
        (422, "A_1102".into())
    );
    assert_eq!(
        caller.post(&sandbox, &numbered_events_json(100)).status,
        204
    );
    assert_eq!(sandbox.ledger().accepted_events, 100);
}

#[test]
fn one_bad_event_refuses_the_whole_request_without_being_named() {
    let sandbox = Sandbox::builder().unknown_user("u-17").start();
    let mut caller = RawConnection::new(&sandbox);

    let unknown = caller.post(&sandbox, &numbered_events_json(100));
    assert_eq!(unknown.refusal(), (404, "A_1104".into()));
    assert!(!unknown.body.contains("17"), "{}", unknown.body);

    let invalid = caller.post(
        &sandbox,
        &numbered_events_json(10).replacen("video", "login", 1),
    );
    assert_eq!(invalid.refusal(), (422, "A_1103".into()));
    assert_eq!(sandbox.ledger().accepted_events, 0);

    sandbox.set_unknown_users(Vec::<String>::new());
    assert_eq!(
        caller.post(&sandbox, &numbered_events_json(100)).status,
        204
    );
}

#[test]
fn users_may_be_unknown_by_prefix_and_each_in_its_own_way() {
    let sandbox = Sandbox::start();
    sandbox.set_unknown(
        json!(["u-1", { "prefix": "bad-", "status": 422, "code": "A_1200", "message": "No." }]),
    );
    let mut caller = RawConnection::new(&sandbox);
    assert_eq!(
        caller.post(&sandbox, &events_json(["u-1"])).refusal(),
        (404, "A_1104".into())
    );
    let refused = caller.post(&sandbox, &events_json(["u-2", "bad-9"]));
    assert_eq!(refused.refusal(), (422, "A_1200".into()));
    assert!(refused.body.contains("No."));
    assert_eq!(
        caller
            .post(&sandbox, &events_json(["u-2", "u-10", "bad"]))
            .status,
        204
    );
}

#[test]
fn any_other_method_or_path_is_an_html_page() {
    let sandbox = Sandbox::start();
    let mut caller = RawConnection::new(&sandbox);
    for line in [
        "GET /default/v1/events",
        "POST /",
        "POST /default/v1/event",
        "PUT /default/v1/events",
    ] {
        caller.send(&format!(
            "{line} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n"
        ));
        let heard = caller.read_response();
        assert_eq!(heard.status, 404, "{line}");
        assert!(
            heard.head.contains("content-type: text/html") && heard.body.starts_with("<html>"),
            "{line}"
        );
    }
    assert_eq!(sandbox.ledger().outcome("not_found"), 4);
}

// ---- the ledger ----

#[test]
fn the_ledger_counts_duplicates_and_sees_the_same_bytes_again() {
    let sandbox = Sandbox::builder().unknown_user("bad").start();
    let mut caller = RawConnection::new(&sandbox);
    for body in [
        numbered_events_json(3),
        numbered_events_json(3),
        numbered_events_json(4),
        events_json(["bad"]),
    ] {
        caller.post(&sandbox, &body);
    }
    RawConnection::new(&sandbox).post(&sandbox, &numbered_events_json(3));

    let summary = sandbox.ledger();
    assert_eq!(
        (summary.requests, summary.accepted_requests, summary.refused),
        (5, 4, 1)
    );
    assert_eq!((summary.accepted_events, summary.distinct_events), (13, 4));
    assert_eq!(
        (summary.connections, summary.faults, summary.code("A_1104")),
        (2, 0, 1)
    );

    let requests = sandbox.requests();
    let attempts: Vec<u32> = requests.iter().map(|request| request.attempt).collect();
    assert_eq!(attempts, [1, 2, 1, 1, 3]);
    assert_eq!(requests[0].body_hash, requests[4].body_hash);
    assert_ne!(requests[0].connection, requests[4].connection);
    assert_eq!(requests[3].code.as_deref(), Some("A_1104"));
    assert_eq!(
        (requests[0].user_agent.as_str(), requests[0].events),
        ("test/1", 3)
    );
}

#[test]
fn a_cleared_ledger_is_empty_and_its_numbers_go_on() {
    let sandbox = Sandbox::start();
    let mut caller = RawConnection::new(&sandbox);
    caller.post(&sandbox, &numbered_events_json(5));
    sandbox.clear_ledger();
    assert_eq!(sandbox.ledger().requests, 0);
    assert!(sandbox.events().is_empty());

    caller.post(&sandbox, &numbered_events_json(2));
    assert_eq!(sandbox.events()[0].sequence, 6);
    assert_eq!(sandbox.requests()[0].request, 2);
    assert_eq!(sandbox.requests()[0].attempt, 1);
}

#[test]
fn a_long_ledger_is_listed_whole_and_by_page() {
    let sandbox = Sandbox::start();
    let mut caller = RawConnection::new(&sandbox);
    for _ in 0..35 {
        caller.post(&sandbox, &numbered_events_json(100));
    }
    assert!(
        sandbox
            .events()
            .iter()
            .map(|event| event.sequence)
            .eq(1..=3_500)
    );

    let page = |query: &str| {
        let url = format!("{}/ledger/events?{query}", sandbox.control());
        let text = ureq::get(url)
            .call()
            .unwrap()
            .body_mut()
            .read_to_string()
            .unwrap();
        let numbers: Vec<u64> = text
            .lines()
            .map(|line| {
                serde_json::from_str::<Value>(line).unwrap()["sequence"]
                    .as_u64()
                    .unwrap()
            })
            .collect();
        numbers
    };
    assert!(page("after=1990&limit=1010").into_iter().eq(1_991..=3_000));
    assert!(page("after=3499").into_iter().eq([3_500]));
    assert!(page("after=3500").is_empty());
    assert!(page("limit=0").is_empty());
}

#[test]
fn a_body_that_never_arrives_whole_is_listed_and_accepts_nothing() {
    let sandbox = Sandbox::start();
    let mut caller = RawConnection::new(&sandbox);
    let whole = request_text(&sandbox, &numbered_events_json(3));
    caller.send(&whole[..whole.len() - 1]);
    caller.stream.shutdown(Shutdown::Write).unwrap();
    let summary = sandbox.wait_for_requests(1);
    assert_eq!(
        (summary.outcome("incomplete"), summary.accepted_events),
        (1, 0)
    );
}
