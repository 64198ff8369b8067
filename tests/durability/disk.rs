//! A disk that is full or read-only, a spool that is removed, and a process without descriptors:
//! enqueue returns an error, acknowledged events are delivered, and enqueue works again when the
//! cause is gone.
//!
//! The small disks are file systems in memory, which only root can mount.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use meditopia::ErrorKind;
use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::disks::SmallDisk;
use meditopia_testkit::fault_table::{Outcome, add_row, trial_count};
use meditopia_testkit::ledger::Arrivals;
use meditopia_testkit::remote_client::RemoteClient;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::status_client::{StatusClient, StatusReply};
use meditopia_testkit::wait::{secs, wait_until};

const EVENT: &[u8] = br#"{"token":"t","partner_user_id":"u-2","event":"video"}"#;

/// The bytes that the journal's segments take on the disk.
fn journal_bytes(spool: &Path) -> u64 {
    fs::read_dir(spool.join("journal")).map_or(0, |entries| {
        entries
            .map(|entry| entry.unwrap().metadata().unwrap().blocks() * 512)
            .sum()
    })
}

fn compile_client(spool: &Path, api: &Sandbox, options: &[(&str, &str)]) -> CProgram {
    let mut all = vec![("spool", spool.to_str().unwrap()), ("role", "enqueue")];
    all.extend_from_slice(options);
    CProgram::compile("status_client.c").with_config(api, &all)
}

/// Checks that exactly the events of these users arrived, in order, and returns how many came
/// twice.
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
fn acknowledged_events_are_delivered_while_the_disk_is_still_full() {
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
        let program = compile_client(&disk.spool(), &api, &[]);
        let mut client = StatusClient::start(program.command(&[]));

        let filled = client.ask("fill u-1");
        filled.assert_status("ERROR_SPOOL_FULL");
        assert!(filled.count > 10_000, "full after {}", filled.count);
        disk.fill();

        client.flush().assert_status("OK");
        outcome.acknowledged += filled.count;
        outcome.duplicated += assert_arrived(&api, &[("u-1", filled.count)]);
        outcome.delivered += filled.count;

        // The delivered events have given their blocks back, so there is room for new events.
        let mut second = StatusClient::start(program.command(&[]));
        second.enqueue("u-2", 0);
        client.enqueue("u-3", 0);
        second.flush().assert_status("OK");
        outcome.duplicated +=
            assert_arrived(&api, &[("u-1", filled.count), ("u-2", 1), ("u-3", 1)]);
        disk.free();
    }
    add_row("disk full", outcome, format_args!("{rounds} requests"));
}

#[test]
fn a_background_sender_delivers_from_a_full_disk() {
    let Some(disk) = SmallDisk::mount(8) else {
        return;
    };
    let api = Sandbox::start();
    let options = [
        ("role", "both"),
        ("flush_interval_ms", "50"),
        ("lanes", "4"),
    ];
    // Nothing is delivered while the disk fills.
    api.refuse_address();
    let program = compile_client(&disk.spool(), &api, &options);
    let mut client = StatusClient::start(program.command(&[]));
    let filled = client.ask("fill u-1");
    filled.assert_status("ERROR_SPOOL_FULL");
    disk.fill();
    api.allow_address();
    TestSpool::for_sandbox(&api)
        .with("spool", disk.spool().to_str().unwrap())
        .with("lanes", "4")
        .client()
        .resume()
        .unwrap();

    client.flush().assert_status("OK");

    assert_arrived(&api, &[("u-1", filled.count)]);
    client.enqueue("u-2", 0);
    client.flush().assert_status("OK");
    assert_arrived(&api, &[("u-1", filled.count), ("u-2", 1)]);
}

#[test]
fn enqueue_fails_while_the_reserve_is_spent_and_works_again_when_there_is_room() {
    let Some(disk) = SmallDisk::mount(4) else {
        return;
    };
    let mut api = Sandbox::start();
    let program = compile_client(&disk.spool(), &api, &[]);
    let mut client = StatusClient::start(program.command(&[]));
    let filled = client.ask("fill u-1");
    filled.assert_status("ERROR_SPOOL_FULL");
    disk.fill();
    // The sender finds the disk full, and the API refuses the token, so that nothing is delivered.
    let good = api.token().to_owned();
    api.set_token("another");
    client.flush().assert_status("ERROR_PAUSED");
    assert!(disk.spool().join("full").exists());
    assert!(!disk.spool().join("reserve").exists());
    let refused = client.ask("enqueue u-2 0");
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

    // Room is enough for enqueue to work again, even while no process sends.
    disk.free();
    disk.remount("size=16m");
    newcomer.enqueue("u-2", 0);
    client.enqueue("u-2", 1);

    api.set_token(&good);
    let sender = TestSpool::for_sandbox(&api)
        .with("spool", disk.spool().to_str().unwrap())
        .client();
    sender.resume().unwrap();
    sender.flush_ok(secs(60));
    assert_arrived(&api, &[("u-1", filled.count), ("u-2", 2)]);
    assert!(disk.spool().join("reserve").exists());
    assert!(!disk.spool().join("full").exists());
}

