//! What `status --check` and `doctor` find without any option: they ring when events wait and nobody sends, when
//! the elected process is stopped, when the disk is nearly full.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use meditopia_testkit::c_program::compile_preload;
use meditopia_testkit::disks::SmallDisk;
use meditopia_testkit::meditopia;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::service::ConfiguredSpool;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::store_files::damage_ledger;
use meditopia_testkit::wait::secs;
use rustix::process::Signal;
use serde_json::Value;

use crate::cli::{output, run, status, stderr, stdout, wait_for_status};

/// A sender that is stopped has to be seen within this time.
const SEEN_WITHIN: Duration = Duration::from_secs(5);

/// What `status --check` says: its exit status, and the grade and the name of each finding.
fn check(command: &mut Command) -> (i32, Vec<(String, String)>) {
    let output = command.output().unwrap();
    let text = stdout(&output);
    let checked: Value = serde_json::from_str(&text).expect(&text);
    let code = output.status.code().unwrap();
    assert_eq!(checked["status"], code, "{checked:#}");
    let text_of = |finding: &Value, member: &str| finding[member].as_str().unwrap().to_owned();
    let findings = checked["findings"].as_array().unwrap();
    let named = findings.iter().map(|finding| {
        assert!(!text_of(finding, "finding").is_empty(), "{checked:#}");
        (text_of(finding, "grade"), text_of(finding, "name"))
    });
    (code, named.collect())
}

fn check_of(spool: &Path) -> (i32, Vec<(String, String)>) {
    let mut command = meditopia();
    check(command.args(["status", "--check", "--json"]).arg(spool))
}

fn found(grade: &str, name: &str) -> Vec<(String, String)> {
    vec![(grade.to_owned(), name.to_owned())]
}

/// The lines of `doctor` that do not say "ok".
fn complaints(output: &Output) -> Vec<String> {
    let text = stdout(output);
    let lines = text.lines().filter(|line| !line.starts_with("ok "));
    lines.map(str::to_owned).collect()
}

/// The wall clock of one command.
struct Clock {
    dir: tempfile::TempDir,
    shim: PathBuf,
}

impl Clock {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let shim = compile_preload("clock_shim.c", dir.path());
        Self { dir, shim }
    }

    /// A command whose wall clock is so many seconds ahead.
    fn command(&self, mut command: Command, seconds: i64) -> Command {
        let offsets = self.dir.path().join("clocks");
        let mut bytes = (seconds * 1_000_000_000).to_ne_bytes().to_vec();
        bytes.extend([0; 8]);
        std::fs::write(&offsets, bytes).unwrap();
        command
            .env("LD_PRELOAD", &self.shim)
            .env("CLOCK_SHIM", offsets);
        command
    }
}

#[test]
fn events_that_wait_while_nobody_sends_are_a_warning_after_5_minutes_and_critical_after_20() {
    let api = Sandbox::start();
    let spool = ConfiguredSpool::new(api.endpoint(), api.token());
    let clock = Clock::new();
    let check_in = |seconds: i64| {
        check(&mut clock.command(spool.command("status", &["--check", "--json"]), seconds))
    };
    let doctor_in = |seconds: i64| {
        let mut doctor = clock.command(spool.command("doctor", &[]), seconds);
        let output = doctor.output().unwrap();
        (complaints(&output), output.status.code())
    };
    // While nothing waits nobody has to send.
    assert_eq!(check_in(3_000), (0, vec![]));
    let mut service = spool.start_service(&[]);
    wait_for_status(&spool.spool(), |status| status["sender"]["alive"] == true);
    service.kill();
    spool.client().enqueue_users(0..3);

    assert_eq!(check_in(290), (0, vec![]));
    assert_eq!(check_in(301), (1, found("WARNING", "no_sender")));
    let (code, findings) = check_in(1_201);
    assert_eq!(code, 2);
    assert_eq!(findings[0], found("CRITICAL", "no_sender")[0]);

    for (seconds, state) in [(301, "warn  sender: "), (1_201, "FAIL  sender: ")] {
        let (complaints, code) = doctor_in(seconds);
        let sender = complaints.iter().find(|line| line.starts_with(state));
        let sender = sender.unwrap_or_else(|| panic!("{complaints:#?}"));
        assert!(sender.contains("and 3 events are pending"), "{sender}");
        assert!(sender.contains("meditopia flush --config "), "{sender}");
        assert_ne!(code, Some(0));
    }
    // A timer that runs less often has limits of its own.
    let patient = ["--check", "--json", "--warn-sender=1h", "--warn-age=1h"];
    let checked = check(&mut clock.command(spool.command("status", &patient), 1_201));
    assert_eq!(checked, (0, vec![]));
}

