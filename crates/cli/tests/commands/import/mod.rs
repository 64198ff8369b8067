//! `meditopia import`: every good record is enqueued once, even if the process is killed, and every
//! bad one is listed with line, field and reason.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod again;
mod bounds;
mod broken;
mod ending;
mod interrupted;
mod known;
mod nights;
mod records;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use meditopia_testkit::ledger::{Arrivals, first_disorder};
use meditopia_testkit::meditopia;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::TestSpool;
use meditopia_testkit::wait::wait_until;
use serde_json::Value;

use crate::cli::{NOTHING_QUEUED, SOME_BAD, STOPPED};

/// A spool, and a directory for inputs.
struct Fixture {
    spool: TestSpool,
    inputs: tempfile::TempDir,
}

impl Fixture {
    fn new(api: &Sandbox) -> Self {
        let spool = TestSpool::for_sandbox(api);
        spool.client();
        let inputs = tempfile::tempdir().unwrap();
        Self { spool, inputs }
    }

    /// Writes an input file.
    fn input(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.inputs.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = meditopia();
        command.arg("import").args(arguments);
        command.arg("--spool").arg(self.spool.path());
        command.current_dir(self.inputs.path()).stdin(Stdio::null());
        command
    }

    fn import(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs an import that has to end with `status`; returns everything that it printed.
    #[track_caller]
    fn import_ending_with(&self, status: i32, arguments: &[&str]) -> String {
        let output = self.import(arguments);
        let printed = printed(&output);
        assert_eq!(
            output.status.code(),
            Some(status),
            "{arguments:?}: {printed}"
        );
        printed
    }

    fn pending(&self) -> u64 {
        self.spool.client().stats().unwrap().pending
    }

    /// The files of bad records of an input, the earliest first.
    fn bad_files(&self, input: &str) -> Vec<String> {
        let entries = fs::read_dir(self.inputs.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let start = format!("{input}.rejected-");
        let mut files: Vec<_> = names.filter(|name| name.starts_with(&start)).collect();
        files.sort_unstable();
        files
    }

    /// The contents of the only file of bad records of an input.
    #[track_caller]
    fn listed(&self, input: &str) -> Vec<(u64, Option<String>, String)> {
        let files = self.bad_files(input);
        assert_eq!(files.len(), 1, "{files:?}");
        self.bad_records(&files[0])
    }

    /// The contents of a file of bad records: line, field, reason.
    fn bad_records(&self, name: &str) -> Vec<(u64, Option<String>, String)> {
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

    /// How many imports the spool remembers.
    fn remembered(&self) -> usize {
        self.spool.client().imports().unwrap().len()
    }

    /// The number of records in the last commit of the import of an input.
    fn committed_records(&self, place: &str) -> u64 {
        let dirs = fs::read_dir(self.spool.path().join("import"));
        let read = |dir: PathBuf| -> Option<Value> {
            serde_json::from_slice(&fs::read(dir.join("progress.json")).ok()?).ok()
        };
        let all = dirs.into_iter().flatten().flatten();
        let of_name = all
            .filter_map(|dir| read(dir.path()))
            .find(|one| one["checkpoint"]["source"] == place);
        of_name.map_or(0, |one| one["checkpoint"]["records"].as_u64().unwrap())
    }

    fn wait_for_committed(&self, name: &str, records: u64) {
        wait_until(&format!("{records} records of {name}"), || {
            self.committed_records(name) >= records
        });
    }
}

/// Everything that a command printed, on standard output and standard error.
fn printed(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// What gzip makes of these bytes.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

/// A record in NDJSON.
fn record(user: &str, number: usize) -> String {
    format!(
        r#"{{"token":"t","partner_user_id":"{user}","event":"video","event_value":"{number}","received_at":"2024-08-06 15:04:05"}}"#
    )
}

/// Lines with one record of each user for each number.
fn records(users: &[&str], numbers: std::ops::Range<usize>) -> String {
    numbers
        .flat_map(|number| users.iter().map(move |user| record(user, number) + "\n"))
        .collect()
}

/// The numbers that arrived of each user; checks that each arrived once, in the order of its user.
fn arrived_once(api: &Sandbox) -> BTreeMap<String, Vec<u64>> {
    let arrivals = Arrivals::from_sandbox(api);
    assert_eq!(arrivals.duplicates(), 0);
    let users = arrivals.first_appearances();
    for (user, numbers) in &users {
        assert_eq!(first_disorder(numbers), None, "{user}");
    }
    users
}
