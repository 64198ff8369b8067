//! A year of bad days for the delivery engine, told by seeds.
//!
//! Each day has events of several users, an API that refuses some of them, a network that loses
//! answers, an operator, a clock that is set back and forth, and a process that dies at every point
//! where a real one can. Time costs nothing here. When the bad part of the day is over, the ledger of
//! the API and the rejected store are held against what was enqueued.
//!
//! A seed makes a [`plan`], a plan makes a [`day`] with an [`api`] and a [`store`], and [`promises`] says what has
//! to be true of it. A day that breaks one is shrunk to a small plan that breaks one, too, and the
//! test prints both the plan and the line that replays it. `make soak` lives 100,000 days.

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

/// What all days together came to.
#[derive(Default)]
struct Year {
    days: meditopia_testkit::fault_table::Outcome,
    crashes: usize,
    good: Cost,
}

#[test]
fn nothing_is_lost_and_only_lone_events_are_judged_on_any_bad_day() {
    if let Ok(seed) = std::env::var("SIMULATION_SEED") {
        let mut year = Year::default();
        live(seed.parse().expect("a number"), &mut year);
        return;
    }
    let days = meditopia_testkit::fault_table::trial_count(3_000, 100_000);
    let mut year = Year::default();
    for seed in 0..days {
        live(seed, &mut year);
    }
    meditopia_testkit::fault_table::add_row(
        "simulated day: lost answers, crashes, pauses, clocks",
        year.days,
        "a batch a lane for each lost answer",
    );
    assert!(year.crashes as u64 > days, "{} crashes", year.crashes);
    assert!(
        year.days.duplicated > 0,
        "no answer was ever lost after a delivery"
    );
    let Cost {
        requests, halving, ..
    } = year.good;
    assert!(
        requests * 100 <= halving * promises::SHARE_OF_HALVING,
        "{requests} requests on good days, where halving takes {halving}"
    );
}

/// Lives the day of a seed. One that breaks a promise is shrunk and told.
fn live(seed: u64, year: &mut Year) {
    let (mut runner, tree) = Plan::of_seed(seed);
    let plan = tree.current();
    let told = panic::catch_unwind(|| {
        let mut day = Day::new(&plan);
        day.live();
        promises::check(&day);
        day
    });
    let Ok(day) = told else {
        // The panics on the way to a small plan are nobody's news.
        panic::set_hook(Box::new(|_| {}));
        let shrunk = runner.run_one(tree, |plan| {
            let mut day = Day::new(&plan);
            day.live();
            promises::check(&day);
            Ok(())
        });
        let _ = panic::take_hook();
        let TestError::Fail(why, small) = shrunk.expect_err("the same day, the same end") else {
            panic!("seed {seed} broke a promise, and its plan could not be shrunk");
        };
        panic!(
            "{why}\n{small:#?}\nreplay: SIMULATION_SEED={seed} cargo test --features cli --test simulation"
        );
    };
    year.crashes += day.crashes;
    let days = &mut year.days;
    days.trials += 1;
    days.acknowledged += day.events.len() as u64;
    days.delivered += day.store.delivered.len() as u64;
    days.rejected += day.store.rejected.len() as u64;
    days.duplicated += day.api.repeated as u64;
    if let Some(cost) = promises::cost_of_good_part(&day) {
        year.good.requests += cost.requests;
        year.good.halving += cost.halving;
    }
}
