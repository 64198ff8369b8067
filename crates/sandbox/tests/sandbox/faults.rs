//! Each fault, seen from the other end of the connection and in the ledger.

use std::io::{ErrorKind, Read};

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::sandbox::raw_http::{
    RawConnection, events_json, numbered_events_json, request_text,
};
use serde_json::{Value, json};

/// Orders one fault, sends one good event, and returns what was received until the connection
/// ended, and how it ended.
fn send_one_event_with(sandbox: &Sandbox, fault: Value) -> (String, Result<(), ErrorKind>) {
    sandbox.set_fault(fault);
    let mut connection = RawConnection::new(sandbox);
    connection.send(&request_text(sandbox, &numbered_events_json(1)));
    connection.read_until_closed()
}

fn last_request(sandbox: &Sandbox) -> meditopia_testkit::sandbox::Request {
    sandbox.requests().pop().expect("a request")
}

#[test]
fn a_reset_fault_sends_a_tcp_reset_and_a_close_fault_ends_the_stream() {
    let sandbox = Sandbox::start();
    let (received, ended) = send_one_event_with(&sandbox, json!({ "fault": "reset" }));
    assert_eq!(
        (received.as_str(), ended),
        ("", Err(ErrorKind::ConnectionReset))
    );
    let (received, ended) = send_one_event_with(&sandbox, json!({ "fault": "close" }));
    assert_eq!((received.as_str(), ended), ("", Ok(())));

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
fn a_fault_after_the_api_leaves_the_events_accepted_and_replaces_the_answer() {
    let sandbox = Sandbox::builder().unknown_user("bad").start();
    for (position, fault) in ["reset", "close", "truncated"].iter().enumerate() {
        let (received, _) =
            send_one_event_with(&sandbox, json!({ "fault": fault, "when": "after" }));
        assert!(!received.contains("204"), "{received}");
        let last = last_request(&sandbox);
        assert_eq!(
            (last.outcome.as_str(), last.fault.as_deref()),
            ("accepted_untold", Some(*fault))
        );
        assert_eq!(sandbox.events().len(), position + 1);
    }

    sandbox.set_fault(json!({ "fault": "status", "status": 502, "when": "after" }));
    let mut connection = RawConnection::new(&sandbox);
    assert_eq!(
        connection.post(&sandbox, &numbered_events_json(1)).status,
        502
    );
    assert_eq!(connection.post(&sandbox, &events_json(["bad"])).status, 502);
    let summary = sandbox.ledger();
    assert_eq!((summary.accepted_events, summary.distinct_events), (4, 1));
    assert_eq!(
        (summary.outcome("refused_untold"), summary.code("A_1104")),
        (1, 1)
    );
}

#[test]
fn a_truncated_answer_promises_more_than_it_sends() {
    let sandbox = Sandbox::start();
    let (received, ended) = send_one_event_with(&sandbox, json!({ "fault": "truncated" }));
    assert_eq!(ended, Ok(()));
    assert!(
        received.starts_with("HTTP/1.1 200 OK\r\n")
            && received.contains("Content-Length: 4096\r\n"),
        "{received}"
    );
    assert!(received.ends_with("\r\n\r\n{\"success\": tr"), "{received}");
    assert_eq!(sandbox.ledger().accepted_events, 0);
}

#[test]
fn raw_bytes_are_sent_as_they_are_and_the_connection_may_stay_open() {
    let sandbox = Sandbox::start();
    let (received, ended) =
        send_one_event_with(&sandbox, json!({ "fault": "raw", "text": "HTTP/1.1 2" }));
    assert_eq!((received.as_str(), ended), ("HTTP/1.1 2", Ok(())));
    let (received, _) =
        send_one_event_with(&sandbox, json!({ "fault": "raw", "bytes": [72, 0, 10] }));
    assert_eq!(received.as_bytes(), [72, 0, 10]);

    let odd = "HTTP/1.1 299 Odd\r\nContent-Length: 2\r\n\r\nok";
    sandbox.set_fault(json!({ "fault": "raw", "text": odd, "keep_open": true, "count": 2 }));
    let mut connection = RawConnection::new(&sandbox);
    for _ in 0..2 {
        let received = connection.post(&sandbox, &numbered_events_json(1));
        assert_eq!((received.status, received.body.as_str()), (299, "ok"));
    }
    assert_eq!(
        connection.post(&sandbox, &numbered_events_json(1)).status,
        204
    );
    assert_eq!(sandbox.ledger().connections, 3);
}

#[test]
fn raw_bytes_may_be_sent_slowly_or_with_any_number_of_spaces_appended() {
    let sandbox = Sandbox::start();
    let text = "HTTP/1.1 204 Slow\r\n\r\n";
    let begun = std::time::Instant::now();
    let slow = json!({ "fault": "raw", "text": text, "every_ms": 4, "keep_open": true });
    sandbox.set_fault(slow);
    let mut connection = RawConnection::new(&sandbox);
    assert_eq!(
        connection.post(&sandbox, &numbered_events_json(1)).status,
        204
    );
    assert!(begun.elapsed().as_millis() >= 4 * text.len() as u128);

    let much = 3 * 64 * 1024 + 1;
    let (received, ended) = send_one_event_with(
        &sandbox,
        json!({ "fault": "raw", "text": "x", "filler_bytes": much }),
    );
    assert_eq!((received.len(), ended), (1 + much, Ok(())));
    assert!(received.starts_with("x ") && received.ends_with("  "));
}

#[test]
fn a_hang_up_fault_ends_the_connection_before_the_body_arrives() {
    let sandbox = Sandbox::start();
    sandbox.set_fault(json!({ "fault": "hang_up", "count": 1 }));
    let mut connection = RawConnection::new(&sandbox);
    let whole = request_text(&sandbox, &numbered_events_json(3));
    let (head, body) = whole.split_once("\r\n\r\n").unwrap();
    connection.send(&format!("{head}\r\n\r\n"));
    let (received, _) = connection.read_until_closed();
    assert_eq!(received, "");
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
fn a_status_fault_sends_a_page_a_body_of_its_own_or_an_api_error() {
    let sandbox = Sandbox::start();
    let mut connection = RawConnection::new(&sandbox);
    let mut answer_with = |fault: Value| {
        sandbox.set_fault(fault);
        connection.post(&sandbox, &numbered_events_json(1))
    };

    let page = answer_with(json!({ "fault": "status", "status": 503 }));
    assert_eq!(page.status, 503);
    assert!(
        page.head.contains("content-type: text/html")
            && page.body.contains("503 Service Unavailable")
    );
    let seconds = answer_with(json!({ "fault": "status", "status": 429, "retry_after": 7 }));
    assert!(
        seconds.status == 429 && seconds.head.contains("retry-after: 7\r\n"),
        "{}",
        seconds.head
    );
    let date = "Wed, 21 Oct 2026 07:28:00 GMT";
    let dated = answer_with(json!({ "fault": "status", "status": 503, "retry_after": date }));
    assert!(
        dated.head.contains(&format!("retry-after: {date}\r\n")),
        "{}",
        dated.head
    );
    let api = answer_with(
        json!({ "fault": "status", "status": 413, "code": "A_9999", "message": "Too long." }),
    );
    assert_eq!(api.refusal(), (413, "A_9999".into()));
    let own = answer_with(
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
fn a_fault_may_redirect_show_a_login_page_or_claim_success() {
    let sandbox = Sandbox::start();
    let mut connection = RawConnection::new(&sandbox);
    let mut answer_with = |fault: Value| {
        sandbox.set_fault(fault);
        connection.post(&sandbox, &numbered_events_json(1))
    };

    let moved = answer_with(json!({ "fault": "redirect", "to": "http://127.0.0.1:1/x" }));
    assert!(
        moved.status == 302 && moved.head.contains("location: http://127.0.0.1:1/x\r\n"),
        "{}",
        moved.head
    );
    assert_eq!(
        answer_with(json!({ "fault": "redirect", "to": "/", "status": 308 })).status,
        308
    );
    let login = answer_with(json!({ "fault": "login_page" }));
    assert!(login.status == 200 && login.body.contains("Log in"));
    let lie = answer_with(json!({ "fault": "success", "when": "before" }));
    assert_eq!(
        (lie.status, lie.body.as_str()),
        (200, r#"{"success": true}"#)
    );
    assert_eq!(sandbox.ledger().accepted_events, 0);

    let truth = answer_with(json!({ "fault": "success" }));
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
fn a_body_over_the_limit_is_answered_413_and_one_at_the_limit_is_not() {
    let sandbox = Sandbox::start();
    let mut connection = RawConnection::new(&sandbox);
    sandbox.set_faults(json!({ "max_body_bytes": numbered_events_json(5).len() }));
    assert_eq!(
        connection.post(&sandbox, &numbered_events_json(6)).status,
        413
    );
    assert_eq!(
        connection.post(&sandbox, &numbered_events_json(5)).status,
        204
    );
    sandbox.clear_faults();
    assert_eq!(
        connection.post(&sandbox, &numbered_events_json(6)).status,
        204
    );
}

#[test]
fn faults_strike_when_and_as_often_as_ordered() {
    let sandbox = Sandbox::start();
    let mut connection = RawConnection::new(&sandbox);
    sandbox.set_faults(json!({ "faults": [
        { "fault": "status", "status": 503, "after_requests": 2, "count": 1 },
        { "fault": "status", "status": 500, "containing": "\"partner_user_id\":\"u-7\"" },
    ] }));
    let mut statuses = |bodies: &[&str]| -> Vec<u16> {
        bodies
            .iter()
            .map(|body| connection.post(&sandbox, body).status)
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
fn sandboxes_with_the_same_seed_strike_the_same_requests() {
    let run = |seed| -> Vec<u16> {
        let order = json!({ "faults": [{ "fault": "status", "status": 503, "probability": 0.5 }] });
        let sandbox = Sandbox::builder().seed(seed).faults(&order).start();
        let mut connection = RawConnection::new(&sandbox);
        (0..64)
            .map(|_| connection.post(&sandbox, &numbered_events_json(1)).status)
            .collect()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    assert!(run(1).contains(&503) && run(1).contains(&204));
}

#[test]
fn a_delayed_request_is_finished_after_its_caller_has_hung_up() {
    let sandbox = Sandbox::start();
    sandbox.set_fault(json!({ "fault": "delay", "ms": [40, 60] }));
    let mut connection = RawConnection::new(&sandbox);
    connection.send(&request_text(&sandbox, &numbered_events_json(4)));
    drop(connection);

    let summary = sandbox.wait_for_events(4);
    assert_eq!(summary.delayed, 1);
    assert!((40..=60).contains(&last_request(&sandbox).delay_ms));
}

#[test]
fn a_delay_after_the_api_delays_the_answer_and_not_the_events() {
    let sandbox = Sandbox::start();
    sandbox.set_fault(json!({ "fault": "delay", "ms": 3_600_000, "when": "after" }));
    let mut connection = RawConnection::new(&sandbox);
    connection.send(&request_text(&sandbox, &numbered_events_json(4)));
    assert_eq!(sandbox.wait_for_events(4).outcome("accepted"), 1);
    connection.stream.set_nonblocking(true).unwrap();
    let received = connection
        .stream
        .read(&mut [0])
        .map_err(|cause| cause.kind());
    assert_eq!(received, Err(ErrorKind::WouldBlock));
}
