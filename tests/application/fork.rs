//! Fork, as a host in C does it: a client opened before goes on in parent and children, nothing
//! gets lost on either side, and nothing is sent twice.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::fault_table::Outcome;
use meditopia_testkit::ledger::Arrivals;
use meditopia_testkit::process::ChildProcess;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;

/// How many events each child enqueues.
const OF_A_CHILD: u64 = 200;

/// Runs the program, checks that each of these users' events came once and in order, and says how
/// many the program left to the next sender.
fn assert_forks(role: &str, arguments: &[&str], others: &[(&str, u64)]) -> u64 {
    let api = Sandbox::start();
    let program = CProgram::compile("fork.c")
        .with_config(&api, &[("role", role), ("flush_interval_ms", "20")]);

    assert_eq!(program.run(arguments), "");
    let host = TestSpool::for_sandbox(&api).with("spool", program.spool().to_str().unwrap());
    let left = host.client().flush_ok(secs(30)).delivered;

    let mut expected: BTreeMap<String, Vec<u64>> = others
        .iter()
        .map(|(user, events)| ((*user).to_owned(), (0..*events).collect()))
        .collect();
    for child in 0..3 {
        expected.insert(format!("child-{child}"), (0..OF_A_CHILD).collect());
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
    // A child that sends by itself ends without a word, perhaps with a batch on its way.
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
            assert_forks(role, &["idle", "sends"], &[("parent", 100)]),
            0
        );
    }
}

#[test]
fn a_client_without_a_thread_that_was_used_before_goes_on_on_both_sides() {
    for case in ["used", "sending"] {
        let left = assert_forks("enqueue", &[case, "sends"], &[("parent", 110)]);
        assert_eq!(left, 0);
    }
}

#[test]
fn a_child_of_a_sender_enqueues_and_its_parent_sends() {
    let left = assert_forks("both", &["sending", "forked"], &[("parent", 110)]);
    assert_eq!(left, 0);
}

#[test]
fn a_fork_while_other_threads_enqueue_harms_neither_side() {
    let others = [("busy-0", 5_000), ("busy-1", 5_000), ("parent", 110)];
    assert_eq!(assert_forks("both", &["busy", "forked"], &others), 0);
}

#[test]
fn what_orphans_of_a_sender_enqueue_goes_with_the_next_sender() {
    let left = assert_forks("both", &["orphan", "forked"], &[("parent", 10)]);
    assert_eq!(left, 3 * OF_A_CHILD);
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

    let host = TestSpool::for_sandbox(&api).with("spool", program.spool().to_str().unwrap());
    assert_eq!(host.client().flush_ok(secs(30)).delivered, 1);

    let (input, mut complaints) = children;
    drop(input);
    // It ends with the last child.
    let complaints = std::io::read_to_string(&mut complaints).unwrap();
    assert_eq!(complaints, "");
    let left = host.client().flush_ok(secs(30)).delivered;
    assert_eq!(left, 3 * OF_A_CHILD);
}

/// Kills a writer and sender whose children idle on, and waits for its successor's work.
fn assert_followed(what: &str, preload: Option<&str>) {
    const EVENTS: u64 = 50;
    let lives = meditopia_testkit::fault_table::trial_count(2, 50);
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
        let mut parent = ChildProcess(
            command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap(),
        );
        // The children end when this is dropped.
        let children = parent.0.stdin.take();
        let mut line = String::new();
        BufReader::new(parent.0.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "ready\n");

        // Stands for election already.
        let host = TestSpool::for_sandbox(&api)
            .with("spool", program.spool().to_str().unwrap())
            .with("role", "both")
            .with("flush_interval_ms", "10");
        let successor = host.client();
        successor.enqueue_for("successor", 0);
        parent.kill();
        let killed = Instant::now();
        api.wait_for_events(EVENTS + 1);
        longest = longest.max(killed.elapsed());
        let dead = format!("-{}-", parent.0.id());
        wait_until("its segments are removed", || {
            segments(&program).iter().all(|name| !name.contains(&dead))
        });
        drop(children);

        let arrivals = Arrivals::from_sandbox(&api);
        let arrived = arrivals.first_appearances();
        assert_eq!(arrived["parent"], (0..EVENTS).collect::<Vec<_>>());
        assert_eq!(arrived["successor"], [0]);
        outcome.acknowledged += EVENTS + 1;
        outcome.delivered += arrived.values().map(Vec::len).sum::<usize>() as u64;
        outcome.duplicated += arrivals.duplicates() as u64;
    }
    println!("{what}: followed within {longest:?}");
    meditopia_testkit::fault_table::add_row(what, outcome, 0);
    assert!(longest < secs(10), "{longest:?}");
    assert_eq!(outcome.duplicated, 0);
}

fn segments(program: &CProgram) -> Vec<String> {
    let entries = std::fs::read_dir(program.spool().join("journal")).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Waits for what has to come soon.
fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "not after 30 s: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_killed_sender_is_followed_and_its_segments_go_though_its_children_idle_on() {
    assert_followed("sender killed, idle children", None);
}

#[test]
fn the_same_where_the_children_were_forked_while_a_lock_file_was_being_opened() {
    assert_followed(
        "sender killed, children of a fork while opening",
        Some("fork_shim.c"),
    );
}

#[test]
fn every_fork_of_a_loaded_process_gives_a_child_that_works_at_once() {
    const OF_A_CHILD: u64 = 3;
    let forks = meditopia_testkit::fault_table::trial_count(100, 1_000);
    let api = Sandbox::start();
    let program = CProgram::compile("storm.c")
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
    expected.extend((0..forks).map(|child| (format!("child-{child}"), OF_A_CHILD)));
    let outcome = Outcome {
        trials: forks,
        acknowledged: expected.values().sum(),
        delivered: arrived.values().map(Vec::len).sum::<usize>() as u64,
        duplicated: arrivals.duplicates() as u64,
        ..Outcome::default()
    };
    meditopia_testkit::fault_table::add_row("fork under load", outcome, 0);
    assert!(arrived.keys().eq(expected.keys()));
    for (user, events) in &expected {
        assert_eq!(arrived[user], (0..*events).collect::<Vec<_>>(), "{user}");
    }
    assert_eq!(outcome.duplicated, 0);
}
