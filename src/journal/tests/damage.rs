//! Torn tails, damaged bytes, and files in the journal that are no segments.

use std::fs::OpenOptions;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::super::removal::Torn;
use super::*;

fn cut(segment: &Path, bytes: u64) {
    let file = OpenOptions::new().write(true).open(segment).unwrap();
    file.set_len(file.metadata().unwrap().len() - bytes)
        .unwrap();
}

#[test]
fn the_torn_tail_of_a_dead_writer_is_reported_and_its_segment_removed() {
    let mut journal = Journal::new();
    let writer = journal.writer();
    append(&writer, &["whole"]);
    append(&writer, &["torn in the middle"]);
    drop(writer);
    cut(&journal.segments()[0], 5);

    assert_eq!(journal.read_round(), ["whole"]);
    let (_, tail) = journal.tails().remove(0);
    assert!(tail.damage.is_empty());
    let torn = tail.torn.unwrap();
    // In the same boot, none of the tail was acknowledged.
    assert_eq!((torn.bytes, torn.keep), (49, None));
    assert_eq!(journal.remove_finished(), [Removal::Removed]);
    assert!(journal.segments().is_empty());
}

#[test]
fn a_tail_that_a_power_cut_has_torn_is_saved_and_one_of_zeros_is_only_reported() {
    for (zeros, kept) in [(0, true), (49, false)] {
        let mut journal = Journal::new();
        let writer = journal.writer();
        append(&writer, &["whole"]);
        append(&writer, &["torn in the middle"]);
        drop(writer);
        let segment = journal.segments().remove(0);
        cut(&segment, 5);
        let mut bytes = fs::read(&segment).unwrap();
        let zero_from = bytes.len() - zeros;
        bytes[zero_from..].fill(0);
        fs::write(&segment, &bytes).unwrap();
        journal.reboot();

        assert_eq!(journal.read_round(), ["whole"]);
        let Some(Torn { bytes: 49, keep }) = journal.tails().remove(0).1.torn else {
            panic!("not torn");
        };
        assert_eq!(keep.is_some(), kept);
        assert_eq!(journal.remove_finished(), [Removal::Removed]);
    }
}

#[test]
fn an_empty_segment_is_reported_as_torn_only_after_a_reboot() {
    let mut journal = Journal::new();
    append(&journal.writer(), &["gone"]);
    let segment = journal.segments().remove(0);
    OpenOptions::new()
        .write(true)
        .open(segment)
        .unwrap()
        .set_len(0)
        .unwrap();
    assert!(journal.read_round().is_empty());
    assert_eq!(journal.tails()[0].1.torn, None);
    journal.reboot();
    assert!(journal.tails()[0].1.torn.is_some());
    assert_eq!(journal.remove_finished(), [Removal::Removed]);
}

#[test]
fn damage_anywhere_in_a_segment_is_reported_and_the_records_behind_it_are_read() {
    let event = "a payload long enough to be hit";
    let mut journal = Journal::new();
    let writer = journal.writer();
    for _ in 0..3 {
        append(&writer, &[event]);
    }
    drop(writer);
    let segment = journal.segments().remove(0);
    let bytes = fs::read(&segment).unwrap();
    let record = (bytes.len() - segment::HEADER_LEN) / 3;
    for offset in 0..bytes.len() {
        let mut hit = bytes.clone();
        hit[offset] ^= 0x40;
        fs::write(&segment, &hit).unwrap();
        journal.offsets.clear();
        let (events, mut damage) = journal.read_round_in_chunks(1);
        for (_, tail) in journal.tails() {
            assert_eq!(tail.torn, None, "byte {offset}");
            damage.extend(tail.damage);
        }
        let in_header = offset < segment::HEADER_LEN;
        let hit_from = if in_header {
            0
        } else {
            offset - (offset - segment::HEADER_LEN) % record
        };
        assert_eq!(events.len(), if in_header { 3 } else { 2 }, "byte {offset}");
        assert_eq!(damage.len(), 1, "byte {offset}");
        assert_eq!(damage[0].offset, hit_from as u64, "byte {offset}");
        let length = if in_header {
            segment::HEADER_LEN
        } else {
            record
        };
        assert_eq!(damage[0].length, length as u64, "byte {offset}");
        let dir = journal.spool.journal().require().unwrap();
        super::super::damage::save(&journal.spool, &dir, &damage).unwrap();
        let name = format!("{}-{hit_from}", damage[0].segment);
        let saved = journal.spool.damaged().path().join(name);
        assert_eq!(fs::read(&saved).unwrap(), hit[hit_from..hit_from + length]);
        fs::remove_file(&saved).unwrap();
    }
    assert_eq!(journal.remove_finished(), [Removal::Removed]);
}

