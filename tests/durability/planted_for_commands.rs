//! Something else in the place of a file or directory of a spool that has everything: events that were
//! delivered, that wait, and that were rejected. Every command of the operator, and every call of the
//! application, ends at once, as without it or with a text that names the file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use meditopia_testkit::fault_table::trial_count;
use meditopia_testkit::meditopia_command;
use meditopia_testkit::privileges::is_root;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;

use crate::planted_files::{CALLS, ENDS_WITHIN, KINDS, Kind, Outside, Wanted, plant, within_time};

/// The commands, with `{spool}`, `{config}` and `{input}`. The last two change the spool as a whole.
const COMMANDS: &[&str] = &[
    "status {spool}",
    "doctor --config {config}",
    "pending list {spool}",
    "in-doubt list {spool}",
    "receipts list {spool}",
    "rejected list {spool}",
    "rejected export {spool}",
    "find --user u-1 {spool}",
    "flush --config {config} --timeout 1",
    "rejected requeue {spool} --id 1 --yes",
    "import {input} --spool {spool}",
    "resume {spool}",
    "hold {spool}",
    "adopt {spool} --yes",
    "recover {spool} --yes",
];

/// A command that allocates what a file says of its size is ended by it.
const MEMORY_KIB: u64 = 2 * 1024 * 1024;

/// Places that have one name in every spool.
const NAMES: &[(&str, Wanted)] = &[
    ("identity.json", Wanted::File),
    ("identity.lock", Wanted::File),
    ("identity.new", Wanted::Fresh),
    ("reserve", Wanted::File),
    ("reserve.new", Wanted::Fresh),
    ("full", Wanted::File),
    ("sender.json", Wanted::File),
    ("sender.new", Wanted::Fresh),
    ("sender.lock", Wanted::File),
    ("wake", Wanted::Fresh),
    ("ledger/spare", Wanted::Fresh),
    (
        "commands/00000001-00000000000000000001-1-00000001.json",
        Wanted::File,
    ),
];
/// Directories. Of each that has files, one is a place too.
const DIRECTORIES: &[&str] = &[
    "journal", "ledger", "queues", "rejected", "receipts", "commands", "damaged", "import",
];

struct Spooled {
    api: Sandbox,
    spool: TestSpool,
    beside: tempfile::TempDir,
}

impl Spooled {
    fn new() -> Self {
        let api = Sandbox::builder().unknown_user("u-bad").start();
        let spool = TestSpool::for_sandbox(&api).with("role", "both");
        let client = spool.client();
        client.enqueue_for("u-1", 1);
        client.enqueue_for("u-bad", 2);
        client.flush_ok(secs(30));
        client.hold().unwrap();
        client.enqueue_for("u-1", 3);
        client.flush(secs(5)).1.unwrap_err();
        let _ = client.close(secs(10));
        drop(client);
        let beside = tempfile::tempdir().unwrap();
        let config = format!(
            "endpoint = {:?}\nspool = {:?}\nbearer_token = {:?}\n",
            api.endpoint(),
            spool.path(),
            api.token()
        );
        fs::write(beside.path().join("config.toml"), config).unwrap();
        let event = r#"{"token":"t","partner_user_id":"u-3","event":"video","received_at":"2024-08-06 15:04:05"}"#;
        fs::write(beside.path().join("input.ndjson"), format!("{event}\n")).unwrap();
        let spooled = Self { api, spool, beside };
        // So that an import has been there.
        let imported = spooled.run(COMMANDS[10]).1;
        assert!(imported.status.success(), "{imported:?}");
        spooled
    }

