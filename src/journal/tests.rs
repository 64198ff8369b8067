//! Journal promises that need both sides, on a real directory.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::damaged::set_aside;
use super::ending::{self, Removal, Tail, Torn};
use super::reader::{Chunk, Damage, Offsets, Round};
use super::segment;
use super::writer::{SEGMENT_BYTES, Safety, Writer};
use crate::error::{Error, ErrorKind};
use crate::spool::{Belonging, NetworkFileSystem, Spool};

const BELONGING: Belonging<'_> = Belonging {
    endpoint: "https://api.example/events",
    account: "",
};

struct Journal {
    _dir: tempfile::TempDir,
    spool: Arc<Spool>,
    offsets: Offsets,
}

impl Journal {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spool");
        let spool = Spool::open(&path, BELONGING, NetworkFileSystem::Refuse).unwrap();
        Self {
            _dir: dir,
            spool: Arc::new(spool),
            offsets: Offsets::new(),
        }
    }

    fn writer(&self) -> Writer {
        Writer::new(self.spool.clone(), Safety::Process, 0)
    }

    /// One whole round, in chunks of about `chunk_bytes`.
    fn take_by(&mut self, chunk_bytes: usize) -> (Vec<String>, Vec<Damage>) {
        let (mut events, mut damage) = (Vec::new(), Vec::new());
        let mut round = Round::begin(&self.spool, &self.offsets).unwrap();
        loop {
            let Chunk {
                offsets,
                damage: passed,
                more,
            } = round
                .take(chunk_bytes, |fragment, _| {
                    events.push(String::from_utf8(fragment.to_vec()).unwrap());
                })
                .unwrap();
            self.offsets.extend(offsets);
            damage.extend(passed);
            if !more {
                return (events, damage);
            }
        }
    }

    fn take(&mut self) -> Vec<String> {
        self.take_by(usize::MAX).0
    }

    /// As if the host had restarted: the segments are of an earlier boot.
    fn reboot(&mut self) {
        let identity = self.spool.dir().join("identity.json");
        let mut text: serde_json::Value =
            serde_json::from_slice(&fs::read(&identity).unwrap()).unwrap();
        text["boot_id"] = "an earlier boot".into();
        fs::write(&identity, text.to_string()).unwrap();
        self.spool =
            Arc::new(Spool::open(self.spool.dir(), BELONGING, NetworkFileSystem::Refuse).unwrap());
    }

    fn segments(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.spool.journal()) else {
            return Vec::new();
        };
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    }

    /// What stands at the ends of the segments that were read, as far as their writers have ended.
    fn tails(&mut self) -> Vec<(String, Tail)> {
        let round = Round::begin(&self.spool, &self.offsets).unwrap();
        let finished = round.finished();
        finished
            .filter(|(name, _)| ending::is_abandoned(&self.spool, name))
            .filter_map(|(name, at)| {
                let tail = ending::tail(&self.spool, name, at).unwrap()?;
                Some((name.to_owned(), tail))
            })
            .collect()
    }

    fn remove_finished(&mut self) -> Vec<Removal> {
        for (name, tail) in self.tails() {
            self.offsets.insert(name, tail.upto);
        }
        let round = Round::begin(&self.spool, &self.offsets).unwrap();
        round
            .finished()
            .map(|(name, at)| ending::remove(&self.spool, name, at).unwrap())
            .collect()
    }
}

fn append(writer: &Writer, fragments: &[&str]) {
    writer
        .append(|buffer| {
            for fragment in fragments {
                segment::push_fragment(buffer, |out| {
                    out.extend_from_slice(fragment.as_bytes());
                    Ok::<_, Error>(())
                })?;
            }
            Ok(fragments.len() as u32)
        })
        .unwrap();
}

#[test]
fn writers_that_begin_a_new_spool_at_the_same_moment_all_succeed() {
    for _ in 0..200 {
        let journal = Journal::new();
        let start = std::sync::Barrier::new(4);
        let writers = [(); 4].map(|()| journal.writer());
        std::thread::scope(|scope| {
            for writer in &writers {
                scope.spawn(|| {
                    start.wait();
                    append(writer, &["event"]);
                });
            }
        });
    }
}

#[test]
fn what_happened_before_is_taken_over_before_across_writers() {
    let mut journal = Journal::new();
    let writers = [journal.writer(), journal.writer(), journal.writer()];
    let mut expected = Vec::new();
    for number in 0..3_000 {
        let event = format!("event {number}");
        append(&writers[number * 7 % 3], &[&event]);
        expected.push(event);
    }
    // Small chunks force merging across many refills.
    assert_eq!(journal.take_by(100).0, expected);
    assert!(journal.take().is_empty(), "taken over twice");
}

