//! Damage of every kind to every file of a store in a real directory, and what a recovery makes of it.

mod damage;
mod dying_disk;
mod emptied;
mod kills;
mod overlaps;
mod owed;
mod snapshot;
mod told;
mod unknown;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Repair, Salvage, recover};
use crate::error::Error;
use crate::error::PauseReason;
use crate::journal::segment;
use crate::journal::writer::{RecordDurability, Writer};
use crate::spool::Spool;
use crate::spool::tests::new_spool;
use crate::store::contract::{Change, FileStore, Store};
use crate::store::disk::Folder;
use crate::store::log_store::LogStore;
use crate::store::next_ledger::SpareLedger;
use crate::store::{
    InDoubt, LaneState, PauseState, Place, QueueState, Receipt, Rejected, RejectedFilter,
    RejectedReason, Run, Shares, Suspect, Totals,
};

const LANES: u8 = 2;
const REGULAR: Place = Place { lane: 0, queue: 0 };
const SUSPECTS: Place = Place { lane: 0, queue: 1 };
const OTHER: Place = Place { lane: 1, queue: 0 };
const EVENTS: usize = 5;

/// Users are called by their lane.
fn lane_of(user: &[u8], lanes: usize) -> usize {
    match user.starts_with(b"even") {
        true => 0,
        false => 1 % lanes,
    }
}

fn run_of(user: &str, first: usize) -> Run {
    let mut run = Run::default();
    for number in first..first + EVENTS {
        let fragment = format!(
            r#"{{"token":"t","partner_user_id":"{user}-{number}","event":"audio","received_at":"2026-01-01T00:00:00Z"}}"#
        );
        run.push(fragment.as_bytes(), number as i64);
    }
    run
}

fn rejected(number: usize) -> Rejected {
    Rejected {
        user: format!("even-{number}"),
        event: run_of("even", number).body,
        reason: RejectedReason::Refused,
        may_be_delivered: false,
        api_code: format!("A_{}", number % 2),
        message: "bad".to_owned(),
        http_status: Some(400),
        attempts: 1,
        first_ms: 1,
        last_ms: 2,
    }
}

fn append(place: Place, run: &Run) -> Change<'_> {
    Change::Append {
        place,
        origin: None,
        run,
    }
}

/// What a store holds: events that wait by their place, rejected events by their id.
#[derive(Debug, Clone, Default, PartialEq)]
struct Contents {
    waiting: BTreeMap<Place, Vec<String>>,
    rejected: BTreeMap<i64, Rejected>,
}

impl Contents {
    fn events(&self) -> BTreeSet<String> {
        self.waiting.values().flatten().cloned().collect()
    }

    fn count(&self) -> u64 {
        self.waiting
            .values()
            .map(|events| events.len() as u64)
            .sum()
    }
}