#[test]
fn a_sender_that_is_stopped_is_seen_within_5_seconds_and_the_advice_lets_it_go_on() {
    let api = Sandbox::start();
    let spool = ConfiguredSpool::new(api.endpoint(), api.token());
    let service = spool.start_service(&[]);
    wait_for_status(&spool.spool(), |status| status["sender"]["alive"] == true);
    let pid = service.pid();
    service.signal(Signal::STOP);
    spool.client().enqueue_users(0..3);
    let stopped = Instant::now();

    let seen = wait_for_status(&spool.spool(), |status| {
        status["sender"]["state"] == "stopped"
    });
    assert_eq!(seen["sender"]["alive"], false, "{seen:#}");
    let checked = check_of(&spool.spool());
    let table = run(&["status"], &spool.spool());
    let doctor = spool.output("doctor", &[]);
    assert!(stopped.elapsed() < SEEN_WITHIN, "{:?}", stopped.elapsed());
    assert_eq!(checked, (2, found("CRITICAL", "stuck_sender")));
    assert!(
        table.contains("nothing is sent: the elected process does not answer"),
        "{table}"
    );
    let complaints = complaints(&doctor);
    let stuck = format!("FAIL  sender: pid {pid} is elected and its process is stopped");
    assert!(
        complaints.iter().any(|line| line.starts_with(&stuck)),
        "{complaints:#?}"
    );

    let flush = spool.output("flush", &["--timeout", "5"]);
    assert_eq!(flush.status.code(), Some(6), "{flush:?}");
    let said = stdout(&flush);
    assert!(
        said.contains(&format!(
            "another process is elected, pid {pid}, but no sender was seen for "
        )),
        "{said}"
    );
    assert!(
        stderr(&flush).contains("its process is stopped"),
        "{flush:?}"
    );

    // As the last line of the table says.
    let advice = format!("kill -CONT {pid}");
    assert!(table.contains(&advice), "{table}");
    let typed = Command::new("sh").args(["-c", &advice]).status().unwrap();
    assert!(typed.success());
    api.wait_for_events(3);
    wait_for_status(&spool.spool(), |status| {
        status["pending"] == 0 && status["sender"]["alive"] == true
    });
    assert_eq!(check_of(&spool.spool()), (0, vec![]));
}

#[test]
fn a_check_as_json_names_what_is_wrong_and_says_what_to_do() {
    let api = Sandbox::builder().unknown_user("u-1").start();
    let spool = TestSpool::for_sandbox(&api);
    spool.client().enqueue_users(0..3);
    let path = spool.path();
    assert_eq!(check_of(&path), (0, vec![]));
    let _ = spool.client().flush(secs(60));
    let mut command = meditopia();
    let command = command.args(["status", "--check", "--json", "--warn-rejected=1"]);
    assert_eq!(check(command.arg(&path)), (1, found("WARNING", "rejected")));

    run(&["hold"], &path);
    assert_eq!(check_of(&path), (1, found("WARNING", "held")));
    run(&["resume"], &path);
    api.refuse_address();
    spool.client().enqueue_users(5..7);
    let _ = spool.client().flush(secs(60));
    assert_eq!(check_of(&path), (2, found("CRITICAL", "paused")));
    // The advice names the spool as the caller did.
    let printed = output(&["status", "--check", "--json"], &path);
    let checked: Value = serde_json::from_str(&stdout(&printed)).unwrap();
    let advice = checked["findings"][0]["advice"].as_str().unwrap();
    let resume = format!("meditopia resume {}", path.display());
    assert!(advice.ends_with(&resume), "{advice}");
    assert_eq!(checked["figures"]["pending"], 2, "{checked:#}");
    assert_eq!(checked["figures"]["rejected"], 1, "{checked:#}");

    let nowhere = check_of(&path.join("nowhere"));
    assert_eq!(nowhere, (3, found("UNKNOWN", "unreadable")));
}

