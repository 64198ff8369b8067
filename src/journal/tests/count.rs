//! The count of the events that wait is exact, and needs few reads.

use std::os::unix::fs::FileExt;
use std::path::Path;

use super::super::backlog::{self, Backlog};
use super::super::segment::{HEADER_LEN, RECORD_HEADER_LEN, RecordHeader};
use super::*;

impl Journal {
    fn count(&self) -> u64 {
        backlog::count(&self.spool, &self.offsets).unwrap().events
    }

    /// The only segment: its path, its bytes, and where its records begin and end.
    fn only_segment(&self) -> (PathBuf, Vec<u8>, Vec<usize>) {
        let path = self.segments().remove(0);
        let bytes = fs::read(&path).unwrap();
        let ends = record_bounds(&path, &bytes);
        (path, bytes, ends)
    }
}

fn record_bounds(path: &Path, bytes: &[u8]) -> Vec<usize> {
    let name = path.file_name().unwrap().to_str().unwrap();
    let mut bounds = vec![HEADER_LEN];
    let mut position = Position {
        created_boot_ns: segment::parse_name(name).unwrap().1,
        offset: HEADER_LEN as u64,
    };
    while position.offset < bytes.len() as u64 {
        let rest = &bytes[position.offset as usize..];
        let header = RecordHeader::decode(rest, position).unwrap();
        position = position.plus(header.record_len());
        bounds.push(position.offset as usize);
    }
    bounds
}

/// How many reads this thread has made so far, and of how many bytes.
fn reads() -> (u64, u64) {
    let text = fs::read_to_string("/proc/thread-self/io").unwrap();
    let figure = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().parse().unwrap()
    };
    (figure("syscr: "), figure("rchar: "))
}

/// Events of all sizes, mostly small ones; every tenth call is a batch of several.
fn append_of_many_sizes(writer: &Writer, rng: &mut fastrand::Rng) -> u64 {
    let mut length = || match rng.u8(..20) {
        0 => 60_000,
        1..5 => rng.usize(..5_000),
        _ => 300,
    };
    let events: Vec<String> = (0..if length() == 60_000 { 7 } else { 1 })
        .map(|_| "e".repeat(length()))
        .collect();
    let events: Vec<&str> = events.iter().map(String::as_str).collect();
    append(writer, &events);
    events.len() as u64
}

#[test]
fn the_count_is_exact_after_each_chunk_of_a_take_over_whatever_the_size_of_the_events() {
    let mut rng = fastrand::Rng::with_seed(5);
    for _ in 0..4 {
        let mut journal = Journal::new();
        let writers = [journal.writer(), journal.writer(), journal.writer()];
        let mut left: u64 = (0..200)
            .map(|_| append_of_many_sizes(&writers[rng.usize(..3)], &mut rng))
            .sum();
        assert_eq!(journal.count(), left);
        let mut round = Round::begin(&journal.spool, &journal.offsets).unwrap();
        loop {
            let chunk = round.read_chunk(100_000, |_, _| left -= 1).unwrap();
            journal.offsets.extend(chunk.offsets);
            assert_eq!(journal.count(), left);
            if !chunk.more {
                break;
            }
        }
        assert_eq!(left, 0);
        left += append_of_many_sizes(&writers[0], &mut rng);
        assert_eq!(journal.count(), left);
    }
}

#[test]
fn a_full_segment_of_events_of_many_sizes_is_counted_with_a_few_reads() {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut journal = Journal::new();
    let writer = journal.writer();
    let (mut events, mut bytes) = (0, 0);
    while bytes < SEGMENT_BYTES - 600_000 {
        events += append_of_many_sizes(&writer, &mut rng);
        bytes = fs::metadata(&journal.segments()[0]).unwrap().len();
    }
    // For the other case, the last event is a large one.
    for last in ["small".to_owned(), "e".repeat(60_000)] {
        append(&writer, &[&last]);
        events += 1;
        let (reads_before, bytes_before) = reads();
        assert_eq!(journal.count(), events);
        let (reads, bytes) = reads();
        // The first figures themselves took one or two reads.
        assert!(reads - reads_before <= 8, "{} reads", reads - reads_before);
        assert!(bytes - bytes_before < 110_000, "{}", bytes - bytes_before);
    }
    journal.read_round_in_chunks(1024 * 1024);
    assert_eq!(journal.count(), 0);
}

#[test]
fn a_last_record_that_is_larger_than_what_is_searched_is_counted() {
    for small_ones in [0, 1, 3_000] {
        let journal = Journal::new();
        let writer = journal.writer();
        for _ in 0..small_ones {
            append(&writer, &["small"]);
        }
        let half = "x".repeat(300_000);
        append(&writer, &[&half, "and", &half]);
        assert_eq!(journal.count(), small_ones + 3);
        // While the large one is being written, only those before it count.
        let (path, bytes, bounds) = journal.only_segment();
        let large = bounds[bounds.len() - 2];
        for cut in [large + RECORD_HEADER_LEN, bytes.len() - 1] {
            fs::write(&path, &bytes[..cut]).unwrap();
            assert_eq!(journal.count(), small_ones, "cut at {cut}");
        }
    }
}

