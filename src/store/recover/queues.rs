//! The runs of a queue that can be read, and the files that they can stay in.
//!
//! What waits are the runs behind the last one that is known to be settled. While the ledger is whole they
//! end where it says. Otherwise whole runs behind that end, and in files that it does not name, wait as
//! well: to repeat events is better than to lose them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::ledger::{LedgerFound, whole_file};
use super::scan::{CannotScan, Scanned, Units, scan};
use crate::error::{Error, Result};
use crate::store::disk::{Disk, Folder};
use crate::store::entry::Point;
use crate::store::failures::cannot_open;
use crate::store::fold::Queue;
use crate::store::frame::{FileHeader, HEADER_LEN, Kind};
use crate::store::queue_file::{self, RUN_MAGIC, RunHeader};
use crate::store::recovery::CannotOpen;
use crate::store::{Place, StoredRun};

pub(super) const RUNS: Units<StoredRun> = Units {
    kind: Kind::Queue,
    magic: RUN_MAGIC,
    crc_at: 32,
    read: |bytes, position| {
        let header = RunHeader::decode(bytes, position)?;
        let run = header.decode_rest(bytes, position)?;
        Some((run, header.length()))
    },
};

/// A run that waits, and where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunAt {
    pub(super) file: u64,
    pub(super) offset: u64,
    pub(super) end: u64,
    pub(super) waiting: u64,
    pub(super) bytes: u64,
}

/// Runs that the new store finds in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// Their file.
    pub(super) file: u64,
    /// Where they stand there; the file itself is used if they are all that follows its header, and else
    /// they are copied.
    pub(super) from: u64,
    pub(super) end: u64,
    pub(super) is_kept: bool,
}

/// What can be read of one queue.
#[derive(Debug)]
pub(super) struct QueueFound {
    pub(super) place: Place,
    /// What is wrong with it; `None`: nothing.
    pub(super) damage: Option<String>,
    /// The runs that wait, by id.
    pub(super) runs: BTreeMap<i64, RunAt>,
    /// The highest id that was seen.
    pub(super) last_seen: i64,
    /// How its files have to be read: one whose header is damaged has one that was found.
    pub(super) headers: HashMap<u64, FileHeader>,
    /// Files that can be read on from their first run to their last.
    clean: BTreeSet<u64>,
    /// Events that should wait and cannot be read; `None`: unknown.
    pub(super) lost: Option<u64>,
}

impl QueueFound {
    /// Reads the files of a queue; `known` is what the ledger says of it. `sink` gets every run that waits.
    pub(super) fn read(
        disk: &dyn Disk,
        ledger: &LedgerFound,
        (place, known): (Place, &Queue),
        on_disk: &[u64],
        mut sink: impl FnMut(&StoredRun),
    ) -> Result<Self> {
        let mut found = Self {
            place,
            damage: None,
            runs: BTreeMap::new(),
            last_seen: known.position.last_run,
            headers: HashMap::new(),
            clean: BTreeSet::new(),
            lost: Some(0),
        };
        let is_whole = ledger.is_whole();
        let mut last = known.position.passed;
        for (number, range) in ranges(ledger, known, on_disk) {
            let listed_end = known.end_of(number);
            let Some(scanned) = found.scan(disk, number, (range, listed_end))? else {
                continue;
            };
            let reached = scanned.end().max(range.0);
            if scanned.bad.is_empty() && reached < listed_end.unwrap_or(0) {
                found.damaged(number, format!("it ends at {reached}"));
            }
            let mut is_in_order = true;
            for at in scanned.units {
                let mut stored = at.unit;
                found.last_seen = found.last_seen.max(stored.id);
                is_in_order &= stored.id > last;
                last = last.max(stored.id);
                let is_settled = stored.id <= known.position.passed;
                if is_settled || found.runs.contains_key(&stored.id) {
                    continue;
                }
                stored.marks |= known.marks_of(stored.id);
                sink(&stored);
                let run = RunAt {
                    file: number,
                    offset: at.offset,
                    end: at.end,
                    waiting: stored.waiting_count() as u64,
                    bytes: stored
                        .waiting()
                        .map(|(_, event, _)| event.len() as u64)
                        .sum(),
                };
                found.runs.insert(stored.id, run);
            }
            if !is_in_order && is_whole {
                found.damaged(number, "its runs are not in order".to_owned());
            }
        }
        found.count_lost(ledger, known);
        Ok(found)
    }

