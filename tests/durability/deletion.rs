//! The sender removes segments while a writer creates a segment, locks it, checks its link,
//! appends, rotates and dies. In every interleaving, no acknowledged record is in a file that is
//! gone.
//!
//! Both are real processes under one tracer. Each stops before every system call that the other one
//! could notice, and a schedule decides which of them goes on. Schedules are tried depth first: in
//! `make test` those with at most two preemptions, in `make soak` all schedules of the small
//! scenarios.

// The tracer reads registers by their names on this processor.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::crash_trials::{
    CrashTrial, check_trials, memory_dir, sandbox_with_unknown_users,
};
use meditopia_testkit::fault_table::{add_row, trial_count};
use meditopia_testkit::ledger::Event;
use meditopia_testkit::schedule::{Schedule, Turn};
use meditopia_testkit::tracer::{Mark, SystemCall, TraceEvent, Tracer};

/// What the writer does. At the end it is killed, and the kill is a step like the others.
struct Scenario<'a> {
    name: &'a str,
    steps: &'a [&'a str],
    /// Whether large writes are skipped: the segment counts as full, and takes no time to deliver.
    skips_large_writes: bool,
    /// The most preemptions of a schedule, in `make test` and in `make soak`.
    preemptions: (u64, u64),
    /// The steps that must happen in some schedule, or the test does not check what it is for.
    required_steps: &'a [&'a str],
}

#[test]
fn a_writer_that_creates_a_segment_never_writes_to_one_that_the_sender_has_removed() {
    explore(&Scenario {
        name: "creates its segment",
        steps: &["open", "begin", "enqueue:USER:0:1", "end"],
        skips_large_writes: false,
        preemptions: (2, u64::MAX),
        required_steps: &[
            "writer: openat segment",
            "writer: flock segment",
            "writer: write segment",
            "sender: getdents journal",
            "sender: flock segment",
            "sender: unlinkat segment",
            // The writer closes a segment that was removed under it, and creates another.
            "writer: close segment",
        ],
    });
}

#[test]
fn a_writer_that_appends_and_dies_loses_no_record_to_a_sender_that_removes_segments() {
    explore(&Scenario {
        name: "appends and dies",
        steps: &[
            "open",
            "enqueue:USER:0:1",
            "begin",
            "enqueue:USER:1:2",
            "end",
        ],
        skips_large_writes: false,
        preemptions: (u64::MAX, u64::MAX),
        required_steps: &[
            "writer: pwrite segment",
            "writer: death",
            "sender: unlinkat segment",
        ],
    });
}

#[test]
fn a_writer_that_rotates_loses_no_record_to_a_sender_that_removes_segments() {
    explore(&Scenario {
        name: "rotates",
        steps: &[
            "open",
            "enqueue:USER:0:1",
            "batch:UNREAD:0:9:1000000",
            "begin",
            "enqueue:USER:1:1",
            "end",
        ],
        skips_large_writes: true,
        preemptions: (2, 4),
        required_steps: &[
            "writer: close segment",
            "writer: openat segment",
            "sender: unlinkat segment",
        ],
    });
}

fn explore(scenario: &Scenario<'_>) {
    let api = sandbox_with_unknown_users();
    let dir = memory_dir();
    let spool = dir.path().join("spool");
    let options = [("role", "enqueue"), ("max_event_bytes", "1048576")];
    let program = CProgram::compile("steps.c").with_config(
        &api,
        &[&options[..], &[("spool", spool.to_str().unwrap())]].concat(),
    );

    let mut trials = Vec::new();
    let mut done = BTreeSet::new();
    let mut schedule = Schedule::new(trial_count(scenario.preemptions.0, scenario.preemptions.1));
    loop {
        let [user, before] = ["own", "before"].map(|name| format!("{name}{}", trials.len()));
        let _ = fs::remove_dir_all(&spool);
        // A sender has emptied the journal before.
        program.run(&[&format!("child:{before}:0:1"), "open", "flush"]);
        let mut acknowledged = race(&program, scenario, &user, &mut schedule, &mut done);
        acknowledged.push((before.clone(), 0));
        let moment = format!("{}: {schedule}", scenario.name);
        let mut trial =
            CrashTrial::deliver_rest(&api, &spool, &[], moment, [user, before], acknowledged);
        // The receipts of the earlier delivery may be missing.
        trial.in_receipts = None;
        trials.push(trial);
        if !schedule.advance() {
            break;
        }
    }
    for step in scenario.required_steps {
        assert!(done.contains(*step), "never {step:?}: {done:?}");
    }
    let outcome = check_trials(&api, &trials, 0);
    let fault = format!(
        "interleavings of removal with a writer that {}",
        scenario.name
    );
    add_row(&fault, outcome, 0);
}

