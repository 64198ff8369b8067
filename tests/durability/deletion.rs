//! The sender removes segments while a writer creates, locks, checks, appends, rotates and dies: at
//! every interleaving no acknowledged record goes to a file that is gone.
//!
//! Both are real processes under one tracer. Each stands before its next system call that the other one could
//! notice; a schedule says who makes its call next. Schedules are walked depth first, in `make test` those
//! that take the turn from a process at most twice, in `make soak` all of the small stories.

// What the tracer knows of a processor's registers.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::crash_trials::{CrashTrial, check_trials, sandbox_with_unknown_users};
use meditopia_testkit::fault_table::{add_row, trial_count};
use meditopia_testkit::ledger::Event;
use meditopia_testkit::schedule::{Schedule, Turn};
use meditopia_testkit::tracer::{Mark, SystemCall, TraceEvent as Seen, Tracer};

/// What the writer does. It is killed when it has done all, and that is a step like the others.
struct Story<'a> {
    name: &'a str,
    steps: &'a [&'a str],
    /// The call that only pretends to write: a segment is full that takes no time to deliver.
    pretends: bool,
    /// How often a schedule takes the turn away, in `make test` and in `make soak`.
    preemptions: (u64, u64),
    /// What the two have to have done in some schedule.
    landmarks: &'a [&'a str],
}

#[test]
fn a_writer_that_creates_its_segment_never_writes_to_one_that_is_gone() {
    explore(&Story {
        name: "creates its segment",
        steps: &["open", "begin", "enqueue:USER:0:1", "end"],
        pretends: false,
        preemptions: (2, u64::MAX),
        landmarks: &[
            "writer: openat segment",
            "writer: flock segment",
            "writer: write segment",
            "sender: getdents journal",
            "sender: flock segment",
            "sender: unlink segment",
            // It was removed under the writer, who found that out and began another.
            "writer: close segment",
        ],
    });
}

#[test]
fn a_writer_that_appends_and_dies_loses_nothing_to_the_sender() {
    explore(&Story {
        name: "appends and dies",
        steps: &[
            "open",
            "enqueue:USER:0:1",
            "begin",
            "enqueue:USER:1:2",
            "end",
        ],
        pretends: false,
        preemptions: (u64::MAX, u64::MAX),
        landmarks: &[
            "writer: write segment",
            "writer: death",
            "sender: unlink segment",
        ],
    });
}

#[test]
fn a_writer_that_rotates_leaves_the_full_segment_and_loses_nothing() {
    explore(&Story {
        name: "rotates",
        steps: &[
            "open",
            "enqueue:USER:0:1",
            "batch:UNTOLD:0:9:1000000",
            "begin",
            "enqueue:USER:1:1",
            "end",
        ],
        pretends: true,
        preemptions: (2, 4),
        landmarks: &[
            "writer: close segment",
            "writer: openat segment",
            "sender: unlink segment",
        ],
    });
}

fn explore(story: &Story<'_>) {
    let api = sandbox_with_unknown_users();
    let dir = meditopia_testkit::crash_trials::memory_dir();
    let spool = dir.path().join("spool");
    let options = [("role", "enqueue"), ("max_event_bytes", "1048576")];
    let program = CProgram::compile("steps.c").with_config(
        &api,
        &[&options[..], &[("spool", spool.to_str().unwrap())]].concat(),
    );

    let mut settled = Vec::new();
    let mut done = BTreeSet::new();
    let mut schedule = Schedule::new(trial_count(story.preemptions.0, story.preemptions.1));
    loop {
        let [user, before] = ["own", "before"].map(|name| format!("{name}{}", settled.len()));
        let _ = fs::remove_dir_all(&spool);
        // A journal that a sender has emptied before.
        program.run(&[&format!("child:{before}:0:1"), "open", "flush"]);
        let mut acknowledged = race(&program, story, &user, &mut schedule, &mut done);
        acknowledged.push((before.clone(), 0));
        let moment = format!("{}: {schedule}", story.name);
        let mut trial =
            CrashTrial::deliver_rest(&api, &spool, &[], moment, [user, before], acknowledged);
        // The spool of before, with its receipts, may be the one that was removed.
        trial.in_receipts = None;
        settled.push(trial);
        if !schedule.advance() {
            break;
        }
    }
    for landmark in story.landmarks {
        assert!(done.contains(*landmark), "never {landmark:?}: {done:?}");
    }
    let outcome = check_trials(&api, &settled, 0);
    let fault = format!("interleavings of removal with a writer that {}", story.name);
    add_row(&fault, outcome, 0);
}

