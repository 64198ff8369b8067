//! `meditopia recover` as a process: what it refuses, what it prints, and what a kill leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use meditopia::{Client, PauseReason};
use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::fault_table::Outcome;
use meditopia_testkit::ledger::event_number;
use meditopia_testkit::meditopia;
use meditopia_testkit::process::ChildProcess;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;

use crate::cli::{stderr, stdout};

const EVENTS: u64 = 250;
/// The number of events in a full run.
const RUN: u64 = 100;

fn recover(spool: &Path, arguments: &[&str]) -> Command {
    let mut command = meditopia();
    command.arg("recover").arg(spool).args(arguments);
    command
}

/// A client that may send.
fn sender_of(spool: &Path, api: &Sandbox) -> Client {
    let spool = TestSpool::for_sandbox(api)
        .with("spool", spool.to_str().unwrap())
        .with("role", "both");
    spool.client()
}

/// A spool whose store holds pending events, with a flipped bit in one run.
fn spool_with_damage(api: &Sandbox) -> CProgram {
    let program = CProgram::compile("enqueue_job.c").with_config(api, &[("role", "enqueue")]);
    program.run(&[&EVENTS.to_string()]);
    api.refuse_address();
    let sender = sender_of(&program.spool(), api);
    let (_, outcome) = sender.flush(secs(60));
    assert_eq!(outcome.unwrap_err().pause_reason(), Some(PauseReason::Ip));
    let _ = sender.close(secs(30));
    drop(sender);
    api.allow_address();

    // Event 42 is in the first run.
    let event = br#""event_value":"42""#;
    let at = |bytes: &[u8]| {
        bytes
            .windows(event.len())
            .position(|window| window == event)
    };
    let mut files = store_files(&program.spool()).into_iter();
    let in_queue = |path: &Path| path.parent().unwrap().ends_with("queues");
    let (queue, mut bytes) = files
        .find(|(path, bytes)| in_queue(path) && at(bytes).is_some())
        .unwrap();
    let at = at(&bytes).unwrap();
    bytes[at + event.len() - 2] ^= 1;
    fs::write(&queue, bytes).unwrap();
    program
}

const STORE_FOLDERS: [&str; 4] = ["ledger", "queues", "receipts", "rejected"];

/// The files of the store and their bytes.
fn store_files(spool: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for folder in STORE_FOLDERS {
        let entries = fs::read_dir(spool.join(folder));
        for entry in entries.into_iter().flatten() {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            files.insert(path, bytes);
        }
    }
    files
}

fn arrived(api: &Sandbox) -> BTreeSet<u64> {
    api.events()
        .iter()
        .map(|event| event_number(&event.fields))
        .collect()
}

#[test]
fn recover_reports_the_risk_and_with_yes_recovers_and_keeps_the_damaged_store() {
    let api = Sandbox::start();
    let program = spool_with_damage(&api);
    let spool = program.spool();

    // An application in C can still enqueue, and a flush says why nothing is sent.
    program.run(&["4"]);
    let sender = sender_of(&spool, &api);
    let _ = sender.resume();
    let paused = sender.flush(secs(60)).1.unwrap_err();
    assert_eq!(
        paused.pause_reason(),
        Some(PauseReason::StoreDamaged),
        "{paused}"
    );
    let _ = sender.close(secs(30));
    drop(sender);

    let examined = recover(&spool, &[]).output().unwrap();
    assert_eq!(examined.status.code(), Some(3), "{examined:?}");
    let text = stdout(&examined);
    // It is a matter of timing whether the sender took the four events over before it met the
    // damage.
    let readable = [
        "150 pending events in 2 runs",
        "154 pending events in 3 runs",
    ]
    .map(|readable| format!("readable: {readable}, 0 rejected events"));
    assert!(
        text.lines()
            .any(|printed| readable.iter().any(|line| line == printed)),
        "{text}"
    );
    for line in [
        "lost pending events: at most 100",
        "nothing was done; to recover: meditopia recover ",
    ] {
        assert!(
            text.lines().any(|printed| printed.starts_with(line)),
            "no {line:?} in:\n{text}"
        );
    }

    let done = recover(&spool, &["--yes"]).output().unwrap();
    assert_eq!(done.status.code(), Some(4), "{done:?}");
    assert!(stdout(&done).contains("is kept in"), "{done:?}");
    let kept = fs::read_dir(spool.join("damaged")).unwrap();
    let kept: Vec<PathBuf> = kept.map(|entry| entry.unwrap().path()).collect();
    let [kept] = &kept[..] else {
        panic!("{kept:?}");
    };
    let files = fs::read_dir(kept).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    assert!(names.into_iter().any(|name| name.starts_with("queues-")));
    assert_eq!(
        recover(&spool, &["--yes"]).output().unwrap().status.code(),
        Some(0)
    );

    let sender = sender_of(&spool, &api);
    sender.resume().unwrap();
    sender.flush_ok(secs(60));
    assert_eq!(sender.stats().unwrap().lost, RUN);
    // The first run is lost. The four later events have the numbers 0 to 3 again.
    let expected: BTreeSet<u64> = (0..4).chain(RUN..EVENTS).collect();
    assert_eq!(arrived(&api), expected);
}

