//! Damage of what is on disk: never a crash, never a silent loss.
//!
//! A spool is made once by processes in C, copied for each trial, damaged at places drawn from a seed,
//! and then delivered by the whole library. Of a segment every record whose bytes are as they were has
//! to arrive, and what did not has to lie under `damaged/`, be zero, or be counted as torn. Of a store
//! either everything arrives or delivery pauses, and `recover` says at most how much is lost.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod c_host;
mod host;
mod ledger;
mod sandbox;
mod trials;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use c_host::{Program, Running};
use host::{Host, Story, secs};
use ledger::number;
use meditopia::client::{Client, Repair, recover};
use meditopia::error::{ErrorKind, PauseReason};
use meditopia::event::Fields;
use meditopia::spool::{self, Belonging};
use sandbox::Sandbox;
use trials::Outcome;

const SEED: u64 = 7;
const HEADER: usize = 64;
const RECORD_HEADER: usize = 28;
/// What a disk writes at once.
const SECTOR: usize = 512;

/// A spool that is copied for each trial.
struct Template {
    api: Sandbox,
    program: Program,
}

/// A copy of it, with a client of its own.
struct Copy {
    dir: tempfile::TempDir,
    host: Host,
}

impl Template {
    fn copy(&self) -> Copy {
        let dir = tempfile::tempdir().unwrap();
        let spool = dir.path().join("spool");
        copy_dir(&self.program.spool(), &spool);
        let belonging = Belonging {
            endpoint: self.api.endpoint(),
            account: "",
        };
        spool::adopt(&spool, belonging).unwrap();
        let host = Host::of(&self.api)
            .with("spool", spool.to_str().unwrap())
            // Nothing of this process keeps the spool once its client is closed.
            .with("role", "both");
        Copy { dir, host }
    }
}

impl Copy {
    fn spool(&self) -> PathBuf {
        self.dir.path().join("spool")
    }

    fn client(&self) -> Client {
        self.host.client()
    }
}

fn copy_dir(from: &Path, to: &Path) {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o700).create(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        let target = to.join(entry.file_name());
        if kind.is_dir() {
            copy_dir(&entry.path(), &target);
        } else if kind.is_file() {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < secs(60), "waited for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn only_segment(spool: &Path) -> PathBuf {
    let mut entries = fs::read_dir(spool.join("journal")).unwrap();
    let path = entries.next().unwrap().unwrap().path();
    assert!(entries.next().is_none(), "more than one segment");
    path
}

/// Where each record stands, by the lengths in their headers.
fn records(segment: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut records = Vec::new();
    let mut at = HEADER;
    while at < segment.len() {
        assert_eq!(&segment[at..at + 4], b"MREC");
        let length = u32::from_le_bytes(segment[at + 4..at + 8].try_into().unwrap());
        let end = at + RECORD_HEADER + length as usize;
        records.push(at..end);
        at = end;
    }
    records
}

/// The numbers of the events that arrived since the ledger was cleared; none came twice.
fn arrived(api: &Sandbox) -> BTreeSet<u64> {
    let events = api.events();
    let numbers: BTreeSet<u64> = events.iter().map(|event| number(&event.fields)).collect();
    assert_eq!(numbers.len(), events.len(), "an event came twice");
    numbers
}

/// Delivers a spool whose only segment is `damaged`; says how many of its events arrived.
fn assert_all_but_the_touched_arrive(
    template: &Template,
    whole: &[u8],
    damaged: &[u8],
    what: &str,
) -> u64 {
    template.api.clear_ledger();
    let copy = template.copy();
    let segment = only_segment(&copy.spool());
    fs::write(&segment, damaged).unwrap();

    let client = copy.client();
    client.flushed(secs(60));
    // The end of a segment is judged when it goes.
    wait_until("the segment to go", || {
        client.stats().unwrap().segments == 0
    });
    let stats = client.stats().unwrap();
    client.close(secs(30)).unwrap();

    let arrived = arrived(&template.api);
    let name = segment.file_name().unwrap().to_str().unwrap();
    let set_aside = set_aside(&copy.spool(), name);
    for place in &set_aside {
        assert_eq!(damaged.get(place.0.clone()).unwrap(), place.1, "{what}");
    }
    let mut lost = 0;
    for (number, record) in records(whole).into_iter().enumerate() {
        let untouched = damaged.get(record.clone()) == Some(&whole[record.clone()]);
        assert_eq!(
            arrived.contains(&(number as u64)),
            untouched,
            "{what}: event {number}"
        );
        if untouched {
            continue;
        }
        lost += 1;
        let there = record.start..record.end.min(damaged.len());
        let kept = set_aside
            .iter()
            .any(|(place, _)| place.start <= there.start && there.end <= place.end);
        let zero = damaged
            .get(there.clone())
            .is_none_or(|bytes| bytes.iter().all(|&byte| byte == 0));
        let torn = stats.torn_tails == 1;
        assert!(
            kept || zero || torn,
            "{what}: event {number} is gone without a trace"
        );
    }
    if lost > 0 {
        assert!(
            stats.damaged_records + stats.torn_tails > 0,
            "{what}: {lost} lost, uncounted"
        );
    }
    if whole.len() == damaged.len() && whole != damaged {
        let zeroed = damaged.ends_with(&[0; 4]);
        assert!(stats.damaged_records > 0 || zeroed, "{what}: uncounted");
    }
    arrived.len() as u64
}

/// What lies under `damaged/` of a segment: its place and its bytes.
fn set_aside(spool: &Path, segment: &str) -> Vec<(std::ops::Range<usize>, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(spool.join("damaged")) else {
        return Vec::new();
    };
    entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let offset = name
                .strip_prefix(segment)
                .unwrap()
                .strip_prefix('-')
                .unwrap();
            let offset: usize = offset.parse().unwrap();
            let bytes = fs::read(&path).unwrap();
            (offset..offset + bytes.len(), bytes)
        })
        .collect()
}

