//! Commands that root runs: they continue as the spool's owner and keep no right of root.
//!
//! Without root only the messages are tested.

use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use meditopia_testkit::privileges::{is_root, report_skip};
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::store_files::ledger;

use crate::cli::{command, output, run, stderr, stdout};

/// The uid of a user without a name.
const OWNER: u32 = 12_345;

/// The directory and everything below it.
fn tree(dir: &Path) -> Vec<PathBuf> {
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

/// A spool with ten pending events that belongs to [`OWNER`], who has access to it.
fn spool_of_owner() -> TestSpool {
    let spool = TestSpool::for_endpoint("http://127.0.0.1:9/events");
    spool.client().enqueue_users(0..10);
    let parent = spool.path().parent().unwrap().to_owned();
    fs::set_permissions(parent, Permissions::from_mode(0o755)).unwrap();
    for path in tree(&spool.path()) {
        lchown(path, Some(OWNER), Some(OWNER)).unwrap();
    }
    spool
}

#[test]
fn files_that_root_creates_in_a_spool_belong_to_the_spools_owner() {
    if !is_root() {
        report_skip("this process does not run as root");
        return;
    }
    let spool = spool_of_owner();
    let before = tree(&spool.path()).len();
    run(&["hold"], &spool.path());
    run(&["resume"], &spool.path());
    run(&["adopt"], &spool.path());

    let found = tree(&spool.path());
    assert!(ledger(&spool.path()).exists());
    assert!(found.len() > before);
    for path in found {
        let metadata = path.symlink_metadata().unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (OWNER, OWNER), "{path:?}");
    }
}

#[test]
fn a_command_run_by_root_keeps_no_id_group_or_capability_of_root() {
    if !is_root() {
        report_skip("this process does not run as root");
        return;
    }
    let spool = spool_of_owner();
    let mut watch = command(&["status", "--watch=60"], &spool.path());
    let mut watch = watch.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(watch.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    let proc_status = fs::read_to_string(format!("/proc/{}/status", watch.id())).unwrap();
    watch.kill().unwrap();
    watch.wait().unwrap();
    assert!(line.contains("pending 10"), "{line}");
    let field = |name: &str| {
        let value = proc_status
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
fn an_error_about_a_file_that_the_spools_owner_cannot_access_names_the_owner_and_a_remedy() {
    if !is_root() {
        report_skip("this process does not run as root");
        return;
    }
    let spool = spool_of_owner();
    let dir_of_root = tempfile::tempdir().unwrap();
    fs::set_permissions(dir_of_root.path(), Permissions::from_mode(0o700)).unwrap();
    let path = |name: &str, text: &str| {
        let path = dir_of_root.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let events = path("x.ndjson", "no event\n");
    let bad = dir_of_root.path().join("bad").display().to_string();
    let mut import = command(
        &[
            "import", "-", "--format", "ndjson", "--bad", &bad, "--spool",
        ],
        &spool.path(),
    );
    let refused = import.stdin(File::open(&events).unwrap()).output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let errors = stderr(&refused);
    for part in [
        "cannot be accessed as the spool's owner, uid 12345",
        "Permission denied",
        "--bad",
    ] {
        assert!(errors.contains(part), "{part}: {errors}");
    }
    assert!(!errors.contains("interrupted"), "{errors}");

    let token = path("token", "s3cret");
    let config = path("shop.toml", &format!("bearer_token_file = {token:?}"));
    let examined = output(&["doctor", "--config", &config, "--spool"], &spool.path());
    let findings = stdout(&examined);
    for part in [
        "shop.toml, but the spool's owner, uid 12345, cannot; let uid 12345 read it",
        "Permission denied (os error 13); let uid 12345 read it; this command runs as that user",
    ] {
        assert!(findings.contains(part), "{part}: {findings}");
    }
}

#[test]
fn a_command_run_by_root_fails_if_the_owner_of_the_spool_is_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("nowhere");
    if is_root() {
        lchown(dir.path(), Some(OWNER), Some(OWNER)).unwrap();
    }
    let refused = output(&["hold"], &nowhere);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let errors = stderr(&refused);
    let expected = if is_root() {
        "root cannot tell who is to own it; name a spool that exists"
    } else {
        "name a directory that is there"
    };
    assert!(errors.contains(expected), "{errors}");
    assert!(!nowhere.exists());
}
