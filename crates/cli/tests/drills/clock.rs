//! The wall clock is stepped while a sender runs.

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::service::ConfiguredSpool;
use meditopia_testkit::test_clocks::TestClocks;
use meditopia_testkit::wait::secs;

use crate::drill::Drill;

const DAY_S: i64 = 24 * 3_600;

#[test]
fn events_go_on_when_the_clock_is_stepped_forward() {
    drill_with_steps("clock stepped forward", 3 * DAY_S, "ahead of", &[]);
}

#[test]
fn events_go_on_when_the_clock_is_stepped_back() {
    drill_with_steps(
        "clock stepped back",
        -3 * DAY_S,
        "behind",
        &["MeditopiaNoSender"],
    );
}

fn drill_with_steps(name: &'static str, seconds: i64, direction: &str, alerts: &[&str]) {
    let api = Sandbox::start();
    let spool = ConfiguredSpool::new(api.endpoint(), api.token());
    let clocks = std::rc::Rc::new(TestClocks::in_directory(&spool.path("")));
    let of_programs = clocks.clone();
    let prepare = Box::new(move |command: &mut _| of_programs.prepare(command));
    let mut drill = Drill::start_on(name, "", api, spool, prepare);
    clocks.set_wall(seconds);
    drill.strike();
    drill.enqueue(20);
    drill.api.wait_for_events(30);
    drill.status("everything is delivered");
    drill.check(0, "0 events pending");
    drill.doctor(2, direction);
    drill.ready(200, "sending");
    // Prometheus goes by its own clock.
    drill.alerts(alerts, secs(75 * 60));
    clocks.set_wall(0);
    drill.ended_by("the clock set right; nothing waited for it");
    drill.end(0, 0);
}
