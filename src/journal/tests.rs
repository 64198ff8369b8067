//! Promises of the journal that writers and the sender keep together, in a real directory.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::damage::Damage;
use super::open_segment::SEGMENT_BYTES;
use super::removal::{self, Removal, Tail};
use super::round::{Chunk, Offsets, Round};
use super::segment::{self, Header, Position};
use super::writer::{RecordDurability, Writer};
use crate::error::{Error, ErrorKind};
use crate::spool::{Destination, NetworkFileSystem, Spool};

mod changed;
mod claimed_sizes;
mod count;
mod damage;
mod many_segments;
mod measure;

const DESTINATION: Destination<'_> = Destination {
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
        let spool = Spool::open(&path, DESTINATION, NetworkFileSystem::Refuse).unwrap();
        Self {
            _dir: dir,
            spool: Arc::new(spool),
            offsets: Offsets::new(),
        }
    }

    fn writer(&self) -> Writer {
        Writer::new(self.spool.clone(), RecordDurability::Process, 0)
    }

    /// Writes a segment by hand, so that the times of its records are known; returns its path.
    fn write_segment(&self, header: &Header, records: &[(u64, String)]) -> PathBuf {
        let mut bytes = header.encode().to_vec();
        for (number, (boot_ns, event)) in records.iter().enumerate() {
            let mut record = Vec::new();
            segment::begin_record(&mut record);
            segment::push_fragment(&mut record, |out| {
                out.extend_from_slice(event.as_bytes());
                Ok::<_, Error>(())
            })
            .unwrap();
            let position = Position {
                created_boot_ns: header.created_boot_ns,
                offset: bytes.len() as u64,
            };
            segment::finish_record(&mut record, 1, number as u32, *boot_ns, position);
            bytes.extend(record);
        }
        let dir = self.spool.journal().path();
        self.spool.journal().ensure().unwrap();
        let path = dir.join(segment::file_name(header, 1, 0));
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Reads one whole round, in chunks of about `chunk_bytes`.
    fn read_round_in_chunks(&mut self, chunk_bytes: usize) -> (Vec<String>, Vec<Damage>) {
        let (mut events, mut damage) = (Vec::new(), Vec::new());
        let mut round = Round::begin(&self.spool, &self.offsets).unwrap();
        loop {
            let Chunk {
                offsets,
                damage: passed,
                more,
            } = round
                .read_chunk(chunk_bytes, |fragment, _| {
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

    fn read_round(&mut self) -> Vec<String> {
        self.read_round_in_chunks(usize::MAX).0
    }

    /// Makes the segments belong to an earlier boot, as if the host had restarted.
    fn reboot(&mut self) {
        let identity = self.spool.dir().join("identity.json");
        let mut text: serde_json::Value =
            serde_json::from_slice(&fs::read(&identity).unwrap()).unwrap();
        text["boot_id"] = "an earlier boot".into();
        fs::write(&identity, text.to_string()).unwrap();
        self.spool = Arc::new(
            Spool::open(self.spool.dir(), DESTINATION, NetworkFileSystem::Refuse).unwrap(),
        );
    }

    fn segments(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.spool.journal().path()) else {
            return Vec::new();
        };
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    }

    /// The tails of the segments that were read and whose writers have ended.
    fn tails(&mut self) -> Vec<(String, Tail)> {
        let round = Round::begin(&self.spool, &self.offsets).unwrap();
        let finished = round.finished_segments();
        finished
            .filter(|(name, _)| removal::is_abandoned(round.journal(), name))
            .filter_map(|(name, at)| {
                let tail = removal::read_tail(&self.spool, round.journal(), name, at).unwrap()?;
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
            .finished_segments()
            .map(|(name, at)| removal::remove_segment(round.journal(), name, at).unwrap())
            .collect()
    }
}

fn append(writer: &Writer, fragments: &[&str]) {
    writer
        .append(|buffer, _| {
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
fn writers_that_create_the_first_segments_of_a_spool_at_the_same_moment_all_succeed() {
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
fn events_of_several_writers_are_read_in_the_order_of_their_enqueue() {
    let mut journal = Journal::new();
    let writers = [journal.writer(), journal.writer(), journal.writer()];
    let mut expected = Vec::new();
    for number in 0..3_000 {
        let event = format!("event {number}");
        append(&writers[number * 7 % 3], &[&event]);
        expected.push(event);
    }
    // Small chunks force merging across many refills.
    assert_eq!(journal.read_round_in_chunks(100).0, expected);
    assert!(journal.read_round().is_empty(), "taken over twice");
}

#[test]
fn threads_that_contend_get_more_segments_and_their_events_keep_the_order_of_enqueue() {
    let mut journal = Journal::new();
    let writer = journal.writer();
    let turn = AtomicUsize::new(0);
    let segments = || journal.segments().len();
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                loop {
                    // A turn is one append by the first thread that comes; the next turn begins
                    // after it.
                    let mine = turn.load(Ordering::Acquire);
                    if mine % 2 == 1 {
                        std::hint::spin_loop();
                    } else if turn
                        .compare_exchange(mine, mine + 1, Ordering::AcqRel, Ordering::Relaxed)
                        .is_ok()
                    {
                        append(&writer, &[&format!("{:09}", mine / 2)]);
                        turn.store(mine + 2, Ordering::Release);
                        if mine >= 4_000 && segments() > 1 {
                            break;
                        }
                    }
                }
            });
            threads.spawn(|| {
                while turn.load(Ordering::Relaxed) < 4_000 || segments() == 1 {
                    append(&writer, &["noise"]);
                }
            });
        }
    });
    let mut taken = journal.read_round();
    taken.retain(|event| event != "noise");
    assert!(taken.len() > 2_000);
    assert!(taken.is_sorted(), "not in the order of their enqueue");
}

#[test]
fn the_events_of_a_batch_stay_together_in_one_record() {
    let mut journal = Journal::new();
    let writer = journal.writer();
    append(&writer, &["a", "b", "c"]);
    append(&writer, &["d"]);
    assert_eq!(journal.read_round_in_chunks(1).0, ["a", "b", "c", "d"]);
}

#[test]
fn an_invalid_event_leaves_nothing_in_the_journal() {
    let mut journal = Journal::new();
    let writer = journal.writer();
    append(&writer, &["good"]);
    let refusal = writer.append(|buffer, _| {
        segment::push_fragment(buffer, |out| {
            out.extend_from_slice(b"half written");
            Err(Error::new(ErrorKind::InvalidEvent, "bad"))
        })?;
        Ok(1)
    });
    assert_eq!(refusal.unwrap_err().kind(), ErrorKind::InvalidEvent);
    append(&writer, &["good again"]);
    assert_eq!(journal.read_round(), ["good", "good again"]);
}

#[test]
fn a_segment_is_removed_only_after_its_writer_has_ended() {
    let mut journal = Journal::new();
    let writer = journal.writer();
    append(&writer, &["one"]);
    journal.read_round();
    assert_eq!(journal.remove_finished(), [Removal::Kept]);
    append(&writer, &["two"]);
    assert_eq!(journal.read_round(), ["two"]);
    drop(writer);
    assert_eq!(journal.remove_finished(), [Removal::Removed]);
}

#[test]
fn a_segment_with_a_record_that_was_not_read_is_kept() {
    let mut journal = Journal::new();
    let writer = journal.writer();
    append(&writer, &["one"]);
    journal.read_round();
    let (name, taken) = journal.offsets.clone().into_iter().next().unwrap();
    append(&writer, &["late"]);
    drop(writer);
    let dir = journal.spool.journal().require().unwrap();
    assert_eq!(
        removal::remove_segment(&dir, &name, taken).unwrap(),
        Removal::Kept
    );
    let tail = removal::read_tail(&journal.spool, &dir, &name, taken);
    assert_eq!(tail.unwrap(), None);
    assert_eq!(journal.read_round(), ["late"]);
}

#[test]
fn a_writer_creates_a_new_segment_when_one_is_full() {
    let mut journal = Journal::new();
    let writer = journal.writer();
    let large = "x".repeat(1024 * 1024);
    for _ in 0..=SEGMENT_BYTES / large.len() as u64 {
        append(&writer, &[&large]);
    }
    assert_eq!(journal.segments().len(), 2);
    assert_eq!(journal.read_round().len(), 9);
}

#[test]
fn an_enqueue_beyond_the_spool_limit_is_refused_until_there_is_room_again() {
    let mut journal = Journal::new();
    let writer = Writer::new(journal.spool.clone(), RecordDurability::Process, 4_096);
    let half = "x".repeat(3_000);
    append(&writer, &[&half]);
    drop(writer);
    let writer = Writer::new(journal.spool.clone(), RecordDurability::Process, 4_096);
    let refused = writer.append(|buffer, _| {
        segment::push_fragment(buffer, |out| {
            out.extend_from_slice(half.as_bytes());
            Ok::<_, Error>(())
        })?;
        Ok(1)
    });
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::SpoolFull);
    assert_eq!(journal.read_round().len(), 1);
    journal.remove_finished();
    append(&writer, &[&half]);
    assert_eq!(journal.read_round().len(), 1);
}

#[test]
fn an_enqueue_with_power_durability_returns_in_every_thread() {
    let mut journal = Journal::new();
    let writer = Writer::new(journal.spool.clone(), RecordDurability::Power, 0);
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
    let events = journal.read_round();
    for thread in 0..4 {
        let of_thread: Vec<_> = events
            .iter()
            .filter(|e| e.starts_with(&format!("{thread}:")))
            .collect();
        let expected: Vec<_> = (0..25).map(|n| format!("{thread}:{n}")).collect();
        assert_eq!(of_thread, expected.iter().collect::<Vec<_>>());
    }
}
