//! Programs that remove old files: what they find in a spool, and what they take first, its identity.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use meditopia::Client;
use meditopia_testkit::process::stdout_of;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::{secs, wait_until};

const HOUR_S: i64 = 3600;

/// What nobody has read or changed for an hour, below a directory.
fn old_below(dir: &Path) -> Vec<PathBuf> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let before = now.as_secs().cast_signed() - HOUR_S;
    let mut old = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        // What the sender replaces meanwhile is not old.
        let Ok(about) = path.symlink_metadata() else {
            continue;
        };
        if about.is_dir() {
            old.extend(old_below(&path));
        }
        let is_of_commands = path.ends_with("commands");
        if !is_of_commands && (about.mtime() < before || about.atime() < before) {
            old.push(path);
        }
    }
    old
}

fn make_old(spool: &Path) {
    let mut find = Command::new("find");
    find.arg(spool).args([
        "-depth",
        "-exec",
        "touch",
        // Not even a segment that the sender has just removed is an error.
        "-c",
        "-h",
        "-d",
        "3 days ago",
        "{}",
        "+",
    ]);
    stdout_of(&mut find);
}

#[test]
fn the_files_of_a_spool_with_a_sender_do_not_look_old() {
    let api = Sandbox::start();
    let spool = TestSpool::for_sandbox(&api).with("role", "both");
    let client = spool.client();
    client.enqueue_users(0..20);
    client.flush_ok(secs(30));
    drop(client);
    make_old(&spool.path());
    assert!(old_below(&spool.path()).len() > 5);

    let client = spool.client();
    client.enqueue_users(20..25);
    wait_until("everything has a new time", || {
        old_below(&spool.path()).is_empty()
    });
    client.flush_ok(secs(30));
    assert_eq!(api.ledger().accepted_events, 25);
}

#[test]
fn a_sender_writes_an_identity_again_that_was_removed() {
    let api = Sandbox::start();
    let spool = TestSpool::for_sandbox(&api).with("role", "both");
    let client = spool.client();
    let identity = spool.path().join("identity.json");
    let before = fs::read(&identity).unwrap();
    fs::remove_file(&identity).unwrap();

    client.enqueue_users(0..5);
    wait_until("the identity is there again", || identity.exists());
    assert_eq!(fs::read(&identity).unwrap(), before);
    client.flush_ok(secs(30));
    assert_eq!(api.ledger().accepted_events, 5);
    drop(client);
    Client::open(spool.config()).unwrap();
}
