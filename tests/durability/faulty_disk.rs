//! A disk whose operations fail: acknowledged events are kept, a failed enqueue returns an error,
//! and everything goes on when the disk works again.
//!
//! A preloaded library makes the operations fail (`tests/c/faulty_disk.c`), on the files that a
//! test names.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use meditopia::Client;
use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::disks::SmallDisk;
use meditopia_testkit::fault_table::{Outcome, add_row, trial_count};
use meditopia_testkit::ledger::{Arrivals, events_of_rows, numbers_by_user};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::status_client::StatusClient;
use meditopia_testkit::store_files::ledger;
use meditopia_testkit::wait::secs;

/// A user whom the API does not know, so that its events are rejected.
const UNKNOWN_USER: &str = "u-unknown";
const EIO: i32 = 5;
const EINVAL: i32 = 22;
const EFBIG: i32 = 27;
const ENOSPC: i32 = 28;
const ENOLCK: i32 = 37;
const ENOSYS: i32 = 38;
const EOPNOTSUPP: i32 = 95;
const EDQUOT: i32 = 122;

struct FaultyDisk {
    api: Sandbox,
    program: CProgram,
    shim: PathBuf,
}

impl FaultyDisk {
    fn new(options: &[(&str, &str)]) -> Self {
        let api = Sandbox::builder().unknown_user(UNKNOWN_USER).start();
        let program = CProgram::compile("status_client.c").with_config(&api, options);
        let shim = program.compile_preload("faulty_disk.c");
        Self { api, program, shim }
    }

    fn start_client(&self) -> StatusClient {
        let mut command = self.program.command(&[]);
        command
            .env("LD_PRELOAD", &self.shim)
            .env("FAULTY_DISK", self.order_file());
        StatusClient::start(command)
    }

    /// A client in this process, which meets no faults.
    fn client(&self) -> Client {
        TestSpool::for_sandbox(&self.api)
            .with("spool", self.program.spool().to_str().unwrap())
            .client()
    }

    fn order_file(&self) -> PathBuf {
        self.program.dir().join("order")
    }

    /// Makes an operation on paths that contain `path` fail from now on.
    fn fail(&self, operation: &str, errno: i32, path: &str) {
        // A rename, so that the library never reads half an order.
        let fresh = self.order_file().with_extension("new");
        fs::write(&fresh, format!("{operation} {errno} {path}")).unwrap();
        fs::rename(fresh, self.order_file()).unwrap();
    }

    /// Makes all operations succeed from now on.
    fn heal(&self) {
        fs::remove_file(self.order_file()).unwrap();
    }
}

#[test]
fn a_failed_write_is_reported_and_loses_no_acknowledged_event() {
    for (errno, status) in [
        (EIO, "ERROR_IO"),
        (ENOSPC, "ERROR_SPOOL_FULL"),
        (EDQUOT, "ERROR_SPOOL_FULL"),
    ] {
        let disk = FaultyDisk::new(&[("role", "enqueue")]);
        let mut client = disk.start_client();
        // The first failure is before the client has a segment, the second one after.
        disk.fail("write", errno, ".segment");
        client.ask("enqueue u-1 0").assert_status(status);
        disk.heal();
        client.enqueue("u-1", 1);
        disk.fail("write", errno, ".segment");
        client.ask("enqueue u-1 2").assert_status(status);
        disk.heal();
        client.enqueue("u-1", 3);
        client.flush().assert_status("OK");
        let arrived = Arrivals::from_sandbox(&disk.api).first_appearances();
        assert_eq!(arrived["u-1"], [1, 3], "errno {errno}");
    }
}

#[test]
fn an_enqueue_whose_segment_cannot_be_locked_fails_and_leaves_no_file() {
    let disk = FaultyDisk::new(&[("role", "enqueue")]);
    let mut client = disk.start_client();
    disk.fail("lock", ENOLCK, ".segment");
    client.ask("enqueue u-1 0").assert_status("ERROR_IO");
    let segments = fs::read_dir(disk.program.spool().join("journal")).unwrap();
    assert_eq!(segments.count(), 0);
    disk.heal();
    client.enqueue("u-1", 1);
    client.flush().assert_status("OK");
    assert_eq!(
        Arrivals::from_sandbox(&disk.api).first_appearances()["u-1"],
        [1]
    );
}

#[test]
fn an_event_whose_sync_failed_is_unknown_and_later_events_go_to_another_segment() {
    let disk = FaultyDisk::new(&[("role", "enqueue"), ("durability", "power")]);
    let mut client = disk.start_client();
    client.enqueue("u-1", 0);
    disk.fail("sync", EIO, ".segment");
    let unknown = client.ask("enqueue u-1 1");
    unknown.assert_status("ERROR_IO");
    assert!(
        unknown.message.contains("sync failed"),
        "{}",
        unknown.message
    );
    disk.heal();
    client.enqueue("u-1", 2);
    let segments = fs::read_dir(disk.program.spool().join("journal")).unwrap();
    assert_eq!(segments.count(), 2);
    client.flush().assert_status("OK");
    let arrived = Arrivals::from_sandbox(&disk.api).first_appearances();
    assert_eq!(arrived["u-1"], [0, 1, 2]);
}

