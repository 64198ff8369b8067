//! Spools that are moved, replaced under their sender, or copied: a sender never works on a store that
//! is not the one at its path, and never do two copies send.

use std::fs;
use std::path::Path;
use std::process::Command;

use meditopia::Client;
use meditopia::ErrorKind;
use meditopia::internals::spool::{self, Destination};
use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::enqueuer::Enqueuer;
use meditopia_testkit::ledger::Arrivals;
use meditopia_testkit::process::stdout_of;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::store_files::{writes_any_ledger, writes_ledger};
use meditopia_testkit::wait::{secs, wait_until};

#[test]
fn a_sender_whose_spool_was_replaced_never_touches_the_new_one() {
    for keep_old in [true, false] {
        let api = Sandbox::start();
        let program =
            CProgram::compile("enqueuer.c").with_config(&api, &[("flush_interval_ms", "20")]);
        let old = Enqueuer::start(&program, "both");
        assert!(old.enqueue("old", 0));
        api.wait_for_events(1);
        assert!(writes_ledger(old.pid(), &program.spool()));

        let moved = program.dir().join("moved");
        fs::rename(program.spool(), &moved).unwrap();
        if !keep_old {
            // Until it notices, the old sender may make files in it.
            wait_until("all of the old spool is removed", || {
                fs::remove_dir_all(&moved).is_ok() || !moved.exists()
            });
        }
        let new = Enqueuer::start(&program, "enqueue");
        for number in 0..50 {
            assert!(new.enqueue("new", number));
        }
        wait_until("the old sender has closed its store", || {
            !writes_any_ledger(old.pid())
        });
        let client = client_at(&api, &program.spool());
        assert_eq!(client.flush_ok(secs(30)).delivered, 50);
        for number in 50..100 {
            assert!(new.enqueue("new", number));
        }
        assert_eq!(client.flush_ok(secs(30)).delivered, 50);

        let arrivals = Arrivals::from_sandbox(&api);
        assert!(
            arrivals.first_appearances()["new"]
                .iter()
                .copied()
                .eq(0..100)
        );
        assert_eq!(arrivals.duplicates(), 0);
        assert!(!writes_any_ledger(old.pid()));
    }
}

#[test]
fn a_copy_of_a_spool_is_refused_until_adopted_and_then_sends_its_pending_events() {
    // At least one of these is another file system than the spool's, on most hosts.
    for parent in ["/dev/shm", "/tmp", "/var/tmp"].map(Path::new) {
        if parent.is_dir() {
            let elsewhere = tempfile::tempdir_in(parent).unwrap();
            assert_copy_is_refused_until_adopted(elsewhere.path());
        }
    }
}

fn assert_copy_is_refused_until_adopted(elsewhere: &Path) {
    let api = Sandbox::start();
    let spool = TestSpool::for_sandbox(&api);
    let client = spool.client();
    client.enqueue_users(0..2);
    client.flush_ok(secs(10));
    client.enqueue_users(2..7);
    drop(client);
    let copy = elsewhere.join("spool");
    stdout_of(Command::new("cp").arg("-a").arg(spool.path()).arg(&copy));

    let spool = spool.with("spool", copy.to_str().unwrap());
    let refused = Client::open(spool.config()).err().expect("refused");
    assert_eq!(refused.kind(), ErrorKind::SpoolMismatch, "{refused}");
    assert!(refused.message().contains("meditopia adopt"), "{refused}");
    assert_eq!(api.ledger().accepted_events, 2);

    let destination = Destination {
        endpoint: api.endpoint(),
        account: "",
    };
    spool::adopt(&copy, destination).unwrap();
    assert_eq!(spool.client().flush_ok(secs(10)).delivered, 5);
    assert_eq!(Arrivals::from_sandbox(&api).duplicates(), 0);
}

#[test]
fn a_spool_that_is_moved_within_its_file_system_is_delivered() {
    let api = Sandbox::start();
    let spool = TestSpool::for_sandbox(&api);
    let client = spool.client();
    client.enqueue_users(0..5);
    drop(client);
    let moved = spool.path().with_file_name("moved");
    fs::rename(spool.path(), &moved).unwrap();

    assert_eq!(client_at(&api, &moved).flush_ok(secs(10)).delivered, 5);
}

fn client_at(api: &Sandbox, spool: &Path) -> Client {
    TestSpool::for_sandbox(api)
        .with("spool", spool.to_str().unwrap())
        .client()
}
