//! An application that closes descriptors of the library, or puts its own files in their places, and
//! one that has few descriptors or may write small files only: nothing is lost, no foreign file is written to, and the sender
//! recovers by itself.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::fault_table::{Outcome, add_row, trial_count};
use meditopia_testkit::ledger::Arrivals;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::status_client::StatusClient;
use meditopia_testkit::wait::{WAIT_LIMIT, wait_until};

const EVENTS: u64 = 200;
const LANES: u64 = 2;

/// A process that sends, and one that enqueues.
struct Processes {
    api: Sandbox,
    sender: CProgram,
    writer: CProgram,
}

impl Processes {
    fn new(durability: &str) -> Self {
        let api = Sandbox::start();
        let lanes = LANES.to_string();
        let options = [
            ("flush_interval_ms", "20"),
            ("durability", durability),
            ("lanes", &lanes),
        ];
        let compile = |role, spool: Option<&Path>| {
            let program = CProgram::compile("status_client.c");
            let spool = spool.unwrap_or(&program.spool()).to_owned();
            let own = [("role", role), ("spool", spool.to_str().unwrap())];
            let all = [&options[..], &own[..]].concat();
            program.with_config(&api, &all)
        };
        let sender = compile("both", None);
        let writer = compile("enqueue", Some(&sender.spool()));
        Self {
            api,
            sender,
            writer,
        }
    }

    /// Checks that all events arrived in order, and that whole requests came twice at most.
    fn assert_arrived(&self, fault: &str, faults: u64, events: u64) {
        let arrivals = Arrivals::from_sandbox(&self.api);
        for (user, arrived) in arrivals.first_appearances() {
            let count = if user == "u-3" { faults } else { events };
            assert!(arrived.iter().copied().eq(0..count), "{user}: {arrived:?}");
        }
        arrivals.assert_only_whole_requests_came_twice();
        let repeats = arrivals.repeats() as u64;
        add_row(
            fault,
            Outcome {
                trials: faults,
                acknowledged: 2 * events + faults,
                delivered: 2 * events + faults,
                duplicated: repeats,
                ..Outcome::default()
            },
            format_args!("{} requests", faults * LANES),
        );
        assert!(repeats <= faults * LANES, "{repeats} requests came twice");
    }
}

/// While another process enqueues, has the sender's process do what `disturb` asks for, again and
/// again.
fn disturb_often(fault: &str, durability: &str, disturb: impl Fn(&mut StatusClient)) {
    let processes = Processes::new(durability);
    let shim = processes.sender.compile_preload("closed_descriptors.c");
    let mut command = processes.sender.command(&[]);
    command.env("LD_PRELOAD", shim);
    let mut sender = StatusClient::start(command);
    let mut writer = StatusClient::start(processes.writer.command(&[]));
    let rounds = trial_count(4, 40);
    let mut number = 0;
    for round in 0..rounds {
        for event in 0..EVENTS {
            writer.enqueue("u-1", number);
            writer.enqueue("u-2", number);
            number += 1;
            if event == (round * 37) % EVENTS {
                // What its own process enqueues is the sender's business, too.
                sender.enqueue("u-3", round);
                disturb(&mut sender);
            }
        }
        flush_until_it_succeeds(&mut sender);
    }
    processes.assert_arrived(&format!("{fault}, {durability}"), rounds, number);
}

/// A flush that meets what was closed returns the error.
fn flush_until_it_succeeds(sender: &mut StatusClient) {
    let begun = Instant::now();
    loop {
        let said = sender.ask("flush 10000");
        if said.status == "OK" {
            return;
        }
        assert!(
            begun.elapsed() < WAIT_LIMIT,
            "the sender does not go on: {said:?}"
        );
    }
}

#[test]
fn a_sender_whose_descriptors_are_closed_by_the_application_loses_nothing_and_goes_on() {
    for durability in ["process", "power"] {
        disturb_often(
            "the application closes all descriptors",
            durability,
            |sender| {
                sender.ask("close_all").assert_status("OK");
            },
        );
    }
}

