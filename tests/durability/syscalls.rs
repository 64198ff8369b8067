//! `kill -9` before and after every system call of one enqueue, one take-over, one delivery, one
//! rejection and one change to the next ledger.
//!
//! A program in C runs under a tracer and is killed at the n-th call of a thread, for n = 1, 2, 3
//! ... until the section that the test is about has fewer calls. After each kill a successor
//! delivers what is left, and the API's ledger must show what was promised. A kill at a call that
//! only reads, waits or maps memory leaves the same as a kill at the next call. `make soak` kills
//! at those calls, too; `make test` does not.

// The tracer reads registers by their names on this processor.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;

use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::crash_trials::{
    CrashTrial, UNKNOWN_USER_PREFIX, check_trials, memory_dir, sandbox_with_unknown_users,
};
use meditopia_testkit::fault_table::{Outcome, add_row, trial_count};
use meditopia_testkit::ledger::Event;
use meditopia_testkit::tracer::{Mark, SystemCall, TraceEvent, Tracer};

/// A section has ended when this many calls in a row were not reached: threads do not run the same
/// way each time. The calls that `make soak` adds, such as those for a mutex, vary most.
fn misses_at_its_end() -> u64 {
    trial_count(2, 10)
}

/// What a process does, and the part in which it is killed.
struct Section<'a> {
    options: &'a [(&'a str, &'a str)],
    /// Segments of ended processes in the spool, each with events of one user: the user and the
    /// count.
    left: &'a [(&'a str, u64)],
    steps: &'a [&'a str],
    part: Part,
    before: Before,
    /// Calls that must be among those of the kills, or the test does not check what it is for.
    required_calls: &'a [&'a str],
}

/// What has happened before the kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    /// Another sender was killed with a batch in doubt, and the host has booted since.
    Boot,
    /// The first sync of a ledger in the part fails.
    FailedSync,
}

/// The calls at which the process is killed.
#[derive(Clone, Copy)]
enum Part {
    /// The calls of the main thread between its marks.
    Marked,
    /// The calls of a thread; threads are numbered in the order of their start.
    Thread(usize),
}

/// With several lanes, this user is in another lane than the other users.
const IN_ANOTHER_LANE: &str = "elsewhere";

/// What makes the next ledger the one that counts, and what comes of the last one.
const NEXT_LEDGER: &[&str] = &[
    "flock ledger",
    "pwrite ledger",
    "fdatasync ledger",
    "renameat2 ledger",
    "fsync ledger folder",
];

const COORDINATOR: Part = Part::Thread(1);
const FIRST_LANE: Part = Part::Thread(2);

/// The moment of a kill: before or after a call. Calls are counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Before(usize),
    After(usize),
}

/// One run of a section.
struct Life {
    /// The call at which the process was killed; `None` if it ended before that call.
    killed_at: Option<String>,
    acknowledged: Vec<u64>,
}

#[test]
fn a_kill_at_any_system_call_of_a_first_enqueue_loses_nothing_acknowledged() {
    for durability in ["process", "power"] {
        kill_everywhere(
            &format!("kill -9 at each system call: first enqueue on a new spool, {durability}"),
            &Section {
                options: &[("durability", durability)],
                left: &[],
                steps: &["begin", "open", "enqueue:USER:0:2", "end"],
                part: Part::Marked,
                before: Before::Nothing,
                required_calls: &[
                    "mkdirat",
                    "renameat",
                    "openat segment",
                    "flock segment",
                    "write segment",
                    "pwrite segment",
                ],
            },
        );
    }
}

#[test]
fn a_kill_at_any_system_call_of_a_later_enqueue_loses_nothing_acknowledged() {
    for durability in ["process", "power"] {
        kill_everywhere(
            &format!("kill -9 at each system call: a later enqueue, {durability}"),
            &Section {
                options: &[("durability", durability)],
                left: &[],
                steps: &[
                    "open",
                    "enqueue:USER:0:3",
                    "begin",
                    "enqueue:USER:3:1",
                    "end",
                ],
                part: Part::Marked,
                before: Before::Nothing,
                required_calls: &["pwrite segment"],
            },
        );
    }
}

