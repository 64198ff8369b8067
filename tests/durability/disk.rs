//! A disk that fills up: enqueue says so, what was acknowledged is delivered while it is still full,
//! and with the space comes back the rest.
//!
//! The small disks are file systems in memory, which root has to mount.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::disks::SmallDisk;
use meditopia_testkit::fault_table::{Outcome, add_row, trial_count};
use meditopia_testkit::ledger::Arrivals;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::status_client::StatusClient;
use meditopia_testkit::wait::secs;

/// Bytes that the journal's segments really take.
fn journal_bytes(spool: &Path) -> u64 {
    fs::read_dir(spool.join("journal")).map_or(0, |entries| {
        entries
            .map(|entry| entry.unwrap().metadata().unwrap().blocks() * 512)
            .sum()
    })
}

fn teller(spool: &Path, api: &Sandbox, options: &[(&str, &str)]) -> CProgram {
    let mut all = vec![("spool", spool.to_str().unwrap()), ("role", "enqueue")];
    all.extend_from_slice(options);
    CProgram::compile("status_client.c").with_config(api, &all)
}

/// Checks that exactly the events of these users came, each once and in order.
fn assert_arrived(api: &Sandbox, users: &[(&str, u64)]) -> u64 {
    let arrivals = Arrivals::from_sandbox(api);
    let arrived = arrivals.first_appearances();
    for (user, events) in users {
        let expected: Vec<u64> = (0..*events).collect();
        assert!(
            arrived[*user] == expected,
            "{user}: {} of {events}",
            arrived[*user].len()
        );
    }
    assert_eq!(arrived.len(), users.len());
    arrivals.assert_only_whole_requests_came_twice();
    arrivals.duplicates() as u64
}

#[test]
fn what_was_acknowledged_is_delivered_while_the_disk_is_still_full() {
    let rounds = trial_count(2, 20);
    let mut outcome = Outcome {
        trials: rounds,
        ..Outcome::default()
    };
    for _ in 0..rounds {
        let Some(disk) = SmallDisk::mount(8) else {
            return;
        };
        let api = Sandbox::start();
        let program = teller(&disk.spool(), &api, &[]);
        let mut host = StatusClient::start(program.command(&[]));

        let filled = host.ask("fill u-1");
        filled.assert_status("ERROR_SPOOL_FULL");
        assert!(filled.count > 10_000, "full after {}", filled.count);
        disk.fill();

        host.flush().assert_status("OK");
        outcome.acknowledged += filled.count;
        outcome.duplicated += assert_arrived(&api, &[("u-1", filled.count)]);
        outcome.delivered += filled.count;

        // What was delivered has given its blocks back, whatever the others hold.
        let mut second = StatusClient::start(program.command(&[]));
        second.enqueue("u-2", 0);
        host.enqueue("u-3", 0);
        second.flush().assert_status("OK");
        outcome.duplicated +=
            assert_arrived(&api, &[("u-1", filled.count), ("u-2", 1), ("u-3", 1)]);
        disk.free();
    }
    add_row("disk full", outcome, format_args!("{rounds} requests"));
}

#[test]
fn a_sender_in_the_background_delivers_from_a_full_disk_too() {
    let Some(disk) = SmallDisk::mount(8) else {
        return;
    };
    let api = Sandbox::start();
    let options = [
        ("role", "both"),
        ("flush_interval_ms", "50"),
        ("lanes", "4"),
    ];
    // Nothing goes while it fills.
    api.refuse_address();
    let program = teller(&disk.spool(), &api, &options);
    let mut host = StatusClient::start(program.command(&[]));
    let filled = host.ask("fill u-1");
    filled.assert_status("ERROR_SPOOL_FULL");
    disk.fill();
    api.allow_address();
    TestSpool::for_sandbox(&api)
        .with("spool", disk.spool().to_str().unwrap())
        .with("lanes", "4")
        .client()
        .resume()
        .unwrap();

    host.flush().assert_status("OK");

    assert_arrived(&api, &[("u-1", filled.count)]);
    host.enqueue("u-2", 0);
    host.flush().assert_status("OK");
    assert_arrived(&api, &[("u-1", filled.count), ("u-2", 1)]);
}

#[test]
fn enqueue_stays_refused_while_the_reserve_is_spent_and_works_again_when_there_is_room() {
    let Some(disk) = SmallDisk::mount(4) else {
        return;
    };
    let mut api = Sandbox::start();
    let program = teller(&disk.spool(), &api, &[]);
    let mut host = StatusClient::start(program.command(&[]));
    let filled = host.ask("fill u-1");
    filled.assert_status("ERROR_SPOOL_FULL");
    disk.fill();
    // The sender finds the disk full, and the API does not let it deliver.
    let good = api.token().to_owned();
    api.set_token("another");
    host.flush().assert_status("ERROR_PAUSED");
    assert!(disk.spool().join("full").exists());
    assert!(!disk.spool().join("reserve").exists());
    let refused = host.ask("enqueue u-2 0");
    refused.assert_status("ERROR_SPOOL_FULL");
    assert!(
        refused.message.contains("the disk is full"),
        "{}",
        refused.message
    );
    let mut newcomer = StatusClient::start(program.command(&[]));
    newcomer
        .ask("enqueue u-2 0")
        .assert_status("ERROR_SPOOL_FULL");

    // Also where nobody sends any more, room is enough.
    disk.free();
    disk.remount("size=16m");
    newcomer.enqueue("u-2", 0);
    host.enqueue("u-2", 1);

    api.set_token(&good);
    let client = TestSpool::for_sandbox(&api)
        .with("spool", disk.spool().to_str().unwrap())
        .client();
    client.resume().unwrap();
    client.flush_ok(secs(60));
    assert_arrived(&api, &[("u-1", filled.count), ("u-2", 2)]);
    assert!(disk.spool().join("reserve").exists());
    assert!(!disk.spool().join("full").exists());
}