#[test]
fn recover_is_refused_while_a_process_sends_and_leaves_a_sound_store_alone() {
    let api = Sandbox::start();
    let program = CProgram::compile("linger.c").with_config(&api, &[("role", "both")]);
    let mut child = program
        .command(&[])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let pid = child.id();
    let mut running = ChildProcess(child);

    let refused = recover(&program.spool(), &["--yes"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let message = stderr(&refused);
    assert!(
        message.contains(&format!("pid {pid} is sending")),
        "{message}"
    );

    running.kill();
    let sound = recover(&program.spool(), &["--yes"]).output().unwrap();
    assert_eq!(sound.status.code(), Some(0), "{sound:?}");
    assert!(stdout(&sound).contains("sound"), "{sound:?}");
    let nowhere = recover(&program.dir().join("nowhere"), &[])
        .output()
        .unwrap();
    assert_eq!(nowhere.status.code(), Some(1));
}

#[test]
fn a_killed_recover_leaves_the_old_store_or_the_new_one() {
    let trials = meditopia_testkit::fault_table::trial_count(25, 500);
    let mut rng = fastrand::Rng::with_seed(3);
    let (mut delivered, mut reported_lost) = (0, 0);
    let api = Sandbox::start();
    let program = spool_with_damage(&api);
    let whole = store_files(&program.spool());
    for _ in 0..trials {
        api.clear_ledger();
        let spool = program.spool();
        for path in store_files(&spool).keys() {
            fs::remove_file(path).unwrap();
        }
        for (path, bytes) in &whole {
            fs::write(path, bytes).unwrap();
        }
        let child = recover(&spool, &["--yes"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut running = ChildProcess(child);
        // The kill comes at a random moment.
        std::thread::sleep(Duration::from_micros(rng.u64(..40_000)));
        let _ = running.0.kill();
        running.0.wait().unwrap();

        let mut sender = sender_of(&spool, &api);
        let _ = sender.resume();
        match sender.flush(secs(60)).1 {
            Ok(()) => {}
            Err(e) => {
                assert_eq!(e.pause_reason(), Some(PauseReason::StoreDamaged), "{e}");
                let _ = sender.close(secs(30));
                drop(sender);
                let again = recover(&spool, &["--yes"]).output().unwrap();
                assert_eq!(again.status.code(), Some(4), "{again:?}");
                sender = sender_of(&spool, &api);
                sender.resume().unwrap();
                sender.flush_ok(secs(60));
            }
        }
        reported_lost += sender.stats().unwrap().lost;
        sender.close(secs(30)).unwrap();
        let arrived = arrived(&api);
        assert_eq!(arrived, (RUN..EVENTS).collect());
        delivered += arrived.len() as u64;
    }
    let outcome = Outcome {
        trials,
        acknowledged: trials * EVENTS,
        delivered,
        rejected: 0,
        lost: trials * EVENTS - delivered - reported_lost,
        duplicated: 0,
    };
    meditopia_testkit::fault_table::add_row(
        &format!("kill -9 during recover ({reported_lost} events said to be lost)"),
        outcome,
        0,
    );
}
