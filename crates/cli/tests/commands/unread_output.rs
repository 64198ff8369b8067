//! Commands whose output cannot be written, because the reader has closed the pipe or the disk is
//! full: they do what they were asked for, and their exit status says so.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use meditopia_testkit::meditopia;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};

use crate::cli::{FAILED, NOTHING_QUEUED, SOME_BAD, UNKNOWN};

/// The status of `doctor` after a failed check.
const DOCTOR_FAIL: i32 = 2;

/// A spool with three pending events, and a file to import with a good record and a bad one.
struct Fixture {
    api: Sandbox,
    spool: TestSpool,
    inputs: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let api = Sandbox::start();
        let spool = TestSpool::for_sandbox(&api);
        spool.client().enqueue_users(0..3);
        let inputs = tempfile::tempdir().unwrap();
        let good = r#"{"token":"t","partner_user_id":"u","event":"video"}"#;
        fs::write(inputs.path().join("x.ndjson"), format!("{good}\n{{}}\n")).unwrap();
        Self { api, spool, inputs }
    }

    fn command(&self, words: &str) -> Command {
        let mut command = meditopia();
        command.args(words.split(' '));
        command.arg("--spool").arg(self.spool.path());
        command.current_dir(self.inputs.path());
        command.env("MEDITOPIA_BEARER_TOKEN", self.api.token());
        command.stdin(Stdio::null());
        command
    }

    /// Commands, and the exit status of each if its output is written.
    fn commands() -> [(&'static str, i32); 9] {
        [
            ("hold", 0),
            ("resume", 0),
            ("adopt", 0),
            ("import x.ndjson --again", SOME_BAD),
            ("flush", 0),
            ("recover", 0),
            ("rejected discard --all --yes", 0),
            ("status --check", 0),
            ("doctor", 0),
        ]
    }

    /// Runs a command; returns its exit status and what it writes to standard error.
    fn run(&self, words: &str, stdout: Stdio) -> (Option<i32>, String) {
        let Output { status, stderr, .. } = self.command(words).stdout(stdout).output().unwrap();
        (status.code(), String::from_utf8(stderr).unwrap())
    }
}

/// A pipe without a reader.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// A disk without space.
fn full() -> Stdio {
    let full = Path::new("/dev/full");
    File::options().write(true).open(full).unwrap().into()
}

#[test]
fn a_command_whose_reader_closes_the_pipe_is_carried_out_and_ends_with_its_usual_status() {
    let fixture = Fixture::new();
    for (words, status) in Fixture::commands() {
        let (exit, errors) = fixture.run(words, closed());
        assert_eq!(exit, Some(status), "{words}: {errors}");
        assert!(!errors.contains("standard output"), "{words}: {errors}");
    }
    assert_eq!(fixture.spool.client().stats().unwrap().delivered, 4);
}

#[test]
fn a_command_whose_output_meets_a_full_disk_is_carried_out_and_reports_the_missing_output() {
    let fixture = Fixture::new();
    for (words, _) in Fixture::commands() {
        let status = match words {
            "status --check" => UNKNOWN,
            "doctor" => DOCTOR_FAIL,
            _ => FAILED,
        };
        let (exit, errors) = fixture.run(words, full());
        assert_eq!(exit, Some(status), "{words}: {errors}");
        assert!(
            errors.contains("standard output: No space left"),
            "{words}: {errors}"
        );
    }
    assert_eq!(fixture.spool.client().stats().unwrap().delivered, 4);
}

#[test]
fn a_command_whose_error_message_cannot_be_written_ends_with_its_usual_status() {
    let fixture = Fixture::new();
    let nowhere = fixture.inputs.path().join("nowhere");
    for stderr in [closed(), full()] {
        let mut command = meditopia();
        let ended = command.arg("hold").arg(&nowhere).stderr(stderr).status();
        assert_eq!(ended.unwrap().code(), Some(FAILED));
        let mut import = fixture.command("import x.ndjson --again");
        let ended = import.arg("--dry-run").stderr(closed()).status();
        assert_eq!(ended.unwrap().code(), Some(NOTHING_QUEUED));
    }
}
