//! The limits of an import: one at a time, the size of the spool, its memory, and the access rights
//! of its files; and how it shows its progress.

use std::fs::{self, File, Permissions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use meditopia_testkit::child::run_in_child;
use meditopia_testkit::meditopia_command;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;

use super::{Fixture, SOME_BAD, STOPPED, arrived_once, printed, record, records};

#[test]
fn two_imports_of_one_input_cannot_run_at_the_same_time() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    let mut first = fixture.command(&["-", "--format", "ndjson", "--commit-bytes", "1"]);
    let mut first = first
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = first.stdin.take().unwrap();
    input.write_all(records(&["a"], 0..10).as_bytes()).unwrap();
    fixture.wait_for_committed("-", 1);
    // Another name of the same bytes makes no difference.
    fixture.input("y.ndjson", records(&["a"], 0..20));
    let printed = fixture.import_ending_with(1, &["y.ndjson"]);
    assert!(
        printed.contains("another process is importing"),
        "{printed}"
    );
    drop(input);
    assert!(first.wait().unwrap().success());
    assert_eq!(fixture.pending(), 10);
}

#[test]
fn an_import_stops_at_a_full_spool_and_continues_when_there_is_space() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    fixture.input("x.ndjson", records(&["a"], 0..2_000));
    let import_limited = |more: &[&str]| {
        let mut command = fixture.command(&["x.ndjson"]);
        command
            .args(more)
            .env("MEDITOPIA_MAX_SPOOL_BYTES", "100000");
        command
    };
    let output = import_limited(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(STOPPED), "{}", printed(&output));
    assert!(
        printed(&output).contains("max_spool_bytes is 100000"),
        "{}",
        printed(&output)
    );
    let some = fixture.pending();
    assert!(some > 0 && some < 2_000, "{some}");

    let mut import = import_limited(&["--wait"])
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let client = fixture.spool.client();
    let status = loop {
        client.flush_ok(secs(30));
        if let Some(status) = import.try_wait().unwrap() {
            break status;
        }
    };
    assert!(status.success(), "{status}");
    client.flush_ok(secs(30));
    assert_eq!(arrived_once(&api)["a"].len(), 2_000);
}

#[test]
fn an_import_shows_a_progress_bar_on_a_terminal_and_plain_lines_elsewhere() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    fixture.input("x.ndjson", records(&["a"], 0..2_000));
    let plain = fixture.import(&["x.ndjson"]);
    let progress = String::from_utf8_lossy(&plain.stderr).into_owned();
    assert!(
        progress.starts_with("import: 2,000 records, ") && progress.ends_with("/s\n"),
        "{progress:?}"
    );
    assert_eq!(
        String::from_utf8_lossy(&plain.stdout),
        "queued 2000 of 2000 records; 0 bad\n"
    );

    let command = format!(
        "exec {} import x.ndjson --again --spool {}",
        meditopia_command().display(),
        fixture.spool.path().display()
    );
    let terminal = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .current_dir(fixture.inputs.path())
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let shown = printed(&terminal);
    assert!(terminal.status.success(), "{shown}");
    for part in ["\u{2588}", "100 %", "2,000 records", "/s", "left"] {
        assert!(shown.contains(part), "{part} is not in {shown:?}");
    }
}

#[test]
fn the_memory_of_an_import_does_not_grow_with_its_input() {
    const MARGIN_KIB: i64 = 4 * 1024;
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    let peak = |count: usize, arguments: &[&str]| {
        let path = fixture.inputs.path().join("x.ndjson");
        let mut file = BufWriter::new(File::create(&path).unwrap());
        for number in 0..count {
            writeln!(file, "{}", record("a", number)).unwrap();
        }
        drop(file);
        peak_kib(fixture.command(&["x.ndjson"]).args(arguments))
    };
    for arguments in [&[][..], &["--all-or-nothing"]] {
        let (small, large) = (peak(100_000, arguments), peak(1_000_000, arguments));
        println!("{arguments:?}: {small} KiB for 100,000 records, {large} KiB for 1,000,000");
        assert!(large < small + MARGIN_KIB, "{small} KiB, then {large} KiB");
        fs::remove_dir_all(fixture.spool.path().join("journal")).unwrap();
    }
}

/// The peak memory of a process that has to succeed, sampled while it runs. The figure that `wait`
/// reports would include the memory of the process that started it.
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
    assert!(peak > 0, "no sample was taken");
    peak
}

#[test]
fn only_the_owner_can_access_the_files_of_an_import() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    fixture.input("x.ndjson", format!("{}{{}}\n", records(&["a"], 0..5)));
    fixture.import_ending_with(SOME_BAD, &["x.ndjson", "--bad", "elsewhere"]);
    let mut left = vec![
        fixture.spool.path().join("import"),
        fixture.spool.path().join("journal"),
        fixture.inputs.path().join("elsewhere"),
    ];
    while let Some(path) = left.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        assert_eq!(
            metadata.permissions().mode() & 0o077,
            0,
            "{}",
            path.display()
        );
        if metadata.is_dir() {
            left.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
    }
    // An existing file is not overwritten.
    let precious = fixture.input("precious", "mine");
    fs::set_permissions(&precious, Permissions::from_mode(0o600)).unwrap();
    fixture.import_ending_with(SOME_BAD, &["x.ndjson", "--again", "--bad", "precious"]);
    assert_eq!(fs::read(&precious).unwrap(), b"mine");
}

#[test]
fn imports_of_different_names_do_not_block_each_other() {
    const ROUNDS: usize = 300;
    // Other tests fork, and a child holds the lock of an import until it has become its program.
    run_in_child(|| {
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
    });
}
