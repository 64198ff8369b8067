//! A clock that is set, a host that sleeps, and a host that boots again: the order of events, the
//! waits of the sender and `event_ttl_s` hold.
//!
//! The programs run on clocks that the test sets, see `meditopia_testkit::test_clocks`.

use std::fs::File;

use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::fault_table::{Outcome, add_row, trial_count};
use meditopia_testkit::ledger::Arrivals;
use meditopia_testkit::remote_client::RemoteClient;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::test_clocks::TestClocks;
use serde_json::json;

const HOUR: i64 = 3_600;

/// Checks that all events of these users arrived once and in order, and adds the row.
fn assert_all_arrived(fault: &str, api: &Sandbox, users: &[(&str, u64)], trials: u64) {
    let arrivals = Arrivals::from_sandbox(api);
    let arrived = arrivals.first_appearances();
    let outcome = Outcome {
        trials,
        acknowledged: users.iter().map(|(_, events)| events).sum(),
        delivered: arrived.values().map(Vec::len).sum::<usize>() as u64,
        duplicated: arrivals.duplicates() as u64,
        ..Outcome::default()
    };
    add_row(fault, outcome, 0);
    for (user, events) in users {
        assert_eq!(arrived[*user], (0..*events).collect::<Vec<_>>(), "{user}");
    }
    assert_eq!(outcome.duplicated, 0);
}

#[test]
fn a_wall_clock_that_is_set_neither_reorders_nor_delays_events() {
    let steps = trial_count(30, 1_000);
    let api = Sandbox::start();
    let program = CProgram::compile("remote_client.c")
        .with_config(&api, &[("role", "both"), ("flush_interval_ms", "50")]);
    let clocks = TestClocks::new(&program);
    let mut clients = [clocks.start_client(&program), clocks.start_client(&program)];
    let mut rng = fastrand::Rng::with_seed(8);
    for number in 0..steps {
        clocks.set_wall(rng.i64(-10 * HOUR..10 * HOUR));
        clients[number as usize % 2].enqueue("u-1", number);
        if number % 10 == 9 {
            // The flush interval has passed, however the wall clock was set meanwhile.
            api.wait_for_events(number + 1);
        }
    }
    assert_all_arrived("wall clock set by hours", &api, &[("u-1", steps)], steps);
    clients.into_iter().for_each(RemoteClient::close);
}

#[test]
fn an_event_without_received_at_gets_the_time_of_the_wall_clock() {
    let api = Sandbox::start();
    let program = CProgram::compile("remote_client.c").with_config(&api, &[("role", "enqueue")]);
    let clocks = TestClocks::new(&program);
    let mut client = clocks.start_client(&program);
    for (number, step) in [0, -7 * HOUR, 5 * HOUR].into_iter().enumerate() {
        clocks.set_wall(step);
        let seconds = || jiff::Timestamp::now().as_second() + step;
        let before = seconds();
        assert_eq!(client.ask(&format!("now u-1 {number}")), "ok");
        let after = seconds();
        assert_eq!(client.ask("flush 30000"), "MEDITOPIA_OK 1 0 0");
        let events = api.events();
        let shown = &events.last().unwrap().fields.received_at;
        let time: jiff::civil::DateTime = shown.parse().unwrap();
        let time = time.to_zoned(jiff::tz::TimeZone::UTC).unwrap();
        let time = time.timestamp().as_second();
        assert!((before..=after).contains(&time), "{shown}");
    }
    client.close();
}

#[test]
fn a_retry_is_sent_when_it_is_due_although_the_wall_clock_was_set_back() {
    let api = Sandbox::start();
    let program = CProgram::compile("remote_client.c")
        .with_config(&api, &[("role", "both"), ("flush_interval_ms", "20")]);
    let clocks = TestClocks::new(&program);
    api.set_fault(json!({"fault": "status", "status": 503}));
    let mut client = clocks.start_client(&program);
    client.enqueue("u-1", 0);
    api.wait_for_requests(1);
    // After this flush the sender has read the answer, and its wait of a second or more has begun.
    assert_eq!(client.ask("flush 200"), "MEDITOPIA_ERROR_TIMEOUT 0 0 1");
    clocks.set_wall(-9 * HOUR);
    api.clear_faults();
    api.wait_for_events(1);
    assert_all_arrived("wall set back in a backoff", &api, &[("u-1", 1)], 1);
    client.close();
}

#[test]
fn a_probe_that_became_due_while_the_host_slept_is_sent_when_it_wakes() {
    let api = Sandbox::start();
    let program = CProgram::compile("remote_client.c")
        .with_config(&api, &[("role", "both"), ("flush_interval_ms", "20")]);
    let clocks = TestClocks::new(&program);
    api.refuse_address();
    let mut client = clocks.start_client(&program);
    client.enqueue("u-1", 0);
    api.wait_for_requests(1);
    // The first probe is due in 30 s, the second one 60 s later: longer than this test waits.
    wait_for_pause(&mut client);
    clocks.set_wall(-9 * HOUR);
    clocks.set_boot(31);
    api.wait_for_requests(2);
    wait_for_pause(&mut client);
    api.allow_address();
    clocks.set_boot(31 + 61);
    api.wait_for_events(1);
    assert_all_arrived("host asleep in a pause", &api, &[("u-1", 1)], 2);
    client.close();
}

