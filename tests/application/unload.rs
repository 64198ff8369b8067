//! Applications that unload the library while its thread runs, and processes that exit while they
//! enqueue or send: none crashes, hangs or grows, and the next sender delivers what was
//! acknowledged.

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
/// The most that the process may grow by after the first tenth of the rounds.
const GROWTH_KB: u64 = 2_048;
/// How many events each exit handler enqueues; the same number as in `exits.c`.
const EVENTS_PER_HANDLER: u64 = 50;

#[test]
fn a_library_that_is_unloaded_after_a_close_can_be_loaded_again_and_nothing_grows() {
    unload("both", "closed", 1);
}

#[test]
fn a_library_that_is_unloaded_while_its_thread_still_ends_lets_it_end_and_nothing_grows() {
    unload("both", "hurried", 1);
}

#[test]
fn a_library_that_is_unloaded_while_its_thread_sends_goes_on_and_nothing_grows() {
    unload("both", "abandoned", 3);
}

#[test]
fn a_library_that_no_thread_uses_stays_mapped_and_keeps_one_segment_open() {
    unload("enqueue", "visited", 1);
}

/// The resources of a process.
#[derive(Debug)]
struct Resources {
    descriptors: usize,
    threads: usize,
    mappings: usize,
    resident_kb: u64,
}

impl Resources {
    fn of_process(pid: u32) -> Self {
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

    /// The resources once the process has only `threads` threads: the ones of the last round end
    /// later.
    fn once_idle(pid: u32, threads: usize) -> Self {
        wait_until("the threads of the last round have ended", || {
            Self::of_process(pid).threads == threads
        });
        Self::of_process(pid)
    }
}

/// A client that delivers what `program` has left when it flushes.
fn observer(api: &Sandbox, program: &CProgram) -> Client {
    let spool = program.spool();
    let spool = TestSpool::for_sandbox(api).with("spool", spool.to_str().unwrap());
    spool.client()
}

fn unload(role: &str, way: &str, threads: usize) {
    let rounds = trial_count(60, 1_000);
    let first_rounds = rounds / 10;
    let api = Sandbox::start();
    let program = CProgram::compile_with_dlopen("unload.c")
        .with_config(&api, &[("role", role), ("flush_interval_ms", "20")]);
    let observer = observer(&api, &program);
    let library = program.library();
    let process = Enqueuer::spawn(&mut program.command(&[library.to_str().unwrap(), way]));

    let deliver_rounds = |rounds: u64, in_all: u64| {
        let answer = process.ask(&rounds.to_string());
        assert_eq!(answer.as_deref(), Some("done"), "it died");
        if way == "abandoned" {
            // Its sender lives on. If the observer sent first, that sender would not have a
            // connection yet when its descriptors are counted.
            api.wait_for_events(in_all);
        }
        observer.flush_ok(secs(60));
    };
    deliver_rounds(first_rounds, first_rounds);
    let early = Resources::once_idle(process.pid(), threads);
    deliver_rounds(rounds - first_rounds, rounds);
    let late = Resources::once_idle(process.pid(), threads);

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
    // The sender's thread opens and closes descriptors meanwhile.
    wait_until("it holds no more descriptors than at first", || {
        Resources::of_process(process.pid()).descriptors <= early.descriptors
    });
    assert!(late.resident_kb <= early.resident_kb + GROWTH_KB);
}

#[test]
fn a_process_that_exits_while_it_enqueues_sends_or_flushes_loses_nothing() {
    end_processes(
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
fn a_process_without_a_sender_that_exits_while_it_enqueues_loses_nothing() {
    end_processes(
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
fn exit_handlers_of_a_process_can_enqueue() {
    for role in ["both", "enqueue"] {
        let acknowledged = end_processes(role, &["atexit"]);
        for handler in ["early-handler", "late-handler"] {
            let of_it = acknowledged.iter().filter(|(user, _)| user == handler);
            assert_eq!(
                of_it.count() as u64,
                EVENTS_PER_HANDLER * trial_count(3, 50),
                "{role}"
            );
        }
    }
}

#[test]
fn a_process_that_aborts_leaves_its_events_to_the_next_sender() {
    end_processes("both", &["abort"]);
    end_processes("enqueue", &["abort"]);
}

/// Has processes end in these ways, each at moments drawn from a seed, and checks what was
/// acknowledged, which it returns.
fn end_processes(role: &str, ways: &[&str]) -> Vec<Event> {
    let api = Sandbox::builder().seed(SEED).start();
    // So that a request is in flight at most of the ends.
    api.set_fault(json!({"fault": "delay", "ms": [0, 50], "when": "after"}));
    let program = CProgram::compile("exits.c").with_config(&api, &[("flush_interval_ms", "10")]);

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
