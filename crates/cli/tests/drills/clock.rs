//! The wall clock is stepped while a sender runs.

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
    let mut drill = Drill::start_on_clocks(name);
    drill.set_wall(seconds);
    drill.strike();
    drill.enqueue(20);
    drill.api.wait_for_events(30);
    drill.status("nothing is pending");
    drill.check(0, "0 events pending");
    drill.doctor(2, direction);
    drill.ready(200, "sending");
    // Prometheus goes by its own clock.
    drill.alerts(alerts, secs(75 * 60));
    drill.set_wall(0);
    drill.ended_by("the clock set right; nothing waited for it");
    drill.end(0, 0);
}