#[test]
fn five_hundred_idle_workers_hold_at_most_two_blocks_each_once_their_events_are_delivered() {
    const WORKERS: u64 = 500;
    const EVENTS: u64 = 100;
    /// The block with the segment's header, and the block that is written to.
    const HELD_BYTES: u64 = 2 * 4096;
    let dir = tempfile::tempdir().unwrap();
    let spool = dir.path().join("spool");
    let api = Sandbox::start();
    let program = compile_client(&spool, &api, &[]);
    let mut client = StatusClient::start(program.command(&[]));
    let mut prefork = StatusClient::start(program.command(&[]));
    prefork
        .ask(&format!("fork {WORKERS} {EVENTS}"))
        .assert_status("OK");
    let before = journal_bytes(&spool);
    assert!(before > WORKERS * EVENTS * 100);

    let flushed = client.flush();

    flushed.assert_status("OK");
    assert_eq!(flushed.count, WORKERS * EVENTS);
    let after = journal_bytes(&spool);
    println!("{WORKERS} idle workers: {before} bytes pending, then {after} held");
    assert!(
        after <= WORKERS * HELD_BYTES,
        "{after} bytes are still held"
    );
}

#[test]
fn a_spool_at_max_spool_bytes_refuses_events_until_enough_is_delivered() {
    let dir = tempfile::tempdir().unwrap();
    let spool = dir.path().join("spool");
    let api = Sandbox::start();
    let program = compile_client(&spool, &api, &[("max_spool_bytes", "1000000")]);
    let mut client = StatusClient::start(program.command(&[]));
    let mut acknowledged = 0;
    for _ in 0..3 {
        let filled = client.ask(&format!("fill u-{acknowledged}"));
        filled.assert_status("ERROR_SPOOL_FULL");
        assert!(
            filled.message.contains("max_spool_bytes"),
            "{}",
            filled.message
        );
        assert!(filled.count > 1_000, "only {}", filled.count);
        acknowledged += filled.count;
        client.flush().assert_status("OK");
        assert_eq!(api.ledger().distinct_events, acknowledged);
    }
}

#[test]
fn enqueue_reports_a_read_only_disk_and_works_again_once_it_is_writable() {
    let Some(disk) = SmallDisk::mount(8) else {
        return;
    };
    let api = Sandbox::start();
    let program = compile_client(&disk.spool(), &api, &[]);
    let mut first = StatusClient::start(program.command(&[]));
    first.enqueue("u-1", 0);
    drop(first);
    let mut client = StatusClient::start(program.command(&[]));
    client.ask("flush 0");
    drop(StatusClient::start(program.command(&[])));
    disk.remount("ro");

    let refused = client.ask("enqueue u-1 1");
    refused.assert_status("ERROR_IO");
    assert!(refused.message.contains("Read-only"), "{}", refused.message);
    assert!(matches!(
        client.flush().status.as_str(),
        "ERROR_IO" | "ERROR_TIMEOUT"
    ));

    disk.remount("rw");
    client.enqueue("u-1", 1);
    client.flush().assert_status("OK");
    assert_arrived(&api, &[("u-1", 2)]);
}

#[test]
fn a_writer_notices_that_its_spool_was_removed_or_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let spool = dir.path().join("spool");
    let api = Sandbox::start();
    let program = compile_client(&spool, &api, &[]);
    let mut client = StatusClient::start(program.command(&[]));
    client.enqueue("u-1", 0);
    fs::remove_dir_all(&spool).unwrap();

    let refused = enqueue_until_refused(&mut client);
    assert_eq!(refused.status, "ERROR_IO");
    assert!(
        refused.message.contains("was removed; open it again"),
        "{}",
        refused.message
    );
    assert!(!spool.exists());

    // Another spool in the place of the removed one is not the same, although it has the same path.
    let mut other = StatusClient::start(program.command(&[]));
    other.enqueue("u-2", 0);
    let refused = client.ask("enqueue u-1 1");
    assert_eq!(
        refused.status, "ERROR_SPOOL_MISMATCH",
        "{}",
        refused.message
    );
    client.flush().assert_status("ERROR_SPOOL_MISMATCH");
    other.flush().assert_status("OK");
    assert_arrived(&api, &[("u-2", 1)]);
}