fn template_of_segment(events: u64) -> (Template, Vec<u8>) {
    let api = Sandbox::start();
    let program = Program::of("enqueues.c").configured(&api, &[("role", "enqueue")]);
    program.run(&[&events.to_string()]);
    let whole = fs::read(only_segment(&program.spool())).unwrap();
    assert_eq!(records(&whole).len() as u64, events);
    (Template { api, program }, whole)
}

#[test]
fn a_flipped_bit_anywhere_in_a_segment_costs_its_record_and_no_other() {
    const EVENTS: u64 = 12;
    let (template, whole) = template_of_segment(EVENTS);
    let mut rng = fastrand::Rng::with_seed(SEED);
    let trials = trials::trials(100, 10_000);
    let (mut delivered, mut set_aside) = (0, 0);
    for trial in 0..trials {
        let mut damaged = whole.clone();
        // The last record, the one most like a torn write, gets a share of its own.
        let last = records(&whole).pop().unwrap();
        let byte = if trial % 4 == 0 {
            rng.usize(last)
        } else {
            rng.usize(..whole.len())
        };
        damaged[byte] ^= 1 << rng.u8(..8);
        let arrived =
            assert_all_but_the_touched_arrive(&template, &whole, &damaged, &format!("byte {byte}"));
        delivered += arrived;
        set_aside += EVENTS - arrived;
    }
    let outcome = Outcome {
        trials,
        acknowledged: trials * EVENTS,
        delivered,
        rejected: 0,
        lost: trials * EVENTS - delivered - set_aside,
        duplicated: 0,
    };
    trials::report(
        &format!("a bit flipped in a segment ({set_aside} set aside and counted)"),
        outcome,
        0,
    );
}

#[test]
fn whatever_a_disk_does_to_a_segment_costs_what_it_touches_and_no_more() {
    const EVENTS: u64 = 60;
    let (template, whole) = template_of_segment(EVENTS);
    let mut rng = fastrand::Rng::with_seed(SEED);
    let trials = trials::trials(48, 3_000);
    let (mut delivered, mut set_aside) = (0, 0);
    for trial in 0..trials {
        let mut damaged = whole.clone();
        let sector = |rng: &mut fastrand::Rng| {
            let start = rng.usize(..whole.len() / SECTOR) * SECTOR;
            start..start + SECTOR
        };
        let (at, other) = (sector(&mut rng), sector(&mut rng));
        let kind = trial % 6;
        match kind {
            0 => damaged[at.clone()].fill(0),
            1 => damaged.copy_within(other.clone(), at.start),
            2 => {
                damaged[at.clone()].copy_from_slice(&whole[other.clone()]);
                damaged[other.clone()].copy_from_slice(&whole[at.clone()]);
            }
            3 => damaged[at.clone()].fill_with(|| rng.u8(..)),
            4 => damaged.truncate(rng.usize(HEADER..whole.len())),
            _ => {
                let from = rng.usize(HEADER..whole.len());
                damaged[from..].fill(0);
            }
        }
        let what = format!("kind {kind}, {at:?}, {other:?}");
        let arrived = assert_all_but_the_touched_arrive(&template, &whole, &damaged, &what);
        delivered += arrived;
        set_aside += EVENTS - arrived;
    }
    let outcome = Outcome {
        trials,
        acknowledged: trials * EVENTS,
        delivered,
        rejected: 0,
        lost: trials * EVENTS - delivered - set_aside,
        duplicated: 0,
    };
    trials::report(
        &format!(
            "sectors of a segment zeroed, repeated, swapped, overwritten, cut ({set_aside} set aside and counted)"
        ),
        outcome,
        0,
    );
}

/// An event: user and number.
type Event = (String, u64);

/// A store with delivered, rejected and pending events, left by senders that were killed: its log is
/// there, and segments that it took over are gone.
fn template_of_store() -> (Template, BTreeSet<Event>, BTreeSet<Event>) {
    let api = Sandbox::builder().unknown_user("u-0-7").start();
    let program =
        Program::of("mortal.c").configured(&api, &[("role", "both"), ("flush_interval_ms", "20")]);
    let mut acknowledged = BTreeSet::new();
    let mut delivered = BTreeSet::new();
    for (life, events) in [(0, 30), (1, 400), (2, 400)] {
        let mut child = program
            .command(&[&life.to_string(), "4", &events.to_string(), "0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut running = Running(child);
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
                let client = Host::of(&api)
                    .with("spool", spool.to_str().unwrap())
                    .client();
                client.rejected_rows().len() == 3
            });
            delivered = accepted(&api);
            api.refuse_address();
        } else {
            wait_until("the take-over", || is_all_taken_over(&spool));
        }
        running.kill();
    }
    api.allow_address();
    assert!(program.spool().join("store.db-wal").exists());
    (Template { api, program }, acknowledged, delivered)
}

