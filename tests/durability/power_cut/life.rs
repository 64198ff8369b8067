//! The lives that are recorded: C hosts of the shared library, with a real disk and a real API.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::recording::{Recorder, Recording};
use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::fault_table::trial_count;
use meditopia_testkit::process::assert_success;
use meditopia_testkit::sandbox::Sandbox;

/// Below the recorded directory, two directories that the library has to make first.
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

/// A life that is over, and its recording.
pub struct Life {
    pub recording: Recording,
    pub durability: Durability,
    pub lanes: usize,
    pub endpoint: String,
    pub spool: &'static Path,
    /// What really stands there in the end.
    pub root: PathBuf,
    _program: CProgram,
}

/// A life that goes on.
struct Host {
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

impl Host {
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
            recorder: Recorder::of(&root),
            program: program.with_config(&api, &all),
            api,
            root,
        }
    }

    fn recorded(&self, arguments: &[&str]) -> Command {
        let mut command = self.program.command(arguments);
        self.recorder.records(&mut command);
        command
    }

    fn run(&self, arguments: &str) {
        let arguments: Vec<_> = arguments.split(' ').collect();
        let mut command = self.recorded(&arguments);
        let output = command.output().unwrap();
        assert_success(&command, &output);
    }

    /// Starts it beside others.
    fn spawn(&self, arguments: &str) -> Child {
        let arguments: Vec<_> = arguments.split(' ').collect();
        self.recorded(&arguments)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn end(self, durability: Durability, lanes: usize) -> Life {
        Life {
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

fn end_well(mut child: Child) {
    // The end of its input.
    drop(child.stdin.take());
    let status = child.wait().unwrap();
    assert!(status.success(), "{status}");
}

/// One process that enqueues and sends, closed, opened again, killed, opened again; in the end what
/// was rejected is sent once more.
pub fn service(durability: Durability) -> Life {
    let host = Host::start(durability, &[("role", "both")]);
    host.run("enqueue 0 120 0 20 2 10 1 close");
    host.run("enqueue 120 120 0 20 2 10 1 die");
    host.run("enqueue 240 60 0 20 1 10 20 close");
    host.api.set_unknown_users([format!("u-{}", UNKNOWN[0])]);
    host.run("requeue");
    host.end(durability, 1)
}

/// Processes that only enqueue, two at a time, beside one that sends over four lanes.
pub fn writers(durability: Durability) -> Life {
    let host = Host::start(durability, &[("role", "enqueue"), ("lanes", "4")]);
    let sender = host.spawn("send");
    for first in [0, 240, 480] {
        let writers = [(first, 0), (first + 120, 30)].map(|(first, user)| {
            host.spawn(&format!("enqueue {first} 120 {user} 30 2 10 1 leave"))
        });
        writers.into_iter().for_each(end_well);
    }
    end_well(sender);
    host.end(durability, 4)
}

/// Processes that find no spool and make one, all at once.
pub fn beginning(durability: Durability) -> Life {
    let host = Host::start(durability, &[("role", "enqueue")]);
    let begin = |index: usize| {
        let (first, user) = (index * 4, index * 4);
        host.spawn(&format!("enqueue {first} 4 {user} 4 1 10 1 leave"))
    };
    let together: Vec<Child> = (0..6).map(begin).collect();
    together.into_iter().for_each(end_well);
    host.end(durability, 1)
}

/// Events so large that segments are left when they are full, and the store's log is written back. In
/// `make soak` they are taken over together, and the log becomes so long that it begins anew.
pub fn rotation(durability: Durability) -> Life {
    let host = Host::start(durability, &[("role", "enqueue")]);
    let before = trial_count(0, 480);
    if before > 0 {
        host.run(&format!("enqueue 0 {before} 0 20 1 60000 4 leave"));
    }
    let sender = host.spawn("send");
    end_well(host.spawn(&format!("enqueue {before} 160 0 20 1 60000 4 leave")));
    end_well(sender);
    host.end(durability, 1)
}
