//! Damage to a segment: every record whose bytes did not change arrives. The others are set aside,
//! are zeros, or are counted as torn.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Template, run_trials, wait_until};
use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::fault_table::{Outcome, add_row, trial_count};
use meditopia_testkit::ledger::event_number;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::ClientExt;
use meditopia_testkit::wait::secs;

const HEADER: usize = 64;
const RECORD_HEADER: usize = 32;
/// The bytes that a disk writes as one unit.
pub const SECTOR: usize = 512;

/// A spool with one segment, and the bytes of that segment.
struct Segment {
    template: Template,
    whole: Vec<u8>,
}

/// What a trial did with the events of a damaged segment.
struct TrialResult {
    arrived: u64,
    /// Events that did not arrive and are under `damaged/`, are zeros, or were counted as torn.
    reported: u64,
}

fn only_segment(spool: &Path) -> PathBuf {
    let mut entries = fs::read_dir(spool.join("journal")).unwrap();
    let path = entries.next().unwrap().unwrap().path();
    assert!(entries.next().is_none(), "more than one segment");
    path
}

/// The ranges of the records, by the lengths in their headers.
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

/// The numbers of the events that arrived since the ledger was cleared. None may come twice.
fn arrived(api: &Sandbox) -> BTreeSet<u64> {
    let events = api.events();
    let numbers: BTreeSet<u64> = events
        .iter()
        .map(|event| event_number(&event.fields))
        .collect();
    assert_eq!(numbers.len(), events.len(), "an event came twice");
    numbers
}

/// Delivers a spool whose only segment is `damaged`, and checks what arrives.
fn assert_undamaged_records_arrive(segment: &Segment, damaged: &[u8], what: &str) -> TrialResult {
    let Segment { template, whole } = segment;
    template.api.clear_ledger();
    let copy = template.copy();
    let segment = only_segment(&copy.spool());
    fs::write(&segment, damaged).unwrap();

    let client = copy.client();
    client.flush_ok(secs(60));
    // The library decides what the end of a segment is when it removes the segment.
    wait_until("the segment is removed", || {
        client.stats().unwrap().segments == 0
    });
    let stats = client.stats().unwrap();
    client.close(secs(30)).unwrap();

    let arrived = arrived(&template.api);
    let name = segment.file_name().unwrap().to_str().unwrap();
    let set_aside = set_aside(&copy.spool(), name);
    for (range, bytes) in &set_aside {
        assert_eq!(damaged.get(range.clone()).unwrap(), bytes, "{what}");
    }
    let mut result = TrialResult {
        arrived: arrived.len() as u64,
        reported: 0,
    };
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
        let rest = record.start..record.end.min(damaged.len());
        let kept = set_aside
            .iter()
            .any(|(range, _)| range.start <= rest.start && rest.end <= range.end);
        let zero = damaged
            .get(rest.clone())
            .is_none_or(|bytes| bytes.iter().all(|&byte| byte == 0));
        let torn = stats.torn_tails == 1;
        assert!(
            kept || zero || torn,
            "{what}: event {number} is lost without a report"
        );
        result.reported += 1;
    }
    if result.reported > 0 {
        assert!(
            stats.damaged_records + stats.torn_tails > 0,
            "{what}: uncounted"
        );
    }
    if whole.len() == damaged.len() && whole != damaged {
        let zeroed = damaged.ends_with(&[0; 4]);
        assert!(stats.damaged_records > 0 || zeroed, "{what}: uncounted");
    }
    result
}

/// What is under `damaged/` of a segment: the ranges, with their bytes.
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

fn make_segment(events: u64) -> Segment {
    let api = Sandbox::start();
    let program = CProgram::compile("enqueue_job.c").with_config(&api, &[("role", "enqueue")]);
    program.run(&[&events.to_string()]);
    let whole = fs::read(only_segment(&program.spool())).unwrap();
    assert_eq!(records(&whole).len() as u64, events);
    let template = Template { api, program };
    Segment { template, whole }
}

/// A place to cut. It is inside a record, because nobody can notice a cut between two records.
fn place_in_a_record(segment: &[u8], rng: &mut fastrand::Rng) -> usize {
    let records = records(segment);
    let record = &records[rng.usize(..records.len())];
    rng.usize(record.start + 1..record.end)
}

fn report(fault: &str, events: u64, results: &[TrialResult]) {
    let trials = results.len() as u64;
    let delivered = results.iter().map(|result| result.arrived).sum();
    let reported: u64 = results.iter().map(|result| result.reported).sum();
    let outcome = Outcome {
        trials,
        acknowledged: trials * events,
        delivered,
        rejected: 0,
        lost: trials * events - delivered - reported,
        duplicated: 0,
    };
    add_row(
        &format!("{fault} ({reported} set aside and counted)"),
        outcome,
        0,
    );
}

#[test]
fn a_flipped_bit_anywhere_in_a_segment_costs_the_record_around_it_and_no_other() {
    const EVENTS: u64 = 12;
    let results = run_trials(
        trial_count(100, 10_000),
        || make_segment(EVENTS),
        |segment, trial, rng| {
            let mut damaged = segment.whole.clone();
            // Damage to the last record looks most like a torn write, so a quarter of the trials is
            // there.
            let last = records(&damaged).pop().unwrap();
            let byte = match trial % 4 {
                0 => rng.usize(last),
                _ => rng.usize(..damaged.len()),
            };
            damaged[byte] ^= 1 << rng.u8(..8);
            assert_undamaged_records_arrive(segment, &damaged, &format!("byte {byte}"))
        },
    );
    report("a bit flipped in a segment", EVENTS, &results);
}

#[test]
fn damaged_sectors_of_a_segment_cost_the_records_that_they_touch_and_no_others() {
    const EVENTS: u64 = 60;
    let results = run_trials(
        trial_count(48, 3_000),
        || make_segment(EVENTS),
        |segment, trial, rng| {
            let whole = &segment.whole;
            let mut damaged = whole.clone();
            let sector = |rng: &mut fastrand::Rng| {
                let start = rng.usize(..whole.len() / SECTOR) * SECTOR;
                start..start + SECTOR
            };
            let (at, other) = (sector(rng), sector(rng));
            let kind = trial % 6;
            match kind {
                0 => damaged[at.clone()].fill(0),
                1 => damaged.copy_within(other.clone(), at.start),
                2 => {
                    damaged[at.clone()].copy_from_slice(&whole[other.clone()]);
                    damaged[other.clone()].copy_from_slice(&whole[at.clone()]);
                }
                3 => damaged[at.clone()].fill_with(|| rng.u8(..)),
                4 => damaged.truncate(place_in_a_record(whole, rng)),
                _ => {
                    let from = rng.usize(HEADER..whole.len());
                    damaged[from..].fill(0);
                }
            }
            let what = format!("kind {kind}, {at:?}, {other:?}");
            assert_undamaged_records_arrive(segment, &damaged, &what)
        },
    );
    report(
        "sectors of a segment zeroed, repeated, swapped, overwritten, cut",
        EVENTS,
        &results,
    );
}
