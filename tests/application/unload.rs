//! Hosts that unload the library while its thread runs, and hosts that end in the middle of things:
//! neither crashes, hangs or grows, and what was acknowledged goes with the next sender.

use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use meditopia::Client;
use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::enqueuer::Enqueuer;
use meditopia_testkit::fault_table::{Outcome, add_row, trial_count};
use meditopia_testkit::ledger::{Arrivals, Event, assert_survived_deaths};
use meditopia_testkit::process::{open_descriptors, spawn_reporting};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::{secs, wait_until};
use serde_json::json;

const SEED: u64 = 5;
/// What the heap may grow by over all rounds but the first tenth.
const GROWTH_KB: u64 = 2_048;
/// What each exit handler of the host enqueues.
const OF_A_HANDLER: u64 = 50;

#[test]
fn a_library_that_is_closed_and_unloaded_comes_back_and_nothing_grows() {
    unload("both", "closed", 1);
}

#[test]
fn a_library_that_is_unloaded_in_a_hurry_ends_its_thread_later_and_nothing_grows() {
    unload("both", "hurried", 1);
}

#[test]
fn a_library_that_is_unloaded_under_its_thread_goes_on_and_nothing_grows() {
    unload("both", "abandoned", 3);
}

#[test]
fn a_library_that_no_thread_holds_on_to_stays_mapped_and_keeps_one_segment_open() {
    unload("enqueue", "visited", 1);
}

/// What a process holds.
#[derive(Debug)]
struct Holdings {
    descriptors: usize,
    threads: usize,
    mappings: usize,
    resident_kb: u64,
}

impl Holdings {
    fn of(pid: u32) -> Self {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        Self {
            descriptors: open_descriptors(pid).len(),
            threads: field("Threads:") as usize,
            mappings: maps.lines().filter(|l| l.contains("libmeditopia")).count(),
            resident_kb: field("VmRSS:"),
        }
    }

    /// Once it has so many threads: those of the last round end in their own time.
    fn at_rest(pid: u32, threads: usize) -> Self {
        wait_until("its threads are at rest", || {
            Self::of(pid).threads == threads
        });
        Self::of(pid)
    }
}

/// A client that sends what `program` has left, if nobody else does.
fn observer(api: &Sandbox, program: &CProgram) -> Client {
    let spool = program.spool();
    let host = TestSpool::for_sandbox(api).with("spool", spool.to_str().unwrap());
    host.client()
}

fn unload(role: &str, way: &str, threads: usize) {
    let rounds = trial_count(60, 1_000);
    let first_rounds = rounds / 10;
    let api = Sandbox::start();
    let program = CProgram::compile_with_dlopen("unload.c")
        .with_config(&api, &[("role", role), ("flush_interval_ms", "20")]);
    let observer = observer(&api, &program);
    let library = program.library();
    let host = Enqueuer::spawn(&mut program.command(&[library.to_str().unwrap(), way]));

    let turn = |rounds: u64| {
        let answer = host.ask(&rounds.to_string());
        assert_eq!(answer.as_deref(), Some("done"), "it died");
    };
    turn(first_rounds);
    observer.flush_ok(secs(60));
    let early = Holdings::at_rest(host.pid(), threads);
    turn(rounds - first_rounds);
    observer.flush_ok(secs(60));
    let late = Holdings::at_rest(host.pid(), threads);

    let arrivals = Arrivals::from_sandbox(&api);
    let delivered = arrivals.first_appearances().remove("plugin").unwrap();
    add_row(
        &format!("dlclose, {way}"),
        Outcome {
            trials: rounds,
            acknowledged: rounds,
            delivered: delivered.len() as u64,
            duplicated: arrivals.duplicates() as u64,
            ..Outcome::default()
        },
        0,
    );
    println!("after {first_rounds} rounds {early:?}\nafter {rounds} rounds {late:?}");
    assert!(delivered.iter().copied().eq(0..rounds));
    assert_eq!(arrivals.duplicates(), 0);
    assert!(late.mappings > 0, "it stays mapped");
    assert_eq!(late.mappings, early.mappings);
    // Its thread opens and closes some while it is looked at.
    wait_until("it holds no more descriptors than at first", || {
        Holdings::of(host.pid()).descriptors <= early.descriptors
    });
    assert!(late.resident_kb <= early.resident_kb + GROWTH_KB);
}

#[test]
fn a_process_that_exits_while_it_enqueues_sends_or_flushes_loses_nothing() {
    ends(
        "both",
        &[
            "_exit",
            "exit",
            "return",
            "quick_exit",
            "flushing",
            "closing",
        ],
    );
}

#[test]
fn a_process_without_a_thread_that_exits_while_it_enqueues_loses_nothing() {
    ends(
        "enqueue",
        &[
            "_exit",
            "exit",
            "return",
            "quick_exit",
            "flushing",
            "closing",
        ],
    );
}

#[test]
fn a_host_whose_exit_handlers_enqueue_may_do_so() {
    for role in ["both", "enqueue"] {
        let acknowledged = ends(role, &["atexit"]);
        for handler in ["early-handler", "late-handler"] {
            let of_it = acknowledged.iter().filter(|(user, _)| user == handler);
            assert_eq!(
                of_it.count() as u64,
                OF_A_HANDLER * trial_count(3, 50),
                "{role}"
            );
        }
    }
}

#[test]
fn an_abort_leaves_the_events_to_the_next_sender() {
    ends("both", &["abort"]);
    ends("enqueue", &["abort"]);
}

/// Has processes end in these ways, each at moments drawn from a seed; what they were told is safe.
fn ends(role: &str, ways: &[&str]) -> Vec<Event> {
    let api = Sandbox::builder().seed(SEED).start();
    // So that most find a request on its way.
    api.set_fault(json!({"fault": "delay", "ms": [0, 50], "when": "after"}));
    let program = CProgram::compile("ends.c").with_config(&api, &[("flush_interval_ms", "10")]);

    let mut rng = fastrand::Rng::with_seed(SEED);
    let mut acknowledged = Vec::new();
    let mut lives = 0;
    for way in ways {
        for _ in 0..trial_count(3, 50) {
            let life = lives.to_string();
            let mut command = program.command(&[role, &life, way]);
            let (mut process, events) = spawn_reporting(command.stdin(Stdio::piped()));
            acknowledged.extend(events.iter().take(rng.usize(1..300)));
            process.0.stdin.take().unwrap().write_all(b"\n").unwrap();
            acknowledged.extend(&events);
            let mut status = None;
            wait_until("it has ended", || {
                status = process.0.try_wait().unwrap();
                status.is_some()
            });
            let status = status.unwrap();
            let good = match *way {
                "abort" => status.signal() == Some(libc::SIGABRT),
                _ => status.success(),
            };
            assert!(good, "{role}, {way}: {status}");
            lives += 1;
        }
    }

    api.clear_faults();
    observer(&api, &program).flush_ok(secs(60));
    let fault = format!("role {role}: {}", ways.join(", "));
    assert_survived_deaths(&fault, &api, lives, &acknowledged);
    acknowledged
}
