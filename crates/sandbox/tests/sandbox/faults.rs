//! The sandbox's faults, each seen from the other end of the wire and in the ledger.

use std::io::{ErrorKind, Read};

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::sandbox::raw_http::{
    RawConnection, events_json, numbered_events_json, request_text,
};
use serde_json::{Value, json};

/// Orders one fault, sends one good event, and returns what was heard until the connection ended.
fn suffer(sandbox: &Sandbox, fault: Value) -> (String, Result<(), ErrorKind>) {
    sandbox.set_fault(fault);
    let mut caller = RawConnection::new(sandbox);
    caller.send(&request_text(sandbox, &numbered_events_json(1)));
    caller.read_until_closed()
}

fn last_request(sandbox: &Sandbox) -> meditopia_testkit::sandbox::Request {
    sandbox.requests().pop().expect("a request")
}

#[test]
fn a_reset_is_a_real_one_and_a_close_is_a_plain_end() {
    let sandbox = Sandbox::start();
    let (heard, ended) = suffer(&sandbox, json!({ "fault": "reset" }));
    assert_eq!(
        (heard.as_str(), ended),
        ("", Err(ErrorKind::ConnectionReset))
    );
    let (heard, ended) = suffer(&sandbox, json!({ "fault": "close" }));
    assert_eq!((heard.as_str(), ended), ("", Ok(())));

    let summary = sandbox.ledger();
    assert_eq!(
        (
            summary.outcome("faulted"),
            summary.accepted_events,
            summary.faults
        ),
        (2, 0, 2)
    );
    let last = last_request(&sandbox);
    assert_eq!((last.fault.as_deref(), last.status), (Some("close"), None));
}

#[test]
fn a_fault_after_processing_leaves_the_events_accepted_and_the_caller_untold() {
    let sandbox = Sandbox::builder().unknown_user("bad").start();
    for (position, fault) in ["reset", "close", "truncated"].iter().enumerate() {
        let (heard, _) = suffer(&sandbox, json!({ "fault": fault, "when": "after" }));
        assert!(!heard.contains("204"), "{heard}");
        let last = last_request(&sandbox);
        assert_eq!(
            (last.outcome.as_str(), last.fault.as_deref()),
            ("accepted_untold", Some(*fault))
        );
        assert_eq!(sandbox.events().len(), position + 1);
    }

    sandbox.set_fault(json!({ "fault": "status", "status": 502, "when": "after" }));
    let mut caller = RawConnection::new(&sandbox);
    assert_eq!(caller.post(&sandbox, &numbered_events_json(1)).status, 502);
    assert_eq!(caller.post(&sandbox, &events_json(["bad"])).status, 502);
    let summary = sandbox.ledger();
    assert_eq!((summary.accepted_events, summary.distinct_events), (4, 1));
    assert_eq!(
        (summary.outcome("refused_untold"), summary.code("A_1104")),
        (1, 1)
    );
}

