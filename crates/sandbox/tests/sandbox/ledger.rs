//! The ledger lists every request and every accepted event.

use std::net::Shutdown;

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::sandbox::raw_http::{
    RawConnection, events_json, numbered_events_json, request_text,
};
use serde_json::Value;

#[test]
fn the_ledger_counts_duplicates_and_recognises_a_repeated_body() {
    let sandbox = Sandbox::builder().unknown_user("bad").start();
    let mut connection = RawConnection::new(&sandbox);
    for body in [
        numbered_events_json(3),
        numbered_events_json(3),
        numbered_events_json(4),
        events_json(["bad"]),
    ] {
        connection.post(&sandbox, &body);
    }
    RawConnection::new(&sandbox).post(&sandbox, &numbered_events_json(3));

    let summary = sandbox.ledger();
    assert_eq!(
        (summary.requests, summary.accepted_requests, summary.refused),
        (5, 4, 1)
    );
    assert_eq!((summary.accepted_events, summary.distinct_events), (13, 4));
    // The 3 events of the second body are identical to others, but nobody sent them again.
    assert_eq!(summary.events_in_repeated_bodies, 6);
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
fn a_cleared_ledger_is_empty_and_its_numbers_continue() {
    let sandbox = Sandbox::start();
    let mut connection = RawConnection::new(&sandbox);
    connection.post(&sandbox, &numbered_events_json(5));
    sandbox.clear_ledger();
    assert_eq!(sandbox.ledger().requests, 0);
    assert!(sandbox.events().is_empty());

    connection.post(&sandbox, &numbered_events_json(2));
    assert_eq!(sandbox.events()[0].sequence, 6);
    assert_eq!(sandbox.requests()[0].request, 2);
    assert_eq!(sandbox.requests()[0].attempt, 1);
}

#[test]
fn a_long_ledger_is_listed_whole_and_by_page() {
    let sandbox = Sandbox::start();
    let mut connection = RawConnection::new(&sandbox);
    for _ in 0..35 {
        connection.post(&sandbox, &numbered_events_json(100));
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
fn a_request_whose_body_is_cut_off_is_listed_and_accepts_no_event() {
    let sandbox = Sandbox::start();
    let mut connection = RawConnection::new(&sandbox);
    let whole = request_text(&sandbox, &numbered_events_json(3));
    connection.send(&whole[..whole.len() - 1]);
    connection.stream.shutdown(Shutdown::Write).unwrap();
    let summary = sandbox.wait_for_requests(1);
    assert_eq!(
        (summary.outcome("incomplete"), summary.accepted_events),
        (1, 0)
    );
}
