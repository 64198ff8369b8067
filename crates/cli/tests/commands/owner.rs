//! What root does with `meditopia` is done by the spool's owner, and root is not to be had again.
//!
//! Without root there is nobody to change to, and only the messages are tested.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use meditopia_testkit::privileges::is_root;
use meditopia_testkit::spool::{ClientExt, TestSpool};

/// A user that the system has no name for.
const OWNER: u32 = 12_345;

fn meditopia(arguments: &[&str], spool: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_meditopia"))
        .args(arguments)
        .arg(spool)
        .output()
        .unwrap()
}

fn says(arguments: &[&str], spool: &Path) -> String {
    let output = meditopia(arguments, spool);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn everything_in(dir: &Path) -> Vec<PathBuf> {
    let (mut found, mut left) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(path) = left.pop() {
        if path.symlink_metadata().unwrap().is_dir() {
            left.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
        found.push(path);
    }
    found
}

/// A spool with waiting events that belongs to `OWNER` and that `OWNER` can reach.
fn spool_of_owner() -> TestSpool {
    let host = TestSpool::for_endpoint("http://127.0.0.1:9/events");
    host.client().enqueue_users(0..10);
    let parent = host.path().parent().unwrap().to_owned();
    fs::set_permissions(parent, Permissions::from_mode(0o755)).unwrap();
    for path in everything_in(&host.path()) {
        lchown(path, Some(OWNER), Some(OWNER)).unwrap();
    }
    host
}

#[test]
fn what_root_makes_in_a_spool_belongs_to_the_spools_owner() {
    if !is_root() {
        println!("not tested: this process is not root's");
        return;
    }
    let host = spool_of_owner();
    let before = everything_in(&host.path()).len();
    says(&["hold"], &host.path());
    says(&["resume"], &host.path());
    says(&["adopt"], &host.path());

    let found = everything_in(&host.path());
    assert!(host.path().join("store.db").exists());
    assert!(found.len() > before);
    for path in found {
        let about = path.symlink_metadata().unwrap();
        assert_eq!((about.uid(), about.gid()), (OWNER, OWNER), "{path:?}");
    }
}

#[test]
fn a_command_of_roots_keeps_nothing_of_root() {
    if !is_root() {
        println!("not tested: this process is not root's");
        return;
    }
    let host = spool_of_owner();
    let mut watch = Command::new(env!("CARGO_BIN_EXE_meditopia"));
    let watch = watch.args(["status", "--watch=60"]).arg(host.path());
    let mut watch = watch.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(watch.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    let about = fs::read_to_string(format!("/proc/{}/status", watch.id())).unwrap();
    watch.kill().unwrap();
    watch.wait().unwrap();
    assert!(line.contains("pending 10"), "{line}");
    let field = |name: &str| {
        let value = about
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap();
        value
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let owner = OWNER.to_string();
    assert_eq!(field("Uid:"), vec![owner.clone(); 4]);
    assert_eq!(field("Gid:"), vec![owner.clone(); 4]);
    assert_eq!(field("Groups:"), [owner]);
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(field(set), ["0000000000000000"], "{set}");
    }
}

#[test]
fn a_file_that_the_owner_of_a_spool_cannot_reach_is_named_with_the_owner_and_a_way_out() {
    if !is_root() {
        println!("not tested: this process is not root's");
        return;
    }
    let host = spool_of_owner();
    let of_root = tempfile::tempdir().unwrap();
    fs::set_permissions(of_root.path(), Permissions::from_mode(0o700)).unwrap();
    let path = |name: &str, text: &str| {
        let path = of_root.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let events = path(
        "x.ndjson",
        r#"{"token":"t","partner_user_id":"u","event":"video"}"#,
    );
    let refused = meditopia(&["import", &events, "--spool"], &host.path());
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = String::from_utf8(refused.stderr).unwrap();
    for part in [
        "cannot be looked at as the spool's owner, uid 12345",
        "Permission denied",
        "--bad",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("interrupted"), "{said}");

    let token = path("token", "s3cret");
    let config = path("shop.toml", &format!("bearer_token_file = {token:?}"));
    let examined = meditopia(&["doctor", "--config", &config, "--spool"], &host.path());
    let said = String::from_utf8(examined.stdout).unwrap();
    for part in [
        "shop.toml, but uid 12345, whose the spool is, cannot; let uid 12345 read it",
        "Permission denied (os error 13); let uid 12345 read it, as whom this runs",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn root_is_told_when_the_owner_of_a_spool_cannot_be_known() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("nowhere");
    let refused = meditopia(&["hold"], &nowhere);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = String::from_utf8(refused.stderr).unwrap();
    let expected = if is_root() {
        "root cannot tell whose it is; name a spool that is there"
    } else {
        "name a directory that is there"
    };
    assert!(said.contains(expected), "{said}");
    assert!(!nowhere.exists());
}
