//! Something else in the place of a file or directory that the library makes or reads: a call ends at once,
//! with an error that names the file or without one, and nothing outside of the spool is touched.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use meditopia::internals::client::Purpose;
use meditopia::{Client, Error};
use meditopia_testkit::privileges::is_root;
use meditopia_testkit::process::stdout_of;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;

/// A second is promised. The machine may be busy with other tests, and a call that waits for a pipe never ends.
pub const ENDS_WITHIN: Duration = Duration::from_secs(10);
const FLUSH_TIMEOUT: Duration = Duration::from_millis(700);
const OUTSIDE: &str = "text of somebody else";
const CASES_AT_ONCE: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Enqueue,
    Flush,
    Status,
}
use Call::{Enqueue, Flush, Status};

pub const CALLS: [Call; 3] = [Enqueue, Flush, Status];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Fifo,
    LinkToFile,
    LinkToDirectory,
    /// A file where a directory belongs, and the other way round.
    FileOrDirectory,
    Socket,
    Device,
}

pub const KINDS: [Kind; 6] = [
    Kind::Fifo,
    Kind::LinkToFile,
    Kind::LinkToDirectory,
    Kind::FileOrDirectory,
    Kind::Socket,
    Kind::Device,
];

/// What belongs in the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    File,
    Directory,
    /// A file that is removed before a new one is made, so only a directory is in the way.
    Fresh,
}

/// The places, and the calls that cannot do without.
const PLACES: &[(&str, Wanted, &[Call])] = &[
    ("identity.json", Wanted::File, &[Enqueue, Flush, Status]),
    ("identity.new", Wanted::Fresh, &[]),
    ("reserve", Wanted::File, &[Flush]),
    ("reserve.new", Wanted::Fresh, &[]),
    ("full", Wanted::File, &[Enqueue, Flush]),
    ("sender.json", Wanted::File, &[Status]),
    ("sender.new", Wanted::Fresh, &[]),
    ("sender.lock", Wanted::File, &[Flush]),
    ("wake", Wanted::Fresh, &[]),
    ("journal", Wanted::Directory, &[Enqueue, Flush, Status]),
    ("ledger", Wanted::Directory, &[Flush]),
    ("ledger/0000000000000001", Wanted::File, &[Flush]),
    ("ledger/spare", Wanted::Fresh, &[]),
    ("queues", Wanted::Directory, &[]),
    ("rejected", Wanted::Directory, &[]),
    ("receipts", Wanted::Directory, &[]),
    ("commands", Wanted::Directory, &[Flush]),
    ("damaged", Wanted::Directory, &[]),
];

#[test]
fn what_stands_in_the_place_of_a_file_gives_an_error_at_once_that_names_it() {
    let cases: Vec<_> = PLACES
        .iter()
        .flat_map(|place| KINDS.map(|kind| (place, kind)))
        .filter(|(_, kind)| *kind != Kind::Device || is_root())
        .collect();
    for some in cases.chunks(CASES_AT_ONCE) {
        std::thread::scope(|threads| {
            for (place, kind) in some {
                threads.spawn(|| check(place, *kind));
            }
        });
    }
}

#[test]
fn what_stands_in_the_place_of_a_file_of_a_new_spool_gives_an_error_at_once_that_names_it() {
    let places = [
        ("identity.json", true),
        ("identity.lock", true),
        ("identity.new", false),
    ];
    let cases = places
        .iter()
        .flat_map(|place| KINDS.map(|kind| (place, kind)));
    for ((place, is_needed), kind) in cases.filter(|(_, kind)| *kind != Kind::Device || is_root()) {
        let api = Sandbox::start();
        let spool = TestSpool::for_sandbox(&api).with("role", "both");
        fs::create_dir(spool.path()).unwrap();
        fs::set_permissions(spool.path(), Permissions::from_mode(0o700)).unwrap();
        let outside = Outside::new();
        plant(&spool.path().join(place), Wanted::File, kind, &outside);
        let case = format!("{kind:?} in the place of {place} of a new spool");
        let failed = within_time(&case, &spool, Enqueue);
        if *is_needed || kind == Kind::FileOrDirectory {
            let failed = failed.expect(&case);
            assert!(failed.message().contains(place), "{case}: {failed}");
        } else {
            assert!(failed.is_none(), "{case}: {failed:?}");
        }
        outside.assert_untouched(&case);
    }
}

