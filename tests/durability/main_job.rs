//! The job that the library is for, done by a C program against an API that knows not every user
//! and loses connections, before it has seen a request and after.

use std::collections::BTreeMap;

use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::ledger::Arrivals;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use serde_json::json;

const USERS: usize = 2_000;
const EVENTS_OF_A_USER: usize = 50;
/// Of two hundred users one is not known: 0.5 %.
const ONE_UNKNOWN_OF: usize = 200;
const RUNS: usize = 2;

fn is_unknown(user: usize) -> bool {
    user % ONE_UNKNOWN_OF == 57
}

#[test]
fn a_hundred_thousand_events_arrive_in_order_and_only_the_bad_ones_are_rejected() {
    do_the_job(1);
}

#[test]
fn the_same_holds_with_eight_requests_in_flight() {
    do_the_job(8);
}

fn do_the_job(lanes: usize) {
    let api = Sandbox::builder().seed(20_240_806).start();
    let unknown: Vec<_> = (0..USERS).filter(|user| is_unknown(*user)).collect();
    let answer = |user: &usize| {
        json!({
            "user": format!("u-{user}"), "status": 404,
            "code": format!("A_9{user:03}"), "message": format!("nobody is {user}"),
        })
    };
    api.set_unknown(unknown.iter().map(answer).collect());
    api.set_faults(json!({"faults": [
        {"fault": "reset", "when": "before", "probability": 0.01},
        {"fault": "reset", "when": "after", "probability": 0.01},
    ]}));
    let lanes = lanes.to_string();
    let program = CProgram::compile("main_job.c")
        .with_config(&api, &[("role", "enqueue"), ("lanes", &lanes)]);

    let mut delivered = 0;
    let mut rejected = 0;
    let share = EVENTS_OF_A_USER / RUNS;
    for run in 0..RUNS {
        let (first, last) = (run * share, (run + 1) * share);
        let printed = program.run(&[
            "4",
            &USERS.to_string(),
            &first.to_string(),
            &last.to_string(),
        ]);
        for line in printed.lines() {
            let figures: Vec<u64> = line.split(' ').map(|word| word.parse().unwrap()).collect();
            delivered += figures[0];
            rejected += figures[1];
            assert_eq!(figures[2..], [0, 0, 0], "expired, pending, in doubt");
        }
    }

    let summary = api.ledger();
    assert!(summary.by_fault["reset"] > 0, "the API lost no connection");
    let bad = (unknown.len() * EVENTS_OF_A_USER) as u64;
    assert_eq!(rejected, bad);
    assert_eq!(delivered, (USERS * EVENTS_OF_A_USER) as u64 - bad);
    assert_eq!(delivered, summary.distinct_events);

    let arrivals = Arrivals::from_sandbox(&api);
    let whole: Vec<u64> = (0..EVENTS_OF_A_USER as u64).collect();
    let first_appearances = arrivals.first_appearances();
    for user in (0..USERS).filter(|user| !is_unknown(*user)) {
        assert_eq!(first_appearances[&format!("u-{user}")], whole, "u-{user}");
    }
    assert_eq!(first_appearances.len(), USERS - unknown.len());
    arrivals.assert_only_whole_requests_came_twice();

    let mut rows: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let host = TestSpool::for_sandbox(&api).with("spool", program.spool().to_str().unwrap());
    for row in host.with("lanes", &lanes).client().rejected_rows() {
        let event: meditopia_testkit::sandbox::Fields =
            serde_json::from_str(&row.event_json).unwrap();
        let user = event.partner_user_id.strip_prefix("u-").unwrap();
        assert_eq!(row.http_status, Some(404));
        assert_eq!(row.api_code, format!("A_9{:0>3}", user));
        assert_eq!(row.message, format!("nobody is {user}"));
        let numbers = rows.entry(user.to_owned()).or_default();
        numbers.push(meditopia_testkit::ledger::event_number(&event));
    }
    assert_eq!(rows.len(), unknown.len());
    for user in unknown {
        assert_eq!(rows[&user.to_string()], whole, "u-{user}");
    }
    println!(
        "lanes {lanes}: {} requests for {} events, {} connections reset, {} events twice",
        summary.requests,
        USERS * EVENTS_OF_A_USER,
        summary.by_fault["reset"],
        summary.accepted_events - summary.distinct_events
    );
}