#[test]
fn a_writer_notices_that_its_spool_was_moved_and_what_is_in_it_can_be_sent_from_there() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, moved) = (dir.path().join("spool"), dir.path().join("moved"));
    let api = Sandbox::start();
    let program = compile_client(&spool, &api, &[]);
    for (in_its_place, status) in [(false, "ERROR_IO"), (true, "ERROR_SPOOL_MISMATCH")] {
        let mut client = StatusClient::start(program.command(&[]));
        client.enqueue("u-1", 0);
        fs::rename(&spool, &moved).unwrap();
        if in_its_place {
            fs::create_dir(&spool).unwrap();
        }
        let refused = enqueue_until_refused(&mut client);
        assert_eq!(refused.status, status, "{}", refused.message);
        // Not only when its segment was full.
        let segment = fs::read_dir(moved.join("journal")).unwrap().next().unwrap();
        assert!(segment.unwrap().metadata().unwrap().len() < 1024 * 1024);
        // It has not kept the lock of its segment: the file is removed once it is sent.
        let elsewhere = compile_client(&moved, &api, &[]);
        let mut there = StatusClient::start(elsewhere.command(&[]));
        there.flush().assert_status("OK");
        let left = fs::read_dir(moved.join("journal")).unwrap().count();
        assert_eq!(left, 0, "segments that are locked or not sent");
        drop((there, client));
        fs::remove_dir_all(&moved).unwrap();
    }
    // Back at its path, it is the same one.
    fs::remove_dir_all(&spool).unwrap();
    let mut client = StatusClient::start(program.command(&[]));
    client.enqueue("u-2", 0);
    fs::rename(&spool, &moved).unwrap();
    enqueue_until_refused(&mut client);
    fs::rename(&moved, &spool).unwrap();
    client.enqueue("u-2", 1);
}

/// Enqueues until the writer has noticed that its spool is gone.
fn enqueue_until_refused(client: &mut StatusClient) -> StatusReply {
    let deadline = std::time::Instant::now() + secs(30);
    loop {
        let answer = client.ask("enqueue u-1 1");
        if answer.status != "OK" {
            return answer;
        }
        assert!(std::time::Instant::now() < deadline, "not noticed");
    }
}

#[test]
fn a_process_without_free_descriptors_gets_an_error_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let spool = dir.path().join("spool");
    let api = Sandbox::start();
    let program = compile_client(&spool, &api, &[]);
    let mut client = StatusClient::start(program.command(&["64"]));
    client.ask("open_descriptors");
    let refused = client.ask("enqueue u-1 0");
    refused.assert_status("ERROR_IO");
    assert!(
        refused.message.contains("Too many open files"),
        "{}",
        refused.message
    );
    client.ask("close_descriptors");
    client.enqueue("u-1", 0);
    // The segment is open now. An append needs no further descriptor, but a flush does.
    client.ask("open_descriptors");
    client.enqueue("u-1", 1);
    assert_ne!(client.ask("flush 2000").status, "OK");
    client.ask("close_descriptors");
    client.flush().assert_status("OK");
    assert_arrived(&api, &[("u-1", 2)]);
}

#[test]
fn a_disk_without_free_inodes_is_full_is_said_once_and_its_sender_is_seen_alive() {
    let Some(disk) = SmallDisk::mount_with_inodes(64, 64) else {
        return;
    };
    let api = Sandbox::start();
    let options = [
        ("spool", disk.spool().to_str().unwrap().to_owned()),
        ("role", "both".to_owned()),
        ("flush_interval_ms", "20".to_owned()),
    ];
    let options = options
        .each_ref()
        .map(|(key, value)| (*key, value.as_str()));
    let program = CProgram::compile("remote_client.c").with_config(&api, &options);
    let mut client = RemoteClient::start(program.command(&[]));
    client.enqueue("u-1", 0);
    api.wait_for_events(1);
    client.read_log();
    disk.fill_inodes();

    // Delivery goes on, and the sender goes on to say that it is alive.
    let seen_ms = || {
        let text = fs::read(disk.spool().join("sender.json")).unwrap();
        let heartbeat: Option<serde_json::Value> = serde_json::from_slice(&text).ok();
        heartbeat.map_or(0, |heartbeat| heartbeat["seen_ms"].as_i64().unwrap())
    };
    let filled_ms = seen_ms();
    let mut number = 1;
    wait_until("heartbeats of two seconds", || {
        client.enqueue("u-1", number);
        number += 1;
        api.wait_for_events(number);
        seen_ms() > filled_ms + 2_000
    });
    assert_eq!(client.read_log(), Vec::<String>::new());

    // What needs a file of its own finds the disk full, and writers are told so until there is room.
    let operator = TestSpool::for_sandbox(&api)
        .with("spool", disk.spool().to_str().unwrap())
        .client();
    let refused = operator.hold().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::SpoolFull);
    let space = meditopia::internals::spool::disk_space(&disk.spool()).unwrap();
    assert!(space.is_full && space.free_bytes > space.needed_bytes);
    let refused = operator.enqueue_json(EVENT).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::SpoolFull);
    let filled_ms = seen_ms();
    wait_until("heartbeats of three seconds", || {
        seen_ms() > filled_ms + 3_000
    });
    assert_eq!(client.read_log(), Vec::<String>::new());

    disk.free_inodes();
    let log = client.read_log_until("there is room on the disk again");
    assert_eq!(log.len(), 1, "{log:?}");
    operator.enqueue_json(EVENT).unwrap();
    api.wait_for_events(number + 1);
    client.close();
}