#[test]
fn faults_are_added_and_ended_one_by_one_and_the_others_go_on_counting() {
    let sandbox = Sandbox::start();
    sandbox.set_faults(json!({ "max_body_bytes": 9, "faults": [
        { "fault": "status", "status": 503, "count": 2 }, { "fault": "delay", "ms": 1 }] }));
    let mut caller = RawConnection::new(&sandbox);
    assert_eq!(caller.post(&sandbox, &numbered_events_json(1)).status, 503);

    let change = |document: Value| sandbox.try_patch("faults", &document);
    change(json!({ "remove": ["delay", "reset"], "add": [{ "fault": "redirect", "to": "/" }] }))
        .unwrap();
    let order: Value = sandbox.get("faults");
    let names: Vec<&Value> = order["faults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| &f["fault"])
        .collect();
    assert_eq!(names, ["status", "redirect"]);
    assert_eq!(
        (&order["struck"], &order["max_body_bytes"]),
        (&json!([1, 0]), &json!(9))
    );
    let mut status = || caller.post(&sandbox, &numbered_events_json(1)).status;
    assert_eq!([status(), status()], [503, 302]);
    change(json!({ "remove": ["redirect"] })).unwrap();
    assert_eq!(status(), 413);
    change(json!({ "max_body_bytes": null })).unwrap();
    assert_eq!(status(), 204);

    let unknown = change(json!({ "remove": ["rest"] })).unwrap_err();
    assert!(
        unknown.contains("no fault \"rest\" to remove; there are delay, status,"),
        "{unknown}"
    );
    let bad = change(json!({ "add": [{ "fault": "status", "status": 99 }], "remove": ["status"] }));
    assert!(bad.unwrap_err().contains("add 0: status 99"));
    assert_eq!(
        sandbox.get::<Value>("faults")["struck"],
        json!([2]),
        "nothing was changed"
    );
}

#[test]
fn a_truncated_answer_promises_more_than_it_sends() {
    let sandbox = Sandbox::start();
    let (heard, ended) = suffer(&sandbox, json!({ "fault": "truncated" }));
    assert_eq!(ended, Ok(()));
    assert!(
        heard.starts_with("HTTP/1.1 200 OK\r\n") && heard.contains("Content-Length: 4096\r\n"),
        "{heard}"
    );
    assert!(heard.ends_with("\r\n\r\n{\"success\": tr"), "{heard}");
    assert_eq!(sandbox.ledger().accepted_events, 0);
}

#[test]
fn raw_bytes_are_sent_as_they_are_and_the_connection_may_go_on() {
    let sandbox = Sandbox::start();
    let (heard, ended) = suffer(&sandbox, json!({ "fault": "raw", "text": "HTTP/1.1 2" }));
    assert_eq!((heard.as_str(), ended), ("HTTP/1.1 2", Ok(())));
    let (heard, _) = suffer(&sandbox, json!({ "fault": "raw", "bytes": [72, 0, 10] }));
    assert_eq!(heard.as_bytes(), [72, 0, 10]);

    let odd = "HTTP/1.1 299 Odd\r\nContent-Length: 2\r\n\r\nok";
    sandbox.set_fault(json!({ "fault": "raw", "text": odd, "keep_open": true, "count": 2 }));
    let mut caller = RawConnection::new(&sandbox);
    for _ in 0..2 {
        let heard = caller.post(&sandbox, &numbered_events_json(1));
        assert_eq!((heard.status, heard.body.as_str()), (299, "ok"));
    }
    assert_eq!(caller.post(&sandbox, &numbered_events_json(1)).status, 204);
    assert_eq!(sandbox.ledger().connections, 3);
}

#[test]
fn raw_bytes_come_slowly_or_with_any_amount_behind_them() {
    let sandbox = Sandbox::start();
    let text = "HTTP/1.1 204 Slow\r\n\r\n";
    let begun = std::time::Instant::now();
    let slow = json!({ "fault": "raw", "text": text, "every_ms": 4, "keep_open": true });
    sandbox.set_fault(slow);
    let mut caller = RawConnection::new(&sandbox);
    assert_eq!(caller.post(&sandbox, &numbered_events_json(1)).status, 204);
    assert!(begun.elapsed().as_millis() >= 4 * text.len() as u128);

    let much = 3 * 64 * 1024 + 1;
    let (heard, ended) = suffer(
        &sandbox,
        json!({ "fault": "raw", "text": "x", "filler_bytes": much }),
    );
    assert_eq!((heard.len(), ended), (1 + much, Ok(())));
    assert!(heard.starts_with("x ") && heard.ends_with("  "));
}

#[test]
fn a_hang_up_ends_the_connection_while_the_body_is_still_to_come() {
    let sandbox = Sandbox::start();
    sandbox.set_fault(json!({ "fault": "hang_up", "count": 1 }));
    let mut caller = RawConnection::new(&sandbox);
    let whole = request_text(&sandbox, &numbered_events_json(3));
    let (head, body) = whole.split_once("\r\n\r\n").unwrap();
    caller.send(&format!("{head}\r\n\r\n"));
    let (heard, _) = caller.read_until_closed();
    assert_eq!(heard, "");
    let last = last_request(&sandbox);
    assert_eq!(
        (last.outcome.as_str(), last.fault.as_deref(), last.bytes),
        ("faulted", Some("hang_up"), 0)
    );
    assert_eq!(
        RawConnection::new(&sandbox).post(&sandbox, body).status,
        204
    );
}

#[test]
fn a_status_comes_with_a_page_a_body_of_its_own_or_an_api_error() {
    let sandbox = Sandbox::start();
    let mut caller = RawConnection::new(&sandbox);
    let mut hear = |fault: Value| {
        sandbox.set_fault(fault);
        caller.post(&sandbox, &numbered_events_json(1))
    };

    let page = hear(json!({ "fault": "status", "status": 503 }));
    assert_eq!(page.status, 503);
    assert!(
        page.head.contains("content-type: text/html")
            && page.body.contains("503 Service Unavailable")
    );
    let seconds = hear(json!({ "fault": "status", "status": 429, "retry_after": 7 }));
    assert!(
        seconds.status == 429 && seconds.head.contains("retry-after: 7\r\n"),
        "{}",
        seconds.head
    );
    let date = "Wed, 21 Oct 2026 07:28:00 GMT";
    let dated = hear(json!({ "fault": "status", "status": 503, "retry_after": date }));
    assert!(
        dated.head.contains(&format!("retry-after: {date}\r\n")),
        "{}",
        dated.head
    );
    let api =
        hear(json!({ "fault": "status", "status": 413, "code": "A_9999", "message": "Too long." }));
    assert_eq!(api.refusal(), (413, "A_9999".into()));
    let own = hear(
        json!({ "fault": "status", "status": 500, "body": "{", "content_type": "application/json", "headers": { "x-a": "b" } }),
    );
    assert_eq!((own.status, own.body.as_str()), (500, "{"));
    assert!(
        own.head.contains("content-type: application/json") && own.head.contains("x-a: b"),
        "{}",
        own.head
    );
    assert_eq!(sandbox.ledger().accepted_events, 0);
}

#[test]
fn what_stands_between_may_redirect_ask_for_a_login_or_claim_success() {
    let sandbox = Sandbox::start();
    let mut caller = RawConnection::new(&sandbox);
    let mut hear = |fault: Value| {
        sandbox.set_fault(fault);
        caller.post(&sandbox, &numbered_events_json(1))
    };

    let moved = hear(json!({ "fault": "redirect", "to": "http://127.0.0.1:1/x" }));
    assert!(
        moved.status == 302 && moved.head.contains("location: http://127.0.0.1:1/x\r\n"),
        "{}",
        moved.head
    );
    assert_eq!(
        hear(json!({ "fault": "redirect", "to": "/", "status": 308 })).status,
        308
    );
    let login = hear(json!({ "fault": "login_page" }));
    assert!(login.status == 200 && login.body.contains("Log in"));
    let lie = hear(json!({ "fault": "success", "when": "before" }));
    assert_eq!(
        (lie.status, lie.body.as_str()),
        (200, r#"{"success": true}"#)
    );
    assert_eq!(sandbox.ledger().accepted_events, 0);

    let truth = hear(json!({ "fault": "success" }));
    assert_eq!(truth.body, r#"{"success": true}"#);
    assert_eq!(
        (
            sandbox.ledger().accepted_events,
            last_request(&sandbox).outcome.as_str()
        ),
        (1, "accepted")
    );
}

#[test]
fn a_body_over_the_limit_is_413_and_one_at_the_limit_is_not() {
    let sandbox = Sandbox::start();
    let mut caller = RawConnection::new(&sandbox);
    sandbox.set_faults(json!({ "max_body_bytes": numbered_events_json(5).len() }));
    assert_eq!(caller.post(&sandbox, &numbered_events_json(6)).status, 413);
    assert_eq!(caller.post(&sandbox, &numbered_events_json(5)).status, 204);
    sandbox.clear_faults();
    assert_eq!(caller.post(&sandbox, &numbered_events_json(6)).status, 204);
}

#[test]
fn faults_strike_when_and_as_often_as_ordered() {
    let sandbox = Sandbox::start();
    let mut caller = RawConnection::new(&sandbox);
    sandbox.set_faults(json!({ "faults": [
        { "fault": "status", "status": 503, "after_requests": 2, "count": 1 },
        { "fault": "status", "status": 500, "containing": "\"partner_user_id\":\"u-7\"" },
    ] }));
    let mut statuses = |bodies: &[&str]| -> Vec<u16> {
        bodies
            .iter()
            .map(|body| caller.post(&sandbox, body).status)
            .collect()
    };
    let (few, many) = (numbered_events_json(3), numbered_events_json(8));
    assert_eq!(
        statuses(&[&few, &many, &few, &few, &many]),
        [204, 500, 503, 204, 500]
    );

    let in_force: Value = sandbox.get("faults");
    assert_eq!(in_force["struck"], json!([1, 2]));
    sandbox.put("faults", &json!({ "faults": in_force["faults"] }));
    assert_eq!(statuses(&[&few, &few, &few]), [204, 204, 503]);
}

#[test]
fn the_same_seed_meets_the_same_faults() {
    let run = |seed| -> Vec<u16> {
        let order = json!({ "faults": [{ "fault": "status", "status": 503, "probability": 0.5 }] });
        let sandbox = Sandbox::builder().seed(seed).faults(&order).start();
        let mut caller = RawConnection::new(&sandbox);
        (0..64)
            .map(|_| caller.post(&sandbox, &numbered_events_json(1)).status)
            .collect()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    assert!(run(1).contains(&503) && run(1).contains(&204));
}

#[test]
fn a_delayed_request_is_carried_through_when_its_caller_has_hung_up() {
    let sandbox = Sandbox::start();
    sandbox.set_fault(json!({ "fault": "delay", "ms": [40, 60] }));
    let mut caller = RawConnection::new(&sandbox);
    caller.send(&request_text(&sandbox, &numbered_events_json(4)));
    drop(caller);

    let summary = sandbox.wait_for_events(4);
    assert_eq!(summary.delayed, 1);
    assert!((40..=60).contains(&last_request(&sandbox).delay_ms));
}

#[test]
fn a_delay_after_processing_holds_back_the_answer_and_not_the_events() {
    let sandbox = Sandbox::start();
    sandbox.set_fault(json!({ "fault": "delay", "ms": 3_600_000, "when": "after" }));
    let mut caller = RawConnection::new(&sandbox);
    caller.send(&request_text(&sandbox, &numbered_events_json(4)));
    assert_eq!(sandbox.wait_for_events(4).outcome("accepted"), 1);
    caller.stream.set_nonblocking(true).unwrap();
    let heard = caller.stream.read(&mut [0]).map_err(|cause| cause.kind());
    assert_eq!(heard, Err(ErrorKind::WouldBlock));
}

#[test]
fn control_documents_that_are_not_understood_are_400_and_change_nothing() {
    let sandbox = Sandbox::start();
    let order = json!({ "faults": [{ "fault": "status", "status": 503 }] });
    sandbox.set_faults(order.clone());
    for (what, document, part) in [
        (
            "faults",
            json!({ "faults": [{ "fault": "status", "statsu": 503 }] }),
            "unknown field `statsu`",
        ),
        ("faults", json!({ "fault": [] }), "unknown field `fault`"),
        (
            "users",
            json!({ "unknown": [{ "name": "u" }] }),
            "unknown field `name`",
        ),
        ("token", json!({ "tokens": "x" }), "unknown field `tokens`"),
        (
            "addresses",
            json!({ "allowed": ["localhost"] }),
            "addresses: invalid IP address",
        ),
    ] {
        let message = sandbox
            .try_put(what, &document)
            .expect_err("a document with a mistake");
        assert!(
            message.starts_with("400") && message.contains(part),
            "{what}: {message}"
        );
    }
    assert_eq!(sandbox.get::<Value>("faults")["faults"], order["faults"]);
    assert_eq!(
        sandbox.get::<Value>("token"),
        json!({ "token": "sandbox-token" })
    );
    assert_eq!(
        sandbox.get::<Value>("addresses"),
        json!({ "allowed": ["127.0.0.1"] })
    );
    assert_eq!(sandbox.get::<Value>("users"), json!({ "unknown": [] }));
}