fn check((place, wanted, needed): &(&str, Wanted, &[Call]), kind: Kind) {
    let api = Sandbox::start();
    let spool = TestSpool::for_sandbox(&api).with("role", "both");
    let client = spool.client();
    client.enqueue_for("u-1", 1);
    client.flush_ok(secs(30));
    client.close(secs(10)).unwrap();
    drop(client);
    let outside = Outside::new();
    plant(&spool.path().join(place), *wanted, kind, &outside);

    for call in CALLS {
        let case = format!("{kind:?} in the place of {place}, {call:?}");
        let begun = Instant::now();
        let failed = within_time(&case, &spool, call);
        let name = place.rsplit('/').next().unwrap();
        if let Some(e) = &failed {
            assert!(e.message().contains(name), "{case}: {e}");
        }
        let is_in_the_way = match wanted {
            Wanted::File | Wanted::Directory => true,
            Wanted::Fresh => false,
        };
        // The sender replaces a heartbeat, whatever it is.
        let is_replaced = *place == "sender.json" && call == Status;
        if is_in_the_way && needed.contains(&call) && !is_replaced {
            assert!(failed.is_some(), "{case}: succeeded");
        }
        assert!(
            begun.elapsed() < ENDS_WITHIN,
            "{case}: {:?}",
            begun.elapsed()
        );
        outside.assert_untouched(&case);
    }
}

/// The error of the call, which has to end.
pub fn within_time(case: &str, spool: &TestSpool, call: Call) -> Option<Error> {
    let (said, heard) = channel();
    let (config, dir) = (spool.config().clone(), spool.path());
    std::thread::spawn(move || {
        let _ = said.send(outcome(&config, &dir, call).err());
    });
    match heard.recv_timeout(ENDS_WITHIN) {
        Ok(failed) => failed,
        Err(_) => panic!("{case}: does not end"),
    }
}

fn outcome(config: &meditopia::Config, dir: &Path, call: Call) -> Result<(), Error> {
    match call {
        Enqueue => {
            let client = Client::open(config)?;
            let enqueued = client.enqueue(&meditopia::Fields {
                token: "token",
                partner_user_id: "u-2",
                event: "video",
                event_value: None,
                received_at: Some("2024-08-06 15:04:05"),
            });
            let _ = client.close(Duration::ZERO);
            enqueued
        }
        Flush => {
            let client = Client::open(config)?;
            let flushed = client.flush(FLUSH_TIMEOUT).1;
            let _ = client.close(Duration::ZERO);
            flushed
        }
        Status => Client::open_existing(dir, Purpose::Read)?
            .stats()
            .map(|_| ()),
    }
}

pub fn plant(place: &Path, wanted: Wanted, kind: Kind, outside: &Outside) {
    let _ = fs::remove_file(place);
    let _ = fs::remove_dir_all(place);
    match kind {
        Kind::Fifo => drop(stdout_of(Command::new("mkfifo").arg(place))),
        Kind::LinkToFile => symlink(&outside.file, place).unwrap(),
        Kind::LinkToDirectory => symlink(&outside.folder, place).unwrap(),
        Kind::FileOrDirectory if wanted == Wanted::Directory => fs::write(place, "").unwrap(),
        Kind::FileOrDirectory => {
            fs::create_dir(place).unwrap();
            fs::write(place.join("kept"), "").unwrap();
        }
        // The path of a socket is short, and the spool's may be too long.
        Kind::Socket => {
            let bound = outside.folder.with_file_name("s");
            drop(UnixListener::bind(&bound).unwrap());
            fs::rename(bound, place).unwrap();
        }
        Kind::Device => drop(stdout_of(
            Command::new("mknod").arg(place).args(["c", "1", "3"]),
        )),
    }
}

/// What nothing may touch.
pub struct Outside {
    _dir: tempfile::TempDir,
    file: PathBuf,
    folder: PathBuf,
}

impl Outside {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (file, folder) = (dir.path().join("file"), dir.path().join("folder"));
        fs::write(&file, OUTSIDE).unwrap();
        fs::create_dir(&folder).unwrap();
        Self {
            _dir: dir,
            file,
            folder,
        }
    }

    pub fn assert_untouched(&self, case: &str) {
        assert_eq!(fs::read_to_string(&self.file).unwrap(), OUTSIDE, "{case}");
        assert_eq!(fs::read_dir(&self.folder).unwrap().count(), 0, "{case}");
    }
}