/// Runs the writer and the sender in the order of the schedule, and returns what was acknowledged.
fn race(
    program: &CProgram,
    scenario: &Scenario<'_>,
    user: &str,
    schedule: &mut Schedule,
    done: &mut BTreeSet<String>,
) -> Vec<Event> {
    let stderr = program.dir().join("stderr");
    let file = File::create(&stderr).unwrap();
    let command = |steps: &[&str]| -> Command {
        let steps: Vec<String> = steps
            .iter()
            .map(|step| step.replace("USER", user))
            .collect();
        let mut command = program.command(&steps.iter().map(String::as_str).collect::<Vec<_>>());
        command.stderr(file.try_clone().unwrap());
        command
    };
    let mut tracer = Tracer::default();
    let mut writer = Racer::new(Turn::Writer, tracer.start(command(scenario.steps)));
    let mut sender = Racer::new(Turn::Sender, tracer.start(command(&["open", "flush"])));
    let mut acknowledged = Vec::new();
    loop {
        // Until both stand before a step or have ended.
        while writer.is_running() || sender.is_running() {
            let event = tracer.next_event().expect("one is running");
            let racer = if event.pid() == writer.pid {
                &mut writer
            } else {
                &mut sender
            };
            if let (Turn::Writer, TraceEvent::Entry(call)) = (racer.turn, &event) {
                match call.mark() {
                    Some(Mark::Acknowledged { from, count: 1 }) => {
                        assert_segment_has_name(call, &schedule.to_string());
                        acknowledged.push((user.to_owned(), from));
                    }
                    Some(Mark::Failed { number, status }) => {
                        panic!("enqueue of {number}: {status}")
                    }
                    _ => {}
                }
            }
            if scenario.skips_large_writes && racer.turn == Turn::Writer {
                skip_large_write(&tracer, &event);
            }
            match event {
                TraceEvent::Ended(_, status) => {
                    let messages = fs::read_to_string(&stderr).unwrap();
                    assert!(
                        status.success(),
                        "{schedule}: {:?}: {status} {messages}",
                        racer.turn
                    );
                    racer.state = State::Ended;
                }
                TraceEvent::Entry(call) if racer.is_step(&call) => {
                    racer.state = State::Before(call)
                }
                TraceEvent::Entry(call) => tracer.resume(&call),
                TraceEvent::Exit(call, value) => {
                    racer.note(&call, value);
                    tracer.resume(&call);
                }
            }
        }
        let turn = match (&writer.state, &sender.state) {
            (State::Before(_), State::Before(_)) => schedule.choose(),
            (State::Before(_), _) => schedule.force(Turn::Writer),
            (_, State::Before(_)) => schedule.force(Turn::Sender),
            _ => break,
        };
        let racer = if turn == Turn::Writer {
            &mut writer
        } else {
            &mut sender
        };
        let State::Before(call) = std::mem::replace(&mut racer.state, State::Running) else {
            unreachable!("only a process that stands before a step is chosen");
        };
        if call.mark() == Some(Mark::End) {
            tracer.kill(racer.pid);
            racer.state = State::Ended;
            done.insert("writer: death".to_owned());
        } else {
            done.insert(format!(
                "{}: {}",
                if turn == Turn::Writer {
                    "writer"
                } else {
                    "sender"
                },
                call.name()
            ));
            tracer.resume(&call);
        }
    }
    assert_eq!(fs::read_to_string(&stderr).unwrap(), "");
    acknowledged
}

