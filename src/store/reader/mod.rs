//! Looking into a store that another process, or this one, is writing to.
//!
//! A look folds the ledger and takes no lock. Where the records end is where the state ends: of a live
//! file half a record may be seen, and that is no damage. So a look is always true of some moment, on a
//! disk that cannot be written to and in a copy as well.

mod pending;

pub use self::pending::ListPosition;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::disk::{Access, Disk, DiskFile, Folder};
use super::entry::Point;
use super::failures::{cannot_open, unreadable, unreadable_queue};
use super::fold::{Fold, Queue};
use super::frame::FileHeader;
use super::ledger::{self, Reading, Stop};
use super::opening::Unreadable;
use super::origins::{SeenOrigins, earliest_origin_of};
use super::queue_file::QueueCursor;
use super::receipt_files::read_receipts;
use super::recovery::{self, CannotOpen};
use super::rejected_file::{read_matching, rejected_matching};
use super::spool_disk::SpoolDisk;
use super::{
    LaneState, PauseState, Place, Receipt, ReceiptFilter, Rejected, RejectedFilter, RejectedReason,
    Rest, StoredRun, Totals,
};
use crate::error::{Error, Result};
use crate::journal::round::Offsets;
use crate::spool::Spool;

/// How often a look begins again because the sender went on to the next file meanwhile, or because what
/// it saw was half a record.
const TRIES: u32 = 5;
const BETWEEN_TRIES: Duration = Duration::from_millis(2);

/// A look into the store of a spool by any process, the sender's included.
#[derive(Debug)]
pub struct Reader {
    disk: Arc<dyn Disk>,
    file: Box<dyn DiskFile>,
    header: FileHeader,
    reading: Reading,
    fold: Fold,
    boot_count: u32,
    /// Of the queues that were asked for their earliest origin.
    seen_origins: HashMap<Place, SeenOrigins>,
}

impl Reader {
    /// Looks into the store; `None` if nobody has sent from this spool yet.
    ///
    /// Errors: [`Store`](crate::error::ErrorKind::Store) if it is damaged or of a newer version;
    /// [`Io`](crate::error::ErrorKind::Io).
    pub fn open(spool: &Spool) -> Result<Option<Self>> {
        Self::open_on(Arc::new(SpoolDisk::new(spool)), spool.boot_count())
    }

    /// The same, on any disk.
    pub fn open_on(disk: Arc<dyn Disk>, boot_count: u32) -> Result<Option<Self>> {
        let mut tries = 0;
        loop {
            tries += 1;
            match Self::look(&disk, boot_count) {
                Ok(Some(reader)) if tries < TRIES && !reader.is_of_last_file()? => {}
                Err(CannotOpen::Held | CannotOpen::Damaged(_)) if tries < TRIES => {
                    std::thread::sleep(BETWEEN_TRIES);
                }
                looked => return looked.map_err(|e| cannot_open(&*disk, e)),
            }
        }
    }

    pub(super) fn look(
        disk: &Arc<dyn Disk>,
        boot_count: u32,
    ) -> std::result::Result<Option<Self>, CannotOpen> {
        let failed = |e| CannotOpen::Io(disk.describe(None), e);
        let numbers = ledger::numbers(&**disk, Folder::Ledger).map_err(failed)?;
        let Some(&highest) = numbers.last() else {
            return recovery::check_nothing_is_there(&**disk).map(|()| None);
        };
        let name = ledger::file_name(highest);
        let (file, header) = match ledger::open(&**disk, Folder::Ledger, highest, Access::Read) {
            Ok(opened) => opened,
            // Finished since it was listed.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(CannotOpen::Held),
            Err(e) => return Err(failed(e)),
        };
        let header = match header {
            Ok(header) => header,
            Err(e) => return Err(recovery::bad_header(&name, e)),
        };
        let (fold, reading, _) = recovery::read(&**disk, &*file, &header, boot_count)?;
        Ok(Some(Self {
            disk: disk.clone(),
            file,
            header,
            reading,
            fold,
            boot_count,
            seen_origins: HashMap::new(),
        }))
    }

    fn is_of_last_file(&self) -> Result<bool> {
        let numbers = ledger::numbers(&*self.disk, Folder::Ledger)
            .map_err(|e| Error::io(self.disk.describe(None), e))?;
        Ok(numbers
            .last()
            .is_none_or(|last| *last <= self.header.number))
    }

