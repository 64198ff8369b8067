//! Hosts in containers that share one spool: a clock since boot of their own, and pids of their own.

use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::fault_table::Outcome;
use meditopia_testkit::ledger::Arrivals;
use meditopia_testkit::privileges::can_run_under;
use meditopia_testkit::remote_client::RemoteClient;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;

/// Processes under these runners enqueue for one user in turns, each event after the last was acknowledged.
fn take_turns(what: &str, runners: &[&[&str]]) {
    if !runners
        .iter()
        .filter(|runner| !runner.is_empty())
        .all(|runner| can_run_under(runner))
    {
        return;
    }
    let turns = meditopia_testkit::fault_table::trial_count(300, 10_000);
    let api = Sandbox::start();
    let program = CProgram::compile("remote_client.c").with_config(&api, &[("role", "enqueue")]);
    let mut hosts: Vec<RemoteClient> = runners
        .iter()
        .map(|runner| {
            RemoteClient::start(match runner {
                [] => program.command(&[]),
                runner => program.command_under(runner, &[]),
            })
        })
        .collect();
    let count = hosts.len() as u64;
    for number in 0..turns {
        hosts[(number % count) as usize].enqueue("u-1", number);
    }
    hosts.into_iter().for_each(RemoteClient::close);

    let sender = TestSpool::for_sandbox(&api).with("spool", program.spool().to_str().unwrap());
    let report = sender.client().flush_ok(secs(60));
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
    meditopia_testkit::fault_table::add_row(what, outcome, 0);
    assert_eq!(outcome.duplicated, 0);
}

#[test]
fn a_user_keeps_the_order_of_events_from_hosts_in_several_time_namespaces() {
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
fn a_user_keeps_the_order_of_events_from_hosts_that_all_have_the_same_pid() {
    let alone: &[&str] = &["unshare", "--pid", "--fork"];
    take_turns("turns across pid namespaces", &[alone, alone, &[]]);
}
