//! What isolation costs in requests: counted by the API, and as `docs/isolation.md` publishes it.
//!
//! The published figures are those of `benches/isolation.rs`. They are the same on every run and
//! every machine, so a figure that differs is out of date, or a change has made isolation cost
//! something else. `make test` counts the figures that take little time, `make soak` all of them.

use std::collections::BTreeMap;

use meditopia_testkit::fault_table::trial_count;
use meditopia_testkit::isolation::zipf::Zipf;
use meditopia_testkit::isolation::{plot, published, rows, table};
use meditopia_testkit::ledger::Arrivals;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;

const USERS: usize = 10_000;
/// One user of this many is bad.
const ONE_BAD_OF: usize = 100;
/// The limit of requests, as a multiple of the least: full batches, and a request for each rejected
/// event.
const AT_MOST: f64 = 1.15;
/// How many requests it takes to find a bad user. A million events make up for them, fewer do not.
const TO_FIND: f64 = 8.0;
/// From this many events on, the requests for finding the bad users do not count extra.
const MANY: usize = 1_000_000;

fn is_bad(user: usize) -> bool {
    user % ONE_BAD_OF == 37
}

#[test]
fn one_bad_user_in_a_hundred_costs_little_more_than_a_request_for_each_rejected_event() {
    let events = meditopia_testkit::fault_table::trial_count(50_000, MANY as u64) as usize;
    let api = Sandbox::start();
    let bad = (0..USERS).filter(|user| is_bad(*user));
    api.set_unknown_users(bad.map(|user| format!("u-{user}")));
    let client = TestSpool::for_sandbox(&api).into_client();
    let (zipf, mut rng) = (Zipf::new(USERS), fastrand::Rng::with_seed(1));
    let mut sent = vec![0_u64; USERS];
    for _ in 0..events {
        let user = zipf.draw(&mut rng);
        client.enqueue_for(&format!("u-{user}"), sent[user] as usize);
        sent[user] += 1;
    }

    let report = client.flush_ok(secs(540));

    let of_bad: u64 = (0..USERS)
        .filter(|user| is_bad(*user))
        .map(|user| sent[user])
        .sum();
    assert_eq!(report.rejected, of_bad);
    assert_eq!(report.delivered, events as u64 - of_bad);
    let summary = api.ledger();
    assert_eq!(summary.distinct_events, report.delivered);
    assert_eq!(summary.accepted_events, report.delivered);
    let first_appearances: BTreeMap<String, Vec<u64>> =
        Arrivals::from_sandbox(&api).first_appearances();
    for user in (0..USERS).filter(|user| !is_bad(*user) && sent[*user] > 0) {
        let whole: Vec<u64> = (0..sent[user]).collect();
        assert_eq!(first_appearances[&format!("u-{user}")], whole, "u-{user}");
    }
    let least = events as f64 / 100.0 + of_bad as f64;
    let times = summary.requests as f64 / least;
    println!(
        "{events} events, {of_bad} of them rejected: {} requests, {times:.3} times the least, {least:.0}",
        summary.requests
    );
    let found = (0..USERS)
        .filter(|user| is_bad(*user) && sent[*user] > 0)
        .count();
    let to_find = if events >= MANY {
        0.0
    } else {
        TO_FIND * found as f64
    };
    assert!(
        summary.requests as f64 <= AT_MOST * least + to_find,
        "{times:.3} times the least, {found} bad users"
    );
}

const UPDATE: &str = "UPDATE_README=1 cargo bench --locked --bench isolation";

#[test]
fn the_published_figures_of_what_bad_events_cost_are_those_of_the_library() {
    let published = published::table();
    for row in rows::first_batches() {
        let line = table::line(&row);
        assert!(published.contains(&line), "{line}{UPDATE}");
        assert!(!row.is_over(), "{line} is over its limit");
    }
    let plot = published::plot();
    for rate in [0.1, 0.3, 0.35, 0.98] {
        let dot = plot::dot(&rows::point(rate));
        assert!(plot.contains(&dot), "{dot}\n{UPDATE}");
    }
    if trial_count(0, 1) == 1 {
        let (per_event, first_batches) = (rows::per_event(), rows::first_batches());
        let table = table::markdown(&per_event, &first_batches);
        let stale = published::outdated(&table, &plot::svg(&rows::curve()));
        assert!(stale.is_empty(), "{stale:?}: {UPDATE}");
        assert!(!per_event.iter().any(rows::Row::is_over), "{table}");
    }
}
