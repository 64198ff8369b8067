//! The earliest run that anything which waits comes from: by it, a flush knows what is left.
//!
//! The runs of a regular queue stand in the order of their origins, so its first one is the earliest. A
//! suspects' queue has no such order: the events of one user were moved there as far as they were read,
//! and behind them those of another one who became suspect later, from earlier runs. There, a run can be
//! earlier than all before it only if it is earlier than the one before it ([`Descents`]).

use std::collections::VecDeque;

use super::Place;
use super::disk::Disk;
use super::entry::Point;
use super::failures::unreadable_queue;
use super::fold::Queue;
use super::log_store::LogStore;
use super::opening::Unreadable;
use super::queue_file::QueueCursor;
use crate::error::Result;

/// So many runs are looked at when the order of a suspects' queue is asked for, or fewer that have so many
/// bytes. The others follow when it is asked for again: a flush asks under the session's lock.
const RUNS_AT_ONCE: usize = 10_000;
const BYTES_AT_ONCE: usize = 32 * 1024 * 1024;
/// Before every run: what an order is said to begin with that is not known yet.
const BEFORE_ALL: i64 = 0;

/// The runs of a suspects' queue that come from an earlier one than the run before them.
#[derive(Debug, Default)]
struct Descents {
    /// Where the last run of the queue comes from.
    last_origin: i64,
    /// Ids and origins, both growing.
    runs: VecDeque<(i64, i64)>,
}

impl Descents {
    /// A run stands at the end of the queue.
    fn append(&mut self, id: i64, origin: i64) {
        if origin < self.last_origin {
            // Those are settled before it, and come from no earlier run.
            while self.runs.back().is_some_and(|(_, known)| *known >= origin) {
                self.runs.pop_back();
            }
            self.runs.push_back((id, origin));
        }
        self.last_origin = origin;
    }

    /// The runs up to this one are settled.
    fn settle(&mut self, upto: i64) {
        while self.runs.front().is_some_and(|(id, _)| *id <= upto) {
            self.runs.pop_front();
        }
    }

    fn earliest(&self) -> Option<i64> {
        self.runs.front().map(|(_, origin)| *origin)
    }
}

/// The file of a queue that cannot be read, and why.
pub(super) type CannotRead = (u64, Unreadable);

/// What was seen of the order of a suspects' queue. A flush asks again and again, and the queue may be long,
/// so only what was appended meanwhile is read.
#[derive(Debug, Default)]
pub(super) struct SeenOrigins {
    descents: Descents,
    /// Where what was not seen yet begins; `None`: at the head.
    upto: Option<Point>,
}

impl SeenOrigins {
    /// The earliest origin of the runs behind the first one that come from an earlier run than the run
    /// before them; [`BEFORE_ALL`] until all runs were looked at.
    fn earliest_behind_first(
        &mut self,
        disk: &dyn Disk,
        place: Place,
        queue: &Queue,
    ) -> std::result::Result<Option<i64>, CannotRead> {
        let mut looked = self.look(disk, place, queue);
        if looked.is_err() {
            // Its files may have been copied since: all that waits is read anew.
            *self = Self::default();
            looked = self.look(disk, place, queue);
        }
        Ok(match looked? {
            true => self.descents.earliest(),
            false => Some(BEFORE_ALL),
        })
    }

    /// Looks at the runs that were not seen yet, or some of them; says whether these were all.
    fn look(
        &mut self,
        disk: &dyn Disk,
        place: Place,
        queue: &Queue,
    ) -> std::result::Result<bool, CannotRead> {
        let from = self.upto.unwrap_or(queue.position.head);
        let mut cursor = QueueCursor::new(place, from);
        let (mut runs, mut bytes, mut is_end) = (0, 0, false);
        while runs < RUNS_AT_ONCE && bytes < BYTES_AT_ONCE && !is_end {
            let next = cursor.skip(disk, queue);
            match next.map_err(|e| (cursor.at().file, e))? {
                Some(run) => {
                    self.descents.append(run.id, run.origin);
                    bytes += run.length();
                }
                None => is_end = true,
            }
            runs += 1;
        }
        self.upto = Some(cursor.at());
        self.descents.settle(queue.position.passed);
        Ok(is_end)
    }
}

/// The earliest origin of a queue whose first run comes from `first`.
pub(super) fn earliest_origin_of(
    disk: &dyn Disk,
    place: Place,
    queue: &Queue,
    first: Option<i64>,
    seen: &mut SeenOrigins,
) -> std::result::Result<Option<i64>, CannotRead> {
    let behind = match place.queue {
        1 => seen.earliest_behind_first(disk, place, queue)?,
        _ => None,
    };
    Ok(first.into_iter().chain(behind).min())
}

impl LogStore {
    /// The earliest origin of all runs that are not settled, or an earlier one.
    pub(super) fn earliest_origin(&mut self) -> Result<Option<i64>> {
        let waiting: Vec<Place> = self
            .fold
            .places()
            .filter(|(_, queue)| queue.position.events > 0)
            .map(|(place, _)| place)
            .collect();
        let mut earliest = None;
        for place in waiting {
            let first = self.first_origin_of(place)?;
            let seen = &mut self.handed_out.entry(place).or_default().seen_origins;
            let origin =
                earliest_origin_of(&*self.disk, place, self.fold.queue(place), first, seen);
            let origin =
                origin.map_err(|(file, e)| unreadable_queue(&*self.disk, place, file, e))?;
            earliest = earliest.into_iter().chain(origin).min();
        }
        Ok(earliest)
    }
}
