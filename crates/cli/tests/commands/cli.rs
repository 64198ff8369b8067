//! Runs `meditopia` on a spool, with an empty environment, and checks how it ends.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Instant;

use meditopia_testkit::meditopia;
use meditopia_testkit::wait::WAIT_LIMIT;
use serde_json::Value;

pub const FAILED: i32 = 1;
pub const USAGE: i32 = 2;
pub const NEEDS_YES: i32 = 3;
pub const NOTHING_FOUND: i32 = 5;
pub const EVENTS_LEFT: i32 = 6;
pub const PAUSED: i32 = 7;
pub const SOME_BAD: i32 = 8;
pub const NOTHING_QUEUED: i32 = 9;
pub const STOPPED: i32 = 10;

/// The status of `status --check` if the spool cannot be checked.
pub const UNKNOWN: i32 = 3;

/// The command with these arguments, the spool as the last one.
pub fn command(arguments: &[&str], spool: &Path) -> Command {
    let mut command = meditopia();
    command.args(arguments).arg(spool);
    command
}

pub fn output(arguments: &[&str], spool: &Path) -> Output {
    command(arguments, spool).output().unwrap()
}

/// Runs a command that has to succeed without any message on standard error; returns its output.
pub fn run(arguments: &[&str], spool: &Path) -> String {
    let output = output(arguments, spool);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    assert!(output.stderr.is_empty(), "{arguments:?}: {output:?}");
    stdout(&output)
}

/// Runs a command that has to end with `status`; returns what it writes to standard error.
pub fn run_failing(arguments: &[&str], spool: &Path, status: i32) -> String {
    let output = output(arguments, spool);
    assert_eq!(
        output.status.code(),
        Some(status),
        "{arguments:?}: {output:?}"
    );
    stderr(&output)
}

/// Runs a command that prints one JSON object per line.
pub fn run_json(arguments: &[&str], spool: &Path) -> Vec<Value> {
    let lines = run(arguments, spool);
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// What `meditopia status --json` prints.
pub fn status(spool: &Path) -> Value {
    let mut objects = run_json(&["status", "--json"], spool);
    assert_eq!(objects.len(), 1);
    objects.remove(0)
}

/// Repeats `meditopia status --json` until it shows what `wanted` accepts.
pub fn wait_for_status(spool: &Path, wanted: impl Fn(&Value) -> bool) -> Value {
    let started = Instant::now();
    loop {
        let status = status(spool);
        if wanted(&status) {
            return status;
        }
        assert!(started.elapsed() < WAIT_LIMIT, "{status:#}");
    }
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The user of an event that was printed as JSON.
pub fn user_of(row: &Value) -> &str {
    row["event"]["partner_user_id"].as_str().unwrap()
}
