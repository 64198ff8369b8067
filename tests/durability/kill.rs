//! `kill -9` at any moment: a C program that enqueues from several threads beside its background
//! sender dies fifty times, and nothing that it was told is safe gets lost.
//!
//! Moments are counted in acknowledgements or in requests, not in time, and drawn from a seed: early
//! ones hit the start and the take-over, those counted in requests the commit after an answer. The
//! first lives are slow and their batches not full, so that a successor that does not know what was
//! in doubt sends other bytes; the later ones leave a backlog.

use std::sync::mpsc::Receiver;

use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::fault_table::{Outcome, add_row};
use meditopia_testkit::ledger::{
    Arrivals, Event, events_of_rows, first_disorder, lost_events, numbers_by_user,
};
use meditopia_testkit::process::{ChildProcess, spawn_reporting};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;
use serde_json::json;

const SEED: u64 = 9;
const KILLS: usize = 50;
const THREADS: usize = 4;
/// What each thread enqueues in one life.
const EVENTS: usize = 500;

/// How a life goes.
struct Pace {
    rest_us: usize,
    /// It ends at one of so many acknowledgements, which it reaches for sure.
    acknowledgements: usize,
    /// Or at one of so many requests.
    requests: u64,
}

const FAST: Pace = Pace {
    rest_us: 0,
    acknowledgements: EVENTS * THREADS,
    requests: 10,
};
const SLOW: Pace = Pace {
    rest_us: 2_000,
    acknowledgements: 400,
    requests: 10,
};
const UNKNOWN: [&str; 2] = ["u-0-7", "u-2-3"];

#[test]
fn fifty_deaths_lose_nothing_and_repeat_at_most_a_batch_each() {
    die_often(1);
}

#[test]
fn fifty_deaths_with_four_lanes_repeat_at_most_a_batch_for_each_and_lane() {
    die_often(4);
}

fn die_often(lanes: usize) {
    let api = Sandbox::builder()
        .seed(SEED)
        .unknown_user(UNKNOWN[0])
        .unknown_user(UNKNOWN[1])
        .start();
    // So that many deaths find a request on its way, taken by the API and not answered.
    api.set_fault(json!({"fault": "delay", "ms": [0, 20], "when": "after"}));
    let lane_count = lanes.to_string();
    let program = CProgram::compile("mortal.c").with_config(
        &api,
        &[
            ("role", "both"),
            ("flush_interval_ms", "20"),
            ("lanes", &lane_count),
        ],
    );

    let mut rng = fastrand::Rng::with_seed(SEED + lanes as u64);
    let mut acknowledged = Vec::new();
    for life in 0..KILLS {
        let requests_before = api.ledger().requests;
        let pace = if life < KILLS / 2 { &SLOW } else { &FAST };
        let (mut service, acknowledgements) = live(&program, life, pace);
        if rng.bool() {
            let moment = rng.usize(1..=pace.acknowledgements);
            acknowledged.extend(acknowledgements.iter().take(moment));
        } else {
            api.wait_for_requests(requests_before + rng.u64(1..=pace.requests));
        }
        service.kill();
        acknowledged.extend(acknowledgements);
    }

    api.clear_faults();
    let spool = program.spool();
    let client = TestSpool::for_sandbox(&api)
        .with("spool", spool.to_str().unwrap())
        .with("lanes", &lane_count)
        .client();
    client.resume().unwrap();
    let left = client.flush_ok(secs(120));
    assert_eq!((left.pending, left.in_doubt), (0, 0));
    assert!(!spool.join("damaged").exists(), "a record was damaged");

    let arrivals = Arrivals::from_sandbox(&api);
    let delivered = arrivals.first_appearances();
    let rejected = numbers_by_user(events_of_rows(&client.rejected_rows()));
    let lost = lost_events(&acknowledged, &[&delivered, &rejected]);
    let bound = KILLS * lanes;
    let repeats = arrivals.repeats();
    add_row(
        &format!("kill -9 of a service, {lanes} lanes"),
        Outcome {
            trials: KILLS as u64,
            acknowledged: acknowledged.len() as u64,
            delivered: delivered.values().map(|n| n.len() as u64).sum(),
            rejected: rejected.values().map(|n| n.len() as u64).sum(),
            lost: lost.len() as u64,
            duplicated: repeats as u64,
        },
        format!("{bound} requests"),
    );
    assert!(lost.is_empty(), "lost: {lost:?}");
    arrivals.assert_only_whole_requests_came_twice();
    assert!(repeats <= bound, "{repeats} requests were repeated");
    for (user, numbers) in &delivered {
        assert_eq!(first_disorder(numbers), None, "{user}");
        assert!(!UNKNOWN.contains(&user.as_str()));
    }
    assert!(rejected.keys().eq(UNKNOWN));
    for (user, numbers) in &rejected {
        assert_eq!(first_disorder(numbers), None, "{user}, among the rejected");
    }
}

/// Starts the program; what it was told is safe comes through the channel.
fn live(program: &CProgram, life: usize, pace: &Pace) -> (ChildProcess, Receiver<Event>) {
    let arguments = [life, THREADS, EVENTS, pace.rest_us].map(|number| number.to_string());
    spawn_reporting(&mut program.command(&arguments.each_ref().map(String::as_str)))
}
