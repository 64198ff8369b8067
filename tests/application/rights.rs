//! Whose a spool is, and who else can read it: nobody, whatever the umask.
//!
//! Run as root, the host in C runs as an ordinary user with `setpriv`.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use meditopia::Client;
use meditopia::ErrorKind;
use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::disks::FuseDisk;
use meditopia_testkit::privileges::{is_root, runner_as_user};
use meditopia_testkit::process::{ChildProcess, stdout_of};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};

const SOMEBODY: u32 = 54_321;
const ANOTHER: u32 = 54_322;

/// A program whose spool will be in a directory of `SOMEBODY`'s.
fn program_of_somebody(api: &Sandbox) -> (CProgram, PathBuf) {
    let program = CProgram::compile_for_any_user("linger.c");
    let home = program.dir().join("home");
    std::fs::create_dir(&home).unwrap();
    if is_root() {
        chown(&home, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    }
    let spool = home.join("spool");
    let options = [("spool", spool.to_str().unwrap()), ("role", "both")];
    (program.with_config(api, &options), spool)
}

fn ready(program: &CProgram, runner: &[String]) -> ChildProcess {
    let runner: Vec<&str> = runner.iter().map(String::as_str).collect();
    let mut child = program
        .command_under(&runner, &[])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut said)
        .unwrap();
    assert_eq!(said, "ready\n");
    ChildProcess(child)
}

/// The mode of everything in `dir`, and of itself under the name "".
fn modes(root: &Path) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        let about = path.symlink_metadata().unwrap();
        if about.is_dir() {
            let entries = std::fs::read_dir(&path).unwrap();
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
fn nobody_else_can_read_a_spool_whatever_the_umask() {
    for umask in ["000", "077"] {
        let api = Sandbox::start();
        let (program, spool) = program_of_somebody(&api);
        let runner = runner_as_user(SOMEBODY, umask);
        let _sender = ready(&program, &runner);
        let words: Vec<&str> = runner.iter().map(String::as_str).collect();
        stdout_of(&mut program.command_under(&words, &["command"]));

        let found = modes(&spool);
        let expected = [
            "/",
            "commands/",
            "identity.json",
            "journal/",
            "reserve",
            "sender.json",
            "store.db",
            "store.db-shm",
            "store.db-wal",
            "wake=",
        ];
        for name in expected {
            assert!(found.contains_key(name), "no {name} in {found:?}");
        }
        assert!(found.keys().any(|name| name.ends_with(".log")), "{found:?}");
        for (name, mode) in &found {
            let wanted = if name.ends_with('/') { 0o700 } else { 0o600 };
            assert_eq!(*mode, wanted, "umask {umask}: {name} has {mode:04o}");
        }
        api.wait_for_events(10);
    }
}

#[test]
fn a_spool_of_another_user_is_refused_also_to_root() {
    let api = Sandbox::start();
    let (program, spool) = program_of_somebody(&api);
    if !is_root() {
        // Without root there is no second user, but there are directories of one.
        let options = [("spool", "/"), ("role", "both")];
        assert_refused(
            &program.with_config(&api, &options),
            &runner_as_user(0, "022"),
        );
        return;
    }
    drop(ready(&program, &runner_as_user(SOMEBODY, "022")));
    let before = modes(&spool);
    assert_refused(&program, &runner_as_user(ANOTHER, "022"));
    assert_refused(&program, &runner_as_user(0, "022"));
    assert_eq!(modes(&spool), before);
}

#[test]
fn a_process_that_has_a_spool_open_is_refused_it_again_once_others_may_write_there() {
    let host = TestSpool::for_endpoint("http://127.0.0.1:9/events").with("role", "enqueue");
    let client = host.client();
    client.enqueue_for("user", 1);
    let open_to = |mode: u32| {
        fs::set_permissions(host.path(), Permissions::from_mode(mode)).unwrap();
        Client::open(host.config())
    };
    let Err(refused) = open_to(0o777) else {
        panic!("opened");
    };
    assert_eq!(refused.kind(), ErrorKind::SpoolMismatch);
    assert!(refused.message().contains("others may write"), "{refused}");
    assert!(open_to(0o700).is_ok());
}

fn assert_refused(program: &CProgram, runner: &[String]) {
    let words: Vec<&str> = runner.iter().map(String::as_str).collect();
    let output = program.command_under(&words, &[]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        said.starts_with("open: MEDITOPIA_ERROR_SPOOL_MISMATCH: "),
        "{said}"
    );
    assert!(said.contains("belongs to uid"), "{said}");
}

#[test]
fn a_spool_on_a_network_file_system_is_refused_unless_the_operator_vouches_for_it() {
    let Some(disk) = FuseDisk::mount() else {
        return;
    };
    let api = Sandbox::start();
    let spool = disk.spool();
    let host = TestSpool::for_sandbox(&api).with("spool", spool.to_str().unwrap());
    let Err(refused) = Client::open(host.config()) else {
        panic!("opened");
    };
    assert_eq!(refused.kind(), ErrorKind::SpoolMismatch);
    assert!(refused.message().contains("FUSE"), "{refused}");
    assert!(
        refused.message().contains("allow_network_spool"),
        "{refused}"
    );

    let client = host.with("allow_network_spool", "true").into_client();
    client.enqueue_users(0..10);
    assert_eq!(
        client.flush_ok(meditopia_testkit::wait::secs(30)).delivered,
        10
    );
}
