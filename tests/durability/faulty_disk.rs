//! A disk whose operations fail: what was acknowledged is kept, what was not is said, and when the disk
//! is well again everything goes on.
//!
//! The faults come from a preloaded library, on the files of the spool that a test names.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::fault_table::{Outcome, add_row, trial_count};
use meditopia_testkit::ledger::Arrivals;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::status_client::StatusClient;

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const ENOLCK: i32 = 37;
const EDQUOT: i32 = 122;

struct FaultyDisk {
    api: Sandbox,
    program: CProgram,
    shim: PathBuf,
}

impl FaultyDisk {
    fn new(options: &[(&str, &str)]) -> Self {
        let api = Sandbox::start();
        let program = CProgram::compile("status_client.c").with_config(&api, options);
        let shim = program.compile_preload("faulty_disk.c");
        Self { api, program, shim }
    }

    fn host(&self) -> StatusClient {
        let mut command = self.program.command(&[]);
        command
            .env("LD_PRELOAD", &self.shim)
            .env("FAULTY_DISK", self.order());
        StatusClient::start(command)
    }

    fn order(&self) -> PathBuf {
        self.program.dir().join("order")
    }

    fn fail(&self, operation: &str, errno: i32, path: &str) {
        // At once: half an order would be none.
        let fresh = self.order().with_extension("new");
        fs::write(&fresh, format!("{operation} {errno} {path}")).unwrap();
        fs::rename(fresh, self.order()).unwrap();
    }

    fn heal(&self) {
        fs::remove_file(self.order()).unwrap();
    }
}

#[test]
fn a_failed_write_is_said_and_costs_nothing_that_was_acknowledged() {
    for (errno, status) in [
        (EIO, "ERROR_IO"),
        (ENOSPC, "ERROR_SPOOL_FULL"),
        (EDQUOT, "ERROR_SPOOL_FULL"),
    ] {
        let disk = FaultyDisk::new(&[("role", "enqueue")]);
        let mut host = disk.host();
        // The first has no segment yet, the second has one.
        disk.fail("write", errno, ".log");
        host.ask("enqueue u-1 0").assert_status(status);
        disk.heal();
        host.enqueue("u-1", 1);
        disk.fail("write", errno, ".log");
        host.ask("enqueue u-1 2").assert_status(status);
        disk.heal();
        host.enqueue("u-1", 3);
        host.flush().assert_status("OK");
        let arrived = Arrivals::from_sandbox(&disk.api).first_appearances();
        assert_eq!(arrived["u-1"], [1, 3], "errno {errno}");
    }
}

#[test]
fn an_enqueue_whose_segment_cannot_be_locked_says_so_and_leaves_no_file() {
    let disk = FaultyDisk::new(&[("role", "enqueue")]);
    let mut host = disk.host();
    disk.fail("lock", ENOLCK, ".log");
    host.ask("enqueue u-1 0").assert_status("ERROR_IO");
    let segments = fs::read_dir(disk.program.spool().join("journal")).unwrap();
    assert_eq!(segments.count(), 0);
    disk.heal();
    host.enqueue("u-1", 1);
    host.flush().assert_status("OK");
    assert_eq!(
        Arrivals::from_sandbox(&disk.api).first_appearances()["u-1"],
        [1]
    );
}

#[test]
fn an_event_whose_sync_failed_is_unknown_and_the_next_ones_go_to_another_segment() {
    let disk = FaultyDisk::new(&[("role", "enqueue"), ("durability", "power")]);
    let mut host = disk.host();
    host.enqueue("u-1", 0);
    disk.fail("sync", EIO, ".log");
    let unknown = host.ask("enqueue u-1 1");
    unknown.assert_status("ERROR_IO");
    assert!(
        unknown.message.contains("sync failed"),
        "{}",
        unknown.message
    );
    disk.heal();
    host.enqueue("u-1", 2);
    let segments = fs::read_dir(disk.program.spool().join("journal")).unwrap();
    assert_eq!(segments.count(), 2);
    host.flush().assert_status("OK");
    let arrived = Arrivals::from_sandbox(&disk.api).first_appearances();
    assert_eq!(arrived["u-1"], [0, 1, 2]);
}

