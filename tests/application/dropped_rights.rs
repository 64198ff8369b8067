//! A process that drops its rights or changes its root directory after it opened a spool, as daemons do, and
//! processes without `/proc`, as in a chroot or a sandbox.

use std::fs;
use std::path::Path;
use std::time::Duration;

use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::privileges::{can_run_under, is_root, report_skip};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::status_client::StatusClient;
use meditopia_testkit::wait::{secs, wait_until};

const USER: u32 = 54_323;
/// Enqueues check, at least this often, what has changed around them.
const NOTICED_WITHIN: Duration = Duration::from_millis(10);

/// The program with a spool that sends to `api`.
fn program(api: &Sandbox) -> CProgram {
    CProgram::compile("dropped_rights.c").with_config(api, &[("role", "enqueue")])
}

/// What a sender delivers that stays outside, and how much is left.
fn delivered_outside(api: &Sandbox, program: &CProgram) -> (u64, u64) {
    let spool = TestSpool::for_sandbox(api).with("spool", program.spool().to_str().unwrap());
    let report = spool.client().flush_ok(secs(60));
    (report.delivered, report.pending)
}

fn can_test() -> bool {
    if !is_root() {
        report_skip("this process does not run as root");
    }
    is_root()
}

#[test]
fn a_process_that_drops_its_rights_with_an_open_client_is_told_so_at_its_next_enqueue() {
    if !can_test() {
        return;
    }
    let api = Sandbox::start();
    let program = program(&api);
    let mut client = StatusClient::start(program.command(&[]));
    client.ask("open").assert_status("OK");
    client.ask("enqueue 5").assert_status("OK");
    // A child as that of a prefork server.
    let told = "was opened as uid 0, and this process runs as uid 54323 now; open the spool after dropping rights";
    let in_child = client.ask(&format!("fork {USER}"));
    in_child.assert_status("ERROR_SPOOL_MISMATCH");
    assert!(
        in_child.message.starts_with("final: "),
        "{}",
        in_child.message
    );
    assert!(in_child.message.contains(told), "{}", in_child.message);

    client.ask(&format!("setuid {USER}"));
    std::thread::sleep(NOTICED_WITHIN);
    let after = client.ask("enqueue 1");
    after.assert_status("ERROR_SPOOL_MISMATCH");
    assert!(after.message.contains(told), "{}", after.message);
    let flushed = client.ask("flush 1000");
    flushed.assert_status("ERROR_SPOOL_MISMATCH");
    assert!(flushed.message.contains(told), "{}", flushed.message);
    let again = client.ask("open");
    again.assert_status("ERROR_SPOOL_MISMATCH");
    assert!(
        again.message.contains("belongs to uid 0"),
        "{}",
        again.message
    );
    assert_eq!(delivered_outside(&api, &program), (5, 0));
}

#[test]
fn a_process_that_hands_its_spool_over_and_drops_its_rights_goes_on() {
    if !can_test() {
        return;
    }
    let api = Sandbox::start();
    let program = program(&api);
    let mut client = StatusClient::start(program.command(&[]));
    client.ask("open").assert_status("OK");
    client.ask("enqueue 5").assert_status("OK");
    let mut left = vec![program.spool()];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
        std::os::unix::fs::chown(path, Some(USER), Some(USER)).unwrap();
    }
    client.ask(&format!("setuid {USER}"));
    std::thread::sleep(NOTICED_WITHIN);
    client.ask("enqueue 5").assert_status("OK");
}

#[test]
fn a_process_that_changes_its_root_directory_with_an_open_client_goes_on() {
    if !can_test() {
        return;
    }
    let api = Sandbox::start();
    let program = program(&api);
    let mut client = StatusClient::start(program.command(&[]));
    client.ask("open").assert_status("OK");
    client.ask("enqueue 5").assert_status("OK");
    let jail = tempfile::tempdir().unwrap();
    client.ask(&format!("chroot {}", jail.path().display()));
    std::thread::sleep(NOTICED_WITHIN);
    // More than a segment has room for.
    let enqueued = client.ask("enqueue 3000");
    enqueued.assert_status("OK");
    assert!(program.segments().len() > 1);
    assert_eq!(delivered_outside(&api, &program), (3005, 0));

    // That the spool is replaced is noticed from there, too.
    let old = program.spool().with_file_name("old");
    fs::rename(program.spool(), &old).unwrap();
    drop(
        TestSpool::for_sandbox(&api)
            .with("spool", program.spool().to_str().unwrap())
            .client(),
    );
    wait_until("the client notices", || {
        let enqueued = client.ask("enqueue 3000");
        enqueued
            .message
            .contains("another directory is at this path now")
    });
}

