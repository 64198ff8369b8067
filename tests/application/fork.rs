//! An application in C that forks: a client that was opened before the fork works on in the parent
//! and in the children, neither loses an event, and no event is sent twice.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::fault_table::{Outcome, add_row, trial_count};
use meditopia_testkit::ledger::Arrivals;
use meditopia_testkit::process::spawn_until_ready;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::{secs, wait_until};

/// How many events each child enqueues.
const EVENTS_PER_CHILD: u64 = 200;

/// Runs the program, and checks that the events of each of its users arrived once and in order.
/// Returns how many of them the program left to the next sender.
fn run_and_count_rest(role: &str, arguments: &[&str], others: &[(&str, u64)]) -> u64 {
    let api = Sandbox::start();
    let program = CProgram::compile("fork.c")
        .with_config(&api, &[("role", role), ("flush_interval_ms", "20")]);

    assert_eq!(program.run(arguments), "");
    let spool = TestSpool::for_sandbox(&api).with("spool", program.spool().to_str().unwrap());
    let left = spool.client().flush_ok(secs(30)).delivered;

    let mut expected: BTreeMap<String, Vec<u64>> = others
        .iter()
        .map(|(user, events)| ((*user).to_owned(), (0..*events).collect()))
        .collect();
    for child in 0..3 {
        expected.insert(format!("child-{child}"), (0..EVENTS_PER_CHILD).collect());
    }
    let arrivals = Arrivals::from_sandbox(&api);
    let arrived = arrivals.first_appearances();
    assert!(
        arrived.keys().eq(expected.keys()),
        "events of {:?}",
        arrived.keys()
    );
    for (user, numbers) in &expected {
        assert_eq!(arrived[user], *numbers, "{role} {arguments:?}: {user}");
    }
    // A child that sends by itself ends without a close, perhaps while a request is in flight.
    let bound = if role == "both" && arguments[1] == "sends" {
        3
    } else {
        0
    };
    assert!(arrivals.repeats() <= bound);
    arrivals.assert_only_whole_requests_came_twice();
    left
}

#[test]
fn workers_of_a_master_that_only_opened_the_client_send_by_themselves() {
    for role in ["both", "enqueue"] {
        assert_eq!(
            run_and_count_rest(role, &["idle", "sends"], &[("parent", 100)]),
            0
        );
    }
}

#[test]
fn a_client_that_was_used_without_a_thread_works_in_parent_and_children_after_a_fork() {
    for case in ["used", "sending"] {
        let left = run_and_count_rest("enqueue", &[case, "sends"], &[("parent", 110)]);
        assert_eq!(left, 0);
    }
}

#[test]
fn a_child_of_a_sender_enqueues_and_its_parent_sends() {
    let left = run_and_count_rest("both", &["sending", "forked"], &[("parent", 110)]);
    assert_eq!(left, 0);
}

#[test]
fn a_fork_while_other_threads_enqueue_harms_neither_parent_nor_child() {
    let others = [("busy-0", 5_000), ("busy-1", 5_000), ("parent", 110)];
    assert_eq!(run_and_count_rest("both", &["busy", "forked"], &others), 0);
}

#[test]
fn events_of_children_whose_parent_has_ended_are_delivered_by_the_next_sender() {
    let left = run_and_count_rest("both", &["orphan", "forked"], &[("parent", 10)]);
    assert_eq!(left, 3 * EVENTS_PER_CHILD);
}

