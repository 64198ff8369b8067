//! The workloads that are recorded: programs in C with the shared library, a real disk and a
//! sandbox.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::json;

use super::recording::{Recorder, Recording};
use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::fault_table::trial_count;
use meditopia_testkit::process::assert_success;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::wait::wait_until;

/// The spool, in two directories of the recorded one that the library must make first.
const SPOOL: &str = "var/events/spool";
/// Users whose events the API refuses.
pub const UNKNOWN: [usize; 2] = [3, 8];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    Process,
    Power,
}

impl Durability {
    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Power => "power",
        }
    }
}

/// A workload that has ended, and its recording.
pub struct Workload {
    pub recording: Recording,
    pub durability: Durability,
    pub lanes: usize,
    pub endpoint: String,
    pub spool: &'static Path,
    /// The recorded directory, as the workload left it.
    pub root: PathBuf,
    _program: CProgram,
}

/// A workload that is being recorded.
struct InProgress {
    program: CProgram,
    recorder: Recorder,
    api: Sandbox,
    root: PathBuf,
}

/// An API that does not know some users.
pub fn api() -> Sandbox {
    let users = UNKNOWN.map(|user| format!("u-{user}"));
    let [first, second] = &users;
    Sandbox::builder()
        .unknown_user(first)
        .unknown_user(second)
        .start()
}

impl InProgress {
    fn start(durability: Durability, options: &[(&str, &str)]) -> Self {
        let api = api();
        let program = CProgram::compile("recorded.c");
        let root = program.dir().join("disk");
        std::fs::create_dir(&root).unwrap();
        let root = root.canonicalize().unwrap();
        let spool = root.join(SPOOL);
        let mut all = vec![
            ("spool", spool.to_str().unwrap()),
            ("durability", durability.name()),
            ("flush_interval_ms", "20"),
        ];
        all.extend_from_slice(options);
        Self {
            recorder: Recorder::compile(&root),
            program: program.with_config(&api, &all),
            api,
            root,
        }
    }

    fn recorded_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.program.command(arguments);
        self.recorder.attach_to(&mut command);
        command
    }

    fn run(&self, arguments: &str) {
        let arguments: Vec<_> = arguments.split(' ').collect();
        let mut command = self.recorded_command(&arguments);
        let output = command.output().unwrap();
        assert_success(&command, &output);
    }

    /// Starts the program, which goes on beside others.
    fn spawn(&self, arguments: &str) -> Child {
        let arguments: Vec<_> = arguments.split(' ').collect();
        self.recorded_command(&arguments)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn finish(self, durability: Durability, lanes: usize) -> Workload {
        Workload {
            recording: self.recorder.recording(),
            durability,
            lanes,
            endpoint: self.api.endpoint().to_owned(),
            spool: Path::new(SPOOL),
            root: self.root,
            _program: self.program,
        }
    }
}

fn close_input_and_wait(mut child: Child) {
    drop(child.stdin.take());
    let status = child.wait().unwrap();
    assert!(status.success(), "{status}");
}

/// A process that enqueues and sends: it closes, starts again, is killed, and starts again. At the
/// end, what was rejected is requeued.
pub fn service(durability: Durability) -> Workload {
    let workload = InProgress::start(durability, &[("role", "both")]);
    workload.run("enqueue 0 120 0 20 2 10 1 close");
    // It dies while a request is on its way.
    let delay = json!({"fault": "delay", "ms": 20});
    workload.api.set_fault(delay);
    workload.run("enqueue 120 120 0 20 2 10 1 die");
    workload.api.clear_faults();
    workload.run("enqueue 240 60 0 20 1 10 20 close");
    workload
        .api
        .set_unknown_users([format!("u-{}", UNKNOWN[0])]);
    workload.run("requeue");
    workload.finish(durability, 1)
}

/// Processes that only enqueue, two at a time, while another one sends over four lanes.
pub fn writers(durability: Durability) -> Workload {
    let workload = InProgress::start(durability, &[("role", "enqueue"), ("lanes", "4")]);
    let sender = workload.spawn("send");
    for first in [0, 240, 480] {
        let writers = [(first, 0), (first + 120, 30)].map(|(first, user)| {
            workload.spawn(&format!("enqueue {first} 120 {user} 30 2 10 1 leave"))
        });
        writers.into_iter().for_each(close_input_and_wait);
    }
    close_input_and_wait(sender);
    workload.finish(durability, 4)
}

/// A process that has enqueued and lives on, while another one sends: the blocks of its segments are
/// given back, and those of the queues' files.
pub fn living_writer(durability: Durability) -> Workload {
    const EVENTS: u64 = 160;
    const BYTES: u64 = 20_000;
    let workload = InProgress::start(durability, &[("role", "enqueue")]);
    let writer = workload.spawn(&format!("enqueue 0 {EVENTS} 0 20 1 {BYTES} 4 stay"));
    let journal = workload.root.join(SPOOL).join("journal");
    let journalled = || -> u64 {
        let segments = std::fs::read_dir(&journal).into_iter().flatten();
        let sizes = segments.map(|entry| entry.unwrap().metadata().unwrap().len());
        sizes.sum()
    };
    wait_until("all events are enqueued", || journalled() > EVENTS * BYTES);
    close_input_and_wait(workload.spawn("send"));
    close_input_and_wait(writer);
    workload.run("enqueue 160 20 0 20 1 100 4 leave");
    close_input_and_wait(workload.spawn("send"));
    workload.finish(durability, 1)
}

/// Several processes that create the same spool at the same time.
pub fn creation(durability: Durability) -> Workload {
    let workload = InProgress::start(durability, &[("role", "enqueue")]);
    let start = |index: usize| {
        let (first, user) = (index * 4, index * 4);
        workload.spawn(&format!("enqueue {first} 4 {user} 4 1 10 1 leave"))
    };
    let together: Vec<Child> = (0..6).map(start).collect();
    together.into_iter().for_each(close_input_and_wait);
    workload.finish(durability, 1)
}

/// Events so large that segments get full, and the files of queues with them.
pub fn rotation(durability: Durability) -> Workload {
    let workload = InProgress::start(durability, &[("role", "enqueue")]);
    let before = trial_count(0, 480);
    if before > 0 {
        workload.run(&format!("enqueue 0 {before} 0 20 1 60000 4 leave"));
    }
    let sender = workload.spawn("send");
    close_input_and_wait(workload.spawn(&format!("enqueue {before} 160 0 20 1 60000 4 leave")));
    close_input_and_wait(sender);
    workload.finish(durability, 1)
}