/// The table without the line about the last request that failed, whatever is wrong now.
fn without_last_failure(table: &str) -> String {
    let lines = table.lines().filter(|line| !line.starts_with("failed"));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_damaged_store_is_not_shown_as_the_pause_before_it_and_its_figures_are_unknown() {
    let api = Sandbox::start();
    let spool = ConfiguredSpool::new(api.endpoint(), "stale");
    spool.client().enqueue_users(0..2);
    assert_eq!(spool.output("flush", &[]).status.code(), Some(7));
    let paused = run(&["status"], &spool.spool());
    assert!(paused.contains("paused: auth"), "{paused}");
    assert!(!paused.contains("recover"), "{paused}");

    damage_ledger(&spool.spool());

    let table = run(&["status"], &spool.spool());
    assert!(table.contains("paused: store_damaged"), "{table}");
    let table = without_last_failure(&table);
    assert!(
        !table.contains("auth") && !table.contains("token"),
        "{table}"
    );
    assert!(
        table.contains("pending   unknown: the store cannot be read"),
        "{table}"
    );
    let seen = status(&spool.spool());
    assert_eq!(seen["store_unreadable"], true, "{seen:#}");
    let line = stdout(&output(&["status", "--check"], &spool.spool()));
    assert!(line.contains(" | pending=U;;;0 "), "{line}");
    let doctor = spool.output("doctor", &[]);
    let complaints = complaints(&doctor);
    let delivery = complaints
        .iter()
        .find(|line| line.starts_with("FAIL  delivery: paused: store_damaged"));
    let delivery = delivery.unwrap_or_else(|| panic!("{complaints:#?}"));
    assert!(!delivery.contains("auth"), "{delivery}");
    let flush = stdout(&spool.output("flush", &["--timeout", "5"]));
    assert!(flush.contains("what is pending is unknown"), "{flush}");
}

#[test]
fn a_disk_that_is_nearly_full_of_bytes_or_of_inodes_is_an_alarm() {
    let Some(disk) = SmallDisk::mount_with_inodes(64, 400) else {
        return;
    };
    let api = Sandbox::start();
    let spool = TestSpool::for_sandbox(&api).with("spool", disk.spool().to_str().unwrap());
    spool.client().enqueue_users(0..1);
    assert_eq!(check_of(&disk.spool()), (0, vec![]));
    let ballast = disk.spool().with_file_name("some");

    std::fs::create_dir(&ballast).unwrap();
    for number in 0..330 {
        std::fs::write(ballast.join(number.to_string()), "").unwrap();
    }
    assert_eq!(
        check_of(&disk.spool()),
        (1, found("WARNING", "disk_inodes"))
    );
    let mut doctor = meditopia();
    doctor.args(["doctor", "--spool"]).arg(disk.spool());
    let complaints = complaints(&doctor.output().unwrap());
    assert!(
        complaints.iter().any(
            |line| line.starts_with("warn  disk: the disk is nearly full: ")
                && line.contains(" inodes free")
        ),
        "{complaints:#?}"
    );
    std::fs::remove_dir_all(&ballast).unwrap();
    std::fs::write(&ballast, vec![1; 50 * 1024 * 1024]).unwrap();
    assert_eq!(check_of(&disk.spool()), (1, found("WARNING", "disk_bytes")));
    std::fs::write(&ballast, vec![1; 61 * 1024 * 1024]).unwrap();
    assert_eq!(
        check_of(&disk.spool()),
        (2, found("CRITICAL", "disk_bytes"))
    );
    std::fs::remove_file(&ballast).unwrap();
    assert_eq!(check_of(&disk.spool()), (0, vec![]));
}

#[test]
fn damage_that_is_found_during_a_pause_is_shown_and_not_that_pause() {
    let api = Sandbox::builder().unknown_user("u-1").start();
    let spool = ConfiguredSpool::new(api.endpoint(), api.token());
    let client = spool.client();
    client.enqueue_for("u-1", 4_242);
    assert_eq!(spool.output("flush", &[]).status.code(), Some(0));
    let rejected = client.rejected_rows()[0].id;
    api.refuse_address();
    client.enqueue_for("u-2", 0);
    assert_eq!(spool.output("flush", &[]).status.code(), Some(7));
    let table = run(&["status"], &spool.spool());
    assert!(table.contains("paused: ip"), "{table}");

    // The sender finds the damage when it has to read what was rejected.
    flip_a_bit_of(&spool.spool().join("rejected"), b"4242");
    let _service = spool.start_service(&[]);
    wait_for_status(&spool.spool(), |status| status["sender"]["alive"] == true);
    client.requeue_rejected(&[rejected]).expect_err("damaged");
    wait_for_status(&spool.spool(), |status| status["paused"] == "store_damaged");

    let table = run(&["status"], &spool.spool());
    assert!(table.contains("paused: store_damaged"), "{table}");
    let table = without_last_failure(&table);
    assert!(
        !table.contains("(ip)") && !table.contains("A_1004"),
        "{table}"
    );
    let doctor = complaints(&spool.output("doctor", &[]));
    let delivery = doctor
        .iter()
        .find(|line| line.starts_with("FAIL  delivery: "))
        .unwrap();
    assert!(!delivery.contains("A_1004"), "{delivery}");
}

#[test]
fn damaged_records_and_lost_events_are_alarms_of_the_check_and_of_doctor() {
    let api = Sandbox::start();
    let spool = ConfiguredSpool::new(api.endpoint(), api.token());
    let path = spool.spool();
    let client = spool.client();
    for number in [1_111, 4_242, 2_222] {
        client.enqueue_for("u-1", number);
    }
    flip_a_bit_of(&path.join("journal"), b"4242");
    assert_eq!(spool.output("flush", &[]).status.code(), Some(0));
    assert_eq!(check_of(&path), (1, found("WARNING", "damaged")));
    let lines = complaints(&spool.output("doctor", &[]));
    let damage = "warn  damage: 1 damaged record set aside";
    assert!(
        lines.iter().any(|line| line.starts_with(damage)),
        "{lines:#?}"
    );

    // What recover cannot read is lost.
    api.refuse_address();
    client.enqueue_for("u-1", 4_242);
    assert_eq!(spool.output("flush", &[]).status.code(), Some(7));
    flip_a_bit_of(&path.join("queues"), b"4242");
    let recovered = spool.output("recover", &["--yes"]);
    assert_eq!(recovered.status.code(), Some(4), "{recovered:?}");
    api.allow_address();
    let (code, findings) = check_of(&path);
    assert!(
        findings.contains(&found("WARNING", "lost")[0]),
        "{findings:?}"
    );
    assert_ne!(code, 0);
    let table = run(&["status"], &path);
    assert!(
        table.contains("at most 1 event lost to a damaged store"),
        "{table}"
    );
    let lines = complaints(&spool.output("doctor", &[]));
    let lost = "warn  damage: at most 1 event lost";
    assert!(
        lines.iter().any(|line| line.starts_with(lost)),
        "{lines:#?}"
    );
}

/// Flips a bit of the first file below `dir` that has this text, in the text.
fn flip_a_bit_of(dir: &Path, text: &[u8]) {
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
                continue;
            }
            let mut bytes = std::fs::read(&path).unwrap();
            let mut windows = bytes.windows(text.len());
            if let Some(at) = windows.position(|window| window == text) {
                bytes[at] ^= 1;
                std::fs::write(&path, bytes).unwrap();
                return;
            }
        }
    }
    panic!("no file in {} has the text", dir.display());
}