#[test]
fn a_kill_at_any_system_call_of_an_enqueue_that_rotates_loses_nothing_acknowledged() {
    // With power durability an enqueue makes the same calls and more. After each kill 9 MB are
    // delivered.
    for durability in &["power", "process"][..trial_count(1, 2) as usize] {
        kill_everywhere(
            &format!("kill -9 at each system call: an enqueue that rotates, {durability}"),
            &Section {
                options: &[("durability", durability), ("max_event_bytes", "1048576")],
                left: &[],
                steps: &[
                    "open",
                    "batch:USER:0:9:1000000",
                    "begin",
                    "enqueue:USER:9:2",
                    "end",
                ],
                part: Part::Marked,
                before: Before::Nothing,
                required_calls: &["close segment", "openat segment", "pwrite segment"],
            },
        );
    }
}

#[test]
fn a_kill_at_any_system_call_of_a_take_over_loses_nothing_acknowledged() {
    take_over("process", 1);
    if trial_count(0, 1) == 1 {
        take_over("power", 1);
        take_over("process", 4);
    }
}

#[test]
fn a_kill_at_any_system_call_of_a_delivery_loses_nothing_acknowledged() {
    deliver("process", 1);
    if trial_count(0, 1) == 1 {
        deliver("power", 1);
        deliver("process", 4);
    }
}

#[test]
fn a_kill_at_any_system_call_of_a_rejection_loses_nothing_acknowledged() {
    kill_everywhere(
        "kill -9 at each system call: isolation and a lone rejection",
        &Section {
            options: &[],
            left: &[("first", 1), (UNKNOWN_USER_PREFIX, 1), ("last", 1)],
            steps: &["open", "flush"],
            part: FIRST_LANE,
            before: Before::Nothing,
            required_calls: &[
                "sendmsg socket",
                "recvfrom socket",
                "openat rejected",
                "pwrite rejected",
                "mkdirat rejected folder",
                "pwrite ledger",
            ],
        },
    );
}

#[test]
fn a_kill_at_any_system_call_of_the_first_sender_after_a_boot_loses_nothing_acknowledged() {
    kill_everywhere(
        "kill -9 at each system call: the next ledger after a boot",
        &Section {
            options: &[("batch_max", "2")],
            left: &[("one", 3), (UNKNOWN_USER_PREFIX, 1), ("two", 2)],
            steps: &["open", "flush"],
            part: COORDINATOR,
            before: Before::Boot,
            required_calls: NEXT_LEDGER,
        },
    );
}

#[test]
fn a_kill_at_any_system_call_after_a_failed_sync_of_the_ledger_loses_nothing_acknowledged() {
    kill_everywhere(
        "kill -9 at each system call: the next ledger after a failed sync",
        &Section {
            options: &[("durability", "power"), ("batch_max", "2")],
            left: &[("one", 3), (UNKNOWN_USER_PREFIX, 1), ("two", 2)],
            steps: &["open", "flush"],
            part: FIRST_LANE,
            before: Before::FailedSync,
            required_calls: NEXT_LEDGER,
        },
    );
}

/// The sender takes over segments of ended processes and its own, and removes the first kind.
fn take_over(durability: &str, lanes: usize) {
    kill_everywhere(
        &format!(
            "kill -9 at each system call: election, take-over and removal, {durability}, lanes = {lanes}"
        ),
        &Section {
            options: &[("durability", durability), ("lanes", &lanes.to_string())],
            left: &[("one", 3), ("two", 2)],
            steps: &["open", "enqueue:USER:0:2", "flush"],
            part: COORDINATOR,
            before: Before::Nothing,
            required_calls: &[
                "flock",
                "openat ledger",
                "flock ledger",
                "renameat2 ledger",
                "fsync ledger folder",
                "openat queues",
                "pwrite queues",
                "fdatasync queues",
                "pwrite ledger",
                "fdatasync ledger",
                "unlinkat segment",
            ],
        },
    );
}