#[test]
fn a_batch_is_one_record_and_stays_together() {
    let mut journal = Journal::new();
    let writer = journal.writer();
    append(&writer, &["a", "b", "c"]);
    append(&writer, &["d"]);
    assert_eq!(journal.take_by(1).0, ["a", "b", "c", "d"]);
}

#[test]
fn a_refused_event_leaves_nothing_behind() {
    let mut journal = Journal::new();
    let writer = journal.writer();
    append(&writer, &["good"]);
    let refusal = writer.append(|buffer| {
        segment::push_fragment(buffer, |out| {
            out.extend_from_slice(b"half written");
            Err(Error::new(ErrorKind::InvalidEvent, "bad"))
        })?;
        Ok(1)
    });
    assert_eq!(refusal.unwrap_err().kind(), ErrorKind::InvalidEvent);
    append(&writer, &["good again"]);
    assert_eq!(journal.take(), ["good", "good again"]);
}

fn cut(segment: &Path, bytes: u64) {
    let file = OpenOptions::new().write(true).open(segment).unwrap();
    file.set_len(file.metadata().unwrap().len() - bytes)
        .unwrap();
}

#[test]
fn a_torn_tail_of_a_dead_writer_is_told_and_its_segment_removed() {
    let mut journal = Journal::new();
    let writer = journal.writer();
    append(&writer, &["whole"]);
    append(&writer, &["torn in the middle"]);
    drop(writer);
    cut(&journal.segments()[0], 5);

    assert_eq!(journal.take(), ["whole"]);
    let (_, tail) = journal.tails().remove(0);
    assert!(tail.damage.is_empty());
    let torn = tail.torn.unwrap();
    // In the same boot nothing of it was acknowledged.
    assert_eq!((torn.bytes, torn.keep), (45, None));
    assert_eq!(journal.remove_finished(), [Removal::Removed]);
    assert!(journal.segments().is_empty());
}

#[test]
fn what_a_power_cut_has_torn_is_kept_and_what_it_has_zeroed_is_told() {
    for (zeros, kept) in [(0, true), (45, false)] {
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

        assert_eq!(journal.take(), ["whole"]);
        let Some(Torn { bytes: 45, keep }) = journal.tails().remove(0).1.torn else {
            panic!("not torn");
        };
        assert_eq!(keep.is_some(), kept);
        assert_eq!(journal.remove_finished(), [Removal::Removed]);
    }
}

#[test]
fn a_segment_that_is_empty_after_a_reboot_is_told_and_one_of_this_boot_is_not() {
    let mut journal = Journal::new();
    append(&journal.writer(), &["gone"]);
    let segment = journal.segments().remove(0);
    OpenOptions::new()
        .write(true)
        .open(segment)
        .unwrap()
        .set_len(0)
        .unwrap();
    assert!(journal.take().is_empty());
    assert_eq!(journal.tails()[0].1.torn, None);
    journal.reboot();
    assert!(journal.tails()[0].1.torn.is_some());
    assert_eq!(journal.remove_finished(), [Removal::Removed]);
}

#[test]
fn damage_is_reported_and_reading_goes_on_behind_it_wherever_it_is() {
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
        let (events, mut damage) = journal.take_by(1);
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
        assert_eq!(damage[0].bytes, hit[hit_from..hit_from + length]);
    }
    assert_eq!(journal.remove_finished(), [Removal::Removed]);
}

#[test]
fn a_damaged_header_is_told_once() {
    let mut journal = Journal::new();
    let writer = journal.writer();
    append(&writer, &["one"]);
    let segment = journal.segments().remove(0);
    let mut bytes = fs::read(&segment).unwrap();
    bytes[3] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let (events, damage) = journal.take_by(1);
    assert_eq!((events.len(), damage.len()), (1, 1));
    append(&writer, &["two"]);
    let (events, damage) = journal.take_by(1);
    assert_eq!((events.len(), damage.len()), (1, 0));
}

#[test]
fn damaged_bytes_are_never_overwritten_by_others() {
    let journal = Journal::new();
    let damage = |bytes: &[u8]| Damage {
        segment: "a.log".to_owned(),
        offset: 7,
        bytes: bytes.to_vec(),
    };
    for bytes in [&b"one"[..], b"one", b"two", b"\0\0", b"one", b"two"] {
        set_aside(&journal.spool, &damage(bytes)).unwrap();
    }
    let read = |name| fs::read(journal.spool.damaged().join(name)).unwrap();
    assert_eq!(read("a.log-7"), b"one");
    assert_eq!(read("a.log-7-2"), b"two");
    assert_eq!(fs::read_dir(journal.spool.damaged()).unwrap().count(), 2);
}

