//! Queues and rejected events, as the sender writes and reads them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::time::{Duration, Instant};

use super::contract::{Change, Store};
use super::disk::{Access, DiskFile, Folder};
use super::entry::{Entry, Point, QueueFile};
use super::failures::{not_written, unreadable_queue};
use super::fold::FILE_IDS_MAX;
use super::frame::{FileHeader, HEADER_LEN, Kind};
use super::guards::limit;
use super::log_store::LogStore;
use super::origins::SeenOrigins;
use super::queue_file::{self, QueueCursor, encode_run};
use super::rejected_file;
use super::{Place, Rejected, Run, StoredRun};
use crate::error::{Error, ErrorKind, Result};
use crate::process::random_u64;

/// How long an append waits for a file that an earlier sender's last write still holds.
const LOCK_WAIT_MS: u64 = 1_000;
/// Runs of one read have about so many bytes at most.
const HANDED_OUT_BYTES: usize = 512 * 1024;

/// Where the runs of a queue end that were read and are not settled.
#[derive(Debug, Default)]
pub(super) struct HandedOut {
    runs: VecDeque<Known>,
    /// The origin of the first run that waits, and which run was settled last when it was looked up.
    first: Option<(i64, i64)>,
    /// Of a suspects' queue, as far as it was asked for.
    pub(super) seen_origins: SeenOrigins,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    id: i64,
    origin: i64,
    end: Point,
}

impl HandedOut {
    /// Runs were copied to another file, where they end as `moved` says by their ids.
    pub(super) fn move_ends(&mut self, moved: &HashMap<i64, Point>) {
        for run in &mut self.runs {
            if let Some(end) = moved.get(&run.id) {
                run.end = *end;
            }
        }
    }
}

