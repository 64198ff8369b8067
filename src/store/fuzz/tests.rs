//! Every target on its seeds, and on mutations of them that a seed of a generator makes. libFuzzer finds
//! more (`make fuzz`); this shows that the targets run, and finds what is near.

use super::{TARGETS, Target, recovered, spool};
use crate::store::disk::Folder;
use crate::store::entry::Entry;
use crate::store::frame::{FileHeader, Kind, begin_record, finish_record};
use crate::store::ledger;
use crate::store::log_tests::formats::any_entry;

/// Mutations of each target.
const MUTATIONS: u32 = 3_000;

/// Values at the edges of numbers.
const EDGES: [u64; 8] = [
    0,
    1,
    0x7F,
    0xFF,
    u32::MAX as u64,
    1 << 62,
    i64::MAX as u64,
    u64::MAX,
];

fn mutate(bytes: &mut Vec<u8>, other: &[u8], rng: &mut fastrand::Rng) {
    for _ in 0..rng.usize(1..5) {
        let at = rng.usize(..=bytes.len());
        let some = (at + rng.usize(..40)).min(bytes.len());
        match rng.u8(..8) {
            0 => {
                let from = rng.usize(..=other.len());
                let some = other[from..].iter().take(some - at).copied();
                let some: Vec<u8> = some.collect();
                bytes.splice(at..at, some);
            }
            1 => drop(bytes.drain(at..some)),
            2 => {
                let copy = bytes[at..some].to_vec();
                bytes.splice(some..some, copy);
            }
            3 => {
                let edge = EDGES[rng.usize(..EDGES.len())].to_le_bytes();
                let length = (bytes.len() - at).min([1, 2, 4, 8][rng.usize(..4)]);
                bytes[at..at + length].copy_from_slice(&edge[..length]);
            }
            _ if at < bytes.len() => bytes[at] ^= 1 << rng.u8(..8),
            _ => bytes.push(rng.u8(..)),
        }
    }
}

/// Runs a target, and says for which input it has failed.
fn run(target: &Target, input: &[u8]) {
    struct Input<'a>(&'a Target, &'a [u8]);
    impl Drop for Input<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("target {}, input {:02x?}", self.0.name, self.1);
            }
        }
    }
    let _input = Input(target, input);
    (target.run)(input);
}

fn run_mutations(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let seeds = (target.seeds)();
    run(target, &[]);
    for seed in &seeds {
        run(target, seed);
    }
    let mut rng = fastrand::Rng::with_seed(1);
    for _ in 0..MUTATIONS {
        let mut input = seeds[rng.usize(..seeds.len())].clone();
        let other = &seeds[rng.usize(..seeds.len())];
        mutate(&mut input, other, &mut rng);
        run(target, &input);
    }
}

#[test]
fn records_of_any_bytes_are_read_back_or_refused() {
    run_mutations("frame");
}

#[test]
fn entries_of_any_bytes_are_folded_or_refused() {
    run_mutations("fold");
}

#[test]
fn a_queue_of_any_bytes_is_read_back_or_refused() {
    run_mutations("queue");
}

#[test]
fn rejected_events_of_any_bytes_are_read_back_or_refused() {
    run_mutations("rejected");
}

#[test]
fn a_spool_of_any_bytes_is_opened_looked_into_and_recovered() {
    run_mutations("spool");
}

/// Entries whose values no mutation of a seed is likely to reach.
fn any_entries(rng: &mut fastrand::Rng, out: &mut Vec<u8>) {
    for _ in 0..rng.usize(..12) {
        if let Some(entry) = any_entry(rng.u8(1..=25), rng) {
            entry.encode(out);
        }
    }
}

#[test]
fn entries_of_any_values_are_folded_or_refused() {
    let target = &TARGETS[1];
    assert_eq!(target.name, "fold");
    let mut rng = fastrand::Rng::with_seed(2);
    for _ in 0..5_000 {
        let mut payload = Vec::new();
        any_entries(&mut rng, &mut payload);
        run(target, &payload);
    }
}

#[test]
fn a_ledger_of_any_entries_is_opened_or_refused_and_recovered() {
    let target = &TARGETS[4];
    assert_eq!(target.name, "spool");
    let mut rng = fastrand::Rng::with_seed(3);
    let mut opened = 0;
    for round in 0..2_000 {
        let header = FileHeader {
            boot_count: 1 + round % 2,
            number: 1,
            nonce: 5,
            ..FileHeader::default()
        };
        let mut file = header.encode(Kind::Ledger).to_vec();
        for seq in 1..=rng.u64(1..6) {
            let mut record = Vec::new();
            begin_record(&mut record);
            if seq == 1 {
                Entry::Snapshot { part: 0, of: 1 }.encode(&mut record);
            }
            any_entries(&mut rng, &mut record);
            let position = header.position(file.len() as u64);
            finish_record(&mut record, seq, rng.u64(..=seq), position);
            file.extend(record);
        }
        let input = spool::pack(&[(Folder::Ledger, ledger::file_name(1), file)]);
        opened += u32::from(recovered::read(&spool::unpack(&input), 1).is_some());
        run(target, &input);
    }
    assert!(opened > 50, "{opened}");
}
