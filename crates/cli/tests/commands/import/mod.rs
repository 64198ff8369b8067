//! `meditopia import`: every good record is queued once, whatever happens to the process that brings it,
//! and every bad one is told with line, field and reason.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod again;
mod bounds;
mod interrupted;
mod records;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use meditopia_testkit::ledger::{Arrivals, first_disorder};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::TestSpool;
use meditopia_testkit::wait::wait_until;
use serde_json::Value;

const SOME_BAD: i32 = 8;
const NOTHING_QUEUED: i32 = 9;
const STOPPED: i32 = 10;

/// A spool, and a directory for inputs.
struct Place {
    host: TestSpool,
    inputs: tempfile::TempDir,
}

impl Place {
    fn of(api: &Sandbox) -> Self {
        let host = TestSpool::for_sandbox(api);
        host.client();
        let inputs = tempfile::tempdir().unwrap();
        Self { host, inputs }
    }

    fn input(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.inputs.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meditopia"));
        command.arg("import").args(arguments);
        command.arg("--spool").arg(self.host.path());
        command.current_dir(self.inputs.path()).stdin(Stdio::null());
        command
    }

    fn import(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Imports, which has to end with this status; gives what it said.
    #[track_caller]
    fn ends_with(&self, status: i32, arguments: &[&str]) -> String {
        let output = self.import(arguments);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
        said
    }

    fn waiting(&self) -> u64 {
        self.host.client().stats().unwrap().pending
    }

    /// Lines of the file of bad records: line, field, reason.
    fn bad(&self, name: &str) -> Vec<(u64, Option<String>, String)> {
        let text = fs::read_to_string(self.inputs.path().join(name)).unwrap();
        text.lines()
            .map(|line| {
                let bad: Value = serde_json::from_str(line).unwrap();
                let text = |member: &str| bad[member].as_str().map(str::to_owned);
                (
                    bad["line"].as_u64().unwrap(),
                    text("field"),
                    text("reason").unwrap(),
                )
            })
            .collect()
    }

    /// How many records the last commit of an import knows.
    fn records(&self, name: &str) -> u64 {
        let dirs = fs::read_dir(self.host.path().join("import"));
        let read = |dir: PathBuf| -> Option<Value> {
            serde_json::from_slice(&fs::read(dir.join("progress.json")).ok()?).ok()
        };
        let all = dirs.into_iter().flatten().flatten();
        let of_name = all
            .filter_map(|dir| read(dir.path()))
            .find(|one| one["import"] == name);
        of_name.map_or(0, |one| one["checkpoint"]["records"].as_u64().unwrap())
    }

    fn wait_for_records(&self, name: &str, records: u64) {
        wait_until(&format!("{records} records of {name}"), || {
            self.records(name) >= records
        });
    }
}

fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&text).into_owned()
}

fn line(user: &str, number: usize) -> String {
    format!(
        r#"{{"token":"t","partner_user_id":"{user}","event":"video","event_value":"{number}","received_at":"2024-08-06 15:04:05"}}"#
    )
}

fn lines(users: &[&str], numbers: std::ops::Range<usize>) -> String {
    numbers
        .flat_map(|number| users.iter().map(move |user| line(user, number) + "\n"))
        .collect()
}

/// What has arrived, checked to be each event once and in its user's order.
fn arrived_once(api: &Sandbox) -> BTreeMap<String, Vec<u64>> {
    let arrivals = Arrivals::from_sandbox(api);
    assert_eq!(arrivals.duplicates(), 0);
    let users = arrivals.first_appearances();
    for (user, numbers) in &users {
        assert_eq!(first_disorder(numbers), None, "{user}");
    }
    users
}