#[test]
fn a_record_that_is_cut_short_anywhere_counts_no_event() {
    let journal = Journal::new();
    let writer = journal.writer();
    append(&writer, &["one", "two"]);
    append(&writer, &["three", "four", "five"]);
    let (path, bytes, bounds) = journal.only_segment();
    for cut in 0..bytes.len() {
        fs::write(&path, &bytes[..cut]).unwrap();
        let whole = if cut < bounds[1] { 0 } else { 2 };
        assert_eq!(journal.count(), whole, "cut at {cut}");
    }
}

#[test]
fn what_a_sender_gave_back_is_not_needed_to_count_the_rest() {
    let mut journal = Journal::new();
    let writer = journal.writer();
    for number in 0..1_000 {
        append(&writer, &[&format!("event {number}"), &"x".repeat(300)]);
    }
    let (path, _, bounds) = journal.only_segment();
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    for taken in [1, 10, 500, 999, 1_000] {
        let zeros = vec![0; bounds[taken] - HEADER_LEN];
        file.write_all_at(&zeros, HEADER_LEN as u64).unwrap();
        let left = 2 * (1_000 - taken as u64);
        // Also where nobody knows any more how far the segment was taken over.
        journal.offsets.clear();
        assert_eq!(journal.count(), left, "{taken} records are given back");
        journal.offsets.insert(name.clone(), bounds[taken] as u64);
        assert_eq!(journal.count(), left, "{taken} records are taken over");
    }
    append(&writer, &["later"]);
    assert_eq!(journal.count(), 1);
}

#[test]
fn damage_counts_as_the_headers_around_it_say() {
    let mut journal = Journal::new();
    let writer = journal.writer();
    for _ in 0..3 {
        append(&writer, &["one", "two"]);
    }
    drop(writer);
    let (path, bytes, bounds) = journal.only_segment();
    for hit in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[hit] ^= 0x40;
        fs::write(&path, &damaged).unwrap();
        // All but the checksum of the payload, which is not looked at.
        let last_header = bounds[2]..bounds[2] + RECORD_HEADER_LEN - 4;
        let is_first = (bounds[0]..bounds[1]).contains(&hit);
        // Damage at the beginning or at the end of what is left has a header on one side only.
        let expected = if is_first || last_header.contains(&hit) {
            4
        } else {
            6
        };
        assert_eq!(journal.count(), expected, "byte {hit}");
    }
    // Once a round and the look at the tail have passed over damage, it counts no more.
    journal.read_round();
    journal.remove_finished();
    assert_eq!(journal.count(), 0);
}

#[test]
fn damage_behind_the_last_whole_record_counts_no_event_once_a_round_has_read_all() {
    let mut journal = Journal::new();
    let writer = journal.writer();
    for _ in 0..9 {
        append(&writer, &["one", "two"]);
    }
    let (path, mut bytes, bounds) = journal.only_segment();
    for record in 3..9 {
        bytes[bounds[record + 1] - 1] ^= 0x40;
    }
    fs::write(&path, &bytes).unwrap();
    assert_eq!(journal.count(), 18);
    // The writer still lives, so nothing of it is set aside.
    assert_eq!(journal.read_round().len(), 6);
    assert_eq!(journal.count(), 0);
}

#[test]
fn the_oldest_event_is_the_earliest_of_those_that_were_not_taken_over() {
    const MS: u64 = 1_000_000;
    let mut journal = Journal::new();
    let count = |journal: &Journal| backlog::count(&journal.spool, &journal.offsets).unwrap();
    assert_eq!(count(&journal), Backlog::default());
    // The wall clock was set back between the creation of the two segments.
    for (created_ms, created_wall_ms, records_ms) in [(1, 9_000, [20, 50]), (11, 4_000, [30, 40])] {
        let header = Header {
            boot_count: 1,
            created_boot_ns: created_ms * MS,
            created_wall_ms,
        };
        let records = records_ms.map(|ms| (ms * MS, "event".to_owned()));
        journal.write_segment(&header, &records);
    }
    let mut round = Round::begin(&journal.spool, &journal.offsets).unwrap();
    let mut oldest = Vec::new();
    loop {
        oldest.push(count(&journal).oldest_ms);
        let chunk = round.read_chunk(1, |_, _| {}).unwrap();
        journal.offsets.extend(chunk.offsets);
        if !chunk.more {
            break;
        }
    }
    assert_eq!(oldest, [Some(9_019), Some(4_019), Some(4_029), Some(9_049)]);
    assert_eq!(count(&journal), Backlog::default());
}

#[test]
fn a_thousand_segments_are_counted_exactly_with_one_read_each() {
    let journal = Journal::new();
    let records: Vec<_> = (0..3).map(|number| (number, "event".to_owned())).collect();
    for created_boot_ns in 0..1_000 {
        let header = Header {
            boot_count: 1,
            created_boot_ns,
            created_wall_ms: 0,
        };
        journal.write_segment(&header, &records);
    }
    let (reads_before, _) = reads();
    assert_eq!(journal.count(), 3_000);
    assert!(reads().0 - reads_before < 1_010);
}