/// A spool with a store that has something of everything, and two segments: how far the first one is taken
/// over is known, of the second one nothing is taken over yet.
struct Spooled {
    _parent: tempfile::TempDir,
    spool: Arc<Spool>,
    segments: Vec<String>,
    contents: Contents,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Spooled {
    fn new() -> Self {
        let (parent, spool) = new_spool();
        let spool = Arc::new(spool);
        let segments = two_segments(&spool);
        let mut spooled = Self {
            _parent: parent,
            spool,
            segments,
            contents: Contents::default(),
            files: BTreeMap::new(),
        };
        spooled.fill();
        spooled.contents = spooled.read();
        spooled.files = spooled.read_files();
        spooled
    }

    fn fill(&self) {
        let mut store = LogStore::open(&self.spool).unwrap();
        store
            .commit(&[
                Change::Lanes(LANES),
                Change::Taken {
                    segment: &self.segments[0],
                    upto: 64,
                },
            ])
            .unwrap();
        for number in 0..6 {
            if number == 3 {
                store.begin_queue_file(REGULAR).unwrap();
            }
            store
                .commit(&[append(REGULAR, &run_of("even", number * EVENTS))])
                .unwrap();
            store
                .commit(&[append(OTHER, &run_of("odd", number * EVENTS))])
                .unwrap();
        }
        store
            .commit(&[append(SUSPECTS, &run_of("even-suspect", 0))])
            .unwrap();
        let suspect = Suspect {
            user: b"even-suspect-0".to_vec(),
            lane: 0,
            waiting: 1,
            accepted: true,
        };
        store.commit(&[Change::Suspect(&suspect)]).unwrap();
        for number in 0..6 {
            store.commit(&[Change::Reject(&rejected(number))]).unwrap();
        }
        let event = rejected(1);
        store
            .commit(&[Change::Forget {
                rejected: 2,
                event: &event,
            }])
            .unwrap();
        self.settle_first_run(&mut store, 1_000);
        let spare = SpareLedger::take(&*store.disk()).unwrap();
        let next = store.begin_next_ledger(spare).unwrap();
        next.publish().unwrap();
        store.use_next_ledger(next);
        self.settle_first_run(&mut store, 2_000);
        let state = LaneState {
            in_doubt: Some(InDoubt {
                queue: 0,
                events: 7,
                attempts: 1,
                first_ms: 3,
                last_ms: 4,
                status: None,
            }),
            queues: [
                QueueState {
                    group: 3,
                    doubtful: 2,
                    belief: vec![0.5, 0.5],
                },
                QueueState::default(),
            ],
        };
        let pause = PauseState {
            reason: PauseReason::Ip,
            since_ms: 7,
            probe_ms: None,
            probe_wait_ms: 0,
            http_status: Some(401),
            message: "refused".to_owned(),
            api_code: None,
            fingerprint: None,
        };
        let totals = Totals {
            delivered: 9,
            ..Totals::default()
        };
        store
            .commit(&[Change::Lane {
                lane: 0,
                state: &state,
            }])
            .unwrap();
        store.commit(&[Change::Pause(Some(&pause))]).unwrap();
        store.commit(&[Change::Totals(&totals)]).unwrap();
        let seq = store.committed();
        store.syncs().sync_until(seq).unwrap();
    }

    /// Settles the first run of the regular queue; of the next one, an event has left.
    fn settle_first_run(&self, store: &mut LogStore, time_ms: i64) {
        let runs = store.runs(REGULAR, 0, 2).unwrap();
        let settled: Vec<&[u8]> = runs[0].waiting().map(|(_, event, _)| event).collect();
        let receipt = Receipt {
            time_ms,
            http_status: 204,
            attempts: 1,
            events: settled.len() as u32,
            shares: Shares::of(settled.iter().copied()),
        };
        let left = settled.iter().map(|event| event.len() as u64).sum::<u64>()
            + runs[1].run.slots[1].length as u64;
        store
            .commit(&[
                Change::Settle {
                    place: REGULAR,
                    upto: runs[0].id,
                },
                Change::Mark {
                    place: REGULAR,
                    run: runs[1].id,
                    marks: 0b10,
                },
                Change::Leave {
                    place: REGULAR,
                    events: settled.len() as u64 + 1,
                    bytes: left,
                },
                Change::Receipt(&receipt),
            ])
            .unwrap();
    }

    fn recover(&self, repair: Repair) -> Salvage {
        recover(&self.spool, repair, lane_of).unwrap()
    }

    /// What the store holds, as a sender reads it.
    fn read(&self) -> Contents {
        contents(&mut LogStore::open(&self.spool).unwrap())
    }

    /// The files of the store.
    fn read_files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        for folder in Folder::ALL {
            let entries = fs::read_dir(self.spool.dir().join(folder.name()));
            for entry in entries.into_iter().flatten() {
                let path = entry.unwrap().path();
                let bytes = fs::read(&path).unwrap();
                files.insert(path, bytes);
            }
        }
        files
    }

    /// Makes the store what it was before any damage.
    fn restore(&self) {
        // A file may be put away twice within a millisecond then, under the same name.
        let _ = fs::remove_dir_all(self.spool.damaged().path());
        for path in self
            .read_files()
            .keys()
            .filter(|path| !self.files.contains_key(*path))
        {
            fs::remove_file(path).unwrap();
        }
        for (path, bytes) in &self.files {
            fs::write(path, bytes).unwrap();
        }
    }

    /// The files of a folder, the first one first.
    fn names(&self, folder: &str) -> Vec<PathBuf> {
        let dir = self.spool.dir().join(folder);
        let files = self.files.keys().filter(|path| path.parent() == Some(&dir));
        files
            .filter(|path| !path.ends_with("spare"))
            .cloned()
            .collect()
    }

    fn ledger(&self) -> PathBuf {
        self.names("ledger").pop().unwrap()
    }
}

fn contents(store: &mut LogStore) -> Contents {
    let mut contents = Contents::default();
    for place in [REGULAR, SUSPECTS, OTHER] {
        let mut after = 0;
        loop {
            let runs = store.runs(place, after, 2).unwrap();
            let Some(last) = runs.last() else { break };
            after = last.id;
            for run in &runs {
                let events = run
                    .waiting()
                    .map(|(_, event, _)| String::from_utf8(event.to_vec()));
                let known = contents.waiting.entry(place).or_default();
                known.extend(events.map(Result::unwrap));
            }
        }
    }
    let all = store.rejected_matching(&RejectedFilter::default(), usize::MAX);
    contents.rejected = all.unwrap().into_iter().collect();
    contents
}

fn two_segments(spool: &Arc<Spool>) -> Vec<String> {
    for _ in 0..2 {
        let writer = Writer::new(spool.clone(), RecordDurability::Process, 0);
        let append = writer.append(|buffer, _| {
            segment::push_fragment(buffer, |out| {
                out.extend_from_slice(b"{}");
                Ok::<_, Error>(())
            })?;
            Ok(1)
        });
        append.unwrap();
        writer.close();
    }
    let mut names = crate::journal::round::list_segments(spool).unwrap();
    names.sort();
    assert_eq!(names.len(), 2);
    names
}