/// Runs writer and sender against each other as the schedule says; what the writer was told is safe.
fn race(
    program: &CProgram,
    story: &Story<'_>,
    user: &str,
    schedule: &mut Schedule,
    done: &mut BTreeSet<String>,
) -> Vec<Event> {
    let complaints = program.dir().join("stderr");
    let file = File::create(&complaints).unwrap();
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
    let mut writer = Racer::new(Turn::Writer, tracer.start(command(story.steps)));
    let mut sender = Racer::new(Turn::Sender, tracer.start(command(&["open", "flush"])));
    let mut acknowledged = Vec::new();
    loop {
        // Both stand, or have done their part.
        while writer.is_running() || sender.is_running() {
            let event = tracer.next_event().expect("one is running");
            let racer = if event.pid() == writer.pid {
                &mut writer
            } else {
                &mut sender
            };
            if let (Turn::Writer, Seen::Entry(call)) = (racer.turn, &event) {
                match call.mark() {
                    Some(Mark::Acknowledged { from, count: 1 }) => {
                        assert_its_segment_is_there(call, &schedule.to_string());
                        acknowledged.push((user.to_owned(), from));
                    }
                    Some(Mark::Failed { number, status }) => {
                        panic!("enqueue of {number}: {status}")
                    }
                    _ => {}
                }
            }
            if story.pretends && racer.turn == Turn::Writer {
                pretend(&tracer, &event);
            }
            match event {
                Seen::Ended(_, status) => {
                    let complaint = fs::read_to_string(&complaints).unwrap();
                    assert!(
                        status.success(),
                        "{schedule}: {:?}: {status} {complaint}",
                        racer.turn
                    );
                    racer.place = Place::Ended;
                }
                Seen::Entry(call) if racer.is_step(&call) => racer.place = Place::Before(call),
                Seen::Entry(call) => tracer.resume(&call),
                Seen::Exit(call, value) => {
                    racer.note(&call, value);
                    tracer.resume(&call);
                }
            }
        }
        let turn = match (&writer.place, &sender.place) {
            (Place::Before(_), Place::Before(_)) => schedule.choose(),
            (Place::Before(_), _) => schedule.force(Turn::Writer),
            (_, Place::Before(_)) => schedule.force(Turn::Sender),
            _ => break,
        };
        let racer = if turn == Turn::Writer {
            &mut writer
        } else {
            &mut sender
        };
        let Place::Before(call) = std::mem::replace(&mut racer.place, Place::Running) else {
            unreachable!("it was chosen because it stands");
        };
        if call.mark() == Some(Mark::End) {
            tracer.kill(racer.pid);
            racer.place = Place::Ended;
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
    assert_eq!(fs::read_to_string(&complaints).unwrap(), "");
    acknowledged
}

/// One of the two processes.
struct Racer {
    turn: Turn,
    pid: i32,
    place: Place,
    /// Whether its part of the story has begun, and whether it is over.
    begun: bool,
    over: bool,
    /// Descriptors that it holds a lock through: to close one lets the other one in.
    locked: BTreeSet<u64>,
}

enum Place {
    Running,
    /// Stands before a step.
    Before(SystemCall),
    Ended,
}

impl Racer {
    fn new(turn: Turn, pid: i32) -> Self {
        Self {
            turn,
            pid,
            place: Place::Running,
            begun: turn == Turn::Sender,
            over: false,
            locked: BTreeSet::new(),
        }
    }

    fn is_running(&self) -> bool {
        matches!(self.place, Place::Running)
    }

    /// Whether `call` is one that the other process could notice, or that could notice the other's.
    fn is_step(&mut self, call: &SystemCall) -> bool {
        match call.mark() {
            Some(Mark::Begin) => self.begun = true,
            Some(Mark::End) => return true,
            _ => {}
        }
        if !self.begun || self.over {
            return false;
        }
        // Whoever called flush only reads the journal, for its report, beside the thread that sends.
        if self.turn == Turn::Sender && call.thread == 0 {
            return false;
        }
        if self.turn == Turn::Sender
            && call.number == libc::SYS_openat
            && call.path().ends_with("sender.new")
        {
            // It has looked at everything once, and says so.
            self.over = true;
        }
        match call.number {
            // It starts its lane, and then notes the time up to which it takes records: what comes
            // after is of the next look.
            libc::SYS_clone3 | libc::SYS_clone => call.thread > 0,
            libc::SYS_getdents64 => call.path().ends_with("journal"),
            libc::SYS_close => self.locked.contains(&call.arguments[0]) && call.is_of_segment(),
            libc::SYS_flock | libc::SYS_write | libc::SYS_unlink | libc::SYS_fstat => {
                call.is_of_segment()
            }
            libc::SYS_openat => {
                call.arguments[2] as i32 & libc::O_CREAT != 0 && call.is_of_segment()
            }
            libc::SYS_statx | libc::SYS_newfstatat => call.is_of_segment(),
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

/// Makes nothing of a write of megabytes, and tells the writer that all is written.
fn pretend(tracer: &Tracer, event: &Seen) {
    let is_huge = |call: &SystemCall| call.number == libc::SYS_write && call.arguments[2] > 1 << 23;
    match event {
        Seen::Entry(call) if is_huge(call) => tracer.skip(call),
        Seen::Exit(call, _) if is_huge(call) => {
            tracer.set_result(call, call.arguments[2].cast_signed())
        }
        _ => {}
    }
}

/// When an event is acknowledged the file that it was written to has a name.
fn assert_its_segment_is_there(call: &SystemCall, schedule: &str) {
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