#[test]
fn a_sender_whose_descriptors_become_those_of_another_file_never_writes_to_it() {
    for durability in ["process", "power"] {
        let dir = tempfile::tempdir().unwrap();
        let foreign = dir.path().join("foreign");
        let content = "of the application ".repeat(10_000);
        fs::write(&foreign, &content).unwrap();
        let blocks = fs::metadata(&foreign).unwrap().blocks();
        disturb_often(
            "the application takes all descriptors for a file of its own",
            durability,
            |sender| {
                let taken = sender.ask(&format!("dup_over {}", foreign.display()));
                assert!(taken.count > 0);
                // The application closes its descriptors at some time.
                flush_until_it_succeeds(sender);
                sender.ask("close_all").assert_status("OK");
            },
        );
        assert!(
            fs::read_to_string(&foreign).unwrap() == content,
            "it was written to"
        );
        assert_eq!(fs::metadata(&foreign).unwrap().blocks(), blocks);
    }
}

#[test]
fn a_sender_in_a_process_with_64_descriptors_delivers_everything_over_all_lanes() {
    let processes = Processes::new("process");
    let mut sender = StatusClient::start(processes.sender.command(&["64"]));
    let mut writer = StatusClient::start(processes.writer.command(&["64"]));
    for number in 0..EVENTS {
        writer.enqueue("u-1", number);
        sender.enqueue("u-2", number);
    }
    sender.flush().assert_status("OK");
    processes.assert_arrived("ulimit -n 64", 0, EVENTS);
}

#[test]
fn a_process_whose_files_are_limited_is_not_ended_by_a_signal_and_delivers_everything() {
    let api = Sandbox::start();
    let options = [("role", "enqueue"), ("max_spool_bytes", "7000000")];
    let program = CProgram::compile("status_client.c").with_config(&api, &options);
    let limited =
        |bytes: u64| program.command_under(&["prlimit", &format!("--fsize={bytes}")], &[]);
    let mut client = StatusClient::start(limited(2 << 20));
    let filled = client.ask("fill u-1");
    filled.assert_status("ERROR_SPOOL_FULL");
    assert!(program.segments().len() >= 3, "{:?}", program.segments());
    client.flush().assert_status("OK");
    let arrivals = Arrivals::from_sandbox(&api);
    assert!(
        arrivals.first_appearances()["u-1"]
            .iter()
            .copied()
            .eq(0..filled.count)
    );
    assert_eq!(arrivals.duplicates(), 0);

    // Again and again, with events that are as large as a file would allow only a few of, while the sender
    // writes in the same process.
    drop(client);
    program.configure(
        &api,
        &[
            ("role", "both"),
            ("max_spool_bytes", "7000000"),
            ("flush_interval_ms", "20"),
        ],
    );
    for bytes in [2 << 20, 4 << 20] {
        let mut client = StatusClient::start(limited(bytes));
        let user = format!("u-{bytes}");
        let mut enqueued = 0;
        for _ in 0..trial_count(3, 10) {
            // What was delivered counts for max_spool_bytes until the next heartbeat.
            wait_until("an enqueue that works again", || {
                let filled = client.ask(&format!("fill_large {user} 20000 {enqueued}"));
                filled.assert_status("ERROR_SPOOL_FULL");
                enqueued += filled.count;
                filled.count > 0
            });
            client.flush().assert_status("OK");
        }
        let arrivals = Arrivals::from_sandbox(&api);
        let arrived = &arrivals.first_appearances()[user.as_str()];
        assert!(
            arrived.iter().copied().eq(0..enqueued),
            "{enqueued} of {bytes}"
        );
    }
    // A limit that is set later than the spool was opened.
    let mut client = StatusClient::start(program.command(&[]));
    client.enqueue("u-2", 0);
    for bytes in [100_000, 4_096, 100, 0] {
        client
            .ask(&format!("limit_files {bytes}"))
            .assert_status("OK");
        // As long as an enqueue may not notice it.
        std::thread::sleep(std::time::Duration::from_millis(10));
        let refused = client.ask("fill_large u-3 60000 0");
        refused.assert_status("ERROR_SPOOL_FULL");
        assert!(refused.message.contains("RLIMIT_FSIZE"), "{refused:?}");
        let held = client.ask("hold");
        if bytes == 0 {
            held.assert_status("ERROR_SPOOL_FULL");
            assert!(held.message.contains("RLIMIT_FSIZE"), "{held:?}");
        }
    }
    drop(client);

    let refused = limited(1 << 20).output().unwrap();
    let message = String::from_utf8_lossy(&refused.stderr);
    assert!(message.contains("RLIMIT_FSIZE"), "{message}");
}