/// A lane marks a batch as in doubt, sends it, commits its outcome, and marks the next one.
fn deliver(durability: &str, lanes: usize) {
    kill_everywhere(
        &format!("kill -9 at each system call: requests of a lane, {durability}, lanes = {lanes}"),
        &Section {
            options: &[
                ("durability", durability),
                ("lanes", &lanes.to_string()),
                ("batch_max", "2"),
            ],
            left: &[("one", 3), ("two", 3), (IN_ANOTHER_LANE, 2)],
            steps: &["open", "flush"],
            part: FIRST_LANE,
            before: Before::Nothing,
            required_calls: &[
                "connect socket",
                "sendmsg socket",
                "recvfrom socket",
                "pwrite ledger",
            ],
        },
    );
}

fn kill_everywhere(fault: &str, section: &Section<'_>) {
    let api = sandbox_with_unknown_users();
    let options = [&[("role", "enqueue")], section.options].concat();
    let dir = memory_dir();
    let spool = dir.path().join("spool");
    let options = [&options, &[("spool", spool.to_str().unwrap())][..]].concat();
    let program = CProgram::compile("steps.c").with_config(&api, &options);
    let lanes = section
        .options
        .iter()
        .find_map(|(key, value)| (*key == "lanes").then(|| value.parse().unwrap()))
        .unwrap_or(1);

    let mut lives = Vec::new();
    let mut kills = 0;
    let mut reached = BTreeSet::new();
    let mut misses = 0;
    for call in 0.. {
        for moment in [Moment::Before(call), Moment::After(call)] {
            let number = lives.len();
            let user = |name: &str| user_of_lane(name, number, lanes);
            let named = |step: &str| step.replace("USER", &user("own"));
            let _ = fs::remove_dir_all(&spool);
            let left = make_left_segments(&program, section, &user);
            if section.before == Before::Boot {
                die_and_boot(&program, &spool);
            }
            let life = run_life(&program, section, moment, &named);
            if moment == Moment::Before(call) {
                misses = if life.killed_at.is_some() {
                    0
                } else {
                    misses + 1
                };
            }
            let at = life.killed_at.as_deref().unwrap_or("its end");
            let acknowledged = life.acknowledged.iter().map(|own| (user("own"), *own));
            lives.push(CrashTrial::deliver_rest(
                &api,
                &spool,
                section.options,
                format!("{fault}: {moment:?}, {at}"),
                section
                    .left
                    .iter()
                    .map(|(name, _)| user(name))
                    .chain([user("own")]),
                left.into_iter().chain(acknowledged),
            ));
            kills += u64::from(life.killed_at.is_some());
            reached.extend(life.killed_at);
        }
        if misses == misses_at_its_end() {
            break;
        }
    }
    for required in section.required_calls {
        assert!(
            reached.contains(*required),
            "{fault}: not at {required:?}: {reached:?}"
        );
    }
    let outcome = Outcome {
        trials: kills,
        ..check_trials(&api, &lives, lanes)
    };
    add_row(fault, outcome, format!("{} requests", kills * lanes as u64));
}

/// A user of this trial in the first lane, or in the second for `IN_ANOTHER_LANE`.
fn user_of_lane(name: &str, trial: usize, lanes: usize) -> String {
    let wanted = usize::from(name == IN_ANOTHER_LANE) % lanes;
    let mut users = (0..).map(|more| format!("{name}-{trial}-{more}"));
    users
        .find(|user| crc32c::crc32c(user.as_bytes()) as usize % lanes == wanted)
        .unwrap()
}

