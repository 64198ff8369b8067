//! The owner of a spool, and which other users can read it: none, under any umask.
//!
//! When the tests run as root, the program in C runs as an ordinary user with `setpriv`.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use meditopia::Client;
use meditopia::ErrorKind;
use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::disks::FuseDisk;
use meditopia_testkit::privileges::{is_root, runner_as_user};
use meditopia_testkit::process::{ChildProcess, spawn_until_ready, stdout_of};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;

/// Users that have no name on this host.
const OWNER: u32 = 54_321;
const OTHER_USER: u32 = 54_322;

/// A program whose spool will be in a directory of `OWNER`.
fn program_of_owner(api: &Sandbox) -> (CProgram, PathBuf) {
    let program = CProgram::compile_for_any_user("linger.c");
    let home = program.dir().join("home");
    fs::create_dir(&home).unwrap();
    if is_root() {
        chown(&home, Some(OWNER), Some(OWNER)).unwrap();
    }
    let spool = home.join("spool");
    let options = [("spool", spool.to_str().unwrap()), ("role", "both")];
    (program.with_config(api, &options), spool)
}

/// Starts the program and waits until its spool is in use.
fn start(program: &CProgram, runner: &[String]) -> ChildProcess {
    let runner: Vec<&str> = runner.iter().map(String::as_str).collect();
    spawn_until_ready(&mut program.command_under(&runner, &[]))
}

/// The modes of `root`, under the name "/", and of everything in it. The names of directories end
/// with "/", the names of sockets with "=".
fn modes(root: &Path) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        let about = path.symlink_metadata().unwrap();
        if about.is_dir() {
            let entries = fs::read_dir(&path).unwrap();
            left.extend(entries.map(|entry| entry.unwrap().path()));
        }
        let kind = match about.file_type() {
            kind if kind.is_dir() => "/",
            kind if kind.is_socket() => "=",
            _ => "",
        };
        let name = path.strip_prefix(root).unwrap().display();
        found.insert(format!("{name}{kind}"), about.mode() & 0o7777);
    }
    found
}

#[test]
fn other_users_cannot_read_a_spool_under_any_umask() {
    for umask in ["000", "077"] {
        let api = Sandbox::start();
        let (program, spool) = program_of_owner(&api);
        let runner = runner_as_user(OWNER, umask);
        let _sender = start(&program, &runner);
        let words: Vec<&str> = runner.iter().map(String::as_str).collect();
        stdout_of(&mut program.command_under(&words, &["command"]));

        let found = modes(&spool);
        let expected = [
            "/",
            "commands/",
            "identity.json",
            "journal/",
            "ledger/",
            "ledger/0000000000000001",
            "ledger/spare",
            "queues/",
            "reserve",
            "sender.json",
            "wake=",
        ];
        for name in expected {
            assert!(found.contains_key(name), "no {name} in {found:?}");
        }
        assert!(
            found.keys().any(|name| name.ends_with(".segment")),
            "{found:?}"
        );
        for (name, mode) in &found {
            let wanted = if name.ends_with('/') { 0o700 } else { 0o600 };
            assert_eq!(*mode, wanted, "umask {umask}: {name} has {mode:04o}");
        }
        api.wait_for_events(10);
    }
}

#[test]
fn a_spool_of_another_user_is_refused_even_to_root() {
    let api = Sandbox::start();
    let (program, spool) = program_of_owner(&api);
    if !is_root() {
        // Without root this test cannot make a spool of another user, but `/` belongs to one.
        let options = [("spool", "/"), ("role", "both")];
        assert_refused(
            &program.with_config(&api, &options),
            &runner_as_user(0, "022"),
        );
        return;
    }
    drop(start(&program, &runner_as_user(OWNER, "022")));
    let before = modes(&spool);
    assert_refused(&program, &runner_as_user(OTHER_USER, "022"));
    assert_refused(&program, &runner_as_user(0, "022"));
    assert_eq!(modes(&spool), before);
}

#[test]
fn a_spool_that_others_may_write_to_is_closed_to_them_also_by_a_process_that_has_it_open() {
    let spool = TestSpool::for_endpoint("http://127.0.0.1:9/events").with("role", "enqueue");
    let client = spool.client();
    client.enqueue_for("user", 1);
    let open_to = |mode: u32| {
        fs::set_permissions(spool.path(), Permissions::from_mode(mode)).unwrap();
        Client::open(spool.config())
    };
    for mode in [0o777, 0o2770, 0o700] {
        drop(open_to(mode).unwrap());
        for (name, mode) in modes(&spool.path()) {
            let wanted = if name.ends_with('/') { 0o700 } else { 0o600 };
            assert_eq!(mode, wanted, "{name} has {mode:04o}");
        }
        client.enqueue_for("user", 1);
    }
    // A place that users share is nobody's spool.
    let Err(refused) = open_to(0o1777) else {
        panic!("opened");
    };
    assert_eq!(refused.kind(), ErrorKind::SpoolMismatch);
    assert!(refused.message().contains("others may write"), "{refused}");
}

fn assert_refused(program: &CProgram, runner: &[String]) {
    let words: Vec<&str> = runner.iter().map(String::as_str).collect();
    let output = program.command_under(&words, &[]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        stderr.starts_with("open: MEDITOPIA_ERROR_SPOOL_MISMATCH: "),
        "{stderr}"
    );
    assert!(stderr.contains("belongs to uid"), "{stderr}");
}

#[test]
fn a_spool_on_a_network_file_system_is_refused_unless_allow_network_spool_is_set() {
    let Some(disk) = FuseDisk::mount() else {
        return;
    };
    let api = Sandbox::start();
    let spool = TestSpool::for_sandbox(&api).with("spool", disk.spool().to_str().unwrap());
    let Err(refused) = Client::open(spool.config()) else {
        panic!("opened");
    };
    assert_eq!(refused.kind(), ErrorKind::SpoolMismatch);
    assert!(refused.message().contains("FUSE"), "{refused}");
    assert!(
        refused.message().contains("allow_network_spool"),
        "{refused}"
    );

    let client = spool.with("allow_network_spool", "true").into_client();
    client.enqueue_users(0..10);
    assert_eq!(client.flush_ok(secs(30)).delivered, 10);
}
