//! Damage of the store: either everything arrives or delivery pauses, and `recover` says at most how
//! much is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use meditopia::Client;
use meditopia::Fields;
use meditopia::internals::client::{Repair, recover};
use meditopia::{Error, ErrorKind, PauseReason};

use super::segment::SECTOR;
use super::{Copy, Template, try_in_shares, wait_until};
use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::fault_table::{Outcome, add_row, trial_count};
use meditopia_testkit::ledger::event_number;
use meditopia_testkit::process::ChildProcess;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;

/// An event: user and number.
type Event = (String, u64);

/// A store with delivered, rejected and pending events, left by senders that were killed: its log is
/// there, and segments that it took over are gone.
struct Killed {
    template: Template,
    acknowledged: BTreeSet<Event>,
    delivered: BTreeSet<Event>,
}

impl Killed {
    fn senders() -> Killed {
        let api = Sandbox::builder().unknown_user("u-0-7").start();
        let program = CProgram::compile("mortal.c")
            .with_config(&api, &[("role", "both"), ("flush_interval_ms", "20")]);
        let mut acknowledged = BTreeSet::new();
        let mut delivered = BTreeSet::new();
        for (life, events) in [(0, 30), (1, 400), (2, 400)] {
            let left: BTreeSet<_> = segments(&program.spool()).into_keys().collect();
            let mut child = program
                .command(&[&life.to_string(), "4", &events.to_string(), "0"])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let mut running = ChildProcess(child);
            for line in lines.take(4 * events) {
                let line = line.unwrap();
                let (user, number) = line.split_once(' ').unwrap();
                acknowledged.insert((user.to_owned(), number.parse().unwrap()));
            }
            let spool = program.spool();
            if life == 0 {
                // The three of the unknown user go to the rejected store.
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
                        && !left.iter().any(|name| segments(&spool).contains_key(name))
                });
            }
            running.kill();
        }
        api.allow_address();
        assert!(program.spool().join("store.db-wal").exists());
        // What every trial adds.
        acknowledged.insert(("late".to_owned(), 1));
        Killed {
            template: Template { api, program },
            acknowledged,
            delivered,
        }
    }
}

/// Whether nothing is in the journal that the store has not.
fn is_all_taken_over(spool: &Path) -> bool {
    let beat = fs::read_to_string(spool.join("sender.json")).unwrap_or_default();
    let beat: serde_json::Value = serde_json::from_str(&beat).unwrap_or_default();
    let bytes: u64 = segments(spool).values().sum();
    beat["taken_bytes"] == bytes && beat["paused"] == "ip"
}

/// The segments in the journal and their bytes.
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