#[test]
fn a_process_in_another_root_directory_whose_descriptors_were_closed_says_what_is_wrong() {
    if !can_test() {
        return;
    }
    let api = Sandbox::start();
    let program = program(&api);
    let jail = tempfile::tempdir().unwrap();
    let mut client = StatusClient::start(program.command(&[]));
    client.ask("open").assert_status("OK");
    client.ask("enqueue 5").assert_status("OK");
    client.ask(&format!("chroot {}", jail.path().display()));
    client.ask("close_all");
    std::thread::sleep(NOTICED_WITHIN);
    let enqueued = client.ask("enqueue 1");
    assert!(
        enqueued.message.contains("changed its root directory"),
        "{}",
        enqueued.message
    );
}

/// Runs a program in a chroot that has all but `/proc`, where `inside` has been carried out.
fn in_chroot<'a>(root: &'a Path, inside: &'a str) -> Vec<String> {
    let root = root.display();
    let script = format!(
        "set -e; mount --bind / {root}; mount --rbind /tmp {root}/tmp; mount -t tmpfs none {root}/proc; {inside}; exec chroot {root} \"$@\""
    );
    [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        &script,
        "sh",
    ]
    .map(str::to_owned)
    .to_vec()
}

#[test]
fn a_process_without_proc_is_told_which_file_is_missing_and_that_it_will_not_come_by_itself() {
    if !can_test() {
        return;
    }
    let api = Sandbox::start();
    let program = program(&api);
    let root = tempfile::tempdir().unwrap();
    let without = in_chroot(root.path(), "true");
    let subset = "mount -t proc -o subset=pid proc /proc; exec \"$@\"";
    let subset = [
        "unshare", "--mount", "--pid", "--fork", "sh", "-c", subset, "sh",
    ];
    for runner in [without, subset.map(str::to_owned).to_vec()] {
        let runner: Vec<&str> = runner.iter().map(String::as_str).collect();
        if !can_run_under(&runner) {
            continue;
        }
        let mut client = StatusClient::start(program.command_under(&runner, &[]));
        let opened = client.ask("open");
        opened.assert_status("ERROR_CONFIG");
        for part in [
            "final: /proc/sys/kernel/random/boot_id: ",
            "chroot",
            "ProcSubset=pid",
        ] {
            assert!(opened.message.contains(part), "{part}: {}", opened.message);
        }
    }
}

#[test]
fn a_chroot_with_the_one_file_of_proc_that_tells_boots_apart_enqueues_and_sends() {
    if !can_test() {
        return;
    }
    let api = Sandbox::start();
    let program = program(&api);
    let root = tempfile::tempdir().unwrap();
    let random = format!("{}/proc/sys/kernel/random", root.path().display());
    let inside = format!(
        "mkdir -p {random}; : > {random}/boot_id; mount --bind /proc/sys/kernel/random/boot_id {random}/boot_id"
    );
    let runner = in_chroot(root.path(), &inside);
    let runner: Vec<&str> = runner.iter().map(String::as_str).collect();
    if !can_run_under(&runner) {
        return;
    }
    let mut client = StatusClient::start(program.command_under(&runner, &[]));
    client.ask("open").assert_status("OK");
    client.ask("enqueue 5").assert_status("OK");
    let flushed = client.ask("flush 30000");
    assert_eq!(flushed.assert_status("OK").count, 5);
    // Of the same boot for one outside.
    client.ask("enqueue 5").assert_status("OK");
    assert_eq!(delivered_outside(&api, &program), (5, 0));
}
