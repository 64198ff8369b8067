//! Commands whose words nobody hears, because the reader of a pipe is gone or a disk is full: what they were
//! asked for is done, and their exit status says so.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};

const FAILED: i32 = 1;
const FAILURES: i32 = 2;
const UNKNOWN: i32 = 3;
const SOME_BAD: i32 = 8;

/// A spool with events, and a file with a good record and a bad one.
struct Place {
    api: Sandbox,
    host: TestSpool,
    inputs: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let api = Sandbox::start();
        let host = TestSpool::for_sandbox(&api);
        host.client().enqueue_users(0..3);
        let inputs = tempfile::tempdir().unwrap();
        let good = r#"{"token":"t","partner_user_id":"u","event":"video"}"#;
        fs::write(inputs.path().join("x.ndjson"), format!("{good}\n{{}}\n")).unwrap();
        Self { api, host, inputs }
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meditopia"));
        command.args(words.split(' '));
        command.arg("--spool").arg(self.host.path());
        command.current_dir(self.inputs.path());
        command.env("MEDITOPIA_BEARER_TOKEN", self.api.token());
        command.stdin(Stdio::null());
        command
    }

    /// The commands, and the exit status of each when all is told.
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

    fn ends_with(&self, words: &str, stdout: Stdio) -> (Option<i32>, String) {
        let _ = fs::remove_file(self.inputs.path().join("x.ndjson.rejected.ndjson"));
        let Output { status, stderr, .. } = self.command(words).stdout(stdout).output().unwrap();
        (status.code(), String::from_utf8(stderr).unwrap())
    }
}

fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn full() -> Stdio {
    let full = Path::new("/dev/full");
    File::options().write(true).open(full).unwrap().into()
}

#[test]
fn a_command_whose_reader_is_gone_is_carried_out_and_ends_as_if_it_were_read() {
    let place = Place::new();
    for (words, status) in Place::commands() {
        let (ended, said) = place.ends_with(words, closed());
        assert_eq!(ended, Some(status), "{words}: {said}");
        assert!(!said.contains("standard output"), "{words}: {said}");
    }
    assert_eq!(place.host.client().stats().unwrap().delivered, 4);
}

#[test]
fn a_command_whose_words_find_no_room_is_carried_out_and_says_what_is_missing() {
    let place = Place::new();
    for (words, _) in Place::commands() {
        let status = match words {
            "status --check" => UNKNOWN,
            "doctor" => FAILURES,
            _ => FAILED,
        };
        let (ended, said) = place.ends_with(words, full());
        assert_eq!(ended, Some(status), "{words}: {said}");
        assert!(
            said.contains("standard output: No space left"),
            "{words}: {said}"
        );
    }
    assert_eq!(place.host.client().stats().unwrap().delivered, 4);
}

#[test]
fn a_command_whose_complaint_finds_no_room_ends_with_its_own_status() {
    let place = Place::new();
    let nowhere = place.inputs.path().join("nowhere");
    for stderr in [closed(), full()] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meditopia"));
        let ended = command.arg("hold").arg(&nowhere).stderr(stderr).status();
        assert_eq!(ended.unwrap().code(), Some(FAILED));
        let mut import = place.command("import x.ndjson --again");
        let ended = import.arg("--dry-run").stderr(closed()).status();
        assert_eq!(ended.unwrap().code(), Some(9));
    }
}