fn one_more(client: &Client) {
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

/// What became of the events of a damaged store.
#[derive(Default)]
struct Fates {
    acknowledged: u64,
    delivered: u64,
    rejected: u64,
    /// Neither delivered nor rejected.
    missing: u64,
    /// Missing although nobody said that they may be.
    lost: u64,
    repeated: u64,
    stopped: bool,
    /// It was not to be said how much is lost.
    unknown: bool,
}

impl Killed {
    fn is_delivered_or_said_to_be_lost(&self, copy: &Copy, what: &str) -> Fates {
        let client = copy.client();
        one_more(&client);
        let _ = client.resume();
        let (report, outcome) = client.flush(secs(60));
        let mut said = Some(0);
        let stopped = outcome.is_err();
        if let Err(e) = outcome {
            assert_stopped(&client, &e, what);
            assert_eq!(report.pause, Some(PauseReason::StoreDamaged), "{what}");
            let _ = client.close(secs(30));
            drop(client);
            said = recovered(copy, what);
        } else {
            client.close(secs(30)).unwrap();
        }

        let rejected = rejected(&copy.client());
        let accepted = accepted(&self.template.api);
        let repeated = self.template.api.events().len() - accepted.len()
            + accepted.intersection(&self.delivered).count();
        let arrived: BTreeSet<Event> = accepted.union(&self.delivered).cloned().collect();
        let settled: BTreeSet<Event> = arrived.union(&rejected).cloned().collect();
        let missing: Vec<_> = self.acknowledged.difference(&settled).collect();
        let lost = said.map_or(0, |said| (missing.len() as u64).saturating_sub(said));
        assert_eq!(
            lost, 0,
            "{what}: {said:?} said to be lost, missing {missing:?}"
        );
        Fates {
            acknowledged: self.acknowledged.len() as u64,
            delivered: arrived.len() as u64,
            rejected: rejected.difference(&arrived).count() as u64,
            missing: missing.len() as u64,
            lost,
            repeated: repeated as u64,
            stopped,
            unknown: said.is_none(),
        }
    }
}

fn assert_stopped(client: &Client, e: &Error, what: &str) {
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

/// Recovers the store and delivers what is left; says at most how many events are lost, if that can
/// be known.
fn recovered(copy: &Copy, what: &str) -> Option<u64> {
    let before = store_files(&copy.spool());
    let looked = recover(&copy.spool(), Repair::Look).unwrap();
    assert!(
        looked.damage.is_some() && looked.kept.is_none(),
        "{what}: {looked:?}"
    );
    assert!(
        store_files(&copy.spool()) == before,
        "{what}: a look has changed the store"
    );
    let done = recover(&copy.spool(), Repair::Replace).unwrap();
    assert_eq!(done.pending, looked.pending, "{what}");
    assert_eq!(done.lost_pending, looked.lost_pending, "{what}");
    let kept = done.kept.clone().expect("the damaged store is kept");
    assert_eq!(fs::read(kept).unwrap(), before[0], "{what}");
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
    let rows = client.rejected_rows();
    let fields = rows
        .iter()
        .map(|row| serde_json::from_str::<meditopia_testkit::sandbox::Fields>(&row.event_json));
    fields
        .map(|fields| fields.unwrap())
        .map(|event| (event.partner_user_id.clone(), event_number(&event)))
        .collect()
}

#[test]
fn a_damaged_store_delivers_all_or_stops_and_recover_says_what_is_lost() {
    let all = try_in_shares(
        trial_count(40, 3_000),
        Killed::senders,
        |killed, trial, rng| {
            killed.template.api.clear_ledger();
            let copy = killed.template.copy();
            let log = copy.spool().join("store.db-wal");
            let has_log = fs::metadata(&log).is_ok_and(|about| about.len() > 0);
            let store = if trial % 3 == 2 && has_log {
                log
            } else {
                copy.spool().join("store.db")
            };
            let what = damage_file(&store, rng);
            killed.is_delivered_or_said_to_be_lost(&copy, &what)
        },
    );
    let sum = |of: fn(&Fates) -> u64| all.iter().map(of).sum::<u64>();
    let trials = all.len() as u64;
    let (stopped, missing) = (
        sum(|fates| u64::from(fates.stopped)),
        sum(|fates| fates.missing),
    );
    let unknown = sum(|fates| u64::from(fates.unknown));
    assert!(
        stopped > trials / 4,
        "only {stopped} of {trials} were noticed: the damage is too small"
    );
    let outcome = Outcome {
        trials,
        acknowledged: sum(|fates| fates.acknowledged),
        delivered: sum(|fates| fates.delivered),
        rejected: sum(|fates| fates.rejected),
        lost: sum(|fates| fates.lost),
        duplicated: sum(|fates| fates.repeated),
    };
    add_row(
        &format!(
            "a damaged store ({stopped} stopped and were recovered, {missing} events said to be lost, {unknown} times as unknown)"
        ),
        outcome,
        "what was settled since the last checkpoint",
    );
}

/// The store and its log, byte for byte.
fn store_files(spool: &Path) -> Vec<Vec<u8>> {
    ["store.db", "store.db-wal"]
        .map(|name| fs::read(spool.join(name)).unwrap_or_default())
        .to_vec()
}

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
