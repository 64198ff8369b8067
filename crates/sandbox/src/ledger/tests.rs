use super::*;

fn arrive(ledger: &mut Ledger, body: &str) -> u64 {
    let body = body.as_bytes();
    ledger.record_arrival(&Arrival {
        connection: 1,
        events: 1,
        body,
        user_agent: "test",
        delay_ms: 0,
    })
}

const ACCEPTED: Ending = Ending {
    outcome: Outcome::Accepted,
    status: Some(204),
    code: None,
    fault: None,
};

#[test]
fn a_repeated_body_counts_as_another_attempt() {
    let mut ledger = Ledger::default();
    for body in ["a", "b", "a"] {
        arrive(&mut ledger, body);
    }
    let attempts: Vec<u32> = ledger
        .requests
        .iter()
        .map(|request| request.attempt)
        .collect();
    assert_eq!(attempts, [1, 1, 2]);
    assert_eq!(ledger.requests[0].body_hash, ledger.requests[2].body_hash);
}

#[test]
fn a_cleared_ledger_goes_on_numbering_and_ignores_the_end_of_a_cleared_request() {
    let mut ledger = Ledger::default();
    let before = arrive(&mut ledger, "a");
    ledger.record_accepted(
        before,
        &[Accepted {
            text: "{}",
            identity: 1,
        }],
    );
    ledger.clear();
    ledger.record_ending(before, ACCEPTED);
    assert_eq!((ledger.summary().requests, ledger.ended_requests()), (0, 0));

    let after = arrive(&mut ledger, "a");
    ledger.record_accepted(
        after,
        &[Accepted {
            text: "{\n}",
            identity: 1,
        }],
    );
    ledger.record_ending(after, ACCEPTED);
    assert_eq!(after, 2);
    let mut lines = String::new();
    assert_eq!(ledger.write_events(0, 10, &mut lines), Some(2));
    assert_eq!(lines, "{\"sequence\":2,\"request\":2,\"event\":{ }}\n");
    assert_eq!(ledger.write_events(2, 10, &mut lines), None);
}
