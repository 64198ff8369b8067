//! `kill -9` before and after every system call of one enqueue, one take-over and one delivery.
//!
//! A C program runs under a tracer up to the n-th call of a thread, for n = 1, 2, 3 ... until the
//! section that the test is about has ended before. Each time a successor delivers what is left,
//! and the API's ledger has to show what was promised. A death before or after a call that only reads, waits
//! or maps memory leaves the same behind as one at its neighbour: `make soak` counts those calls
//! too, `make test` does not.

// What the tracer knows of a processor's registers.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::collections::BTreeSet;
use std::fs::{self, File};

use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::crash_trials::{
    CrashTrial, UNKNOWN_USER_PREFIX, check_trials, sandbox_with_unknown_users,
};
use meditopia_testkit::fault_table::{Outcome, add_row, trial_count};
use meditopia_testkit::ledger::Event;
use meditopia_testkit::tracer::{Mark, SystemCall, TraceEvent as Seen, Tracer};

/// A section is over when so many further calls were not reached: threads do not run quite the same
/// each time.
const MISSES: usize = 2;

/// What a process does, and in which part of it it is killed.
struct Section<'a> {
    options: &'a [(&'a str, &'a str)],
    /// Events of dead writers that it finds: user and count, a segment each.
    found: &'a [(&'a str, u64)],
    steps: &'a [&'a str],
    part: Part,
    /// Calls that the kills have to have been at, so that this stays about what it says.
    landmarks: &'a [&'a str],
}

/// The calls at which the process is killed.
#[derive(Clone, Copy)]
enum Part {
    /// Of the main thread, between its marks.
    Marked,
    /// Of a thread, by the order of their start.
    Thread(usize),
}

/// Where there are several lanes, this user's is another one than the others'.
const ELSEWHERE: &str = "elsewhere";

const COORDINATOR: Part = Part::Thread(1);
const FIRST_LANE: Part = Part::Thread(2);

/// Before or after a call, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Before(usize),
    After(usize),
}

/// How a life ended.
struct Death {
    /// At which call; `None`: it was not reached.
    at: Option<String>,
    acknowledged: Vec<u64>,
}

#[test]
fn an_enqueue_that_creates_its_spool_and_its_segment_may_die_at_every_call() {
    for durability in ["process", "power"] {
        kill_everywhere(
            &format!("kill -9 at each system call: first enqueue on a new spool, {durability}"),
            &Section {
                options: &[("durability", durability)],
                found: &[],
                steps: &["begin", "open", "enqueue:USER:0:2", "end"],
                part: Part::Marked,
                landmarks: &[
                    "mkdir",
                    "rename",
                    "openat segment",
                    "flock segment",
                    "write segment",
                ],
            },
        );
    }
}

#[test]
fn a_later_enqueue_may_die_at_every_call() {
    for durability in ["process", "power"] {
        kill_everywhere(
            &format!("kill -9 at each system call: a later enqueue, {durability}"),
            &Section {
                options: &[("durability", durability)],
                found: &[],
                steps: &[
                    "open",
                    "enqueue:USER:0:3",
                    "begin",
                    "enqueue:USER:3:1",
                    "end",
                ],
                part: Part::Marked,
                landmarks: &["write segment"],
            },
        );
    }
}

#[test]
fn an_enqueue_that_rotates_may_die_at_every_call() {
    // With power it makes the same calls and more; 9 MB are delivered after each death.
    for durability in &["power", "process"][..trial_count(1, 2) as usize] {
        kill_everywhere(
            &format!("kill -9 at each system call: an enqueue that rotates, {durability}"),
            &Section {
                options: &[("durability", durability), ("max_event_bytes", "1048576")],
                found: &[],
                steps: &[
                    "open",
                    "batch:USER:0:9:1000000",
                    "begin",
                    "enqueue:USER:9:2",
                    "end",
                ],
                part: Part::Marked,
                landmarks: &["close segment", "openat segment", "write segment"],
            },
        );
    }
}

#[test]
fn a_take_over_may_die_at_every_call() {
    take_over("process", 1);
    if trial_count(0, 1) == 1 {
        take_over("power", 1);
        take_over("process", 4);
    }
}

#[test]
fn a_delivery_may_die_at_every_call() {
    deliver("process", 1);
    if trial_count(0, 1) == 1 {
        deliver("power", 1);
        deliver("process", 4);
    }
}

#[test]
fn a_lone_rejection_may_die_at_every_call() {
    kill_everywhere(
        "kill -9 at each system call: isolation and a lone rejection",
        &Section {
            options: &[],
            found: &[("first", 1), (UNKNOWN_USER_PREFIX, 1), ("last", 1)],
            steps: &["open", "flush"],
            part: FIRST_LANE,
            landmarks: &["sendto socket", "recvfrom socket", "pwrite wal"],
        },
    );
}

/// The sender takes over segments of dead writers and its own, and removes the first.
fn take_over(durability: &str, lanes: usize) {
    kill_everywhere(
        &format!(
            "kill -9 at each system call: election, take-over and removal, {durability}, lanes = {lanes}"
        ),
        &Section {
            options: &[("durability", durability), ("lanes", &lanes.to_string())],
            found: &[("one", 3), ("two", 2)],
            steps: &["open", "enqueue:USER:0:2", "flush"],
            part: COORDINATOR,
            landmarks: &[
                "flock",
                "rename",
                "pwrite wal",
                "pwrite store",
                "unlink segment",
            ],
        },
    );
}