#[test]
fn a_child_that_sleeps_does_not_keep_its_dead_parent_elected() {
    let api = Sandbox::start();
    let program = CProgram::compile("fork.c")
        .with_config(&api, &[("role", "both"), ("flush_interval_ms", "3600000")]);
    let mut parent = program
        .command(&["sleeper", "forked"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let children = (parent.stdin.take().unwrap(), parent.stderr.take().unwrap());
    assert!(parent.wait().unwrap().success());

    let spool = TestSpool::for_sandbox(&api).with("spool", program.spool().to_str().unwrap());
    assert_eq!(spool.client().flush_ok(secs(30)).delivered, 1);

    let (input, mut stderr) = children;
    drop(input);
    // The pipe ends when the last child has ended.
    let stderr = std::io::read_to_string(&mut stderr).unwrap();
    assert_eq!(stderr, "");
    let left = spool.client().flush_ok(secs(30)).delivered;
    assert_eq!(left, 3 * EVENTS_PER_CHILD);
}

/// Kills a process that enqueues and sends and has idle children, and waits until a successor has
/// delivered its events and removed its segments.
fn assert_successor_takes_over(what: &str, preload: Option<&str>) {
    const EVENTS: u64 = 50;
    let lives = trial_count(2, 50);
    let mut outcome = Outcome {
        trials: lives,
        ..Outcome::default()
    };
    let mut longest = Duration::ZERO;
    for _ in 0..lives {
        let api = Sandbox::start();
        let program = CProgram::compile("idle.c")
            .with_config(&api, &[("role", "both"), ("flush_interval_ms", "3600000")]);
        let mut command = program.command(&[&EVENTS.to_string()]);
        if let Some(source) = preload {
            command.env("LD_PRELOAD", program.compile_preload(source));
        }
        let mut parent = spawn_until_ready(&mut command);
        // The children end when this input is closed.
        let children = parent.0.stdin.take();

        // The successor stands for election before the kill.
        let spool = TestSpool::for_sandbox(&api)
            .with("spool", program.spool().to_str().unwrap())
            .with("role", "both")
            .with("flush_interval_ms", "10");
        let successor = spool.client();
        successor.enqueue_for("successor", 0);
        parent.kill();
        let killed = Instant::now();
        api.wait_for_events(EVENTS + 1);
        longest = longest.max(killed.elapsed());
        let dead = format!("-{}-", parent.0.id());
        let waited = wait_until("its segments are removed", || {
            program.segments().iter().all(|name| !name.contains(&dead))
        });
        assert!(waited < secs(30), "{waited:?}");
        drop(children);

        let arrivals = Arrivals::from_sandbox(&api);
        let arrived = arrivals.first_appearances();
        assert_eq!(arrived["parent"], (0..EVENTS).collect::<Vec<_>>());
        assert_eq!(arrived["successor"], [0]);
        outcome.acknowledged += EVENTS + 1;
        outcome.delivered += arrived.values().map(Vec::len).sum::<usize>() as u64;
        outcome.duplicated += arrivals.duplicates() as u64;
    }
    println!("{what}: delivered by a successor within {longest:?}");
    add_row(what, outcome, 0);
    assert!(longest < secs(10), "{longest:?}");
    assert_eq!(outcome.duplicated, 0);
}

#[test]
fn a_killed_sender_with_idle_children_gets_a_successor_that_removes_its_segments() {
    assert_successor_takes_over("sender killed, idle children", None);
}

#[test]
fn a_killed_sender_with_children_forked_while_it_opened_a_lock_file_gets_a_successor_that_removes_its_segments()
 {
    assert_successor_takes_over(
        "sender killed, children of a fork while opening",
        Some("fork_shim.c"),
    );
}

#[test]
fn every_fork_of_a_loaded_process_gives_a_child_that_works_at_once() {
    const EVENTS_PER_CHILD: u64 = 3;
    let forks = trial_count(100, 1_000);
    let api = Sandbox::start();
    let program = CProgram::compile("fork_storm.c")
        .with_config(&api, &[("role", "both"), ("flush_interval_ms", "10")]);
    let busy: Vec<u64> = program
        .run(&[&forks.to_string()])
        .split_whitespace()
        .map(|count| count.parse().unwrap())
        .collect();

    let arrivals = Arrivals::from_sandbox(&api);
    let arrived = arrivals.first_appearances();
    let mut expected = BTreeMap::from([
        ("first".to_owned(), 1),
        ("busy-0".to_owned(), busy[0]),
        ("busy-1".to_owned(), busy[1]),
    ]);
    expected.extend((0..forks).map(|child| (format!("child-{child}"), EVENTS_PER_CHILD)));
    let outcome = Outcome {
        trials: forks,
        acknowledged: expected.values().sum(),
        delivered: arrived.values().map(Vec::len).sum::<usize>() as u64,
        duplicated: arrivals.duplicates() as u64,
        ..Outcome::default()
    };
    add_row("fork under load", outcome, 0);
    assert!(arrived.keys().eq(expected.keys()));
    for (user, events) in &expected {
        assert_eq!(arrived[user], (0..*events).collect::<Vec<_>>(), "{user}");
    }
    assert_eq!(outcome.duplicated, 0);
}
