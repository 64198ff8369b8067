//! What an import keeps to: one at a time, the spool's size, its terminal, its memory, its owner's rights.

use std::fs::{self, File, Permissions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Place, SOME_BAD, STOPPED, arrived_once, line, lines, said};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;

#[test]
fn two_imports_of_one_input_do_not_run_at_once() {
    let api = Sandbox::start();
    let place = Place::of(&api);
    let mut first = place.command(&["-", "--format", "ndjson", "--commit-bytes", "1"]);
    let mut first = first
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = first.stdin.take().unwrap();
    input.write_all(lines(&["a"], 0..10).as_bytes()).unwrap();
    place.wait_for_records("-", 1);
    let said = place.ends_with(1, &["-", "--format", "ndjson"]);
    assert!(said.contains("another process is importing"), "{said}");
    drop(input);
    assert!(first.wait().unwrap().success());
    assert_eq!(place.waiting(), 10);
}

#[test]
fn a_full_spool_ends_the_import_which_goes_on_when_there_is_room() {
    let api = Sandbox::start();
    let place = Place::of(&api);
    place.input("x.ndjson", lines(&["a"], 0..2_000));
    let limited = |more: &[&str]| {
        let mut command = place.command(&["x.ndjson"]);
        command
            .args(more)
            .env("MEDITOPIA_MAX_SPOOL_BYTES", "100000");
        command
    };
    let output = limited(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(STOPPED), "{}", said(&output));
    assert!(
        said(&output).contains("max_spool_bytes is 100000"),
        "{}",
        said(&output)
    );
    let some = place.waiting();
    assert!(some > 0 && some < 2_000, "{some}");

    let mut waiting = limited(&["--wait"])
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let client = place.host.client();
    let status = loop {
        client.flush_ok(secs(30));
        if let Some(status) = waiting.try_wait().unwrap() {
            break status;
        }
    };
    assert!(status.success(), "{status}");
    client.flush_ok(secs(30));
    assert_eq!(arrived_once(&api)["a"].len(), 2_000);
}

#[test]
fn a_terminal_gets_a_bar_and_everything_else_plain_lines() {
    let api = Sandbox::start();
    let place = Place::of(&api);
    place.input("x.ndjson", lines(&["a"], 0..2_000));
    let plain = place.import(&["x.ndjson"]);
    let told = String::from_utf8_lossy(&plain.stderr).into_owned();
    assert!(
        told.starts_with("import: 2,000 records, ") && told.ends_with("/s\n"),
        "{told:?}"
    );
    assert_eq!(
        String::from_utf8_lossy(&plain.stdout),
        "queued 2000 of 2000 records; 0 bad\n"
    );

    let command = format!(
        "{} import x.ndjson --again --spool {}",
        env!("CARGO_BIN_EXE_meditopia"),
        place.host.path().display()
    );
    let terminal = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .current_dir(place.inputs.path())
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = said(&terminal);
    assert!(terminal.status.success(), "{told}");
    for part in ["\u{2588}", "100 %", "2,000 records", "/s", "left"] {
        assert!(told.contains(part), "{part} is not in {told:?}");
    }
}

#[test]
fn memory_does_not_grow_with_the_input() {
    const MARGIN_KIB: i64 = 4 * 1024;
    let api = Sandbox::start();
    let place = Place::of(&api);
    let peak = |records: usize, orders: &[&str]| {
        let path = place.inputs.path().join("x.ndjson");
        let mut file = BufWriter::new(File::create(&path).unwrap());
        for number in 0..records {
            writeln!(file, "{}", line("a", number)).unwrap();
        }
        drop(file);
        peak_kib(place.command(&["x.ndjson"]).args(orders))
    };
    for orders in [&[][..], &["--all-or-nothing"]] {
        let (small, large) = (peak(100_000, orders), peak(1_000_000, orders));
        println!("{orders:?}: {small} KiB for 100,000 records, {large} KiB for 1,000,000");
        assert!(large < small + MARGIN_KIB, "{small} KiB, then {large} KiB");
        fs::remove_dir_all(place.host.path().join("journal")).unwrap();
    }
}

/// The most memory that a process had, which has to succeed, as far as it was seen while it ran. What
/// `wait` tells would do only alone: it counts what the process that started it had, too.
fn peak_kib(command: &mut Command) -> i64 {
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let seen = line.map_or(0, |line| {
            line.trim().trim_end_matches(" kB").parse().unwrap()
        });
        peak = peak.max(seen);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(child.wait().unwrap().success());
    assert!(peak > 0, "it was never seen");
    peak
}

#[test]
fn what_lies_in_the_spool_and_beside_the_input_is_its_owners_alone() {
    let api = Sandbox::start();
    let place = Place::of(&api);
    place.input("x.ndjson", format!("{}{{}}\n", lines(&["a"], 0..5)));
    place.ends_with(SOME_BAD, &["x.ndjson", "--bad", "elsewhere"]);
    let mut left = vec![
        place.host.path().join("import"),
        place.host.path().join("journal"),
        place.inputs.path().join("elsewhere"),
    ];
    while let Some(path) = left.pop() {
        let about = fs::symlink_metadata(&path).unwrap();
        assert_eq!(about.permissions().mode() & 0o077, 0, "{}", path.display());
        if about.is_dir() {
            left.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
    }
    // A file that is there is not written over, and nothing is queued then.
    let precious = place.input("precious", "mine");
    fs::set_permissions(&precious, Permissions::from_mode(0o600)).unwrap();
    place.ends_with(1, &["x.ndjson", "--again", "--bad", "precious"]);
    assert_eq!(fs::read(&precious).unwrap(), b"mine");
    assert_eq!(place.waiting(), 5);
}

#[test]
fn imports_of_different_names_do_not_stand_in_each_others_way() {
    const ROUNDS: usize = 300;
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    std::thread::scope(|scope| {
        for name in ["a", "b"] {
            let client = &client;
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    drop(client.import(name).unwrap());
                }
            });
        }
    });
}
