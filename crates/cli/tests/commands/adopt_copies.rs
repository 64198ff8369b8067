//! `meditopia adopt` of copies whose files are of different moments: it says what may be missing or is sent
//! twice, and what it advises works.

use std::fs;
use std::path::{Path, PathBuf};

use meditopia::Client;
use meditopia_testkit::ledger::Arrivals;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool, copy_spool};
use meditopia_testkit::wait::secs;

use crate::cli::{output, run, stdout};

const EVENTS_MISSING: i32 = 3;
const ADOPTED_ALL_THE_SAME: i32 = 4;

/// Copies of a spool on hold: "first" with 20 events, "earlier" when they are taken over, "later" with 20 more,
/// all taken over and their blocks given back.
struct Moments {
    api: Sandbox,
    dir: tempfile::TempDir,
}

impl Moments {
    fn new() -> Self {
        let api = Sandbox::start();
        let dir = tempfile::tempdir().unwrap();
        let spool = TestSpool::for_sandbox(&api);
        let client = spool.client();
        client.enqueue_users(0..20);
        copy_spool(&spool.path(), &dir.path().join("first"));
        client.hold().unwrap();
        take_over(&client);
        copy_spool(&spool.path(), &dir.path().join("earlier"));
        client.enqueue_users(20..40);
        drop(client);
        take_over(&spool.client());
        copy_spool(&spool.path(), &dir.path().join("later"));
        Self { api, dir }
    }

    /// A copy as of one moment, with one of its directories as of the other.
    fn mix(&self, base: &str, other: &str, folder: &str) -> PathBuf {
        let mixed = self.dir.path().join("mixed");
        copy_spool(&self.dir.path().join(base), &mixed);
        fs::remove_dir_all(mixed.join(folder)).unwrap();
        copy_spool(
            &self.dir.path().join(other).join(folder),
            &mixed.join(folder),
        );
        mixed
    }

    /// Sends what waits in an adopted copy; says how many events came, and how many of them twice.
    fn send(&self, copy: &Path) -> (usize, usize) {
        let client = TestSpool::for_sandbox(&self.api)
            .with("spool", copy.to_str().unwrap())
            .client();
        client.resume().unwrap();
        client.flush_ok(secs(30));
        let arrivals = Arrivals::from_sandbox(&self.api);
        (arrivals.first_appearances().len(), arrivals.duplicates())
    }
}

/// A flush of a spool on hold ends once all is taken over.
fn take_over(client: &Client) {
    let (_, paused) = client.flush(secs(30));
    assert!(paused.unwrap_err().pause_reason().is_some());
}

/// Adopts a copy that lacks events: only with `--yes`. Returns what was said.
fn adopt_with_yes(copy: &Path) -> String {
    let identity = || fs::read(copy.join("identity.json")).unwrap();
    let before = identity();
    let refused = output(&["adopt"], copy);
    assert_eq!(refused.status.code(), Some(EVENTS_MISSING), "{refused:?}");
    assert_eq!(identity(), before);
    let adopted = output(&["adopt", "--yes"], copy);
    assert_eq!(adopted.status.code(), Some(ADOPTED_ALL_THE_SAME));
    stdout(&refused)
}

#[test]
fn a_whole_copy_is_adopted_without_a_word_of_what_may_be_missing() {
    let moments = Moments::new();
    for moment in ["earlier", "later"] {
        let said = run(&["adopt"], &moments.dir.path().join(moment));
        assert!(!said.contains("another moment"), "{said}");
    }
}

#[test]
fn adopt_names_the_events_of_a_ledger_that_is_newer_than_the_queues() {
    let moments = Moments::new();
    let copy = moments.mix("earlier", "later", "ledger");
    let said = adopt_with_yes(&copy);
    assert!(
        said.contains("lane 0: 20 events of the runs 2 to 2 are not in this copy"),
        "{said}"
    );
    assert!(said.contains("meditopia recover"), "{said}");
    let recovered = output(&["recover", "--yes"], &copy);
    assert_eq!(recovered.status.code(), Some(4), "{recovered:?}");
    assert_eq!(moments.send(&copy), (20, 0));
}

#[test]
fn adopt_names_the_events_of_queues_that_are_newer_than_the_ledger() {
    let moments = Moments::new();
    let copy = moments.mix("earlier", "later", "queues");
    let said = adopt_with_yes(&copy);
    let expected = "lane 0: 20 events of the runs 2 to 2 were taken over after the ledger was copied; the copied journal does not";
    assert!(said.contains(expected), "{said}");
    assert_eq!(moments.send(&copy), (20, 0));
}

#[test]
fn adopt_names_blocks_that_were_given_back_after_the_ledger_was_copied() {
    let moments = Moments::new();
    let copy = moments.mix("earlier", "later", "journal");
    let said = adopt_with_yes(&copy);
    assert!(said.contains("bytes were given back after"), "{said}");
    assert_eq!(moments.send(&copy), (20, 0));
}

#[test]
fn adopt_names_a_segment_that_is_not_in_the_copy() {
    let moments = Moments::new();
    let copy = moments.dir.path().join("earlier");
    fs::remove_dir_all(copy.join("journal")).unwrap();
    let said = adopt_with_yes(&copy);
    assert!(said.contains("is not in this copy; what stood"), "{said}");
    assert_eq!(moments.send(&copy), (20, 0));
}

#[test]
fn adopt_says_that_nothing_is_missing_where_the_journal_is_older_than_the_ledger() {
    let moments = Moments::new();
    let copy = moments.mix("later", "earlier", "journal");
    let said = run(&["adopt"], &copy);
    assert!(said.contains("nothing is missing by that"), "{said}");
    assert_eq!(moments.send(&copy), (40, 0));
}

#[test]
fn adopt_names_the_events_that_were_taken_over_and_the_ledger_does_not_know() {
    let moments = Moments::new();
    let copy = moments.dir.path().join("first");
    let heartbeat = moments.dir.path().join("earlier/sender.json");
    fs::copy(heartbeat, copy.join("sender.json")).unwrap();
    let said = run(&["adopt"], &copy);
    let expected = "some of its last 20 events had been taken over";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn adopt_says_that_a_copied_ledger_is_older_than_what_was_synced() {
    let moments = Moments::new();
    let copy = moments.dir.path().join("earlier");
    // Names are listed before their files are copied: the mark may be of a later moment.
    fs::write(copy.join("ledger/synced.0000000000999999"), "").unwrap();
    let said = adopt_with_yes(&copy);
    assert!(said.contains("999999 was synced"), "{said}");
    let found = output(&["recover"], &copy);
    assert!(stdout(&found).contains("damage"), "{found:?}");
}