    fn scan(
        &mut self,
        disk: &dyn Disk,
        number: u64,
        (range, listed_end): ((u64, u64), Option<u64>),
    ) -> Result<Option<Scanned<StoredRun>>> {
        let place = self.place;
        let name = queue_file::file_name(place, number);
        let expected = queue_file::expected_header(place, number);
        let scanned = match scan(disk, (Folder::Queues, &name), &RUNS, expected, range) {
            Ok(scanned) => scanned,
            Err(CannotScan::Gone) => {
                self.damaged(number, "it is gone".to_owned());
                return Ok(None);
            }
            Err(CannotScan::Newer(version)) => {
                let what = format!("queues/{name} has version {version}");
                return Err(cannot_open(disk, CannotOpen::Newer(what)));
            }
            Err(CannotScan::Io(e)) => {
                return Err(Error::io(disk.describe(Some((Folder::Queues, &name))), e));
            }
        };
        if scanned.is_unused() && range == whole_file() {
            return Ok(None);
        }
        self.headers.insert(number, scanned.header);
        if !scanned.is_header_sound {
            self.damaged(number, "its header is damaged".to_owned());
        }
        // Behind the known end, a sender that was killed may have left anything.
        let end = listed_end.filter(|_| range.1 == u64::MAX);
        let mut bad = scanned.bad.iter().map(|bad| bad.start);
        if let Some(at) = bad.find(|at| end.is_none_or(|end| *at < end)) {
            self.damaged(number, format!("no run stands at {at}"));
        }
        if scanned.is_clean() {
            self.clean.insert(number);
        }
        Ok(Some(scanned))
    }

    fn damaged(&mut self, number: u64, what: String) {
        let name = queue_file::file_name(self.place, number);
        self.damage
            .get_or_insert_with(|| format!("queues/{name}: {what}"));
    }

    fn count_lost(&mut self, ledger: &LedgerFound, known: &Queue) {
        let missing = known.position.events.saturating_sub(self.events());
        if ledger.is_whole() {
            if missing > 0 && self.damage.is_none() {
                let place = self.place;
                self.damage = Some(format!(
                    "queue {}.{}: {missing} events are missing",
                    place.lane, place.queue
                ));
            }
            let more = self.events().saturating_sub(known.position.events);
            if more > 0 && self.damage.is_none() {
                let Place { lane, queue } = self.place;
                let what =
                    format!("queue {lane}.{queue}: {more} events more wait than its sum says");
                self.damage = Some(what);
            }
            self.lost = Some(missing);
        } else if !ledger.has_snapshot || self.damage.is_some() {
            // It may have had more than the last record that is left says.
            self.lost = None;
        }
    }

    /// Events that wait.
    pub(super) fn events(&self) -> u64 {
        self.runs.values().map(|run| run.waiting).sum()
    }

    /// Their bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.runs.values().map(|run| run.bytes).sum()
    }

    /// How many events wait in runs that follow the head that is `known` without a gap.
    pub(super) fn intact_from_head(&self, known: &Queue) -> u64 {
        let mut at = known.position.head;
        let mut events = 0;
        for run in self.runs.values() {
            if known.end_of(at.file).is_some_and(|end| at.offset >= end)
                && let Some(file) = known.file_behind(at.file)
            {
                at = Point {
                    file,
                    offset: HEADER_LEN as u64,
                };
            }
            if (run.file, run.offset) != (at.file, at.offset) {
                break;
            }
            events += run.waiting;
            at.offset = run.end;
        }
        events
    }

    /// Where the new store finds the runs, in order.
    pub(super) fn pieces(&self) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::new();
        for run in self.runs.values() {
            match pieces.last_mut() {
                Some(last) if last.file == run.file && last.end == run.offset => {
                    last.end = run.end;
                }
                _ => pieces.push(Piece {
                    file: run.file,
                    from: run.offset,
                    end: run.end,
                    is_kept: false,
                }),
            }
        }
        let mut in_pieces: HashMap<u64, u32> = HashMap::new();
        for piece in &pieces {
            *in_pieces.entry(piece.file).or_default() += 1;
        }
        for (at, piece) in pieces.iter_mut().enumerate() {
            // The head may stand anywhere in its file; the next files are read from their beginning.
            piece.is_kept = self.clean.contains(&piece.file)
                && in_pieces[&piece.file] == 1
                && (at == 0 || piece.from == HEADER_LEN as u64);
        }
        pieces
    }
}

/// The files of a queue in which runs may wait, and where there.
fn ranges(ledger: &LedgerFound, known: &Queue, on_disk: &[u64]) -> Vec<(u64, (u64, u64))> {
    let head = known.position.head;
    let (first, end) = whole_file();
    let mut ranges: Vec<(u64, (u64, u64))> = Vec::new();
    for file in known.files_in_use() {
        let from = if file.number == head.file {
            head.offset
        } else {
            first
        };
        let end = match known.end_of(file.number) {
            Some(end) if ledger.is_whole() => end,
            _ => end,
        };
        ranges.push((file.number, (from, end)));
    }
    if ledger.is_whole() {
        return ranges;
    }
    let given = match ledger.has_snapshot {
        true => ledger.numbers_before.queue_file,
        false => 0,
    };
    for &number in on_disk {
        let is_listed = known.files.iter().any(|file| file.number == number);
        if !is_listed && number > given {
            ranges.push((number, (first, end)));
        }
    }
    ranges
}
