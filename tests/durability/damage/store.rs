//! Damage to the store: either all events arrive, or delivery pauses and `recover` says how much is
//! lost at most.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use meditopia::Client;
use meditopia::Fields;
use meditopia::internals::client::{Repair, recover};
use meditopia::{Error, ErrorKind, PauseReason};

use super::segment::SECTOR;
use super::{Copy, Template, run_trials, wait_until};
use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::fault_table::{Outcome, add_row, trial_count};
use meditopia_testkit::ledger::{Event, event_number, events_of_rows};
use meditopia_testkit::process::spawn_reporting;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;

/// A store with delivered, rejected and pending events, left by senders that were killed. The segments
/// that it took over are removed.
struct LeftStore {
    template: Template,
    acknowledged: BTreeSet<Event>,
    delivered: BTreeSet<Event>,
}

impl LeftStore {
    fn make() -> Self {
        let api = Sandbox::builder().unknown_user("u-0-7").start();
        let program = CProgram::compile("service.c")
            .with_config(&api, &[("role", "both"), ("flush_interval_ms", "20")]);
        let mut acknowledged = BTreeSet::new();
        let mut delivered = BTreeSet::new();
        for (life, events) in [(0, 30), (1, 400), (2, 400)] {
            let before: BTreeSet<_> = segments(&program.spool()).into_keys().collect();
            let arguments = [life, 4, events, 0].map(|number| number.to_string());
            let (mut service, reported) =
                spawn_reporting(&mut program.command(&arguments.each_ref().map(String::as_str)));
            acknowledged.extend(reported.iter().take(4 * events));
            let spool = program.spool();
            if life == 0 {
                // The three events of the unknown user are rejected.
                api.wait_for_events(4 * events as u64 - 3);
                wait_until("the rejections", || {
                    let client = TestSpool::for_sandbox(&api)
                        .with("spool", spool.to_str().unwrap())
                        .client();
                    client.rejected_rows().len() == 3
                });
                delivered = accepted(&api);
                api.refuse_address();
            } else {
                wait_until("the take-over", || {
                    is_all_taken_over(&spool)
                        && !before
                            .iter()
                            .any(|name| segments(&spool).contains_key(name))
                });
            }
            service.kill();
        }
        api.allow_address();
        for folder in STORE_FOLDERS {
            assert!(!files_of(&program.spool(), folder).is_empty(), "{folder}");
        }
        // Every trial enqueues this event.
        acknowledged.insert(("late".to_owned(), 1));
        Self {
            template: Template { api, program },
            acknowledged,
            delivered,
        }
    }
}

/// Whether the store has everything that is in the journal.
fn is_all_taken_over(spool: &Path) -> bool {
    let heartbeat = fs::read_to_string(spool.join("sender.json")).unwrap_or_default();
    let heartbeat: serde_json::Value = serde_json::from_str(&heartbeat).unwrap_or_default();
    let bytes: u64 = segments(spool).values().sum();
    heartbeat["taken_bytes"] == bytes && heartbeat["paused"] == "ip"
}

/// The segments in the journal and their sizes.
fn segments(spool: &Path) -> BTreeMap<OsString, u64> {
    let entries = fs::read_dir(spool.join("journal")).into_iter().flatten();
    entries
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (
                entry.file_name(),
                entry.metadata().map_or(0, |about| about.len()),
            )
        })
        .collect()
}

fn accepted(api: &Sandbox) -> BTreeSet<Event> {
    let events = api.events();
    events
        .iter()
        .map(|event| {
            (
                event.fields.partner_user_id.clone(),
                event_number(&event.fields),
            )
        })
        .collect()
}

fn enqueue_one_more(client: &Client) {
    client
        .enqueue(&Fields {
            token: "token",
            partner_user_id: "late",
            event: "video",
            event_value: Some("1"),
            received_at: Some("2024-08-06 15:04:05"),
        })
        .expect("enqueue goes on");
}

/// What a trial did with the events of a damaged store.
#[derive(Default)]
struct TrialResult {
    acknowledged: u64,
    delivered: u64,
    rejected: u64,
    /// Neither delivered nor rejected.
    missing: u64,
    /// Missing, and more than `recover` said to be lost.
    lost: u64,
    repeated: u64,
    noticed: bool,
    /// `recover` could not say how much is lost.
    unknown: bool,
}

impl LeftStore {
    fn check(&self, copy: &Copy, what: &str) -> TrialResult {
        let client = copy.client();
        enqueue_one_more(&client);
        let _ = client.resume();
        let (report, outcome) = client.flush(secs(60));
        let mut said_lost = Some(0);
        let mut noticed = outcome.is_err();
        if let Err(e) = outcome {
            assert_paused(&client, &e, what);
            assert_eq!(report.pause, Some(PauseReason::StoreDamaged), "{what}");
            let _ = client.close(secs(30));
            drop(client);
            said_lost = recover_and_deliver(copy, what);
        } else {
            client.close(secs(30)).unwrap();
            drop(client);
            // Rejected events are read when somebody asks for them, and not to send.
            let looked = recover(&copy.spool(), Repair::Look).unwrap();
            if looked.damage.is_some() {
                noticed = true;
                assert_eq!(looked.lost_pending, Some(0), "{what}");
                said_lost = recover_and_deliver(copy, what);
            }
        }

        let rejected = rejected(&copy.client());
        let accepted = accepted(&self.template.api);
        let repeated = self.template.api.events().len() - accepted.len()
            + accepted.intersection(&self.delivered).count();
        let arrived: BTreeSet<Event> = accepted.union(&self.delivered).cloned().collect();
        let settled: BTreeSet<Event> = arrived.union(&rejected).cloned().collect();
        let missing: Vec<_> = self.acknowledged.difference(&settled).collect();
        let lost = said_lost.map_or(0, |said| (missing.len() as u64).saturating_sub(said));
        assert_eq!(
            lost, 0,
            "{what}: {said_lost:?} said to be lost, missing {missing:?}"
        );
        TrialResult {
            acknowledged: self.acknowledged.len() as u64,
            delivered: arrived.len() as u64,
            rejected: rejected.difference(&arrived).count() as u64,
            missing: missing.len() as u64,
            lost,
            repeated: repeated as u64,
            noticed,
            unknown: said_lost.is_none(),
        }
    }
}

