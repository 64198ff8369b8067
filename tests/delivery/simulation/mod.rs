//! Simulated days for the delivery engine, each made from a seed.
//!
//! Each day has events of several users, an API that refuses some of them, a network that loses
//! answers, an operator, a clock that is set back and forth, and a process that dies at every point
//! where a real one can. Time is simulated too. When the bad part of the day is over, the API's
//! ledger and the rejected events are compared with the events that were enqueued.
//!
//! A seed makes a [`plan`], a plan makes a [`day`] with an [`api`] and a [`store`], and
//! [`promises`] says what must be true at its end. If a day breaks a promise, proptest shrinks the
//! plan to a small one that breaks a promise too, and the test prints that plan and the command
//! that replays the day. `make soak` simulates 100,000 days.

mod api;
mod day;
mod plan;
mod promises;
mod store;

use day::Day;
use plan::Plan;
use promises::Cost;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestError;
use std::panic;

/// The totals of all days.
#[derive(Default)]
struct Totals {
    days: meditopia_testkit::fault_table::Outcome,
    crashes: usize,
    good: Cost,
}

#[test]
fn no_event_is_lost_and_only_events_refused_alone_are_rejected_on_any_simulated_day() {
    if let Ok(seed) = std::env::var("SIMULATION_SEED") {
        let mut totals = Totals::default();
        simulate(seed.parse().expect("a number"), &mut totals);
        return;
    }
    let days = meditopia_testkit::fault_table::trial_count(3_000, 100_000);
    let mut totals = Totals::default();
    for seed in 0..days {
        simulate(seed, &mut totals);
    }
    meditopia_testkit::fault_table::add_row(
        "simulated day: lost answers, crashes, pauses, clocks",
        totals.days,
        "a batch a lane for each lost answer",
    );
    assert!(totals.crashes as u64 > days, "{} crashes", totals.crashes);
    assert!(
        totals.days.duplicated > 0,
        "no answer was ever lost after a delivery"
    );
    let Cost {
        requests, halving, ..
    } = totals.good;
    assert!(
        requests * 100 <= halving * promises::SHARE_OF_HALVING,
        "{requests} requests on good days, where halving takes {halving}"
    );
}

/// Simulates the day of a seed. If the day breaks a promise, its plan is shrunk and printed.
fn simulate(seed: u64, totals: &mut Totals) {
    let (mut runner, tree) = Plan::from_seed(seed);
    let plan = tree.current();
    let checked = panic::catch_unwind(|| {
        let mut day = Day::new(&plan);
        day.run();
        promises::check(&day);
        day
    });
    let Ok(day) = checked else {
        // The panics while the plan is shrunk would only hide the last one.
        panic::set_hook(Box::new(|_| {}));
        let shrunk = runner.run_one(tree, |plan| {
            let mut day = Day::new(&plan);
            day.run();
            promises::check(&day);
            Ok(())
        });
        let _ = panic::take_hook();
        let TestError::Fail(why, small) = shrunk.expect_err("the same day ends in the same way")
        else {
            panic!("seed {seed} broke a promise, and its plan could not be shrunk");
        };
        panic!(
            "{why}\n{small:#?}\nreplay: SIMULATION_SEED={seed} cargo test --test delivery simulation"
        );
    };
    totals.crashes += day.crashes;
    let days = &mut totals.days;
    days.trials += 1;
    days.acknowledged += day.events.len() as u64;
    days.delivered += day.store.delivered.len() as u64;
    days.rejected += day.store.rejected.len() as u64;
    days.duplicated += day.api.repeated as u64;
    if let Some(cost) = promises::cost_of_good_part(&day) {
        totals.good.requests += cost.requests;
        totals.good.halving += cost.halving;
    }
}