    /// Looks again, at what was appended since.
    ///
    /// Errors: as [`open`](Self::open).
    pub fn refresh(&mut self) -> Result<()> {
        // What a power cut took of a file of an earlier boot must not be read now.
        let is_of_this_boot = self.header.boot_count == self.boot_count;
        if is_of_this_boot && self.is_of_last_file()? {
            let read = self
                .reading
                .read_on(&*self.file, &self.header, &mut self.fold, |_, _| Ok(None));
            read.map_err(|e| Error::io(self.disk.describe(None), e))?;
            if self.reading.stop == Stop::NoRecord {
                return Ok(());
            }
        }
        if let Some(fresh) = Self::open_on(self.disk.clone(), self.boot_count)? {
            *self = fresh;
        }
        Ok(())
    }

    /// The sums.
    pub fn totals(&self) -> Totals {
        self.fold.totals()
    }

    /// The number of lanes; 0: not decided yet.
    pub fn lane_count(&self) -> u8 {
        self.fold.lanes
    }

    /// How far each segment is taken over.
    pub fn offsets(&self) -> Offsets {
        self.fold.offsets()
    }

    /// The pause, if delivery is paused.
    pub fn pause(&self) -> Option<&PauseState> {
        self.fold.pause.as_ref()
    }

    /// The state of every lane.
    pub fn lanes(&self) -> Vec<(u8, LaneState)> {
        let lanes = 0..self.fold.lane_end();
        lanes
            .map(|lane| (lane, self.fold.lane_state(lane)))
            .collect()
    }

    /// How a lane rests.
    pub fn rest(&self, lane: u8) -> Rest {
        self.fold.rest(lane)
    }

    /// Whether events wait in a lane.
    pub fn has_pending(&self, lane: u8) -> bool {
        let waits = |queue| self.fold.queue(Place { lane, queue }).position.events > 0;
        waits(0) || waits(1)
    }

    /// The first runs of a queue in which `events` events wait, or all of its runs.
    ///
    /// Errors: [`Store`](crate::error::ErrorKind::Store) if one of them is damaged;
    /// [`Io`](crate::error::ErrorKind::Io).
    pub fn first_runs_with(&mut self, place: Place, events: usize) -> Result<Vec<StoredRun>> {
        self.settled(|reader| {
            let queue = reader.fold.queue(place);
            let mut cursor = QueueCursor::new(place, queue.position.head);
            let (mut runs, mut waiting) = (Vec::new(), 0);
            while waiting < events
                && let Some(run) = reader.next_run(place, queue, &mut cursor)?
            {
                waiting += run.waiting_count();
                runs.push(run);
            }
            Ok(runs)
        })
    }

    fn next_run(
        &self,
        place: Place,
        queue: &Queue,
        cursor: &mut QueueCursor,
    ) -> std::result::Result<Option<StoredRun>, Failed> {
        let next = cursor.next(&*self.disk, queue);
        next.map_err(|e| self.failed(place, cursor.at(), e))
    }

    fn failed(&self, place: Place, at: Point, e: Unreadable) -> Failed {
        Failed(unreadable_queue(&*self.disk, place, at.file, e))
    }

    /// Reads files that the sender may remove meanwhile: then it looks again and reads what is there now.
    fn settled<T>(
        &mut self,
        mut read: impl FnMut(&Self) -> std::result::Result<T, Failed>,
    ) -> Result<T> {
        let mut tries = 0;
        loop {
            tries += 1;
            match read(self) {
                Ok(read) => return Ok(read),
                Err(Failed(e)) if tries >= TRIES => return Err(e),
                Err(_) => self.refresh()?,
            }
        }
    }

    /// The last run ever appended; 0: none.
    pub fn last_run(&self) -> i64 {
        self.fold.numbers.run
    }