#[test]
fn a_segment_that_cannot_be_read_is_named_and_waits_with_everything_else_in_order() {
    let disk = FaultyDisk::new(&[("role", "enqueue")]);
    let mut host = disk.host();
    host.enqueue("u-1", 0);
    disk.fail("read", EIO, ".log");
    let failed = host.ask("flush 3000");
    assert_ne!(failed.status, "OK");
    assert!(failed.message.contains(".log"), "{}", failed.message);
    host.enqueue("u-1", 1);
    disk.heal();
    host.flush().assert_status("OK");
    assert_eq!(
        Arrivals::from_sandbox(&disk.api).first_appearances()["u-1"],
        [0, 1]
    );
}

/// SQLite says of both that the store is malformed; only one of them is an operator's to recover.
#[test]
fn a_store_that_cannot_be_read_just_now_is_not_taken_for_a_damaged_one() {
    let disk = FaultyDisk::new(&[("role", "enqueue")]);
    let mut number = 0;
    let mut failures = 0;
    for good in (0..trial_count(24, 96)).map(|read| read as usize) {
        let mut host = disk.host();
        host.enqueue("u-1", number);
        number += 1;
        disk.fail("read", EIO, &format!("store.db {good}"));
        let told = host.ask("flush 3000");
        if told.status != "OK" {
            told.assert_status("ERROR_IO");
            assert!(told.message.contains("store.db"), "{}", told.message);
            failures += 1;
        }
        disk.heal();
        host.flush().assert_status("OK");
    }
    assert!(failures > 4, "only {failures} reads failed");
    let arrived = &Arrivals::from_sandbox(&disk.api).first_appearances()["u-1"];
    assert_eq!(*arrived, (0..number).collect::<Vec<_>>());
}

/// The store fails in the middle of a delivery, again and again, in every way.
#[test]
fn a_store_whose_disk_fails_and_heals_loses_nothing_and_repeats_at_most_a_batch_each_time() {
    const EVENTS: u64 = 300;
    let rounds = trial_count(2, 100);
    let options = [("role", "both"), ("flush_interval_ms", "20")];
    let disk = FaultyDisk::new(&options);
    let faults = [
        ("write", EIO),
        ("write", ENOSPC),
        ("sync", EIO),
        ("read", EIO),
    ];
    let mut host = disk.host();
    let mut number = 0;
    for round in 0..rounds {
        for (operation, errno) in faults {
            for event in 0..EVENTS {
                host.enqueue("u-1", number);
                number += 1;
                if event == (round * 37) % EVENTS {
                    disk.fail(operation, errno, "store.db");
                }
            }
            // Time for the sender to run into it: what it gets through is no failure of the test.
            host.ask("flush 100");
            disk.heal();
            host.flush().assert_status("OK");
        }
    }
    let arrivals = Arrivals::from_sandbox(&disk.api);
    let arrived = &arrivals.first_appearances()["u-1"];
    let distinct: BTreeSet<u64> = arrived.iter().copied().collect();
    let lost = number - distinct.len() as u64;
    let bound = rounds * faults.len() as u64;
    add_row(
        "the store's disk fails",
        Outcome {
            trials: bound,
            acknowledged: number,
            delivered: distinct.len() as u64,
            lost,
            duplicated: arrivals.repeats() as u64,
            ..Outcome::default()
        },
        format_args!("{bound} requests"),
    );
    assert_eq!(lost, 0);
    assert!(arrived.is_sorted());
    arrivals.assert_only_whole_requests_came_twice();
    assert!(arrivals.repeats() as u64 <= bound);
}
