//! Fork, as a host in C does it: a client opened before goes on in parent and children, nothing
//! gets lost on either side, and nothing is sent twice.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod c_host;
mod host;
mod ledger;
mod sandbox;

use std::collections::BTreeMap;
use std::process::Stdio;

use c_host::Program;
use host::{Host, Story, secs};
use ledger::Arrivals;
use sandbox::Sandbox;

/// How many events each child enqueues.
const OF_A_CHILD: u64 = 200;

/// Runs the program, checks that each of these users' events came once and in order, and says how
/// many the program left to the next sender.
fn assert_forks(role: &str, arguments: &[&str], others: &[(&str, u64)]) -> u64 {
    let api = Sandbox::start();
    let program =
        Program::of("fork.c").configured(&api, &[("role", role), ("flush_interval_ms", "20")]);

    assert_eq!(program.run(arguments), "");
    let host = Host::of(&api).with("spool", program.spool().to_str().unwrap());
    let left = host.client().flushed(secs(30)).delivered;

    let mut expected: BTreeMap<String, Vec<u64>> = others
        .iter()
        .map(|(user, events)| ((*user).to_owned(), (0..*events).collect()))
        .collect();
    for child in 0..3 {
        expected.insert(format!("child-{child}"), (0..OF_A_CHILD).collect());
    }
    let arrivals = Arrivals::of(&api);
    let arrived = arrivals.first_appearances();
    assert!(
        arrived.keys().eq(expected.keys()),
        "events of {:?}",
        arrived.keys()
    );
    for (user, numbers) in &expected {
        assert_eq!(arrived[user], *numbers, "{role} {arguments:?}: {user}");
    }
    assert_eq!(arrivals.duplicates(), 0);
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
    let program = Program::of("fork.c")
        .configured(&api, &[("role", "both"), ("flush_interval_ms", "3600000")]);
    let mut parent = program
        .command(&["sleeper", "forked"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let children = (parent.stdin.take().unwrap(), parent.stderr.take().unwrap());
    assert!(parent.wait().unwrap().success());

    let host = Host::of(&api).with("spool", program.spool().to_str().unwrap());
    assert_eq!(host.client().flushed(secs(30)).delivered, 1);

    let (input, mut complaints) = children;
    drop(input);
    // It ends with the last child.
    let complaints = std::io::read_to_string(&mut complaints).unwrap();
    assert_eq!(complaints, "");
    let left = host.client().flushed(secs(30)).delivered;
    assert_eq!(left, 3 * OF_A_CHILD);
}
