//! `meditopia recover` from the outside: what it refuses, what it says, and that it can be killed.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use meditopia::Client;
use meditopia::{ErrorKind, PauseReason};
use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::fault_table::Outcome;
use meditopia_testkit::ledger::event_number;
use meditopia_testkit::process::ChildProcess;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;

const EVENTS: u64 = 250;
/// What a run holds at most.
const RUN: u64 = 100;

fn recover(spool: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meditopia"));
    command.arg("recover").arg(spool).args(arguments);
    command
}

fn told(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn client(api: &Sandbox, spool: &Path) -> Client {
    let host = TestSpool::for_sandbox(api)
        .with("spool", spool.to_str().unwrap())
        .with("role", "both");
    host.client()
}

/// A spool whose store holds events that wait, and one run with a flipped bit.
fn damaged(api: &Sandbox) -> CProgram {
    let program = CProgram::compile("enqueues.c").with_config(api, &[("role", "enqueue")]);
    program.run(&[&EVENTS.to_string()]);
    api.refuse_address();
    let sender = client(api, &program.spool());
    let (_, outcome) = sender.flush(secs(60));
    assert_eq!(outcome.unwrap_err().pause_reason(), Some(PauseReason::Ip));
    let _ = sender.close(secs(30));
    drop(sender);
    api.allow_address();

    let store = program.spool().join("store.db");
    let mut bytes = fs::read(&store).unwrap();
    // Number 42 is in the first run; the place is the same in all of them, so the first hit will do.
    let event = br#""event_value":"42""#;
    let at = bytes
        .windows(event.len())
        .position(|window| window == event)
        .unwrap();
    bytes[at + event.len() - 2] ^= 1;
    fs::write(&store, bytes).unwrap();
    program
}

fn arrived(api: &Sandbox) -> BTreeSet<u64> {
    api.events()
        .iter()
        .map(|event| event_number(&event.fields))
        .collect()
}

#[test]
fn recover_says_what_it_risks_does_it_when_told_and_keeps_the_damaged_store() {
    let api = Sandbox::start();
    let program = damaged(&api);
    let spool = program.spool();

    // A host in C is not kept from enqueueing, and is told why nothing is sent.
    program.run(&["4"]);
    let sender = client(&api, &spool);
    let _ = sender.resume();
    let paused = sender.flush(secs(60)).1.unwrap_err();
    assert_eq!(
        paused.pause_reason(),
        Some(PauseReason::StoreDamaged),
        "{paused}"
    );
    let _ = sender.close(secs(30));
    drop(sender);

    let looked = recover(&spool, &[]).output().unwrap();
    assert_eq!(looked.status.code(), Some(3), "{looked:?}");
    let text = told(&looked);
    // Whether the sender took the four over before it met the damage is chance.
    let readable = [
        "150 pending events in 2 runs",
        "154 pending events in 3 runs",
    ]
    .map(|readable| format!("readable: {readable}, 0 rejected events"));
    assert!(
        text.lines()
            .any(|said| readable.iter().any(|line| line == said)),
        "{text}"
    );
    for line in [
        "lost pending events: at most 100",
        "nothing was done; run it again with --yes to recover",
    ] {
        assert!(
            text.lines().any(|said| said == line),
            "no {line:?} in:\n{text}"
        );
    }

    let done = recover(&spool, &["--yes"]).output().unwrap();
    assert_eq!(done.status.code(), Some(4), "{done:?}");
    assert!(told(&done).contains("is kept as"), "{done:?}");
    let kept = |name: &str| name.starts_with("store.db.damaged-");
    let names = fs::read_dir(&spool)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().any(|name| kept(name.to_str().unwrap())));
    assert_eq!(
        recover(&spool, &["--yes"]).output().unwrap().status.code(),
        Some(0)
    );

    let sender = client(&api, &spool);
    sender.resume().unwrap();
    sender.flush_ok(secs(60));
    assert_eq!(sender.stats().unwrap().lost, RUN);
    // The first run is lost; the four that came later bear numbers of its.
    let expected: BTreeSet<u64> = (0..4).chain(RUN..EVENTS).collect();
    assert_eq!(arrived(&api), expected);
}

#[test]
fn recover_is_refused_while_a_process_sends_and_does_nothing_to_a_sound_store() {
    let api = Sandbox::start();
    let program = CProgram::compile("linger.c").with_config(&api, &[("role", "both")]);
    let mut child = program
        .command(&[])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut said)
        .unwrap();
    let pid = child.id();
    let mut running = ChildProcess(child);

    let refused = recover(&program.spool(), &["--yes"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let complaint = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        complaint.contains(&format!("pid {pid} sends")),
        "{complaint}"
    );

    running.kill();
    let sound = recover(&program.spool(), &["--yes"]).output().unwrap();
    assert_eq!(sound.status.code(), Some(0), "{sound:?}");
    assert!(told(&sound).contains("sound"), "{sound:?}");
    let nowhere = recover(&program.dir().join("nowhere"), &[])
        .output()
        .unwrap();
    assert_eq!(nowhere.status.code(), Some(1));
}