#[test]
fn a_damaged_segment_header_is_reported_once() {
    let mut journal = Journal::new();
    let writer = journal.writer();
    append(&writer, &["one"]);
    let segment = journal.segments().remove(0);
    let mut bytes = fs::read(&segment).unwrap();
    bytes[3] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let (events, damage) = journal.read_round_in_chunks(1);
    assert_eq!((events.len(), damage.len()), (1, 1));
    append(&writer, &["two"]);
    let (events, damage) = journal.read_round_in_chunks(1);
    assert_eq!((events.len(), damage.len()), (1, 0));
}

#[test]
fn a_file_of_damaged_bytes_is_never_overwritten_by_other_bytes() {
    let journal = Journal::new();
    let dir = journal.spool.journal().ensure().unwrap();
    for bytes in [&b"one"[..], b"one", b"two", b"\0\0", b"one", b"two"] {
        fs::write(dir.path("a.segment"), [&[0; 7], bytes].concat()).unwrap();
        let damage = Damage {
            segment: "a.segment".to_owned(),
            offset: 7,
            length: bytes.len() as u64,
            is_zero: segment::is_zero(bytes),
        };
        super::super::damage::save(&journal.spool, &dir, &[damage]).unwrap();
    }
    let read = |name| fs::read(journal.spool.damaged().path().join(name)).unwrap();
    assert_eq!(read("a.segment-7"), b"one");
    assert_eq!(read("a.segment-7-2"), b"two");
    assert_eq!(
        fs::read_dir(journal.spool.damaged().path())
            .unwrap()
            .count(),
        2
    );
}

#[test]
fn files_in_the_journal_that_are_no_segments_are_left_alone_and_listed() {
    let mut journal = Journal::new();
    append(&journal.writer(), &["one"]);
    let segment = journal.segments().remove(0);
    let dir = journal.spool.journal().path();
    fs::write(dir.join("notes.txt"), "hello").unwrap();
    fs::write(dir.join("access.log"), "GET /").unwrap();
    // The following have a segment's name.
    fs::create_dir(dir.join("00000001-1-1-1.segment")).unwrap();
    symlink(&segment, dir.join("00000001-1-1-2.segment")).unwrap();
    let pipe = dir.join("00000001-1-1-3.segment");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();

    assert_eq!(journal.read_round(), ["one"]);
    journal.remove_finished();
    let mut left: Vec<_> = journal.segments();
    left.sort();
    let names: Vec<_> = left
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        names,
        [
            "00000001-1-1-1.segment",
            "00000001-1-1-2.segment",
            "00000001-1-1-3.segment",
            "access.log",
            "notes.txt"
        ]
    );
    let round = Round::begin(&journal.spool, &journal.offsets).unwrap();
    assert_eq!(round.foreign().first, names);
}

#[test]
fn a_segment_of_a_newer_version_fails_the_round_and_is_kept() {
    let mut journal = Journal::new();
    append(&journal.writer(), &["one"]);
    let segment = journal.segments().remove(0);
    let mut bytes = fs::read(&segment).unwrap();
    bytes[8] += 1;
    let crc = crc32c::crc32c(&bytes[..segment::HEADER_LEN - 4]);
    bytes[segment::HEADER_LEN - 4..segment::HEADER_LEN].copy_from_slice(&crc.to_le_bytes());
    fs::write(&segment, &bytes).unwrap();
    for size in [bytes.len(), segment::HEADER_LEN] {
        fs::write(&segment, &bytes[..size]).unwrap();
        let read = Round::begin(&journal.spool, &journal.offsets);
        let refused = match read {
            Err(e) => e,
            Ok(round) => {
                let (name, at) = round.finished_segments().next().unwrap();
                removal::read_tail(&journal.spool, round.journal(), name, at).unwrap_err()
            }
        };
        assert_eq!(refused.kind(), ErrorKind::Store);
        assert!(refused.message().contains("newer"), "{refused}");
    }
    journal.offsets.clear();
    assert!(segment.exists());
}