/// A lane marks a batch in doubt, sends it, commits its answer, and marks the next.
fn deliver(durability: &str, lanes: usize) {
    kill_everywhere(
        &format!("kill -9 at each system call: requests of a lane, {durability}, lanes = {lanes}"),
        &Section {
            options: &[
                ("durability", durability),
                ("lanes", &lanes.to_string()),
                ("batch_max", "2"),
            ],
            found: &[("one", 3), ("two", 3), (ELSEWHERE, 2)],
            steps: &["open", "flush"],
            part: FIRST_LANE,
            landmarks: &[
                "connect socket",
                "sendto socket",
                "recvfrom socket",
                "pwrite wal",
            ],
        },
    );
}

fn kill_everywhere(fault: &str, section: &Section<'_>) {
    let api = sandbox_with_unknown_users();
    let options = [&[("role", "enqueue")], section.options].concat();
    let dir = meditopia_testkit::crash_trials::memory_dir();
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
            let left = leave_behind(&program, section, &user);
            let death = live(&program, section, moment, &named);
            if moment == Moment::Before(call) {
                misses = if death.at.is_some() { 0 } else { misses + 1 };
            }
            let at = death.at.as_deref().unwrap_or("its end");
            let acknowledged = death.acknowledged.iter().map(|own| (user("own"), *own));
            lives.push(CrashTrial::deliver_rest(
                &api,
                &spool,
                section.options,
                format!("{fault}: {moment:?}, {at}"),
                section
                    .found
                    .iter()
                    .map(|(name, _)| user(name))
                    .chain([user("own")]),
                left.into_iter().chain(acknowledged),
            ));
            kills += u64::from(death.at.is_some());
            reached.extend(death.at);
        }
        if misses == MISSES {
            break;
        }
    }
    for landmark in section.landmarks {
        assert!(
            reached.contains(*landmark),
            "{fault}: not at {landmark:?}: {reached:?}"
        );
    }
    let outcome = Outcome {
        trials: kills,
        ..check_trials(&api, &lives, lanes)
    };
    add_row(fault, outcome, format!("{} requests", kills * lanes as u64));
}

/// A user of this trial whose events go over the first lane, or over the second for `ELSEWHERE`.
fn user_of_lane(name: &str, trial: usize, lanes: usize) -> String {
    let wanted = usize::from(name == ELSEWHERE) % lanes;
    let mut users = (0..).map(|more| format!("{name}-{trial}-{more}"));
    users
        .find(|user| crc32c::crc32c(user.as_bytes()) as usize % lanes == wanted)
        .unwrap()
}

/// Makes the segments of dead writers; says which events are in them.
fn leave_behind(
    program: &CProgram,
    section: &Section<'_>,
    user: &dyn Fn(&str) -> String,
) -> Vec<Event> {
    let steps: Vec<String> = section
        .found
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
    section.found.iter().flat_map(events_of).collect()
}

/// Runs the steps up to the moment, or to their end.
fn live(
    program: &CProgram,
    section: &Section<'_>,
    moment: Moment,
    named: &dyn Fn(&str) -> String,
) -> Death {
    let steps: Vec<String> = section.steps.iter().map(|step| named(step)).collect();
    let mut command = program.command(&steps.iter().map(String::as_str).collect::<Vec<_>>());
    let complaints = program.dir().join("stderr");
    command.stderr(File::create(&complaints).unwrap());

    let everything = trial_count(0, 1) == 1;
    let mut tracer = Tracer::default();
    let pid = tracer.start(command);
    let mut in_section = false;
    let mut calls = 0;
    let mut death = Death {
        at: None,
        acknowledged: Vec::new(),
    };
    while let Some(event) = tracer.next_event() {
        let (call, now) = match &event {
            Seen::Entry(call) => (call, Moment::Before(calls)),
            Seen::Exit(call, _) => (call, Moment::After(calls)),
            Seen::Ended(_, status) => {
                assert!(status.success(), "{status}");
                break;
            }
        };
        let is_entry = matches!(event, Seen::Entry(_));
        if let Some(mark) = call.mark() {
            if is_entry {
                match mark {
                    Mark::Begin => in_section = true,
                    Mark::End => in_section = false,
                    Mark::Acknowledged { from, count } => {
                        death.acknowledged.extend(from..from + count)
                    }
                    Mark::Failed { number, status } => panic!("enqueue of {number}: {status}"),
                }
            }
        } else if (everything || call.has_effect()) && section.part.has(call, in_section) {
            if now == moment {
                death.at = Some(call.name());
                tracer.kill(pid);
                break;
            }
            calls += usize::from(!is_entry);
        }
        tracer.resume(call);
    }
    assert_eq!(fs::read_to_string(&complaints).unwrap(), "");
    death
}

impl Part {
    fn has(self, call: &SystemCall, in_section: bool) -> bool {
        match self {
            Self::Marked => call.thread == 0 && in_section,
            Self::Thread(number) => call.thread == number,
        }
    }
}
