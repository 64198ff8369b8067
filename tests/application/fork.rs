//! An application in C that forks: a client that was opened before the fork works on in the parent
//! and in the children, which send, flush and list like any process; none loses an event, and what
//! comes twice is a request that was in flight when its process ended.

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
fn run(role: &str, case: &str, others: &[(&str, u64)]) {
    let api = Sandbox::start();
    let program = program_for(&api, role, "20");
    assert_eq!(program.run(&[case]), "");
    assert_all_arrived(&api, &program, &format!("{role} {case}"), others);
}

fn program_for(api: &Sandbox, role: &str, flush_interval_ms: &str) -> CProgram {
    CProgram::compile("fork.c").with_config(
        api,
        &[("role", role), ("flush_interval_ms", flush_interval_ms)],
    )
}

/// Checks that the program's processes have delivered everything.
fn assert_all_arrived(api: &Sandbox, program: &CProgram, what: &str, others: &[(&str, u64)]) {
    let arrivals = Arrivals::from_sandbox(api);
    let mut expected: BTreeMap<String, Vec<u64>> = others
        .iter()
        .map(|(user, events)| ((*user).to_owned(), (0..*events).collect()))
        .collect();
    for child in 0..3 {
        expected.insert(format!("child-{child}"), (0..EVENTS_PER_CHILD).collect());
    }
    let arrived = arrivals.first_appearances();
    assert!(
        arrived.keys().eq(expected.keys()),
        "{what}: events of {:?}",
        arrived.keys()
    );
    for (user, numbers) in &expected {
        assert_eq!(arrived[user], *numbers, "{what}: {user}");
    }
    // Four processes end without a close, each perhaps as the sender, with a request in flight.
    assert!(arrivals.repeats() <= 4, "{what}: {}", arrivals.repeats());
    arrivals.assert_only_whole_requests_came_twice();
    let spool = TestSpool::for_sandbox(api).with("spool", program.spool().to_str().unwrap());
    let report = spool.client().flush_ok(secs(30));
    assert_eq!((report.pending, report.rejected), (0, 0), "{what}");
}

#[test]
fn workers_of_a_master_that_only_opened_the_client_send_by_themselves() {
    for role in ["both", "enqueue"] {
        run(role, "idle", &[("parent", 100)]);
    }
}

#[test]
fn a_client_that_was_used_without_a_thread_works_in_parent_and_children_after_a_fork() {
    for case in ["used", "sending"] {
        run("enqueue", case, &[("parent", 110)]);
    }
}

#[test]
fn a_child_of_a_sender_flushes_and_lists_while_its_parent_sends() {
    run("both", "sending", &[("parent", 110)]);
}

#[test]
fn a_grandchild_of_a_sender_flushes_and_lists_and_so_does_its_parent() {
    run("both", "nested", &[("parent", 110)]);
}

#[test]
fn a_child_that_frees_the_client_in_an_exit_handler_harms_nothing_of_its_parent() {
    run("both", "exits", &[("parent", 110)]);
}

#[test]
fn a_fork_while_other_threads_enqueue_harms_neither_parent_nor_child() {
    let others = [("busy-0", 5_000), ("busy-1", 5_000), ("parent", 110)];
    run("both", "busy", &others);
}

#[test]
fn a_daemon_sends_everything_although_its_dead_parent_has_enqueued_or_sent() {
    for role in ["both", "enqueue"] {
        run(role, "daemon", &[("parent", 10)]);
        run(role, "orphan", &[("parent", 10)]);
    }
}

#[test]
fn a_child_that_sleeps_does_not_keep_its_dead_parent_elected_and_sends_when_it_wakes() {
    let api = Sandbox::start();
    let program = program_for(&api, "both", "3600000");
    let mut parent = program
        .command(&["sleeper"])
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
    assert_all_arrived(&api, &program, "sleeper", &[("parent", 11)]);
}

#[test]
fn a_child_that_returns_from_the_log_callback_that_forked_it_sends_nothing_and_ends() {
    let api = Sandbox::start();
    let program = CProgram::compile("fork_callback.c").with_config(
        &api,
        &[
            ("role", "both"),
            ("log_level", "debug"),
            ("flush_interval_ms", "10"),
        ],
    );
    let forks = trial_count(3, 100);
    for fork in 0..forks {
        // A run logs a few records, those of its requests among them.
        let record = (fork % 3 + 1).to_string();
        assert_eq!(program.run(&[&record, &format!("user-{fork}")]), "");
    }
    let arrivals = Arrivals::from_sandbox(&api);
    let arrived = arrivals.first_appearances();
    assert_eq!(arrived.len() as u64, forks);
    for (user, numbers) in &arrived {
        assert_eq!(*numbers, (0..250).collect::<Vec<_>>(), "{user}");
    }
    assert_eq!(arrivals.repeats(), 0);
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
    add_row("fork under load, children that flush", outcome, 0);
    assert!(arrived.keys().eq(expected.keys()));
    for (user, events) in &expected {
        assert_eq!(arrived[user], (0..*events).collect::<Vec<_>>(), "{user}");
    }
    assert_eq!(outcome.duplicated, 0);
}

#[test]
fn each_of_a_thousand_senders_in_a_row_is_a_child_of_the_last_one_and_sends_what_that_has_left() {
    let links = trial_count(30, 1_000);
    let api = Sandbox::start();
    let program = CProgram::compile("fork_chain.c")
        .with_config(&api, &[("role", "both"), ("flush_interval_ms", "10")]);
    let file = program.dir().join("acknowledged");
    let descriptors = program.run(&[&links.to_string(), file.to_str().unwrap()]);

    let acknowledged: Vec<u64> = std::fs::read(&file)
        .unwrap()
        .chunks(8)
        .map(|number| u64::from_ne_bytes(number.try_into().unwrap()))
        .collect();
    let arrivals = Arrivals::from_sandbox(&api);
    let arrived = arrivals.first_appearances();
    let mut outcome = Outcome {
        trials: links,
        delivered: arrived.values().map(Vec::len).sum::<usize>() as u64,
        duplicated: arrivals.repeats() as u64,
        ..Outcome::default()
    };
    for link in 0..links {
        let busy = |thread: u64| {
            let known = acknowledged[(2 * link + thread) as usize];
            (format!("busy-{link}-{thread}"), known)
        };
        for (user, known) in [(format!("link-{link}"), 2), busy(0), busy(1)] {
            let numbers = arrived.get(&user).map_or(&[][..], Vec::as_slice);
            outcome.acknowledged += known;
            outcome.lost += known.saturating_sub(numbers.len() as u64);
            // A process may end after an enqueue and before it has noted that.
            assert!(numbers.len() as u64 <= known + 1, "{user}");
            assert!(numbers.iter().copied().eq(0..numbers.len() as u64));
        }
    }
    add_row("fork, and the end, of a sender that sends", outcome, links);
    assert_eq!(outcome.lost, 0);
    assert!(outcome.duplicated <= links);
    arrivals.assert_only_whole_requests_came_twice();
    // A fork may fall between the opening of a file and its registration, or into the listing of a
    // directory, which is seldom.
    let descriptors: u64 = descriptors.trim().parse().unwrap();
    assert!(descriptors < 32 + links / 8, "{descriptors} are open");
}
