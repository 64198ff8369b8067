//! Processes in several containers that share one spool: each container has its own time since boot
//! or its own pids.

use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::fault_table::{Outcome, add_row, trial_count};
use meditopia_testkit::ledger::Arrivals;
use meditopia_testkit::privileges::can_run_under;
use meditopia_testkit::remote_client::RemoteClient;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;

/// Processes under these runners enqueue events of one user in turns, each event after the one
/// before it was acknowledged.
fn take_turns(what: &str, runners: &[&[&str]]) {
    if !runners
        .iter()
        .filter(|runner| !runner.is_empty())
        .all(|runner| can_run_under(runner))
    {
        return;
    }
    let turns = trial_count(300, 10_000);
    let api = Sandbox::start();
    let program = CProgram::compile("remote_client.c").with_config(&api, &[("role", "enqueue")]);
    let mut clients: Vec<RemoteClient> = runners
        .iter()
        .map(|runner| {
            RemoteClient::start(match runner {
                [] => program.command(&[]),
                runner => program.command_under(runner, &[]),
            })
        })
        .collect();
    let count = clients.len() as u64;
    for number in 0..turns {
        clients[(number % count) as usize].enqueue("u-1", number);
    }
    clients.into_iter().for_each(RemoteClient::close);

    let spool = TestSpool::for_sandbox(&api).with("spool", program.spool().to_str().unwrap());
    let report = spool.client().flush_ok(secs(60));
    assert_eq!((report.delivered, report.pending), (turns, 0));
    let arrivals = Arrivals::from_sandbox(&api);
    let arrived = &arrivals.first_appearances()["u-1"];
    assert!(
        arrived.iter().copied().eq(0..turns),
        "{what}: out of order: {arrived:?}"
    );
    let outcome = Outcome {
        trials: turns,
        acknowledged: turns,
        delivered: arrived.len() as u64,
        duplicated: arrivals.duplicates() as u64,
        ..Outcome::default()
    };
    add_row(what, outcome, 0);
    assert_eq!(outcome.duplicated, 0);
}

#[test]
fn events_of_a_user_keep_their_order_across_processes_in_several_time_namespaces() {
    take_turns(
        "turns across time namespaces",
        &[
            &[],
            &["unshare", "--time", "--boottime", "100000"],
            &["unshare", "--time", "--boottime", "-60"],
        ],
    );
}

#[test]
fn events_of_a_user_keep_their_order_across_processes_that_have_the_same_pid() {
    let alone: &[&str] = &["unshare", "--pid", "--fork"];
    take_turns("turns across pid namespaces", &[alone, alone, &[]]);
}
