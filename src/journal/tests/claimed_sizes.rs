//! What a file says of its size, and what stands in a segment's place: a search costs what is there, and
//! nothing is lost that a writer may have written.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::{Duration, Instant};

use super::super::open_segment::LONGEST_SEGMENT_BYTES;
use super::super::segment_look::{Look, Search};
use super::super::staged_segment::{self, StagedSegment};
use super::*;
use crate::process::ClosedInChild;
use crate::spool::tests::new_spool_in;

const TERABYTE: u64 = 1 << 40;

/// What is found in `bytes`, which stand in a segment from 64 on.
fn find(bytes: &[u8]) -> Search {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("segment");
    fs::write(&path, [&[1; segment::HEADER_LEN], bytes].concat()).unwrap();
    let size = fs::metadata(&path).unwrap().len();
    let mut look = Look::open(ClosedInChild::new(File::open(path).unwrap()), size);
    look.created_boot_ns = 5;
    look.find_record("s", segment::HEADER_LEN as u64).unwrap()
}

fn record_at(offset: usize) -> Vec<u8> {
    let mut record = Vec::new();
    segment::begin_record(&mut record);
    let fill = |out: &mut Vec<u8>| {
        out.extend_from_slice(b"an event");
        Ok::<_, Error>(())
    };
    segment::push_fragment(&mut record, fill).unwrap();
    let position = Position {
        created_boot_ns: 5,
        offset: (segment::HEADER_LEN + offset) as u64,
    };
    segment::finish_record(&mut record, 1, 0, 7, position);
    record
}

/// How far the damage reaches, in how many pieces, and whether a record stands behind it.
fn found(bytes: &[u8]) -> (u64, usize, bool) {
    let search = find(bytes);
    let from = segment::HEADER_LEN as u64;
    (search.upto - from, search.damage.len(), search.is_record)
}

#[test]
fn damage_reaches_to_the_next_valid_header_and_not_to_bytes_that_resemble_one() {
    let record = record_at(0);
    assert_eq!(found(&record), (0, 0, true));
    for cut in 1..record.len() {
        assert_eq!(found(&record[..cut]), (0, 0, false), "cut at {cut}");
    }
    let length = record.len() as u64;
    for bit in 0..record.len() * 8 {
        let mut flipped = record.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(found(&flipped), (length, 1, false), "bit {bit}");
    }
    let mut bytes = b"MREC, says an event, MREC and MREC again; MREC".to_vec();
    let length = bytes.len();
    bytes.extend(record_at(length));
    assert_eq!(found(&bytes), (length as u64, 1, true));

    // Longer than a window, and with the header across the end of one.
    const WINDOW: usize = 256 * 1024;
    for length in [5_000, 4_086, 4_086 + WINDOW, 4_086 + 2 * WINDOW, 600_000] {
        let zeros = vec![0; length];
        assert_eq!(found(&zeros), (0, 0, false), "{length}");
        let behind = [zeros, record_at(length)].concat();
        assert_eq!(found(&behind), (length as u64, 1, true), "{length}");
        assert!(find(&behind).damage[0].is_zero);
    }
}

/// Reads the rest of the journal, which has to take moments.
fn read_soon(journal: &mut Journal) -> Vec<String> {
    let begun = Instant::now();
    let events = journal.read_round();
    let _ = super::super::backlog::count(&journal.spool, &journal.offsets).unwrap();
    journal.tails();
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    events
}

