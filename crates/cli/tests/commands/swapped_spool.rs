//! A spool whose directory another user swaps for a symbolic link, again and again, while a command works
//! on it: nothing outside of the spool is opened, made or changed.
//!
//! Root works for the spool's owner, who may swap it; and two users have spools in one directory, in which
//! both may write.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use meditopia_testkit::fault_table::trial_count;
use meditopia_testkit::privileges::{is_root, report_skip, runner_as_user};
use meditopia_testkit::process::OnDrop;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::fs::{CWD, RenameFlags, renameat_with};

/// Users without a name.
const OWNER: u32 = 12_345;
const NEIGHBOUR: u32 = 12_346;

const COMMANDS: [&[&str]; 7] = [
    &["hold"],
    &["status"],
    &["resume"],
    &["adopt"],
    &["recover", "--yes"],
    &["rejected", "export"],
    &["doctor"],
];

/// Everything below a directory: names, owners and contents.
fn tree(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut found, mut left) = (BTreeMap::new(), vec![dir.to_owned()]);
    while let Some(path) = left.pop() {
        let about = path.symlink_metadata().unwrap();
        let mut content = Vec::new();
        if about.is_dir() {
            let entries = fs::read_dir(&path).unwrap();
            left.extend(entries.map(|entry| entry.unwrap().path()));
        } else if about.is_file() {
            content = fs::read(&path).unwrap();
        }
        found.insert(path, content);
    }
    found
}

/// A spool with an event that belongs to `user`, in a directory that all may enter.
fn spool_of(user: u32) -> TestSpool {
    let spool = TestSpool::for_endpoint("http://127.0.0.1:9/events");
    spool.client().enqueue_users(0..1);
    let parent = spool.path().parent().unwrap().to_owned();
    fs::set_permissions(parent, Permissions::from_mode(0o755)).unwrap();
    for path in tree(&spool.path()).into_keys() {
        lchown(path, Some(user), Some(user)).unwrap();
    }
    spool
}

/// What a swapped link leads to, and whether anybody opens it or anything in it.
struct Watched {
    spool: TestSpool,
    before: BTreeMap<PathBuf, Vec<u8>>,
    events: OwnedFd,
}

impl Watched {
    fn spool_of(user: u32) -> Self {
        let spool = spool_of(user);
        let before = tree(&spool.path());
        let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).unwrap();
        // A child of another test may still have, and close, what made this spool.
        let closes = WatchFlags::CLOSE_WRITE | WatchFlags::CLOSE_NOWRITE;
        let watched = WatchFlags::ALL_EVENTS - closes;
        for path in before.keys().filter(|path| path.is_dir()) {
            inotify::add_watch(&events, path, watched).unwrap();
        }
        Self {
            spool,
            before,
            events,
        }
    }

    fn assert_untouched(&self) {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&self.events, &mut buffer);
        if let Ok(event) = events.next() {
            let seen: ReadFlags = event.events();
            panic!("{:?}: {seen:?} {:?}", self.spool.path(), event.file_name());
        }
        assert!(tree(&self.spool.path()) == self.before, "it was changed");
    }
}

/// Runs commands on `spool`, by `runner`, while the directory is swapped for `link` and back.
fn run_while_swapped(spool: &Path, link: &Path, rounds: u64, runner: &[String]) {
    let ended = AtomicBool::new(false);
    let command = copied_command();
    std::thread::scope(|threads| {
        let _end = OnDrop(|| ended.store(true, Ordering::Relaxed));
        threads.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                renameat_with(CWD, spool, CWD, link, RenameFlags::EXCHANGE).unwrap();
            }
        });
        for round in 0..rounds {
            let words = COMMANDS[round as usize % COMMANDS.len()];
            let mut started = match runner {
                [] => Command::new(&command.1),
                [program, words @ ..] => {
                    let mut started = Command::new(program);
                    started.args(words).arg(&command.1);
                    started
                }
            };
            // It may succeed or be refused.
            started.args(words).arg(spool).output().unwrap();
        }
    });
}

/// The command, where every user may run it.
fn copied_command() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let copy = dir.path().join("meditopia");
    // By a process: a child of another test would have a file that this one writes, and nobody could run it.
    let mut cp = Command::new("cp");
    let copied = cp.arg(env!("CARGO_BIN_EXE_meditopia")).arg(&copy).status();
    assert!(copied.unwrap().success());
    (dir, copy)
}

#[test]
fn an_owner_who_swaps_a_spool_for_a_link_does_not_make_root_work_elsewhere() {
    if !is_root() {
        report_skip("this process does not run as root");
        return;
    }
    let elsewhere = Watched::spool_of(0);
    let spool = spool_of(OWNER);
    // The owner's home, in which the owner may rename and link.
    let home = spool.path().parent().unwrap().to_owned();
    lchown(&home, Some(OWNER), Some(OWNER)).unwrap();
    let link = home.join("link");
    symlink(elsewhere.spool.path(), &link).unwrap();
    lchown(&link, Some(OWNER), Some(OWNER)).unwrap();

    run_while_swapped(&spool.path(), &link, trial_count(300, 10_000), &[]);
    elsewhere.assert_untouched();
}

#[test]
fn a_neighbour_who_swaps_a_spool_for_a_link_does_not_make_its_owner_work_elsewhere() {
    if !is_root() {
        report_skip("this process does not run as root");
        return;
    }
    let elsewhere = Watched::spool_of(OWNER);
    let spool = spool_of(OWNER);
    // Both users may rename and link in it.
    let shared = spool.path().parent().unwrap().to_owned();
    fs::set_permissions(&shared, Permissions::from_mode(0o777)).unwrap();
    let link = shared.join("link");
    symlink(elsewhere.spool.path(), &link).unwrap();
    lchown(&link, Some(NEIGHBOUR), Some(NEIGHBOUR)).unwrap();

    let as_owner = runner_as_user(OWNER, "022");
    run_while_swapped(&spool.path(), &link, trial_count(300, 10_000), &as_owner);
    elsewhere.assert_untouched();
}

#[test]
fn a_spool_behind_a_link_of_its_owner_is_used_by_its_owner_and_not_by_root() {
    if !is_root() {
        report_skip("this process does not run as root");
        return;
    }
    let spool = spool_of(OWNER);
    let home = spool.path().parent().unwrap().to_owned();
    lchown(&home, Some(OWNER), Some(OWNER)).unwrap();
    let link = home.join("current");
    symlink("spool", &link).unwrap();
    lchown(&link, Some(OWNER), Some(OWNER)).unwrap();

    let (_dir, command) = copied_command();
    let as_owner = runner_as_user(OWNER, "022");
    let mut owners = Command::new(&as_owner[0]);
    owners
        .args(&as_owner[1..])
        .arg(&command)
        .arg("hold")
        .arg(&link);
    let done = owners.output().unwrap();
    assert!(done.status.success(), "{done:?}");
    let refused = Command::new(&command)
        .arg("hold")
        .arg(&link)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success(), "{errors}");
    assert!(
        errors.contains("is a symbolic link") && errors.contains("current"),
        "{errors}"
    );
}