#[test]
fn a_segment_that_cannot_be_read_is_named_in_the_error_and_all_events_wait_in_order() {
    let disk = FaultyDisk::new(&[("role", "enqueue")]);
    let mut client = disk.start_client();
    client.enqueue("u-1", 0);
    disk.fail("read", EIO, ".segment");
    let failed = client.ask("flush 3000");
    assert_ne!(failed.status, "OK");
    assert!(failed.message.contains(".segment"), "{}", failed.message);
    client.enqueue("u-1", 1);
    disk.heal();
    client.flush().assert_status("OK");
    assert_eq!(
        Arrivals::from_sandbox(&disk.api).first_appearances()["u-1"],
        [0, 1]
    );
}

#[test]
fn a_store_with_a_passing_read_error_is_not_taken_for_a_damaged_one() {
    for folder in ["ledger/", "queues/"] {
        let disk = FaultyDisk::new(&[("role", "enqueue")]);
        let mut number = 0;
        let mut failures = 0;
        for good in 0..trial_count(8, 32) {
            let mut client = disk.start_client();
            client.enqueue("u-1", number);
            number += 1;
            disk.fail("read", EIO, &format!("{folder} {good}"));
            let reply = client.ask("flush 3000");
            if reply.status != "OK" {
                reply.assert_status("ERROR_IO");
                assert!(reply.message.contains(folder), "{}", reply.message);
                failures += 1;
            }
            disk.heal();
            client.flush().assert_status("OK");
        }
        assert!(failures > 1, "{folder}: only {failures} reads failed");
        let arrived = &Arrivals::from_sandbox(&disk.api).first_appearances()["u-1"];
        assert_eq!(*arrived, (0..number).collect::<Vec<_>>());
    }
}

/// Operations on the store fail in the middle of a delivery, again and again.
#[test]
fn a_store_whose_disk_fails_and_heals_loses_nothing_and_repeats_at_most_a_batch_each_time() {
    for durability in &["power", "process"][..trial_count(1, 2) as usize] {
        fail_and_heal(durability);
    }
}

fn fail_and_heal(durability: &str) {
    const EVENTS: u64 = 300;
    let rounds = trial_count(1, 40);
    let options = [
        ("role", "both"),
        ("flush_interval_ms", "20"),
        ("durability", durability),
    ];
    let disk = FaultyDisk::new(&options);
    let faults = [
        ("write", EIO),
        ("write", ENOSPC),
        ("write", EDQUOT),
        ("write", EFBIG),
        ("allocate", ENOSPC),
        ("sync", EIO),
        ("read", EIO),
    ];
    let mut client = disk.start_client();
    let (mut number, mut bad, mut trials) = (0, 0, 0);
    for round in 0..rounds {
        for folder in ["ledger/", "queues/", "rejected/"] {
            for (operation, errno) in faults {
                for event in 0..EVENTS {
                    client.enqueue("u-1", number);
                    number += 1;
                    if event == (round * 37) % EVENTS {
                        disk.fail(operation, errno, folder);
                        client.enqueue(UNKNOWN_USER, bad);
                        bad += 1;
                    }
                }
                // This gives the sender time to meet the fault. It may succeed all the same.
                client.ask("flush 100");
                disk.heal();
                client.flush().assert_status("OK");
                trials += 1;
            }
        }
    }
    let rejected = numbers_by_user(events_of_rows(&disk.client().rejected_rows()));
    assert_eq!(rejected[UNKNOWN_USER], (0..bad).collect::<Vec<_>>());
    let arrivals = Arrivals::from_sandbox(&disk.api);
    let arrived = &arrivals.first_appearances()["u-1"];
    let distinct: BTreeSet<u64> = arrived.iter().copied().collect();
    let lost = number - distinct.len() as u64;
    add_row(
        &format!("the store's disk fails, durability = {durability}"),
        Outcome {
            trials,
            acknowledged: number + bad,
            delivered: distinct.len() as u64,
            rejected: bad,
            lost,
            duplicated: arrivals.repeats() as u64,
        },
        format_args!("{trials} requests"),
    );
    assert_eq!(lost, 0);
    assert!(arrived.is_sorted());
    arrivals.assert_only_whole_requests_came_twice();
    assert!(arrivals.repeats() as u64 <= trials);
}