#[test]
fn a_flush_has_the_sender_of_another_process_probe_a_pause_at_once() {
    let api = Sandbox::start();
    let program = CProgram::compile("remote_client.c")
        .with_config(&api, &[("role", "both"), ("flush_interval_ms", "20")]);
    let clocks = TestClocks::new(&program);
    api.refuse_address();
    let mut sender = clocks.start_client(&program);
    sender.enqueue("u-1", 0);
    api.wait_for_requests(1);
    wait_for_pause(&mut sender);
    let mut ahead = 0;
    for (probe, wait) in [(2, 31), (3, 61), (4, 121)] {
        ahead += wait;
        clocks.set_boot(ahead);
        clocks.set_wall(ahead);
        api.wait_for_requests(probe);
        wait_for_pause(&mut sender);
    }
    let mut other = clocks.start_client(&program);
    wait_for_pause(&mut other);
    assert_eq!(api.ledger().requests, 4);
    api.allow_address();
    // The next probe would be due in 4 minutes.
    clocks.set_boot(ahead + 31);
    clocks.set_wall(ahead + 31);
    assert_eq!(other.ask("flush 30000"), "MEDITOPIA_OK 1 0 0");
    assert_all_arrived(
        "flush of another process in a pause",
        &api,
        &[("u-1", 1)],
        1,
    );
    other.close();
    sender.close();
}

/// A flush that fails as paused has waited until the answer to the request is committed.
fn wait_for_pause(client: &mut RemoteClient) {
    assert_eq!(client.ask("flush 30000"), "MEDITOPIA_ERROR_PAUSED 0 0 1");
}

#[test]
fn an_event_whose_flush_interval_passed_while_the_host_slept_is_sent_when_it_wakes() {
    let api = Sandbox::start();
    let program = CProgram::compile("remote_client.c")
        .with_config(&api, &[("role", "both"), ("flush_interval_ms", "3600000")]);
    let clocks = TestClocks::new(&program);
    let mut client = clocks.start_client(&program);
    client.enqueue("u-1", 0);
    assert_eq!(client.ask("flush 30000"), "MEDITOPIA_OK 1 0 0");
    client.enqueue("u-1", 1);
    // While a host sleeps these two clocks go on, and only CLOCK_MONOTONIC stops.
    clocks.set_wall(HOUR + 1);
    clocks.set_boot(HOUR + 1);
    api.wait_for_events(2);
    assert_all_arrived("host asleep in an interval", &api, &[("u-1", 2)], 1);
    client.close();
}

#[test]
fn only_events_enqueued_before_the_wall_clock_was_right_expire() {
    let api = Sandbox::start();
    let program = CProgram::compile("remote_client.c")
        .with_config(&api, &[("role", "enqueue"), ("event_ttl_s", "3600")]);
    let clocks = TestClocks::new(&program);
    // A host without a battery for its clock starts like this, before it gets the time from the
    // network.
    clocks.set_wall(-50 * 365 * 24 * HOUR);
    let mut client = clocks.start_client(&program);
    client.enqueue("early", 0);
    clocks.set_wall(0);
    client.enqueue("u-1", 0);
    assert_eq!(client.ask("flush 30000"), "MEDITOPIA_OK 1 1 0");
    clocks.set_wall(-2 * HOUR);
    client.enqueue("u-1", 1);
    assert_eq!(client.ask("flush 30000"), "MEDITOPIA_OK 1 0 0");
    assert_all_arrived("wall clock set, event_ttl_s", &api, &[("u-1", 2)], 2);
    client.close();
}

#[test]
fn events_of_an_earlier_boot_are_delivered_before_those_of_a_later_boot() {
    const EVENTS_PER_BOOT: u64 = 10;
    let boots = trial_count(4, 50);
    let api = Sandbox::start();
    let program = CProgram::compile("remote_client.c").with_config(&api, &[("role", "enqueue")]);
    let clocks = TestClocks::new(&program);
    let mut number = 0;
    for boot in 0..boots {
        let mut client = clocks.start_client(&program);
        for _ in 0..EVENTS_PER_BOOT {
            client.enqueue("u-1", number);
            number += 1;
        }
        client.process.kill();
        // Each boot has been up for less time than the one before.
        clocks.reboot(&format!("boot-{boot}"), (boots - boot) as i64 * 100);
    }
    let mut client = clocks.start_client(&program);
    client.enqueue("u-1", number);
    let answer = client.ask("flush 30000");
    assert_eq!(answer, format!("MEDITOPIA_OK {} 0 0", number + 1));
    assert_all_arrived("host booted again", &api, &[("u-1", number + 1)], boots);
    client.close();
}

#[test]
fn a_heartbeat_of_an_earlier_boot_does_not_end_a_flush() {
    let api = Sandbox::start();
    let program = CProgram::compile("remote_client.c").with_config(&api, &[("role", "enqueue")]);
    let clocks = TestClocks::new(&program);
    let mut client = clocks.start_client(&program);
    client.enqueue("u-1", 0);
    assert_eq!(client.ask("flush 30000"), "MEDITOPIA_OK 1 0 0");
    client.process.kill();
    clocks.reboot("another", 5);

    let mut client = clocks.start_client(&program);
    client.enqueue("u-1", 1);
    // Another process is elected and does nothing, so only the old heartbeat could say that all is
    // taken over.
    let election = File::create(program.spool().join("sender.lock")).unwrap();
    rustix::fs::flock(&election, rustix::fs::FlockOperation::LockExclusive).unwrap();
    assert_eq!(client.ask("flush 1000"), "MEDITOPIA_ERROR_TIMEOUT 0 0 1");
    drop(election);
    assert_eq!(client.ask("flush 30000"), "MEDITOPIA_OK 1 0 0");
    client.close();
}