#[test]
fn a_segment_in_use_is_never_removed_and_an_idle_one_goes_when_its_writer_ends() {
    let mut journal = Journal::new();
    let writer = journal.writer();
    append(&writer, &["one"]);
    journal.take();
    assert_eq!(journal.remove_finished(), [Removal::Kept]);
    append(&writer, &["two"]);
    assert_eq!(journal.take(), ["two"]);
    drop(writer);
    assert_eq!(journal.remove_finished(), [Removal::Removed]);
}

#[test]
fn a_record_that_came_after_the_reading_keeps_its_segment() {
    let mut journal = Journal::new();
    let writer = journal.writer();
    append(&writer, &["one"]);
    journal.take();
    let (name, taken) = journal.offsets.clone().into_iter().next().unwrap();
    append(&writer, &["late"]);
    drop(writer);
    assert_eq!(
        ending::remove(&journal.spool, &name, taken).unwrap(),
        Removal::Kept
    );
    assert_eq!(ending::tail(&journal.spool, &name, taken).unwrap(), None);
    assert_eq!(journal.take(), ["late"]);
}

#[test]
fn a_full_segment_is_followed_by_a_new_one() {
    let mut journal = Journal::new();
    let writer = journal.writer();
    let large = "x".repeat(1024 * 1024);
    for _ in 0..=SEGMENT_BYTES / large.len() as u64 {
        append(&writer, &[&large]);
    }
    assert_eq!(journal.segments().len(), 2);
    assert_eq!(journal.take().len(), 9);
}

#[test]
fn a_spool_limit_refuses_and_lets_go_when_space_is_back() {
    let mut journal = Journal::new();
    let writer = Writer::new(journal.spool.clone(), Safety::Process, 4_096);
    let half = "x".repeat(3_000);
    append(&writer, &[&half]);
    drop(writer);
    let writer = Writer::new(journal.spool.clone(), Safety::Process, 4_096);
    let refused = writer.append(|buffer| {
        segment::push_fragment(buffer, |out| {
            out.extend_from_slice(half.as_bytes());
            Ok::<_, Error>(())
        })?;
        Ok(1)
    });
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::SpoolFull);
    assert_eq!(journal.take().len(), 1);
    journal.remove_finished();
    append(&writer, &[&half]);
    assert_eq!(journal.take().len(), 1);
}

#[test]
fn every_thread_that_asked_for_power_safety_gets_its_answer() {
    let mut journal = Journal::new();
    let writer = Writer::new(journal.spool.clone(), Safety::Power, 0);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let writer = &writer;
            scope.spawn(move || {
                for number in 0..25 {
                    append(writer, &[&format!("{thread}:{number}")]);
                }
            });
        }
    });
    let events = journal.take();
    for thread in 0..4 {
        let of_thread: Vec<_> = events
            .iter()
            .filter(|e| e.starts_with(&format!("{thread}:")))
            .collect();
        let expected: Vec<_> = (0..25).map(|n| format!("{thread}:{n}")).collect();
        assert_eq!(of_thread, expected.iter().collect::<Vec<_>>());
    }
}

#[test]
fn what_is_no_segment_is_left_alone_and_named() {
    let mut journal = Journal::new();
    append(&journal.writer(), &["one"]);
    let segment = journal.segments().remove(0);
    let dir = journal.spool.journal();
    fs::write(dir.join("notes.txt"), "hello").unwrap();
    fs::write(dir.join("access.log"), "GET /").unwrap();
    // These have a segment's name.
    fs::create_dir(dir.join("00000001-1-1-1.log")).unwrap();
    symlink(&segment, dir.join("00000001-1-1-2.log")).unwrap();
    let pipe = dir.join("00000001-1-1-3.log");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();

    assert_eq!(journal.take(), ["one"]);
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
            "00000001-1-1-1.log",
            "00000001-1-1-2.log",
            "00000001-1-1-3.log",
            "access.log",
            "notes.txt"
        ]
    );
    let round = Round::begin(&journal.spool, &journal.offsets).unwrap();
    assert_eq!(round.foreign(), names);
}

#[test]
fn a_segment_of_a_newer_version_stops_the_round_and_stays() {
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
                let (name, at) = round.finished().next().unwrap();
                ending::tail(&journal.spool, name, at).unwrap_err()
            }
        };
        assert_eq!(refused.kind(), ErrorKind::Store);
        assert!(refused.message().contains("newer"), "{refused}");
    }
    journal.offsets.clear();
    assert!(segment.exists());
}
