//! Damage of a segment: every record whose bytes are as they were arrives, and what did not is kept,
//! zero, or counted as torn.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Template, try_in_shares, wait_until};
use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::fault_table::{Outcome, add_row, trial_count};
use meditopia_testkit::ledger::event_number;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::ClientExt;
use meditopia_testkit::wait::secs;

const HEADER: usize = 64;
const RECORD_HEADER: usize = 28;
/// What a disk writes at once.
pub const SECTOR: usize = 512;

/// A spool of one segment, and that segment.
struct Segment {
    template: Template,
    whole: Vec<u8>,
}

/// What became of a damaged segment's events.
struct Fates {
    arrived: u64,
    /// Did not arrive, but stand under `damaged/`, are zero, or were counted as torn.
    traced: u64,
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
    let numbers: BTreeSet<u64> = events
        .iter()
        .map(|event| event_number(&event.fields))
        .collect();
    assert_eq!(numbers.len(), events.len(), "an event came twice");
    numbers
}

/// Delivers a spool whose only segment is `damaged`.
fn assert_all_but_the_touched_arrive(segment: &Segment, damaged: &[u8], what: &str) -> Fates {
    let Segment { template, whole } = segment;
    template.api.clear_ledger();
    let copy = template.copy();
    let segment = only_segment(&copy.spool());
    fs::write(&segment, damaged).unwrap();

    let client = copy.client();
    client.flush_ok(secs(60));
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
    let mut fates = Fates {
        arrived: arrived.len() as u64,
        traced: 0,
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
        fates.traced += 1;
    }
    if fates.traced > 0 {
        assert!(
            stats.damaged_records + stats.torn_tails > 0,
            "{what}: uncounted"
        );
    }
    if whole.len() == damaged.len() && whole != damaged {
        let zeroed = damaged.ends_with(&[0; 4]);
        assert!(stats.damaged_records > 0 || zeroed, "{what}: uncounted");
    }
    fates
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

fn segment_of(events: u64) -> Segment {
    let api = Sandbox::start();
    let program = CProgram::compile("enqueues.c").with_config(&api, &[("role", "enqueue")]);
    program.run(&[&events.to_string()]);
    let whole = fs::read(only_segment(&program.spool())).unwrap();
    assert_eq!(records(&whole).len() as u64, events);
    let template = Template { api, program };
    Segment { template, whole }
}

/// A place to cut. A cut just between two records leaves nothing that could be noticed.
fn within_a_record(segment: &[u8], rng: &mut fastrand::Rng) -> usize {
    let records = records(segment);
    let record = &records[rng.usize(..records.len())];
    rng.usize(record.start + 1..record.end)
}

fn tell(fault: &str, events: u64, fates: &[Fates]) {
    let trials = fates.len() as u64;
    let delivered = fates.iter().map(|fates| fates.arrived).sum();
    let traced: u64 = fates.iter().map(|fates| fates.traced).sum();
    let outcome = Outcome {
        trials,
        acknowledged: trials * events,
        delivered,
        rejected: 0,
        lost: trials * events - delivered - traced,
        duplicated: 0,
    };
    add_row(
        &format!("{fault} ({traced} set aside and counted)"),
        outcome,
        0,
    );
}

#[test]
fn a_flipped_bit_anywhere_in_a_segment_costs_its_record_and_no_other() {
    const EVENTS: u64 = 12;
    let fates = try_in_shares(
        trial_count(100, 10_000),
        || segment_of(EVENTS),
        |segment, trial, rng| {
            let mut damaged = segment.whole.clone();
            // The last record, the one most like a torn write, gets a share of its own.
            let last = records(&damaged).pop().unwrap();
            let byte = match trial % 4 {
                0 => rng.usize(last),
                _ => rng.usize(..damaged.len()),
            };
            damaged[byte] ^= 1 << rng.u8(..8);
            assert_all_but_the_touched_arrive(segment, &damaged, &format!("byte {byte}"))
        },
    );
    tell("a bit flipped in a segment", EVENTS, &fates);
}

#[test]
fn whatever_a_disk_does_to_a_segment_costs_what_it_touches_and_no_more() {
    const EVENTS: u64 = 60;
    let fates = try_in_shares(
        trial_count(48, 3_000),
        || segment_of(EVENTS),
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
                4 => damaged.truncate(within_a_record(whole, rng)),
                _ => {
                    let from = rng.usize(HEADER..whole.len());
                    damaged[from..].fill(0);
                }
            }
            let what = format!("kind {kind}, {at:?}, {other:?}");
            assert_all_but_the_touched_arrive(segment, &damaged, &what)
        },
    );
    tell(
        "sectors of a segment zeroed, repeated, swapped, overwritten, cut",
        EVENTS,
        &fates,
    );
}
