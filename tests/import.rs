//! `meditopia import`: every good record is queued once, whatever happens to the process that brings it,
//! and every bad one is told with line, field and reason.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod host;
mod ledger;
mod sandbox;
#[allow(unused_imports)]
mod tracer;

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use host::{Host, Story, secs};
use ledger::{Arrivals, out_of_order};
use sandbox::Sandbox;
use serde_json::Value;
use tracer::{Call, Event, Tracer};

const SOME_BAD: i32 = 8;
const NOTHING_QUEUED: i32 = 9;
const STOPPED: i32 = 10;
const PATIENCE: Duration = Duration::from_secs(120);

/// A spool, and a directory for inputs.
struct Place {
    host: Host,
    inputs: tempfile::TempDir,
}

impl Place {
    fn of(api: &Sandbox) -> Self {
        let host = Host::of(api);
        host.client();
        let inputs = tempfile::tempdir().unwrap();
        Self { host, inputs }
    }

    fn input(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.inputs.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meditopia"));
        command.arg("import").args(arguments);
        command.arg("--spool").arg(self.host.spool());
        command.current_dir(self.inputs.path()).stdin(Stdio::null());
        command
    }

    fn import(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Imports, which has to end with this status; gives what it said.
    #[track_caller]
    fn ends_with(&self, status: i32, arguments: &[&str]) -> String {
        let output = self.import(arguments);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
        said
    }

    fn waiting(&self) -> u64 {
        self.host.client().stats().unwrap().pending
    }

    /// Lines of the file of bad records: line, field, reason.
    fn bad(&self, name: &str) -> Vec<(u64, Option<String>, String)> {
        let text = fs::read_to_string(self.inputs.path().join(name)).unwrap();
        text.lines()
            .map(|line| {
                let bad: Value = serde_json::from_str(line).unwrap();
                let text = |member: &str| bad[member].as_str().map(str::to_owned);
                (
                    bad["line"].as_u64().unwrap(),
                    text("field"),
                    text("reason").unwrap(),
                )
            })
            .collect()
    }
}

fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&text).into_owned()
}

fn line(user: &str, number: usize) -> String {
    format!(
        r#"{{"token":"t","partner_user_id":"{user}","event":"video","event_value":"{number}","received_at":"2024-08-06 15:04:05"}}"#
    )
}

fn lines(users: &[&str], numbers: std::ops::Range<usize>) -> String {
    numbers
        .flat_map(|number| users.iter().map(move |user| line(user, number) + "\n"))
        .collect()
}

/// What has arrived, checked to be each event once and in its user's order.
fn arrived_once(api: &Sandbox) -> BTreeMap<String, Vec<u64>> {
    let arrivals = Arrivals::of(api);
    assert_eq!(arrivals.duplicates(), 0);
    let users = arrivals.first_appearances();
    for (user, numbers) in &users {
        assert_eq!(out_of_order(numbers), None, "{user}");
    }
    users
}