fn damaged_names(journal: &Journal) -> Vec<String> {
    let entries = fs::read_dir(journal.spool.damaged().path());
    let entries = entries.into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[test]
fn a_segment_that_claims_a_terabyte_costs_what_it_holds() {
    let mut journal = Journal::new();
    let writer = journal.writer();
    append(&writer, &["one"]);
    append(&writer, &["two"]);
    drop(writer);
    let segment = journal.segments().remove(0);
    let file = File::options().write(true).open(&segment).unwrap();
    file.set_len(TERABYTE).unwrap();
    let count = super::super::backlog::count(&journal.spool, &journal.offsets).unwrap();
    assert_eq!(count.events, 2);
    let (_, journalled) = super::super::usage::journal_size(&journal.spool).unwrap();
    assert!(journalled <= LONGEST_SEGMENT_BYTES);

    assert_eq!(read_soon(&mut journal), ["one", "two"]);
    let (_, tail) = journal.tails().remove(0);
    assert_eq!(tail.upto, TERABYTE);
    // Zeros are nothing to save.
    assert!(!tail.keep_whole && tail.damage.is_empty(), "{tail:?}");
    assert!(tail.torn.is_some());

    // Somewhere in it stands something.
    file.write_all_at(b"bytes", TERABYTE / 2).unwrap();
    let (name, tail) = journal.tails().remove(0);
    assert!(tail.keep_whole && tail.torn.is_none(), "{tail:?}");
    let dir = journal.spool.journal().require().unwrap();
    let damaged = journal.spool.damaged().ensure().unwrap();
    let kept = removal::keep_segment(&dir, &damaged, (&name, &tail), tail.upto).unwrap();
    assert_eq!(kept, Removal::Removed);
    assert!(journal.segments().is_empty());
    // The two events are delivered, and must not come again from there.
    let kept = format!("{name}.from-{}", journal.offsets[&name]);
    assert_eq!(damaged_names(&journal), [&*kept]);
    let about = fs::metadata(damaged.path(&kept)).unwrap();
    assert_eq!(about.len(), TERABYTE);
    assert!(about.blocks() < 1_000, "{}", about.blocks());
}

#[test]
fn damage_is_searched_as_far_as_a_writers_segment_can_reach_and_the_rest_is_kept_whole() {
    for byte in [0, b'x'] {
        let mut journal = Journal::new();
        let writer = journal.writer();
        append(&writer, &["one"]);
        drop(writer);
        let segment = journal.segments().remove(0);
        let mut file = File::options().append(true).open(&segment).unwrap();
        let block = [byte; 1024 * 1024];
        for _ in 0..=LONGEST_SEGMENT_BYTES / block.len() as u64 + 1 {
            std::io::Write::write_all(&mut file, &block).unwrap();
        }
        assert_eq!(read_soon(&mut journal), ["one"]);
        let (_, tail) = journal.tails().remove(0);
        assert!(tail.keep_whole && tail.damage.len() == 1, "{tail:?}");
    }
}

#[test]
fn an_import_that_is_queued_as_a_whole_is_read_to_its_end_however_long_it_is() {
    let mut journal = Journal::new();
    let imports = journal.spool.imports();
    imports.ensure().unwrap();
    let mut staged = StagedSegment::create(&journal.spool, &imports).unwrap();
    let large = vec![b'x'; 1024 * 1024];
    let number = LONGEST_SEGMENT_BYTES / large.len() as u64 + 2;
    for _ in 0..number {
        staged.push(&large).unwrap();
    }
    let name = staged.complete().unwrap();
    staged_segment::publish(&journal.spool, &imports, &name).unwrap();
    let (_, journalled) = super::super::usage::journal_size(&journal.spool).unwrap();
    assert!(journalled > LONGEST_SEGMENT_BYTES);
    let count = super::super::backlog::count(&journal.spool, &journal.offsets).unwrap();
    assert_eq!(count.events, number);
    assert_eq!(read_soon(&mut journal).len() as u64, number);
    assert_eq!(journal.remove_finished(), [Removal::Removed]);
}

#[test]
fn a_record_behind_a_hole_is_found_and_the_hole_is_no_damage_to_save() {
    let mut journal = Journal::new();
    let header = Header {
        boot_count: 1,
        created_boot_ns: 5,
        created_wall_ms: 0,
    };
    let path = journal.write_segment(&header, &[(6, "one".to_owned())]);
    let hole = TERABYTE;
    let begin = fs::metadata(&path).unwrap().len();
    let file = File::options().write(true).open(&path).unwrap();
    let offset = begin + hole - segment::HEADER_LEN as u64;
    file.write_all_at(&record_at(offset as usize), begin + hole)
        .unwrap();

    let begun = Instant::now();
    let (events, damage) = journal.read_round_in_chunks(1);
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(events, ["one", "an event"]);
    assert_eq!(damage.len(), 1);
    assert!(damage[0].is_zero);
    assert_eq!((damage[0].offset, damage[0].length), (begin, hole));
}

#[test]
fn damage_is_saved_with_its_holes() {
    let journal = Journal::new();
    let dir = journal.spool.journal().ensure().unwrap();
    let file = File::create(dir.path("a.segment")).unwrap();
    let length = 60 * 1024 * 1024;
    file.set_len(length).unwrap();
    for at in [100, 40 * 1024 * 1024] {
        file.write_all_at(b"bytes", at).unwrap();
    }
    let damage = Damage {
        segment: "a.segment".to_owned(),
        offset: 99,
        length: length - 99,
        is_zero: false,
    };
    for _ in 0..2 {
        super::super::damage::save(&journal.spool, &dir, std::slice::from_ref(&damage)).unwrap();
        assert_eq!(damaged_names(&journal), ["a.segment-99"]);
    }
    let saved = journal.spool.damaged().path().join("a.segment-99");
    let about = fs::metadata(&saved).unwrap();
    assert_eq!(about.len(), length - 99);
    assert!(about.blocks() * 512 < 2 * 1024 * 1024, "{}", about.blocks());
    let bytes = fs::read(&saved).unwrap();
    assert!(bytes.starts_with(b"\0bytes\0"));
    assert_eq!(bytes[40 * 1024 * 1024 - 99..][..5], *b"bytes");
}

#[test]
fn a_file_with_a_segments_name_in_which_nothing_can_be_read_is_kept_whole() {
    for (content, kept) in [(&b"x".repeat(3_000)[..], true), (&[0; 3_000], false)] {
        let mut journal = Journal::new();
        let dir = journal.spool.journal().ensure().unwrap();
        let name = "00000001-00000000000000000005-7-00000001.segment";
        fs::write(dir.path(name), content).unwrap();
        assert!(journal.read_round().is_empty());
        // Nothing is said before its writer is known to have ended.
        assert!(journal.offsets.is_empty(), "{:?}", journal.offsets);
        let (_, tail) = journal.tails().remove(0);
        assert_eq!(tail.keep_whole, kept);
        assert_eq!(tail.upto, 3_000);
        assert!(!tail.damage.is_empty());
    }
}

#[test]
fn names_of_any_number_that_are_no_segments_are_counted_and_few_are_kept() {
    let mut journal = Journal::new();
    append(&journal.writer(), &["one"]);
    let dir = journal.spool.journal().path();
    for number in 0..500 {
        fs::write(dir.join(format!("stranger-{number:03}")), "").unwrap();
    }
    assert_eq!(
        super::super::usage::journal_size(&journal.spool).unwrap().0,
        1
    );
    let round = Round::begin(&journal.spool, &journal.offsets).unwrap();
    assert_eq!(round.foreign().count, 500);
    let first: Vec<String> = (0..10)
        .map(|number| format!("stranger-{number:03}"))
        .collect();
    assert_eq!(round.foreign().first, first);
    drop(round);
    assert_eq!(journal.read_round(), ["one"]);
}

#[test]
fn a_segment_is_kept_whole_also_where_damaged_is_on_another_disk() {
    let journal = Journal::new();
    let dir = journal.spool.journal().ensure().unwrap();
    let on_disk = journal.spool.damaged().ensure().unwrap();
    let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
    let other = new_spool_in(elsewhere.path());
    let in_memory = other.damaged().ensure().unwrap();
    for damaged in [&on_disk, &in_memory] {
        fs::write(dir.path("a.segment"), "no segment").unwrap();
        let tail = Tail::default();
        let removal = removal::keep_segment(&dir, damaged, ("a.segment", &tail), u64::MAX);
        assert_eq!(removal.unwrap(), Removal::Removed);
        assert!(!fs::exists(dir.path("a.segment")).unwrap());
        let mut kept = fs::read_dir(damaged.path("")).unwrap();
        let kept = kept.next().unwrap().unwrap().path();
        assert_eq!(fs::read(kept).unwrap(), b"no segment");
    }
}
