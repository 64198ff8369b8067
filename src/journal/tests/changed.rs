//! What an application or another program does to the segment that a writer has open.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::*;
use crate::journal::writer::ChangedSegment;
use crate::spool::FULL_SEEN_WITHIN;

/// Appends one event; says what the writer reports of an earlier segment.
fn append_one(writer: &Writer, event: &str) -> Option<ChangedSegment> {
    let appended = writer.append(|record, _| {
        segment::push_fragment(record, |out| {
            out.extend_from_slice(event.as_bytes());
            Ok::<_, Error>(())
        })?;
        Ok(1)
    });
    appended.unwrap()
}

fn only_segment(journal: &Journal) -> PathBuf {
    match &*journal.segments() {
        [one] => one.clone(),
        several => panic!("{several:?}"),
    }
}

/// The descriptor under which this process has the file open.
fn descriptor_of(path: &Path) -> RawFd {
    let open = fs::read_dir("/proc/self/fd").unwrap();
    let mut open = open.map(|entry| entry.unwrap().path());
    let found = open.find(|fd| fs::read_link(fd).is_ok_and(|open| open == path));
    let name = found.unwrap().file_name().unwrap().to_owned();
    name.to_str().unwrap().parse().unwrap()
}

type Change = fn(&Path);

/// What is done, and whether a writer that appends before it looks notices it.
const CHANGES: [(&str, bool, Change); 6] = [
    ("truncate -s 0", true, |segment| {
        File::options()
            .write(true)
            .open(segment)
            .unwrap()
            .set_len(0)
            .unwrap();
    }),
    ("truncate -s 1M", true, |segment| {
        File::options()
            .write(true)
            .open(segment)
            .unwrap()
            .set_len(1 << 20)
            .unwrap();
    }),
    ("copytruncate", true, |segment| {
        fs::copy(segment, segment.with_extension("1")).unwrap();
        File::options()
            .write(true)
            .open(segment)
            .unwrap()
            .set_len(0)
            .unwrap();
        fs::remove_file(segment.with_extension("1")).unwrap();
    }),
    ("cp of an older backup over it", false, |segment| {
        let whole = fs::read(segment).unwrap();
        fs::write(segment, &whole[..whole.len() / 2]).unwrap();
    }),
    ("mv of a backup over it", true, |segment| {
        let backup = segment.with_extension("backup");
        fs::copy(segment, &backup).unwrap();
        fs::rename(&backup, segment).unwrap();
    }),
    ("rm", true, |segment| fs::remove_file(segment).unwrap()),
];

#[test]
fn a_segment_that_another_program_changes_is_left_within_10_ms_and_nothing_after_is_lost() {
    for (what, is_noticed, change) in CHANGES {
        for is_taken_over in [false, true] {
            let mut journal = Journal::new();
            let writer = journal.writer();
            for number in 0..50 {
                assert_eq!(append_one(&writer, &format!("before {number}")), None);
            }
            if is_taken_over {
                assert_eq!(journal.read_round().len(), 50);
            }
            let segment = only_segment(&journal);
            change(&segment);
            // Until it is noticed.
            let (begun, mut meanwhile) = (Instant::now(), 0);
            loop {
                let is_late = begun.elapsed() >= FULL_SEEN_WITHIN;
                let reported = append_one(&writer, &format!("meanwhile {meanwhile}"));
                meanwhile += 1;
                if let Some(reported) = reported {
                    assert_eq!(*reported.name, *segment.file_name().unwrap(), "{what}");
                    assert!(reported.events >= 50, "{what}");
                    break;
                }
                assert!(!(is_late && is_noticed), "{what}: it was not noticed");
                if is_late {
                    break;
                }
            }
            for number in 0..50 {
                assert_eq!(append_one(&writer, &format!("after {number}")), None);
            }
            let read = journal.read_round();
            let are_read = |kind: &str, count: usize| {
                let events = read.iter().filter(|event| event.starts_with(kind)).cloned();
                events.eq((0..count).map(|number| format!("{kind} {number}")))
            };
            assert!(are_read("after", 50), "{what}: {read:?}");
            // What is appended to a file that was cut stands where it belongs.
            if !["rm", "mv of a backup over it"].contains(&what) {
                assert!(are_read("meanwhile", meanwhile), "{what}: {read:?}");
            }
        }
    }
}

#[test]
fn an_application_that_has_got_the_number_of_a_segment_finds_nothing_of_ours_in_its_file() {
    let mut journal = Journal::new();
    let writer = journal.writer();
    append_one(&writer, "before");
    let number = descriptor_of(&only_segment(&journal));
    let path = journal.spool.dir().join("foreign");
    let mut foreign = File::options()
        .create(true)
        .append(true)
        .read(true)
        .open(&path)
        .unwrap();
    foreign.write_all(b"of the application").unwrap();
    // SAFETY: puts a file in the place of the library's, as an application may.
    assert_eq!(unsafe { libc::dup2(foreign.as_raw_fd(), number) }, number);
    // Its segment is whole, and only left: nothing is reported.
    assert_eq!(append_one(&writer, "after"), None);
    writer.close();
    assert_eq!(fs::read(&path).unwrap(), b"of the application");
    let open = fs::read_link(format!("/proc/self/fd/{number}"));
    assert_eq!(open.unwrap(), path);
    assert_eq!(journal.read_round(), ["before", "after"]);
    // SAFETY: closes what this test has put there.
    unsafe { libc::close(number) };
}

#[test]
fn the_tail_of_a_segment_that_was_cut_says_how_much_of_what_was_taken_over_is_missing() {
    let mut journal = Journal::new();
    let writer = journal.writer();
    append_one(&writer, "an event");
    journal.read_round();
    let segment = only_segment(&journal);
    let name = segment.file_name().unwrap().to_str().unwrap().to_owned();
    let taken = journal.offsets[&name];
    let dir = journal.spool.journal().require().unwrap();
    for size in [taken, taken - 1, 64, 10, 0] {
        let file = File::options().write(true).open(&segment).unwrap();
        file.set_len(size).unwrap();
        let tail = removal::read_tail(&journal.spool, &dir, &name, taken)
            .unwrap()
            .unwrap();
        assert_eq!((tail.missing, tail.upto), (taken - size, size));
    }
    drop(writer);
    let removed = removal::remove_segment(&dir, &name, taken).unwrap();
    assert_eq!(removed, Removal::Removed);
}