#[test]
fn each_format_brings_the_same_events() {
    let api = Sandbox::start();
    let place = Place::of(&api);
    let (a, b) = (line("a", 0), line("b", 1));
    let csv = "event,partner_user_id,event_value,received_at,token\r\n\
               video,c,\"0\",2024-08-06 15:04:05,t\r\n\r\n\
               video,\"d\",\"x \"\"1\"\",\n2\",,t";
    for (name, text) in [
        ("1.ndjson", format!("\u{feff}{a}\r\n\n{b}")),
        ("2.json", format!("\n[ {a} ,\n{b}\n] \n")),
        ("3.json", format!(r#" {{ "events" : [{a},{b}]}}"#)),
        ("4.json", "[]".to_owned()),
        ("5.ndjson", String::new()),
    ] {
        place.input(name, text);
        place.ends_with(0, &[name]);
    }
    place.input("6.csv", csv);
    place.ends_with(0, &["6.csv"]);
    place.input("7.tsv", "token\tpartner_user_id\tevent\nt\te\tsignin\n");
    place.ends_with(0, &["7.tsv"]);
    place.host.client().flushed(secs(30));

    let events: Vec<_> = api.events().into_iter().map(|event| event.fields).collect();
    let users: Vec<&str> = events
        .iter()
        .map(|event| event.partner_user_id.as_str())
        .collect();
    assert_eq!(users, ["a", "b", "a", "b", "a", "b", "c", "d", "e"]);
    assert_eq!(events[7].event_value, "x \"1\",\n2");
    assert_eq!(events[8].event_value, Value::Null);
}

#[test]
fn every_kind_of_bad_record_is_told_with_line_field_and_reason() {
    let api = Sandbox::start();
    let place = Place::of(&api);
    let good = line("a", 0);
    let long = line(&"u".repeat(9 * 1024 * 1024), 1);
    let too_big = line(&"u".repeat(70_000), 1);
    let bad: [(Vec<u8>, Option<&str>, &str); 14] = [
        (b"{\"token\":".to_vec(), None, "is not JSON: EOF"),
        (b"[1]".to_vec(), None, "is not a JSON object"),
        (
            format!("{{\"events\":[{good}]}}").into(),
            None,
            "unknown member \"events\"",
        ),
        (
            good.replace("\"a\"", "\"\"").into(),
            Some("partner_user_id"),
            "is empty",
        ),
        (
            good.replace("\"a\"", "7").into(),
            Some("partner_user_id"),
            "is not a string",
        ),
        (
            good.replace("\"token\":\"t\",", "").into(),
            Some("token"),
            "is missing",
        ),
        (
            good.replace("\"t\"", "17").into(),
            Some("token"),
            "is not a string",
        ),
        (
            good.replace("video", "vidoe").into(),
            Some("event"),
            "did you mean \"video\"?",
        ),
        (
            good.replace("08-06", "13-06").into(),
            Some("received_at"),
            "2024-13-06",
        ),
        (
            good.replace("\"0\"", r#""\ud800""#).into(),
            Some("event_value"),
            "half a character",
        ),
        (
            good.replacen('{', "{\"x\":1,", 1).into(),
            None,
            "unknown member \"x\"",
        ),
        (
            [&b"{\"token\":\"\xff\"}"[..]].concat(),
            None,
            "is not UTF-8 (at byte 10)",
        ),
        (too_big.into(), None, "max_event_bytes is 65536"),
        (long.into(), None, "is longer than 8 MiB"),
    ];
    let mut text = Vec::new();
    for (bad, _, _) in &bad {
        text.extend_from_slice(bad);
        text.extend_from_slice(format!("\n{good}\n").as_bytes());
    }
    place.input("mixed.ndjson", &text);

    let checked = place.ends_with(NOTHING_QUEUED, &["mixed.ndjson", "--dry-run"]);
    assert!(checked.contains("14 good, 14 bad"), "{checked}");
    assert!(
        !place
            .inputs
            .path()
            .join("mixed.ndjson.rejected.ndjson")
            .exists()
    );
    assert_eq!(place.waiting(), 0);

    place.ends_with(SOME_BAD, &["mixed.ndjson"]);

    let told = place.bad("mixed.ndjson.rejected.ndjson");
    assert_eq!(told.len(), bad.len());
    for (at, ((line, field, reason), (_, known_field, known))) in told.iter().zip(&bad).enumerate()
    {
        assert_eq!(*line, 2 * at as u64 + 1, "{reason}");
        assert_eq!(field.as_deref(), *known_field, "{reason}");
        assert!(reason.contains(known), "{reason} is not {known}");
    }
    let mode = fs::metadata(place.inputs.path().join("mixed.ndjson.rejected.ndjson"));
    assert_eq!(mode.unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(place.waiting(), 14);
}

#[test]
fn bad_elements_and_rows_do_not_hide_those_behind_them() {
    let api = Sandbox::start();
    let place = Place::of(&api);
    let good = line("a", 0);
    place.input(
        "a.json",
        format!("[{good},\n{{\"token\":tru}},\n 17,\n{good}\n]"),
    );
    place.ends_with(SOME_BAD, &["a.json"]);
    let told = place.bad("a.json.rejected.ndjson");
    assert_eq!(told.iter().map(|bad| bad.0).collect::<Vec<_>>(), [2, 3]);

    place.input(
        "b.csv",
        b"token,partner_user_id,event\r\nt,a,video\r\nt,\"a\nb\",nothing\r\nt,a\r\nt,\xff,video\r\nt,a,audio\r\n",
    );
    place.ends_with(SOME_BAD, &["b.csv"]);
    let told = place.bad("b.csv.rejected.ndjson");
    let lines: Vec<_> = told.iter().map(|bad| (bad.0, bad.1.as_deref())).collect();
    assert_eq!(
        lines,
        [(3, Some("event")), (5, None), (6, Some("partner_user_id"))]
    );
    assert_eq!(told[1].2, "has 2 fields, the header has 3");
    assert_eq!(place.waiting(), 4);

    for (name, text, why) in [
        ("c.csv", "token,user,event\n", "the column \"user\""),
        ("d.csv", "token,event\n", "no column partner_user_id"),
        ("e.json", "{\"x\":1}", "neither an array nor"),
        ("f.json", "", "there is no JSON array in it"),
    ] {
        place.input(name, text);
        let said = place.ends_with(STOPPED, &[name]);
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn all_or_nothing_queues_nothing_when_one_record_is_bad() {
    let api = Sandbox::start();
    let place = Place::of(&api);
    let good = lines(&["a", "b"], 0..100);
    place.input("x.ndjson", format!("{good}{{}}\n"));
    let orders = ["x.ndjson", "--all-or-nothing", "--commit-bytes", "1000"];

    place.ends_with(NOTHING_QUEUED, &orders);
    assert_eq!(place.waiting(), 0);
    assert_eq!(place.bad("x.ndjson.rejected.ndjson")[0].0, 201);

    place.input("x.ndjson", good);
    let said = place.ends_with(1, &orders);
    assert!(said.contains("is there already"), "{said}");
    fs::remove_file(place.inputs.path().join("x.ndjson.rejected.ndjson")).unwrap();
    place.ends_with(0, &orders);
    assert_eq!(place.waiting(), 200);
    let segments = fs::read_dir(place.host.spool().join("journal")).unwrap();
    assert_eq!(segments.count(), 1, "they became visible at once");
}

#[test]
fn an_input_that_was_imported_is_not_imported_again_unless_told_to() {
    let api = Sandbox::start();
    let place = Place::of(&api);
    let text = lines(&["a"], 0..50);
    place.input("x.ndjson", &text);
    place.ends_with(0, &["x.ndjson"]);
    let said = place.ends_with(0, &["x.ndjson"]);
    assert!(
        said.contains("queued 0 of 50") && said.contains("--again"),
        "{said}"
    );
    // What was added since is news.
    place.input("x.ndjson", format!("{text}{}", lines(&["a"], 50..60)));
    place.ends_with(0, &["x.ndjson"]);
    assert_eq!(place.waiting(), 60);
    // Another content is another input.
    place.input("x.ndjson", lines(&["b"], 0..5));
    place.ends_with(0, &["x.ndjson"]);
    place.ends_with(0, &["x.ndjson", "--again"]);
    assert_eq!(place.waiting(), 70);
}

#[test]
fn an_input_that_is_cut_short_is_taken_up_when_it_is_whole() {
    let api = Sandbox::start();
    let place = Place::of(&api);
    let events: Vec<String> = (0..40).map(|number| line("a", number)).collect();
    let whole = format!("[{}]", events.join(",\n"));
    place.input("x.json", &whole[..whole.len() / 2]);
    let said = place.ends_with(STOPPED, &["x.json"]);
    assert!(said.contains("cut short"), "{said}");
    place.input("x.json", format!("{}{}", "[".repeat(2), &whole));
    let said = place.ends_with(1, &["x.json"]);
    assert!(said.contains("another input"), "{said}");
    place.input("x.json", &whole);
    place.ends_with(0, &["x.json"]);
    place.host.client().flushed(secs(30));
    assert_eq!(arrived_once(&api)["a"].len(), 40);
}

#[test]
fn standard_input_is_taken_up_only_if_the_same_comes_again() {
    let api = Sandbox::start();
    let place = Place::of(&api);
    let text = lines(&["a"], 0..2_000);
    let pipe = |text: &str, then: Then| {
        let mut command = place.command(&["-", "--format", "ndjson", "--commit-bytes", "1000"]);
        let mut process = command
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = process.stdin.take().unwrap();
        // It may have refused, and be gone.
        let _ = input.write_all(text.as_bytes());
        if then == Then::Kill {
            place.wait_for_records("-", 1);
            process.kill().unwrap();
        }
        drop(input);
        process.wait_with_output().unwrap()
    };
    pipe(&text, Then::Kill);
    let other = pipe(&lines(&["b"], 0..10), Then::End);
    assert_eq!(other.status.code(), Some(1), "{}", said(&other));
    assert!(
        said(&other).contains("this is another input"),
        "{}",
        said(&other)
    );
    let same = pipe(&text, Then::End);
    assert_eq!(same.status.code(), Some(0), "{}", said(&same));
    let news = pipe(&lines(&["b"], 0..10), Then::End);
    assert_eq!(news.status.code(), Some(0), "{}", said(&news));
    place.host.client().flushed(secs(30));
    let users = arrived_once(&api);
    assert_eq!((users["a"].len(), users["b"].len()), (2_000, 10));
}

#[derive(PartialEq, Eq)]
enum Then {
    End,
    Kill,
}

impl Place {
    /// How many records the last commit of an import knows.
    fn records(&self, name: &str) -> u64 {
        let dirs = fs::read_dir(self.host.spool().join("import"));
        let read = |dir: PathBuf| -> Option<Value> {
            serde_json::from_slice(&fs::read(dir.join("progress.json")).ok()?).ok()
        };
        let all = dirs.into_iter().flatten().flatten();
        let of_name = all
            .filter_map(|dir| read(dir.path()))
            .find(|one| one["import"] == name);
        of_name.map_or(0, |one| one["checkpoint"]["records"].as_u64().unwrap())
    }

    fn wait_for_records(&self, name: &str, records: u64) {
        let begun = Instant::now();
        while self.records(name) < records {
            assert!(begun.elapsed() < PATIENCE, "waited for {records} records");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn changes(call: &Call) -> bool {
    // Locks and descriptors go with their process.
    call.acts() && !matches!(call.number, libc::SYS_close | libc::SYS_flock)
}

/// Runs an import until it is about to make its `moment`th call that changes something, and kills it there; `false`: it ended before.
fn killed_at(command: Command, moment: usize) -> bool {
    let mut tracer = Tracer::default();
    let pid = tracer.start(command);
    let (mut left, mut begun) = (moment, false);
    while let Some(event) = tracer.next() {
        match event {
            Event::Entry(call) => {
                begun |= call.path().ends_with("import");
                if begun && changes(&call) {
                    if left == 0 {
                        tracer.kill(pid);
                        return true;
                    }
                    left -= 1;
                }
                tracer.resume(&call);
            }
            Event::Exit(call, _) => tracer.resume(&call),
            Event::Ended(..) => return false,
        }
    }
    false
}

#[test]
fn an_import_that_is_killed_before_any_of_its_calls_queues_each_record_once() {
    die_at_each_call(false);
}

#[test]
fn an_import_of_all_or_nothing_that_is_killed_before_any_of_its_calls_queues_each_record_once() {
    die_at_each_call(true);
}

fn die_at_each_call(all_or_nothing: bool) {
    const RECORDS: usize = 12;
    let api = Sandbox::start();
    let place = Place::of(&api);
    let mut users = Vec::new();
    for moment in 0.. {
        let (a, b) = (
            format!("{all_or_nothing}-{moment}-a"),
            format!("{all_or_nothing}-{moment}-b"),
        );
        let name = format!("{all_or_nothing}-{moment}.ndjson");
        let mut text = lines(&[&a, &b], 0..RECORDS);
        let status = if all_or_nothing { 0 } else { SOME_BAD };
        let mut orders = vec![name.as_str(), "--commit-bytes", "1500"];
        if all_or_nothing {
            orders.push("--all-or-nothing");
        } else {
            text = format!("{{}}\n{text}{{}}\n");
        }
        place.input(&name, &text);
        let mut command = place.command(&orders);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let was_killed = killed_at(command, moment);
        place.ends_with(status, &orders);
        if !all_or_nothing {
            let told = place.bad(&format!("{name}.rejected.ndjson"));
            let lines: Vec<_> = told.iter().map(|bad| bad.0).collect();
            assert_eq!(lines, [1, 2 * RECORDS as u64 + 2], "killed at {moment}");
        }
        users.extend([a, b]);
        if !was_killed {
            println!("{moment} moments");
            assert!(moment > 10, "only {moment} moments");
            break;
        }
    }
    place.host.client().flushed(secs(120));
    let arrived = arrived_once(&api);
    for user in &users {
        let numbers = arrived.get(user).map_or(0, Vec::len);
        assert_eq!(numbers, RECORDS, "{user}");
    }
    assert_eq!(arrived.len(), users.len());
    assert!(!place.host.spool().join("damaged").exists());
}

#[test]
fn an_import_beside_a_sender_and_a_writer_is_killed_often_and_brings_each_record_once() {
    const RECORDS: usize = 10_000;
    const KILLS: u64 = 8;
    let api = Sandbox::start();
    let place = Place::of(&api);
    let path = place.input("x.ndjson", lines(&["a", "b", "c"], 0..RECORDS));
    let name = path.to_str().unwrap().to_owned();
    let spool = place.host.spool();
    let host = Host::of(&api)
        .with("spool", spool.to_str().unwrap())
        .with("role", "both")
        .with("flush_interval_ms", "20");
    let client = host.client();
    let orders = ["x.ndjson", "--commit-bytes", "20000"];
    let mut live = 0;
    for kill in 1..=KILLS {
        let mut command = place.command(&orders);
        let mut process = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let target = kill * 3 * RECORDS as u64 / (KILLS + 1);
        while place.records(&name) < target {
            client.enqueue_for("live", live);
            live += 1;
            std::thread::sleep(Duration::from_millis(1));
            assert_eq!(process.try_wait().unwrap(), None, "it ended at {kill}");
        }
        process.kill().unwrap();
        process.wait().unwrap();
    }
    place.ends_with(0, &orders);
    client.flushed(secs(120));
    let users = arrived_once(&api);
    assert_eq!(users["live"].len(), live);
    for user in ["a", "b", "c"] {
        assert_eq!(users[user].len(), RECORDS, "{user}");
    }
}

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
    assert!(said.contains("another process imports"), "{said}");
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
        client.flushed(secs(30));
        if let Some(status) = waiting.try_wait().unwrap() {
            break status;
        }
    };
    assert!(status.success(), "{status}");
    client.flushed(secs(30));
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
        place.host.spool().display()
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
        fs::remove_dir_all(place.host.spool().join("journal")).unwrap();
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
        place.host.spool().join("import"),
        place.host.spool().join("journal"),
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