/// Whether there is but the living writer's segment, and nothing in it that the store has not.
fn is_all_taken_over(spool: &Path) -> bool {
    let entries = fs::read_dir(spool.join("journal")).unwrap();
    let sizes: Vec<u64> = entries
        .map(|entry| entry.unwrap().metadata().map_or(0, |about| about.len()))
        .collect();
    let beat = fs::read_to_string(spool.join("sender.json")).unwrap_or_default();
    let beat: serde_json::Value = serde_json::from_str(&beat).unwrap_or_default();
    sizes.len() == 1 && beat["taken_bytes"] == sizes[0] && beat["paused"] == "ip"
}

fn accepted(api: &Sandbox) -> BTreeSet<Event> {
    let events = api.events();
    events
        .iter()
        .map(|event| (event.fields.partner_user_id.clone(), number(&event.fields)))
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

#[test]
fn a_damaged_store_delivers_all_or_stops_and_recover_says_what_is_lost() {
    let (template, mut acknowledged, delivered_before) = template_of_store();
    acknowledged.insert(("late".to_owned(), 1));
    let mut rng = fastrand::Rng::with_seed(SEED);
    let trials = trials::trials(40, 3_000);
    let (mut delivered, mut rejected, mut missing_in_all) = (0, 0, 0);
    let (mut stopped, mut unknown, mut repeated) = (0, 0, 0);
    for trial in 0..trials {
        template.api.clear_ledger();
        let copy = template.copy();
        let log = copy.spool().join("store.db-wal");
        let has_log = fs::metadata(&log).is_ok_and(|about| about.len() > 0);
        let store = if trial % 3 == 2 && has_log {
            log
        } else {
            copy.spool().join("store.db")
        };
        let what = damage_file(&store, &mut rng);

        let client = copy.client();
        one_more(&client);
        let _ = client.resume();
        let (report, outcome) = client.flush(secs(60));
        let mut lost = Some(0);
        if let Err(e) = outcome {
            assert_eq!(e.kind(), ErrorKind::Paused, "{what}: {e}");
            assert_eq!(
                e.pause_reason(),
                Some(PauseReason::StoreDamaged),
                "{what}: {e}"
            );
            assert_eq!(report.pause, Some(PauseReason::StoreDamaged), "{what}");
            assert_eq!(
                client.stats().unwrap().paused,
                Some(PauseReason::StoreDamaged),
                "{what}"
            );
            assert!(e.message().contains("meditopia recover"), "{what}: {e}");
            let _ = client.close(secs(30));
            drop(client);
            stopped += 1;

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
            lost = done.lost_pending.map(|lost| lost + done.lost_rejected);
            unknown += u64::from(lost.is_none());

            let client = copy.client();
            let _ = client.resume();
            client.flushed(secs(60));
            assert_eq!(
                client.stats().unwrap().lost,
                lost.unwrap_or(done.lost_rejected)
            );
            assert_eq!(client.stats().unwrap().paused, None, "{what}");
        } else {
            client.close(secs(30)).unwrap();
        }
        let client = copy.client();
        let rows = client.rejected_rows();
        let of_rows: BTreeSet<Event> = rows
            .iter()
            .map(|row| serde_json::from_str::<sandbox::Fields>(&row.event_json).unwrap())
            .map(|event| (event.partner_user_id.clone(), number(&event)))
            .collect();
        let accepted = accepted(&template.api);
        repeated += template.api.events().len() - accepted.len()
            + accepted.intersection(&delivered_before).count();
        let arrived: BTreeSet<Event> = accepted.union(&delivered_before).cloned().collect();
        let settled: BTreeSet<Event> = arrived.union(&of_rows).cloned().collect();
        let missing: Vec<_> = acknowledged.difference(&settled).collect();
        if let Some(lost) = lost {
            assert!(
                missing.len() as u64 <= lost,
                "{what}: {lost} said to be lost, missing {missing:?}"
            );
        }
        delivered += arrived.len() as u64;
        rejected += of_rows.difference(&arrived).count() as u64;
        missing_in_all += missing.len() as u64;
    }
    assert!(
        stopped > trials / 4,
        "only {stopped} of {trials} were noticed: the damage is too small"
    );
    let outcome = Outcome {
        trials,
        acknowledged: trials * acknowledged.len() as u64,
        delivered,
        rejected,
        lost: trials * acknowledged.len() as u64 - delivered - rejected - missing_in_all,
        duplicated: repeated as u64,
    };
    trials::report(
        &format!(
            "a damaged store ({stopped} stopped and were recovered, {missing_in_all} events said to be lost, {unknown} times as unknown)"
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