    fn run(&self, command: &str) -> (Duration, Output) {
        let beside = |name: &str| self.beside.path().join(name).display().to_string();
        let words = command.split(' ').map(|word| match word {
            "{spool}" => self.spool.path().display().to_string(),
            "{config}" => beside("config.toml"),
            "{input}" => beside("input.ndjson"),
            word => word.to_owned(),
        });
        let begun = Instant::now();
        let limit = format!("ulimit -v {MEMORY_KIB}; exec \"$0\" \"$@\"");
        let mut started = Command::new("sh");
        let started = started.env_clear().args(["-c", &limit]);
        let mut started = started
            .arg(meditopia_command())
            .args(words)
            .current_dir(self.beside.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        while started.try_wait().unwrap().is_none() {
            if begun.elapsed() > ENDS_WITHIN {
                started.kill().unwrap();
                started.wait().unwrap();
                panic!("{command}: does not end");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        (begun.elapsed(), started.wait_with_output().unwrap())
    }

    /// Every place, with what belongs there.
    fn places(&self) -> Vec<(String, Wanted)> {
        let names = NAMES
            .iter()
            .map(|(name, wanted)| ((*name).to_owned(), *wanted));
        let mut places: Vec<_> = names.collect();
        for dir in DIRECTORIES {
            places.push(((*dir).to_owned(), Wanted::Directory));
            for path in files_in(&self.spool.path().join(dir)) {
                let name = path.strip_prefix(self.spool.path()).unwrap();
                let wanted = match path.is_dir() {
                    true => Wanted::Directory,
                    false => Wanted::File,
                };
                places.push((name.display().to_string(), wanted));
                if wanted == Wanted::Directory {
                    let below = name.join("progress.json").display().to_string();
                    places.push((below, Wanted::File));
                }
            }
        }
        places
    }
}

fn files_in(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn every_command_ends_at_once_whatever_stands_in_the_place_of_a_file() {
    let ordinary = Spooled::new();
    let codes: Vec<_> = COMMANDS
        .iter()
        .map(|command| ordinary.run(command).1.status.code())
        .collect();
    let count = Spooled::new().places().len();
    assert!(count > 25, "{count} places");
    // One kind for each place, or all of them.
    let kinds = trial_count(1, KINDS.len() as u64) as usize;
    let cases = (0..count).flat_map(|place| (0..kinds).map(move |kind| (place, place + kind)));
    let cases: Vec<(usize, Kind)> = cases
        .map(|(place, kind)| (place, KINDS[kind % KINDS.len()]))
        .filter(|(_, kind)| *kind != Kind::Device || is_root())
        .collect();
    for some in cases.chunks(CASES_AT_ONCE) {
        std::thread::scope(|threads| {
            for (place, kind) in some {
                threads.spawn(|| check(*place, *kind, &codes));
            }
        });
    }
}

fn check(place: usize, kind: Kind, codes: &[Option<i32>]) {
    let spooled = Spooled::new();
    let Some((place, wanted)) = spooled.places().into_iter().nth(place) else {
        return;
    };
    let outside = Outside::new();
    let path = spooled.spool.path().join(&place);
    let name = place.rsplit('/').next().unwrap();
    for (command, code) in COMMANDS.iter().zip(codes) {
        plant(&path, wanted, kind, &outside);
        let case = format!("{kind:?} in the place of {place}, {command}");
        let (_, output) = spooled.run(command);
        let said =
            String::from_utf8_lossy(&[&*output.stdout, &output.stderr].concat()).into_owned();
        assert!(output.status.code().is_some(), "{case}: {output:?}");
        // A command that claims a file gives it another ending.
        let stem = name.split('.').next().unwrap();
        assert!(
            output.status.success() || output.status.code() == *code || said.contains(stem),
            "{case}: {said}"
        );
        outside.assert_untouched(&case);
    }
    plant(&path, wanted, kind, &outside);
    for call in CALLS {
        let case = format!("{kind:?} in the place of {place}, {call:?}");
        if let Some(e) = within_time(&case, &spooled.spool, call) {
            let is_held =
                e.pause_reason().is_some() || e.message().contains("not all is delivered");
            let stem = name.split('.').next().unwrap();
            assert!(is_held || e.message().contains(stem), "{case}: {e}");
        }
        outside.assert_untouched(&case);
    }
    drop(spooled.api);
}

const TERABYTE: u64 = 1 << 40;
const CASES_AT_ONCE: usize = 8;

#[test]
fn every_command_ends_at_once_where_a_file_claims_a_terabyte() {
    let ordinary = Spooled::new();
    let codes: Vec<_> = COMMANDS
        .iter()
        .map(|command| ordinary.run(command).1.status.code())
        .collect();
    let places = Spooled::new().places();
    let places = places.iter().enumerate();
    let files = places.filter(|(_, (_, wanted))| *wanted == Wanted::File);
    let files: Vec<usize> = files.map(|(at, _)| at).collect();
    for some in files.chunks(CASES_AT_ONCE) {
        std::thread::scope(|threads| {
            for place in some {
                threads.spawn(|| check_terabyte(*place, &codes));
            }
        });
    }
}

fn check_terabyte(place: usize, codes: &[Option<i32>]) {
    let spooled = Spooled::new();
    let Some((place, _)) = spooled.places().into_iter().nth(place) else {
        return;
    };
    let path = spooled.spool.path().join(&place);
    let stem = place.rsplit('/').next().unwrap().split('.').next().unwrap();
    for (command, code) in COMMANDS.iter().zip(codes) {
        if let Ok(file) = fs::File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
        {
            file.set_len(TERABYTE).unwrap();
        }
        let case = format!("{place} of a terabyte, {command}");
        let (_, output) = spooled.run(command);
        let said =
            String::from_utf8_lossy(&[&*output.stdout, &output.stderr].concat()).into_owned();
        assert!(output.status.code().is_some(), "{case}: {output:?}");
        assert!(
            output.status.success() || output.status.code() == *code || said.contains(stem),
            "{case}: {said}"
        );
    }
}