#[test]
fn five_hundred_idle_workers_hold_no_more_than_what_is_pending() {
    const WORKERS: u64 = 500;
    const EVENTS: u64 = 100;
    /// The first block, with the header, and the one that is written to.
    const HELD_BYTES: u64 = 2 * 4096;
    let dir = tempfile::tempdir().unwrap();
    let spool = dir.path().join("spool");
    let api = Sandbox::start();
    let program = teller(&spool, &api, &[]);
    let mut host = StatusClient::start(program.command(&[]));
    let mut prefork = StatusClient::start(program.command(&[]));
    prefork
        .ask(&format!("fork {WORKERS} {EVENTS}"))
        .assert_status("OK");
    let before = journal_bytes(&spool);
    assert!(before > WORKERS * EVENTS * 100);

    let flushed = host.flush();

    flushed.assert_status("OK");
    assert_eq!(flushed.count, WORKERS * EVENTS);
    let after = journal_bytes(&spool);
    println!("{WORKERS} idle workers: {before} bytes pending, then {after} held");
    assert!(
        after <= WORKERS * HELD_BYTES,
        "{after} bytes are held for nothing"
    );
}

#[test]
fn a_limit_of_the_spool_refuses_and_lets_go_as_a_full_disk_does() {
    let dir = tempfile::tempdir().unwrap();
    let spool = dir.path().join("spool");
    let api = Sandbox::start();
    let program = teller(&spool, &api, &[("max_spool_bytes", "1000000")]);
    let mut host = StatusClient::start(program.command(&[]));
    let mut acknowledged = 0;
    for _ in 0..3 {
        let filled = host.ask(&format!("fill u-{acknowledged}"));
        filled.assert_status("ERROR_SPOOL_FULL");
        assert!(
            filled.message.contains("max_spool_bytes"),
            "{}",
            filled.message
        );
        assert!(filled.count > 1_000, "only {}", filled.count);
        acknowledged += filled.count;
        host.flush().assert_status("OK");
        assert_eq!(api.ledger().distinct_events, acknowledged);
    }
}

#[test]
fn a_read_only_disk_is_said_and_gone_when_it_is_writable_again() {
    let Some(disk) = SmallDisk::mount(8) else {
        return;
    };
    let api = Sandbox::start();
    let program = teller(&disk.spool(), &api, &[]);
    let mut first = StatusClient::start(program.command(&[]));
    first.enqueue("u-1", 0);
    drop(first);
    let mut host = StatusClient::start(program.command(&[]));
    host.ask("flush 0");
    drop(StatusClient::start(program.command(&[])));
    disk.remount("ro");

    let refused = host.ask("enqueue u-1 1");
    refused.assert_status("ERROR_IO");
    assert!(refused.message.contains("Read-only"), "{}", refused.message);
    assert!(matches!(
        host.flush().status.as_str(),
        "ERROR_IO" | "ERROR_TIMEOUT"
    ));

    disk.remount("rw");
    host.enqueue("u-1", 1);
    host.flush().assert_status("OK");
    assert_arrived(&api, &[("u-1", 2)]);
}

#[test]
fn a_spool_that_is_removed_or_replaced_under_a_writer_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let spool = dir.path().join("spool");
    let api = Sandbox::start();
    let program = teller(&spool, &api, &[]);
    let mut host = StatusClient::start(program.command(&[]));
    host.enqueue("u-1", 0);
    fs::remove_dir_all(&spool).unwrap();

    let refused = refusal(&mut host);
    assert_eq!(refused.status, "ERROR_IO");
    assert!(
        refused.message.contains("was removed; open it again"),
        "{}",
        refused.message
    );
    assert!(!spool.exists());

    // Another spool in its place is not this one, though it has the same name.
    let mut other = StatusClient::start(program.command(&[]));
    other.enqueue("u-2", 0);
    let refused = host.ask("enqueue u-1 1");
    assert_eq!(
        refused.status, "ERROR_SPOOL_MISMATCH",
        "{}",
        refused.message
    );
    host.flush().assert_status("ERROR_SPOOL_MISMATCH");
    other.flush().assert_status("OK");
    assert_arrived(&api, &[("u-2", 1)]);
}

/// Enqueues until the writer has looked around.
fn refusal(host: &mut StatusClient) -> meditopia_testkit::status_client::StatusReply {
    let patience = std::time::Instant::now() + secs(30);
    loop {
        let answer = host.ask("enqueue u-1 1");
        if answer.status != "OK" {
            return answer;
        }
        assert!(std::time::Instant::now() < patience, "not noticed");
    }
}

#[test]
fn a_process_without_descriptors_is_told_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let spool = dir.path().join("spool");
    let api = Sandbox::start();
    let program = teller(&spool, &api, &[]);
    let mut host = StatusClient::start(program.command(&["64"]));
    host.ask("exhaust");
    let refused = host.ask("enqueue u-1 0");
    refused.assert_status("ERROR_IO");
    assert!(
        refused.message.contains("Too many open files"),
        "{}",
        refused.message
    );
    host.ask("relent");
    host.enqueue("u-1", 0);
    // A segment is open now: appending needs no descriptor, sending does.
    host.ask("exhaust");
    host.enqueue("u-1", 1);
    assert_ne!(host.ask("flush 2000").status, "OK");
    host.ask("relent");
    host.flush().assert_status("OK");
    assert_arrived(&api, &[("u-1", 2)]);
}