/// Makes the segments of ended processes, and returns their events.
fn make_left_segments(
    program: &CProgram,
    section: &Section<'_>,
    user: &dyn Fn(&str) -> String,
) -> Vec<Event> {
    let steps: Vec<String> = section
        .left
        .iter()
        .map(|(name, count)| format!("child:{}:0:{count}", user(name)))
        .collect();
    if !steps.is_empty() {
        program.run(&steps.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let events_of = |(name, count): &(&str, u64)| {
        let user = user(name);
        (0..*count).map(move |number| (user.clone(), number))
    };
    section.left.iter().flat_map(events_of).collect()
}

/// Runs the steps of the section, and kills the process at `moment` if it is reached.
fn run_life(
    program: &CProgram,
    section: &Section<'_>,
    moment: Moment,
    named: &dyn Fn(&str) -> String,
) -> Life {
    let steps: Vec<String> = section.steps.iter().map(|step| named(step)).collect();
    let mut command = program.command(&steps.iter().map(String::as_str).collect::<Vec<_>>());
    let stderr = program.dir().join("stderr");
    command.stderr(File::create(&stderr).unwrap());

    let at_all_calls = trial_count(0, 1) == 1;
    let mut tracer = Tracer::default();
    let pid = tracer.start(command);
    let mut in_section = false;
    let mut calls = 0;
    let mut failing = None;
    let mut failures = u32::from(section.before != Before::FailedSync);
    let mut life = Life {
        killed_at: None,
        acknowledged: Vec::new(),
    };
    while let Some(event) = tracer.next_event() {
        let (call, now) = match &event {
            TraceEvent::Entry(call) => (call, Moment::Before(calls)),
            TraceEvent::Exit(call, _) => (call, Moment::After(calls)),
            TraceEvent::Ended(_, status) => {
                assert!(status.success(), "{status}");
                break;
            }
        };
        let is_entry = matches!(event, TraceEvent::Entry(_));
        if failing == Some(call.tid) {
            failing = None;
            tracer.set_result(call, i64::from(-libc::EIO));
        } else if failures == 0 && section.part.has(call, in_section) && is_sync_of_ledger(call) {
            failures += 1;
            failing = Some(call.tid);
            tracer.skip(call);
        }
        if let Some(mark) = call.mark() {
            if is_entry {
                match mark {
                    Mark::Begin => in_section = true,
                    Mark::End => in_section = false,
                    Mark::Acknowledged { from, count } => {
                        life.acknowledged.extend(from..from + count)
                    }
                    Mark::Failed { number, status } => panic!("enqueue of {number}: {status}"),
                }
            }
        } else if (at_all_calls || call.has_effect()) && section.part.has(call, in_section) {
            if now == moment {
                life.killed_at = Some(call.name());
                tracer.kill(pid);
                break;
            }
            calls += usize::from(!is_entry);
        }
        tracer.resume(call);
    }
    assert_eq!(fs::read_to_string(&stderr).unwrap(), "");
    life
}

fn is_sync_of_ledger(call: &SystemCall) -> bool {
    call.number == libc::SYS_fdatasync && call.name() == "fdatasync ledger"
}

/// A sender takes everything over and is killed before its first request leaves; then the host boots.
fn die_and_boot(program: &CProgram, spool: &Path) {
    let mut tracer = Tracer::default();
    let pid = tracer.start(program.command(&["open", "flush"]));
    while let Some(event) = tracer.next_event() {
        match &event {
            TraceEvent::Entry(call)
                if FIRST_LANE.has(call, false) && call.name() == "sendmsg socket" =>
            {
                tracer.kill(pid);
                break;
            }
            TraceEvent::Entry(call) | TraceEvent::Exit(call, _) => tracer.resume(call),
            TraceEvent::Ended(..) => panic!("the sender has ended"),
        }
    }
    let path = spool.join("identity.json");
    let identity = fs::read(&path).unwrap();
    let mut identity: serde_json::Value = serde_json::from_slice(&identity).unwrap();
    identity["boot_id"] = "the boot before".into();
    fs::write(&path, identity.to_string()).unwrap();
}

impl Part {
    fn has(self, call: &SystemCall, in_section: bool) -> bool {
        match self {
            Self::Marked => call.thread == 0 && in_section,
            Self::Thread(number) => call.thread == number,
        }
    }
}
