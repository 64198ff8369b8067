//! TestClocks that are set, hosts that sleep and hosts that boot again: order, waits and limits hold.
//!
//! The programs run on clocks that the test steps while they run, see `stepped_clocks`.

use std::fs::File;

use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::fault_table::Outcome;
use meditopia_testkit::ledger::Arrivals;
use meditopia_testkit::remote_client::RemoteClient;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::test_clocks::TestClocks;
use serde_json::json;

const HOUR: i64 = 3_600;

/// Checks that all came, once and in order, and adds the row.
fn assert_all_came(fault: &str, api: &Sandbox, users: &[(&str, u64)], trials: u64) {
    let arrivals = Arrivals::from_sandbox(api);
    let arrived = arrivals.first_appearances();
    let outcome = Outcome {
        trials,
        acknowledged: users.iter().map(|(_, events)| events).sum(),
        delivered: arrived.values().map(Vec::len).sum::<usize>() as u64,
        duplicated: arrivals.duplicates() as u64,
        ..Outcome::default()
    };
    meditopia_testkit::fault_table::add_row(fault, outcome, 0);
    for (user, events) in users {
        assert_eq!(arrived[*user], (0..*events).collect::<Vec<_>>(), "{user}");
    }
    assert_eq!(outcome.duplicated, 0);
}

#[test]
fn a_wall_clock_that_is_set_neither_reorders_nor_delays() {
    let steps = meditopia_testkit::fault_table::trial_count(30, 1_000);
    let api = Sandbox::start();
    let program = CProgram::compile("remote_client.c")
        .with_config(&api, &[("role", "both"), ("flush_interval_ms", "50")]);
    let clocks = TestClocks::new(&program);
    let mut hosts = [clocks.start_client(&program), clocks.start_client(&program)];
    let mut rng = fastrand::Rng::with_seed(8);
    for number in 0..steps {
        clocks.set_wall(rng.i64(-10 * HOUR..10 * HOUR));
        hosts[number as usize % 2].enqueue("u-1", number);
        if number % 10 == 9 {
            // Each has waited for its interval and no longer, whatever the wall says.
            api.wait_for_events(number + 1);
        }
    }
    assert_all_came("wall clock set by hours", &api, &[("u-1", steps)], steps);
    hosts.into_iter().for_each(RemoteClient::close);
}

#[test]
fn an_event_of_now_has_the_time_that_the_wall_shows() {
    let api = Sandbox::start();
    let program = CProgram::compile("remote_client.c").with_config(&api, &[("role", "enqueue")]);
    let clocks = TestClocks::new(&program);
    let mut host = clocks.start_client(&program);
    for (number, step) in [0, -7 * HOUR, 5 * HOUR].into_iter().enumerate() {
        clocks.set_wall(step);
        let seconds = || jiff::Timestamp::now().as_second() + step;
        let before = seconds();
        assert_eq!(host.ask(&format!("now u-1 {number}")), "ok");
        let after = seconds();
        assert_eq!(host.ask("flush 30000"), "MEDITOPIA_OK 1 0 0");
        let events = api.events();
        let shown = &events.last().unwrap().fields.received_at;
        let time: jiff::civil::DateTime = shown.parse().unwrap();
        let time = time.to_zoned(jiff::tz::TimeZone::UTC).unwrap();
        let time = time.timestamp().as_second();
        assert!((before..=after).contains(&time), "{shown}");
    }
    host.close();
}

#[test]
fn a_retry_comes_though_the_wall_was_set_back_meanwhile() {
    let api = Sandbox::start();
    let program = CProgram::compile("remote_client.c")
        .with_config(&api, &[("role", "both"), ("flush_interval_ms", "20")]);
    let clocks = TestClocks::new(&program);
    api.set_fault(json!({"fault": "status", "status": 503}));
    let mut host = clocks.start_client(&program);
    host.enqueue("u-1", 0);
    api.wait_for_requests(1);
    // The answer is known to the sender by then, and the wait of a second or more begun.
    assert_eq!(host.ask("flush 200"), "MEDITOPIA_ERROR_TIMEOUT 0 0 1");
    clocks.set_wall(-9 * HOUR);
    api.clear_faults();
    api.wait_for_events(1);
    assert_all_came("wall set back in a backoff", &api, &[("u-1", 1)], 1);
    host.close();
}

#[test]
fn a_probe_that_became_due_while_the_host_slept_goes_when_it_wakes() {
    let api = Sandbox::start();
    let program = CProgram::compile("remote_client.c")
        .with_config(&api, &[("role", "both"), ("flush_interval_ms", "20")]);
    let clocks = TestClocks::new(&program);
    api.refuse_address();
    let mut host = clocks.start_client(&program);
    host.enqueue("u-1", 0);
    api.wait_for_requests(1);
    // The first probe would come in 30 s, the second one 60 s after it: longer than this test waits.
    wait_for_pause(&mut host);
    clocks.set_wall(-9 * HOUR);
    clocks.set_boot(31);
    api.wait_for_requests(2);
    wait_for_pause(&mut host);
    api.allow_address();
    clocks.set_boot(31 + 61);
    api.wait_for_events(1);
    assert_all_came("host asleep in a pause", &api, &[("u-1", 1)], 2);
    host.close();
}