#[test]
fn a_recover_that_is_killed_leaves_the_old_store_or_the_new_one() {
    let trials = meditopia_testkit::fault_table::trial_count(25, 500);
    let mut rng = fastrand::Rng::with_seed(3);
    let (mut delivered, mut said) = (0, 0);
    let api = Sandbox::start();
    let program = damaged(&api);
    let whole = fs::read(program.spool().join("store.db")).unwrap();
    for _ in 0..trials {
        api.clear_ledger();
        let spool = program.spool();
        for name in ["store.db-wal", "store.db-shm"] {
            let _ = fs::remove_file(spool.join(name));
        }
        // Another file: what a recovery before has kept is a link to the old one.
        fs::write(spool.join("again"), &whole).unwrap();
        fs::rename(spool.join("again"), spool.join("store.db")).unwrap();
        let child = recover(&spool, &["--yes"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut running = ChildProcess(child);
        // Where it is cut is chance; what it leaves has to be good wherever that is.
        std::thread::sleep(Duration::from_micros(rng.u64(..40_000)));
        let _ = running.0.kill();
        running.0.wait().unwrap();

        let mut sender = client(&api, &spool);
        let _ = sender.resume();
        match sender.flush(secs(60)).1 {
            Ok(()) => {}
            Err(e) => {
                assert_eq!(e.pause_reason(), Some(PauseReason::StoreDamaged), "{e}");
                let _ = sender.close(secs(30));
                drop(sender);
                let again = recover(&spool, &["--yes"]).output().unwrap();
                assert_eq!(again.status.code(), Some(4), "{again:?}");
                sender = client(&api, &spool);
                sender.resume().unwrap();
                sender.flush_ok(secs(60));
            }
        }
        said += sender.stats().unwrap().lost;
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
        lost: trials * EVENTS - delivered - said,
        duplicated: 0,
    };
    meditopia_testkit::fault_table::add_row(
        &format!("kill -9 during recover ({said} events said to be lost)"),
        outcome,
        0,
    );
}

#[test]
fn what_is_foreign_is_left_alone_wherever_it_lies() {
    let api = Sandbox::start();
    let program = CProgram::compile("enqueues.c").with_config(&api, &[("role", "enqueue")]);
    program.run(&["10"]);
    let spool = program.spool();
    let foreign = [
        "lost+found/x",
        "journal/lost+found/x",
        "commands/x/y",
        "damaged/x/y",
    ];
    for path in foreign {
        let path = spool.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "not ours").unwrap();
    }
    for name in ["journal/access.log", "commands/notes.txt", "README"] {
        fs::write(spool.join(name), "not ours").unwrap();
    }
    symlink("/dev/zero", spool.join("journal/00000001-1-1-1.log")).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(spool.join("journal/00000001-1-1-2.log"))
            .status()
            .unwrap()
            .success()
    );

    let sender = client(&api, &spool);
    assert_eq!(sender.flush_ok(secs(60)).delivered, 10);
    sender.close(secs(30)).unwrap();
    drop(sender);
    for path in foreign {
        assert_eq!(fs::read_to_string(spool.join(path)).unwrap(), "not ours");
    }
    assert_eq!(
        fs::read_to_string(spool.join("journal/access.log")).unwrap(),
        "not ours"
    );
    assert!(spool.join("journal/00000001-1-1-1.log").is_symlink());
}

#[test]
fn an_older_library_enqueues_beside_a_newer_store_or_segment_and_sends_nothing() {
    let api = Sandbox::start();
    let program = CProgram::compile("enqueues.c").with_config(&api, &[("role", "enqueue")]);
    program.run(&["10"]);
    let segment = fs::read_dir(program.spool().join("journal"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut bytes = fs::read(&segment).unwrap();
    // Its version, under a checksum that is right.
    bytes[8] += 1;
    let crc = crc32c(&bytes[..60]);
    bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    fs::write(&segment, &bytes).unwrap();

    let sender = client(&api, &program.spool());
    let error = sender.flush(secs(60)).1.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store, "{error}");
    assert!(error.message().contains("newer"), "{error}");
    program.run(&["5"]);
    let _ = sender.close(Duration::ZERO);
    assert_eq!(api.ledger().requests, 0);
    assert_eq!(fs::read(&segment).unwrap(), bytes);
}

/// CRC-32C, bit by bit: the test does not take the library's word for it.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32| (crc >> 1) ^ (0x82F6_3B78 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc))
    })
}