/// One of the two processes.
struct Racer {
    turn: Turn,
    pid: i32,
    state: State,
    /// Whether its part of the scenario has begun, and whether that is over.
    begun: bool,
    over: bool,
    /// Whether the sender has named itself to other processes.
    named: bool,
    /// The descriptors that it holds a lock through. To close one releases the lock.
    locked: BTreeSet<u64>,
}

enum State {
    Running,
    /// It stands before a step.
    Before(SystemCall),
    Ended,
}

impl Racer {
    fn new(turn: Turn, pid: i32) -> Self {
        Self {
            turn,
            pid,
            state: State::Running,
            begun: turn == Turn::Sender,
            over: false,
            named: false,
            locked: BTreeSet::new(),
        }
    }

    fn is_running(&self) -> bool {
        matches!(self.state, State::Running)
    }

    /// Whether the other process could notice `call`, or `call` could notice what the other process
    /// did.
    fn is_step(&mut self, call: &SystemCall) -> bool {
        match call.mark() {
            Some(Mark::Begin) => self.begun = true,
            Some(Mark::End) => return true,
            _ => {}
        }
        if !self.begun || self.over {
            return false;
        }
        // The main thread of the sender only reads the journal for its report. Another thread
        // sends.
        if self.turn == Turn::Sender && call.thread == 0 {
            return false;
        }
        if self.turn == Turn::Sender
            && call.number == libc::SYS_openat
            && call.path().ends_with("sender.new")
        {
            // The first heartbeat only names the sender. With the second it has finished a round.
            self.over = self.named;
            self.named = true;
        }
        match call.number {
            // The sender starts its lane, and then notes the time up to which the round takes
            // records. Later records belong to the next round.
            libc::SYS_clone3 | libc::SYS_clone => call.thread > 0,
            libc::SYS_getdents64 => call.path().ends_with("journal"),
            libc::SYS_close => self.locked.contains(&call.arguments[0]) && call.is_of_segment(),
            libc::SYS_flock | libc::SYS_write | libc::SYS_pwrite64 | libc::SYS_unlinkat => {
                call.is_of_segment()
            }
            libc::SYS_openat => {
                call.arguments[2] as i32 & libc::O_CREAT != 0 && call.is_of_segment()
            }
            // Whether a descriptor still is its file's is nothing that the other process could change.
            libc::SYS_statx => {
                call.arguments[3] as u32 & libc::STATX_MTIME != 0 && call.is_of_segment()
            }
            libc::SYS_newfstatat => {
                call.arguments[3] as i32 & libc::AT_EMPTY_PATH == 0 && call.is_of_segment()
            }
            _ => false,
        }
    }

    fn note(&mut self, call: &SystemCall, value: i64) {
        if call.number == libc::SYS_flock && value == 0 {
            self.locked.insert(call.arguments[0]);
        }
        if call.number == libc::SYS_close {
            self.locked.remove(&call.arguments[0]);
        }
    }
}

/// Skips a write of megabytes, and returns to the writer that all was written.
fn skip_large_write(tracer: &Tracer, event: &TraceEvent) {
    let is_huge =
        |call: &SystemCall| call.number == libc::SYS_pwrite64 && call.arguments[2] > 1 << 23;
    match event {
        TraceEvent::Entry(call) if is_huge(call) => tracer.skip(call),
        TraceEvent::Exit(call, _) if is_huge(call) => {
            tracer.set_result(call, call.arguments[2].cast_signed())
        }
        _ => {}
    }
}

/// Checks that the segment of an event that is acknowledged has a name.
fn assert_segment_has_name(call: &SystemCall, schedule: &str) {
    let mut segments = 0;
    for entry in fs::read_dir(format!("/proc/{}/fd", call.pid)).unwrap() {
        let path = entry.unwrap().path();
        let is_segment =
            fs::read_link(&path).is_ok_and(|link| link.to_string_lossy().contains("/journal/"));
        if is_segment {
            segments += 1;
            let links = fs::metadata(&path).unwrap().nlink();
            assert_eq!(links, 1, "{schedule}: acknowledged in a file that is gone");
        }
    }
    assert_eq!(segments, 1, "{schedule}");
}