fn assert_paused(client: &Client, e: &Error, what: &str) {
    assert_eq!(e.kind(), ErrorKind::Paused, "{what}: {e}");
    assert_eq!(
        e.pause_reason(),
        Some(PauseReason::StoreDamaged),
        "{what}: {e}"
    );
    assert_eq!(
        client.stats().unwrap().paused,
        Some(PauseReason::StoreDamaged),
        "{what}"
    );
    assert!(e.message().contains("meditopia recover"), "{what}: {e}");
}

/// Recovers the store, delivers what is left, and returns how many events are lost at most; `None`
/// if `recover` cannot say that.
fn recover_and_deliver(copy: &Copy, what: &str) -> Option<u64> {
    let before = store_files(&copy.spool());
    let diagnosis = recover(&copy.spool(), Repair::Look).unwrap();
    assert!(
        diagnosis.damage.is_some() && diagnosis.kept.is_none(),
        "{what}: {diagnosis:?}"
    );
    assert!(
        store_files(&copy.spool()) == before,
        "{what}: `recover` without a repair has changed the store"
    );
    let done = recover(&copy.spool(), Repair::Replace).unwrap();
    assert_eq!(done.pending, diagnosis.pending, "{what}");
    assert_eq!(done.lost_pending, diagnosis.lost_pending, "{what}");
    let kept = done.kept.clone().expect("what is damaged is kept");
    for entry in fs::read_dir(kept).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        assert!(before.values().any(|old| *old == bytes), "{what}");
    }
    let lost = done.lost_pending.map(|lost| lost + done.lost_rejected);

    let client = copy.client();
    let _ = client.resume();
    client.flush_ok(secs(60));
    let stats = client.stats().unwrap();
    assert_eq!(stats.lost, lost.unwrap_or(done.lost_rejected), "{what}");
    assert_eq!(stats.paused, None, "{what}");
    lost
}

fn rejected(client: &Client) -> BTreeSet<Event> {
    events_of_rows(&client.rejected_rows())
        .into_iter()
        .collect()
}

#[test]
fn a_damaged_store_delivers_all_or_pauses_and_recover_says_how_much_is_lost_at_most() {
    let all = run_trials(
        trial_count(40, 3_000),
        LeftStore::make,
        |left, trial, rng| {
            left.template.api.clear_ledger();
            let copy = left.template.copy();
            let folder = STORE_FOLDERS[trial as usize % STORE_FOLDERS.len()];
            let files = files_of(&copy.spool(), folder);
            let what = damage_file(&files[rng.usize(..files.len())], rng);
            left.check(&copy, &what)
        },
    );
    let sum = |of: fn(&TrialResult) -> u64| all.iter().map(of).sum::<u64>();
    let trials = all.len() as u64;
    let (noticed, missing) = (
        sum(|result| u64::from(result.noticed)),
        sum(|result| result.missing),
    );
    let unknown = sum(|result| u64::from(result.unknown));
    assert!(
        noticed > trials / 4,
        "only {noticed} of {trials} were noticed: the damage is too small"
    );
    let outcome = Outcome {
        trials,
        acknowledged: sum(|result| result.acknowledged),
        delivered: sum(|result| result.delivered),
        rejected: sum(|result| result.rejected),
        lost: sum(|result| result.lost),
        duplicated: sum(|result| result.repeated),
    };
    add_row(
        &format!(
            "a damaged store ({noticed} noticed and recovered, {missing} events said to be lost, {unknown} times as unknown)"
        ),
        outcome,
        "what was settled since the last sync",
    );
}

/// Where the sender's state is, what waits, and what was rejected.
const STORE_FOLDERS: [&str; 3] = ["ledger", "queues", "rejected"];

/// The files of the store that hold something, in order.
fn files_of(spool: &Path, folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(spool.join(folder)).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| !path.ends_with("spare") && fs::metadata(path).unwrap().len() > 0);
    files.sort();
    files
}

/// The bytes of the store.
fn store_files(spool: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    STORE_FOLDERS
        .iter()
        .flat_map(|folder| files_of(spool, folder))
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

/// Damages a file at a place drawn from `rng`, and returns what was done.
fn damage_file(path: &Path, rng: &mut fastrand::Rng) -> String {
    let mut bytes = fs::read(path).unwrap();
    let at = rng.usize(..bytes.len());
    let kind = rng.u8(..5);
    match kind {
        0 => bytes[at] ^= 1 << rng.u8(..8),
        1 => {
            for _ in 0..20 {
                let at = rng.usize(..bytes.len());
                bytes[at] ^= 1 << rng.u8(..8);
            }
        }
        2 => {
            let from = at / SECTOR * SECTOR;
            let upto = (from + SECTOR).min(bytes.len());
            bytes[from..upto].fill(0);
        }
        3 => {
            let from = at / 4_096 * 4_096;
            let upto = (from + 4_096).min(bytes.len());
            bytes[from..upto].fill_with(|| rng.u8(..));
        }
        _ => bytes.truncate(at),
    }
    fs::write(path, bytes).unwrap();
    format!("{}, kind {kind}, byte {at}", path.display())
}