#[test]
fn a_store_of_which_a_sync_fails_once_goes_on_in_new_files_and_repeats_nothing() {
    for folder in ["ledger/", "queues/", "rejected/"] {
        let disk = FaultyDisk::new(&[("role", "enqueue"), ("durability", "power")]);
        let mut client = disk.start_client();
        client.enqueue("u-1", 0);
        client.enqueue(UNKNOWN_USER, 0);
        client.flush().assert_status("OK");
        let before = ledger(&disk.program.spool());
        let retired = newest(&disk.program.spool().join(folder));

        client.enqueue("u-1", 1);
        client.enqueue(UNKNOWN_USER, 1);
        disk.fail("sync", EIO, &format!("{folder} 0 1"));
        client.flush().assert_status("OK");
        client.enqueue("u-1", 2);
        client.flush().assert_status("OK");

        assert!(ledger(&disk.program.spool()) > before, "{folder}");
        // Nothing is written again to the file whose sync has failed.
        assert!(
            newest(&disk.program.spool().join(folder)) > retired,
            "{folder}"
        );
        drop(client);
        let rejected = numbers_by_user(events_of_rows(&disk.client().rejected_rows()));
        assert_eq!(rejected[UNKNOWN_USER], [0, 1], "{folder}");
        let arrivals = Arrivals::from_sandbox(&disk.api);
        assert_eq!(arrivals.first_appearances()["u-1"], [0, 1, 2], "{folder}");
        assert_eq!(arrivals.duplicates(), 0, "{folder}");
    }
}

#[test]
fn a_disk_that_cannot_allocate_or_rename_with_flags_only_lacks_a_reserve() {
    for errno in [EOPNOTSUPP, ENOSYS, EINVAL] {
        for operation in ["allocate", "rename"] {
            let case = format!("{operation}, errno {errno}");
            let disk = FaultyDisk::new(&[("role", "enqueue")]);
            disk.fail(operation, errno, "/");
            let mut client = disk.start_client();
            for number in 0..3 {
                client.enqueue("u-1", number);
                client.enqueue(UNKNOWN_USER, number);
                client.flush().assert_status("OK");
            }
            let has_reserve = disk.program.spool().join("reserve").exists();
            assert_eq!(has_reserve, operation == "rename", "{case}");
            let rejected = numbers_by_user(events_of_rows(&disk.client().rejected_rows()));
            assert_eq!(rejected[UNKNOWN_USER], [0, 1, 2], "{case}");
            let arrivals = Arrivals::from_sandbox(&disk.api);
            assert_eq!(arrivals.first_appearances()["u-1"], [0, 1, 2], "{case}");
            assert_eq!(arrivals.duplicates(), 0, "{case}");
        }
    }
}

#[test]
fn a_sender_that_cannot_give_blocks_of_the_journal_back_goes_on_and_tells_how_far_it_is() {
    // On a disk that is nearly full, they are given back at once.
    let Some(small) = SmallDisk::mount(8) else {
        return;
    };
    for errno in [EOPNOTSUPP, ENOSYS, EINVAL] {
        let spool = small.spool().with_extension(errno.to_string());
        let spool = spool.to_str().unwrap();
        let disk = FaultyDisk::new(&[("role", "both"), ("spool", spool)]);
        disk.fail("allocate", errno, "journal/");
        let mut sender = disk.start_client();
        sender.enqueue("u-1", 0);
        sender.flush().assert_status("OK");
        for number in 1..100 {
            sender.enqueue("u-1", number);
        }
        // This one learns from the sender's heartbeat what is taken over.
        let other = TestSpool::for_sandbox(&disk.api).with("spool", spool);
        other.client().flush_ok(secs(20));
        let arrived = &Arrivals::from_sandbox(&disk.api).first_appearances()["u-1"];
        assert!(arrived.iter().copied().eq(0..100), "errno {errno}");
    }
}

#[test]
fn a_store_whose_syncs_fail_for_ever_sends_nothing_more_and_loses_nothing() {
    for folder in ["ledger/", "queues/"] {
        let disk = FaultyDisk::new(&[("role", "enqueue"), ("durability", "power")]);
        let mut client = disk.start_client();
        client.enqueue("u-1", 0);
        client.flush().assert_status("OK");
        let requests = disk.api.ledger().requests;

        disk.fail("sync", EIO, folder);
        client.enqueue("u-1", 1);
        let failed = client.ask("flush 3000");
        failed.assert_status("ERROR_IO");
        assert!(failed.message.contains(folder), "{}", failed.message);
        assert_eq!(disk.api.ledger().requests, requests, "{folder}");
        client.enqueue("u-1", 2);
        disk.heal();
        client.flush().assert_status("OK");

        let arrivals = Arrivals::from_sandbox(&disk.api);
        assert_eq!(arrivals.first_appearances()["u-1"], [0, 1, 2], "{folder}");
        assert_eq!(arrivals.duplicates(), 0, "{folder}");
    }
}

/// The name of the file in a folder of the store that was made last.
fn newest(folder: &Path) -> String {
    let names = fs::read_dir(folder).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != "spare").max().unwrap()
}