/// The answer to the request is committed when a flush says that delivery is paused.
fn wait_for_pause(host: &mut RemoteClient) {
    assert_eq!(host.ask("flush 30000"), "MEDITOPIA_ERROR_PAUSED 0 0 1");
}

#[test]
fn an_event_that_waits_for_company_goes_when_the_host_wakes() {
    let api = Sandbox::start();
    let program = CProgram::compile("remote_client.c")
        .with_config(&api, &[("role", "both"), ("flush_interval_ms", "3600000")]);
    let clocks = TestClocks::new(&program);
    let mut host = clocks.start_client(&program);
    host.enqueue("u-1", 0);
    assert_eq!(host.ask("flush 30000"), "MEDITOPIA_OK 1 0 0");
    host.enqueue("u-1", 1);
    // Asleep, both go on and only CLOCK_MONOTONIC stands.
    clocks.set_wall(HOUR + 1);
    clocks.set_boot(HOUR + 1);
    api.wait_for_events(2);
    assert_all_came("host asleep in an interval", &api, &[("u-1", 2)], 1);
    host.close();
}

#[test]
fn only_what_was_enqueued_before_a_clock_was_right_expires() {
    let api = Sandbox::start();
    let program = CProgram::compile("remote_client.c")
        .with_config(&api, &[("role", "enqueue"), ("event_ttl_s", "3600")]);
    let clocks = TestClocks::new(&program);
    // As on a host without a clock of its own, before it has asked the network for the time.
    clocks.set_wall(-50 * 365 * 24 * HOUR);
    let mut host = clocks.start_client(&program);
    host.enqueue("early", 0);
    clocks.set_wall(0);
    host.enqueue("u-1", 0);
    assert_eq!(host.ask("flush 30000"), "MEDITOPIA_OK 1 1 0");
    clocks.set_wall(-2 * HOUR);
    host.enqueue("u-1", 1);
    assert_eq!(host.ask("flush 30000"), "MEDITOPIA_OK 1 0 0");
    assert_all_came("wall clock set, event_ttl_s", &api, &[("u-1", 2)], 2);
    host.close();
}

#[test]
fn what_an_earlier_boot_left_goes_before_what_a_later_one_enqueues() {
    const OF_A_BOOT: u64 = 10;
    let boots = meditopia_testkit::fault_table::trial_count(4, 50);
    let api = Sandbox::start();
    let program = CProgram::compile("remote_client.c").with_config(&api, &[("role", "enqueue")]);
    let clocks = TestClocks::new(&program);
    let mut number = 0;
    for boot in 0..boots {
        let mut host = clocks.start_client(&program);
        for _ in 0..OF_A_BOOT {
            host.enqueue("u-1", number);
            number += 1;
        }
        host.process.kill();
        // Each has been up for less than the one before.
        clocks.reboot(&format!("boot-{boot}"), (boots - boot) as i64 * 100);
    }
    let mut host = clocks.start_client(&program);
    host.enqueue("u-1", number);
    let answer = host.ask("flush 30000");
    assert_eq!(answer, format!("MEDITOPIA_OK {} 0 0", number + 1));
    assert_all_came("host booted again", &api, &[("u-1", number + 1)], boots);
    host.close();
}

#[test]
fn a_heartbeat_of_an_earlier_boot_does_not_end_a_flush() {
    let api = Sandbox::start();
    let program = CProgram::compile("remote_client.c").with_config(&api, &[("role", "enqueue")]);
    let clocks = TestClocks::new(&program);
    let mut host = clocks.start_client(&program);
    host.enqueue("u-1", 0);
    assert_eq!(host.ask("flush 30000"), "MEDITOPIA_OK 1 0 0");
    host.process.kill();
    clocks.reboot("another", 5);

    let mut host = clocks.start_client(&program);
    host.enqueue("u-1", 1);
    // Somebody has the seat and does nothing: only the old heartbeat could say that all is taken over.
    let seat = File::open(program.spool()).unwrap();
    rustix::fs::flock(&seat, rustix::fs::FlockOperation::LockExclusive).unwrap();
    assert_eq!(host.ask("flush 1000"), "MEDITOPIA_ERROR_TIMEOUT 0 0 1");
    drop(seat);
    assert_eq!(host.ask("flush 30000"), "MEDITOPIA_OK 1 0 0");
    host.close();
}