    /// The earliest origin of all runs that are not settled; `None`: nothing is pending. Where very many wait,
    /// it is 0 until more calls have looked at all of them.
    ///
    /// Errors: as [`first_runs_with`](Self::first_runs_with).
    pub fn first_origin(&mut self) -> Result<Option<i64>> {
        let mut seen = std::mem::take(&mut self.seen_origins);
        let found = self.settled(|reader| {
            let mut earliest: Option<i64> = None;
            for (place, queue) in reader.fold.places() {
                if queue.position.events == 0 {
                    continue;
                }
                let head = queue.position.head;
                let first = QueueCursor::new(place, head)
                    .peek(&*reader.disk, queue)
                    .map_err(|e| reader.failed(place, head, e))?;
                let first = first.map(|run| run.origin);
                let seen = seen.entry(place).or_default();
                let origin = earliest_origin_of(&*reader.disk, place, queue, first, seen);
                let origin = origin
                    .map_err(|(file, e)| Failed(unreadable_queue(&*reader.disk, place, file, e)))?;
                earliest = earliest.into_iter().chain(origin).min();
            }
            Ok(earliest)
        });
        self.seen_origins = seen;
        found
    }

    /// The wall time at which the oldest pending event was enqueued.
    ///
    /// Errors: as [`first_runs_with`](Self::first_runs_with).
    pub fn oldest_pending_ms(&mut self) -> Result<Option<i64>> {
        let places: Vec<Place> = self.fold.places().map(|(place, _)| place).collect();
        let mut oldest = None;
        for place in places {
            for run in self.first_runs_with(place, 1)? {
                let first = run.waiting().map(|(_, _, enqueued_ms)| enqueued_ms).min();
                oldest = oldest.into_iter().chain(first).min();
            }
        }
        Ok(oldest)
    }

    /// The first `limit` rejected events that `filter` takes, by id.
    ///
    /// Errors: as [`first_runs_with`](Self::first_runs_with).
    pub fn rejected(
        &mut self,
        filter: &RejectedFilter,
        limit: usize,
    ) -> Result<Vec<(i64, Rejected)>> {
        self.settled(|reader| {
            rejected_matching(&*reader.disk, &reader.fold.rejected, filter, limit).map_err(Failed)
        })
    }

    /// How many rejected events `filter` takes. By reason and API code alone, that is known; else the
    /// events are read.
    ///
    /// Errors: as [`first_runs_with`](Self::first_runs_with).
    pub fn count_rejected(&mut self, filter: &RejectedFilter) -> Result<u64> {
        let by_code = RejectedFilter {
            api_code: filter.api_code.clone(),
            reason: filter.reason,
            ..RejectedFilter::default()
        };
        if by_code == *filter {
            let counts = self.fold.rejected_counts.iter();
            return Ok(counts
                .filter(|((reason, code), _)| {
                    filter.reason.is_none_or(|wanted| wanted == *reason)
                        && filter.api_code.as_ref().is_none_or(|wanted| wanted == code)
                })
                .map(|(_, events)| *events)
                .sum());
        }
        self.settled(|reader| {
            let mut count = 0;
            let read = read_matching(&*reader.disk, &reader.fold.rejected, filter, |_, _| {
                count += 1;
                true
            });
            match read {
                Ok(()) => Ok(count),
                Err((number, e)) => {
                    let what = format!("rejected/{number}");
                    Err(Failed(unreadable(&*reader.disk, &what, e)))
                }
            }
        })
    }

    /// How many rejected events there are, by reason and API code; the most first.
    pub fn rejected_by_code(&self) -> Vec<(RejectedReason, String, u64)> {
        let counts = self.fold.rejected_counts.iter();
        let mut counts: Vec<_> = counts
            .map(|((reason, code), events)| (*reason, code.clone(), *events))
            .collect();
        counts.sort_by(|a, b| b.2.cmp(&a.2).then_with(|| a.1.cmp(&b.1)));
        counts
    }

    /// The id of the last rejected event ever; 0: none.
    pub fn last_rejected(&self) -> i64 {
        self.fold.numbers.rejected
    }

    /// The next `limit` receipts of the time that `filter` names, whoever is in them.
    ///
    /// Errors: [`Io`](crate::error::ErrorKind::Io).
    pub fn receipts(&self, filter: &ReceiptFilter, limit: usize) -> Result<Vec<(i64, Receipt)>> {
        let from = self.fold.numbers.receipts_from;
        read_receipts(&*self.disk, filter, from, limit)
            .map_err(|e| Error::io(format!("{}: receipts", self.disk.describe(None)), e))
    }
}

/// What could not be read, and may be there at the next look.
struct Failed(Error);