impl LogStore {
    /// Writes the runs that `changes` append, each queue's with one write.
    pub(super) fn append_runs(&mut self, changes: &[Change<'_>]) -> Result<()> {
        let mut by_place: BTreeMap<Place, Vec<(i64, i64, &Run)>> = BTreeMap::new();
        let mut last = self.fold.numbers.run;
        for change in changes {
            if let Change::Append { place, origin, run } = *change {
                last += 1;
                let runs = by_place.entry(place).or_default();
                runs.push((last, origin.unwrap_or(last), run));
            }
        }
        for (place, runs) in by_place {
            self.append_to_queue(place, &runs)?;
        }
        Ok(())
    }

    fn append_to_queue(&mut self, place: Place, runs: &[(i64, i64, &Run)]) -> Result<()> {
        let mut tail = self.fold.queue(place).tail();
        let bytes: usize = runs
            .iter()
            .map(|(_, _, run)| queue_file::run_bytes(run))
            .sum();
        let is_full = tail.offset >= limit(queue_file::FILE_BYTES)
            || tail.offset + bytes as u64 > self.disk.file_limit();
        if tail.file == 0 || is_full {
            tail = self.begin_queue_file(place)?;
        }
        let name = queue_file::file_name(place, tail.file);
        let (file, header) = queue_file::open(&*self.disk, place, tail.file, Access::Write)
            .map_err(|e| unreadable_queue(&*self.disk, place, tail.file, e))?;
        let mut bytes = Vec::new();
        for (id, origin, run) in runs {
            let position = header.position(tail.offset + bytes.len() as u64);
            let session = self.fold.numbers.session;
            encode_run(&mut bytes, (*id, *origin, session), run, position);
        }
        self.append_to(Folder::Queues, &name, &*file, (&bytes, tail.offset))?;
        let events: u64 = runs.iter().map(|(_, _, run)| run.slots.len() as u64).sum();
        let lengths = runs.iter().flat_map(|(_, _, run)| &run.slots);
        let event_bytes: u64 = lengths.map(|slot| u64::from(slot.length)).sum();
        let last_run = runs.last().map_or(0, |(id, _, _)| *id);
        self.move_queue(place, |position| {
            if position.head.file == 0 {
                position.head = Point {
                    file: tail.file,
                    offset: HEADER_LEN as u64,
                };
            }
            position.tail = tail.offset + bytes.len() as u64;
            position.last_run = last_run;
            position.events += events;
            position.bytes += event_bytes;
        })
    }

    /// Writes at the end of a file that an earlier sender may be writing to for the last time.
    fn append_to(
        &self,
        folder: Folder,
        name: &str,
        file: &dyn DiskFile,
        (bytes, offset): (&[u8], u64),
    ) -> Result<()> {
        let until = Instant::now() + Duration::from_millis(limit(LOCK_WAIT_MS));
        let failed = |e| Error::io(self.disk.describe(Some((folder, name))), e);
        while !file.try_lock().map_err(failed)? {
            if Instant::now() >= until {
                let what =
                    io::Error::new(io::ErrorKind::WouldBlock, "another process has it locked");
                return Err(failed(what));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        // Whoever has the ledger's lock waits for this file's; so nobody has written here since.
        self.check_lock()?;
        file.write_at(bytes, offset).map_err(|e| {
            let _ = file.truncate(offset);
            not_written(&*self.disk, folder, name, e)
        })?;
        // Only now: a sync that another thread has begun before the write may not have seen it.
        self.unsynced.touch(folder, name.to_owned());
        Ok(())
    }

    /// Makes the next file of a queue; says where its first run goes.
    pub(super) fn begin_queue_file(&mut self, place: Place) -> Result<Point> {
        let number = self.create_queue_file(place)?;
        let tail = self.fold.queue(place).tail();
        let mut files = self.fold.queue(place).files.clone();
        if let Some(last) = files.last_mut() {
            last.end = tail.offset;
        }
        files.push(QueueFile { number, end: 0 });
        self.say(&Entry::QueueFiles { place, files })?;
        let offset = HEADER_LEN as u64;
        self.move_queue(place, |position| position.tail = offset)?;
        Ok(Point {
            file: number,
            offset,
        })
    }

    /// Creates the next file of a queue, which no record speaks of yet, and returns its number.
    pub(super) fn create_queue_file(&self, place: Place) -> Result<u64> {
        let number = self.fold.numbers.queue_file + 1;
        let name = queue_file::file_name(place, number);
        self.create(Folder::Queues, &name, Kind::Queue, |header| FileHeader {
            number,
            lane: place.lane,
            queue: place.queue,
            ..header
        })?;
        Ok(number)
    }

    pub(super) fn create(
        &self,
        folder: Folder,
        name: &str,
        kind: Kind,
        fill: impl FnOnce(FileHeader) -> FileHeader,
    ) -> Result<()> {
        let header = fill(FileHeader {
            boot_count: self.boot_count,
            number: 0,
            nonce: random_u64(),
            created_ms: crate::clock::wall_ms(),
            lane: 0,
            queue: 0,
            first_id: 0,
        });
        let made = || -> io::Result<()> {
            // Never over a file that is there: it may be a later sender's.
            let file = self.disk.open(folder, name, Access::Create)?;
            file.write_at(&header.encode(kind), 0)
        };
        made().map_err(|e| Error::io(self.disk.describe(Some((folder, name))), e))?;
        self.unsynced.touch(folder, name.to_owned());
        self.unsynced.touch_folder(folder);
        Ok(())
    }

    /// Writes the events that `changes` reject.
    pub(super) fn append_rejected(&mut self, changes: &[Change<'_>]) -> Result<()> {
        let events: Vec<&Rejected> = changes
            .iter()
            .filter_map(|change| match change {
                Change::Reject(event) => Some(*event),
                _ => None,
            })
            .collect();
        if events.is_empty() {
            return Ok(());
        }
        let next_id = self.fold.numbers.rejected + 1;
        let last = self.fold.rejected.last();
        // What is rejected at once has at most as many bytes as a batch.
        let full = (self.disk.file_limit() / 4).min(limit(rejected_file::FILE_BYTES));
        let current = last.filter(|file| {
            file.end < full
                && file.number == self.fold.numbers.rejected_file
                // Ids that a power cut may have taken are left out, between two files.
                && file.next_id == next_id
                && next_id - file.first_id < FILE_IDS_MAX / 2
        });
        let (number, first_id, end) = match current {
            Some(file) => (file.number, file.first_id, file.end),
            None => {
                let number = self.fold.numbers.rejected_file + 1;
                let name = rejected_file::file_name(number);
                self.create(Folder::Rejected, &name, Kind::Rejected, |header| {
                    FileHeader {
                        number,
                        first_id: next_id,
                        ..header
                    }
                })?;
                (number, next_id, HEADER_LEN as u64)
            }
        };
        let name = rejected_file::file_name(number);
        let (file, header) = rejected_file::open(&*self.disk, number, Access::Write)
            .map_err(|e| self.unreadable(&format!("rejected/{name}"), e))?;
        let mut bytes = Vec::new();
        for (id, event) in (next_id..).zip(&events) {
            let position = header.position(end + bytes.len() as u64);
            let session = self.fold.numbers.session;
            rejected_file::encode(&mut bytes, (id, session), event, position);
        }
        self.append_to(Folder::Rejected, &name, &*file, (&bytes, end))?;
        for event in &events {
            self.count_rejected(event, |events| events + 1)?;
        }
        self.say(&Entry::RejectedTail {
            number,
            first_id,
            next_id: next_id + events.len() as i64,
            end: end + bytes.len() as u64,
        })
    }

    /// Counts the rejected events of the same reason and code anew.
    pub(super) fn count_rejected(
        &mut self,
        event: &Rejected,
        count: impl FnOnce(u64) -> u64,
    ) -> Result<()> {
        let key = (event.reason, event.api_code.clone());
        let events = count(self.fold.rejected_counts.get(&key).copied().unwrap_or(0));
        self.say(&Entry::RejectedCount {
            reason: event.reason,
            api_code: &event.api_code,
            events,
        })
    }

    /// Reads runs behind run `after`, and remembers where they end.
    pub(super) fn hand_out(
        &mut self,
        place: Place,
        after: i64,
        limit: usize,
    ) -> Result<Vec<StoredRun>> {
        let queue = self.fold.queue(place);
        let known = self.handed_out.entry(place).or_default();
        let at = known.runs.iter().position(|run| run.id == after);
        let mut behind = known.runs.split_off(at.map_or(0, |at| at + 1));
        let from = known.runs.back().map_or(queue.position.head, |run| run.end);
        let mut cursor = QueueCursor::new(place, from);
        let mut runs: Vec<StoredRun> = Vec::new();
        let mut bytes = 0;
        while runs.len() < limit && bytes < HANDED_OUT_BYTES {
            let next = cursor.next(&*self.disk, queue);
            let failed = |e| unreadable_queue(&*self.disk, place, cursor.at().file, e);
            let Some(run) = next.map_err(failed)? else {
                break;
            };
            known.runs.push_back(Known {
                id: run.id,
                origin: run.origin,
                end: cursor.at(),
            });
            if run.id > after {
                bytes += run.run.body.len();
                runs.push(run);
            }
        }
        // What is read again is known anew; what was read before and stands behind it still is.
        let last = known.runs.back().map_or(0, |run| run.id);
        behind.retain(|run| run.id > last);
        known.runs.append(&mut behind);
        Ok(runs)
    }

    /// The head of a queue moves behind run `upto`.
    pub(super) fn settle(&mut self, place: Place, upto: i64) -> Result<()> {
        let known = self.handed_out.entry(place).or_default();
        let mut head = None;
        while let Some(run) = known.runs.front().copied()
            && run.id <= upto
        {
            head = Some((run.id, run.end));
            known.runs.pop_front();
        }
        match head {
            Some((id, end)) if id == upto => self.move_queue(place, |position| {
                position.passed = upto;
                position.head = end;
            }),
            _ => Err(Error::new(
                ErrorKind::Internal,
                format!(
                    "{}: run {upto} was settled and not read",
                    self.disk.describe(None)
                ),
            )),
        }
    }

    /// The origin of the first run of a queue.
    pub(super) fn first_origin_of(&mut self, place: Place) -> Result<Option<i64>> {
        let queue = self.fold.queue(place);
        let passed = queue.position.passed;
        let known = self.handed_out.entry(place).or_default();
        if let Some(first) = known.runs.front() {
            return Ok(Some(first.origin));
        }
        if let Some((of, origin)) = known.first
            && of == passed
        {
            return Ok(Some(origin));
        }
        let mut cursor = QueueCursor::new(place, queue.position.head);
        let header = cursor
            .peek(&*self.disk, queue)
            .map_err(|e| unreadable_queue(&*self.disk, place, queue.position.head.file, e))?;
        let origin = header.map(|header| header.origin);
        known.first = origin.map(|origin| (passed, origin));
        Ok(origin)
    }
}
