//! Relays and the database killed at any moment: nothing is lost, and what is repeated is a batch as it was.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use meditopia_testkit::postgres_server::PostgresServer;
use meditopia_testkit::tracer::{TraceEvent, Tracer};
use meditopia_testkit::wait::wait_until;
use rustix::process::Signal;

use super::relays::{Fleet, LANES, Numbers};

/// A call that leaves the process: what may have happened or not.
fn is_step(name: &str) -> bool {
    ["sendto", "sendmsg", "write", "writev"].contains(&name)
}

/// Runs a relay and kills it at its step of this number, before or after the call; `false`: it has delivered
/// everything before.
fn killed_at(fleet: &Fleet, step: usize, before: bool, is_done: impl Fn() -> bool) -> bool {
    let mut tracer = Tracer::default();
    let pid = tracer.start(fleet.relay_command("traced"));
    let mut steps: usize = 0;
    while let Some(event) = tracer.next_event() {
        let (call, is_before) = match &event {
            TraceEvent::Ended(ended, status) => {
                assert!(*ended != pid, "it ended: {status}");
                continue;
            }
            TraceEvent::Entry(call) => (call, true),
            TraceEvent::Exit(call, _) => (call, false),
        };
        if is_before == before && is_step(&call.name()) {
            steps += 1;
            let is_over = steps.is_multiple_of(5) && is_done();
            if steps > step || is_over {
                tracer.kill(pid);
                return !is_over;
            }
        }
        tracer.resume(call);
    }
    false
}

#[test]
fn a_relay_that_is_killed_between_any_two_steps_loses_nothing_and_repeats_at_most_a_batch_of_each_lane()
 {
    let fleet = Fleet::new();
    let host = fleet.host();
    let mut numbers = Numbers::default();
    let mut deaths = 0;
    // Each number is tried in some run; all runs together are one history of the fleet.
    for before in [true, false] {
        let mut step = fastrand::usize(0..6);
        loop {
            numbers.enqueue(&host, 40);
            host.forward_once();
            let all = numbers.count();
            if !killed_at(&fleet, step, before, || {
                fleet.api.ledger().accepted_events >= all
            }) {
                break;
            }
            deaths += 1;
            fleet.forget_relay("traced");
            step += 1 + fastrand::usize(0..6);
        }
        fleet.forget_relay("traced");
    }
    let _relay = fleet.relay("last");
    fleet.wait_until_drained();
    let arrivals = fleet.assert_delivered(&numbers.enqueued);
    let repeats = arrivals.repeats();
    assert!(deaths > 4, "{deaths}");
    assert!(repeats <= (deaths + 2) * LANES, "{repeats} of {deaths}");
}

#[test]
fn requests_of_a_killed_relay_that_the_api_had_accepted_are_repeated_byte_for_byte() {
    let fleet = Fleet::new();
    let host = fleet.host();
    let mut numbers = Numbers::default();
    // Accepted, and the answer is late.
    fleet
        .api
        .set_fault(serde_json::json!({"fault": "delay", "ms": 900, "when": "after"}));
    numbers.enqueue(&host, 60);
    host.forward_once();
    let mut killed = fleet.relay("killed");
    wait_until("a request is accepted", || {
        fleet.api.ledger().accepted_events > 0
    });
    killed.kill();
    fleet.forget_relay("killed");
    fleet.api.clear_faults();
    // With these the next batch of the lane would be another one.
    numbers.enqueue(&host, 60);
    host.forward_once();
    let _other = fleet.relay("other");
    wait_until("everything has arrived", || {
        fleet.api.ledger().distinct_events >= numbers.count()
    });
    fleet.wait_until_drained();
    let arrivals = fleet.assert_delivered(&numbers.enqueued);
    let repeats = arrivals.repeats();
    assert!((1..=LANES).contains(&repeats), "{repeats}");
}

#[test]
fn nothing_is_lost_while_relays_the_database_and_connections_are_killed() {
    let mut fleet = Fleet::with_server(PostgresServer::start_with(&["fsync = on"]));
    let host = fleet.host();
    let forwarder = host.start();
    let ends = AtomicBool::new(false);
    let mut faults = 0;
    let enqueued = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut numbers = Numbers::default();
            while !ends.load(Ordering::Relaxed) {
                numbers.enqueue(&host, 7);
                std::thread::sleep(Duration::from_millis(2));
            }
            numbers
        });
        let mut relays = [fleet.relay("0"), fleet.relay("1")];
        let until = Instant::now() + Duration::from_secs(6);
        while Instant::now() < until {
            std::thread::sleep(Duration::from_millis(u64::from(fastrand::u8(20..250))));
            faults += 1;
            match fastrand::u8(0..6) {
                0 => fleet.crash_server(),
                1 | 2 => {
                    let which = fastrand::usize(0..2);
                    let name = which.to_string();
                    relays[which].kill();
                    fleet.forget_relay(&name);
                    relays[which] = fleet.relay(&name);
                }
                _ => fleet.cut_connections(),
            }
        }
        ends.store(true, Ordering::Relaxed);
        let numbers = writer.join().unwrap();
        assert_eq!(forwarder.terminate(), Some(0));
        host.forward_once();
        fleet.wait_until_drained();
        numbers.enqueued
    });
    let arrivals = fleet.assert_delivered(&enqueued);
    let repeats = arrivals.repeats();
    assert!(repeats <= faults * LANES, "{repeats} of {faults}");
}

#[test]
fn a_relay_that_stands_still_for_longer_than_its_lease_sends_nothing_late() {
    let fleet = Fleet::new();
    let host = fleet.host();
    let mut numbers = Numbers::default();
    let still = fleet.relay("still");
    fleet.wait_for_lanes(&[("still", LANES)]);
    // In flight when it is stopped.
    fleet
        .api
        .set_fault(serde_json::json!({"fault": "delay", "ms": 300}));
    numbers.enqueue(&host, 100);
    host.forward_once();
    wait_until("requests are in flight", || {
        fleet.api.ledger().outcome("open") > 0
    });
    still.signal(Signal::STOP);
    fleet.api.clear_faults();
    let other = fleet.relay("other");
    fleet.wait_for_lanes(&[("other", LANES)]);
    numbers.enqueue(&host, 100);
    host.forward_once();
    fleet.api.wait_for_events(numbers.count());
    fleet.wait_until_drained();
    let requests = fleet.api.ledger().requests;
    still.signal(Signal::CONT);
    fleet.wait_for_lanes(&[("other", LANES / 2), ("still", LANES / 2)]);
    assert_eq!(fleet.api.ledger().requests, requests, "{}", still.log());
    numbers.enqueue(&host, 100);
    host.forward_once();
    fleet.wait_until_drained();
    let arrivals = fleet.assert_delivered(&numbers.enqueued);
    assert!(arrivals.repeats() <= LANES, "{}", arrivals.repeats());
    drop(other);
}
