//! The earliest run that anything which waits comes from: by it, a flush knows what is left.
//!
//! The runs of a regular queue stand in the order of their origins, so its first one is the earliest. A
//! suspects' queue has no such order: the events of one user were moved there as far as they were read,
//! and behind them those of another one who became suspect later, from earlier runs. There, a run can be
//! earlier than all before it only if it is earlier than the one before it ([`Descents`]).

use std::collections::{HashMap, VecDeque};

use super::Place;
use super::disk::Disk;
use super::entry::Point;
use super::failures::unreadable_queue;
use super::fold::Queue;
use super::log_store::LogStore;
use super::opening::Unreadable;
use super::queue_file::QueueCursor;
use crate::error::Result;

/// The runs of a suspects' queue that come from an earlier one than the run before them.
#[derive(Debug, Default)]
pub(super) struct Descents {
    /// Where the last run of the queue comes from.
    last_origin: i64,
    /// Ids and origins, both growing.
    runs: VecDeque<(i64, i64)>,
}

impl Descents {
    /// A run stands at the end of the queue.
    pub(super) fn append(&mut self, id: i64, origin: i64) {
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
    pub(super) fn settle(&mut self, upto: i64) {
        while self.runs.front().is_some_and(|(id, _)| *id <= upto) {
            self.runs.pop_front();
        }
    }

    fn earliest(&self) -> Option<i64> {
        self.runs.front().map(|(_, origin)| *origin)
    }
}

/// Hands id and origin of each run from where `cursor` stands to `sink`; else says which file of the queue
/// cannot be read.
fn read_origins(
    disk: &dyn Disk,
    cursor: &mut QueueCursor,
    queue: &Queue,
    mut sink: impl FnMut(i64, i64),
) -> std::result::Result<(), CannotRead> {
    loop {
        let next = cursor.skip(disk, queue);
        match next.map_err(|e| (cursor.at().file, e))? {
            Some(run) => sink(run.id, run.origin),
            None => return Ok(()),
        }
    }
}

/// The file of a queue that cannot be read, and why.
type CannotRead = (u64, Unreadable);

/// What a reader knows of the order of a suspects' queue. A flush asks again and again, and the queue may be
/// long, so only what was appended meanwhile is read.
#[derive(Debug)]
pub(super) struct SeenOrigins {
    descents: Descents,
    /// Where what was not seen yet begins.
    upto: Point,
}

impl SeenOrigins {
    fn none_of(queue: &Queue) -> Self {
        Self {
            descents: Descents::default(),
            upto: queue.position.head,
        }
    }

    fn look(
        &mut self,
        disk: &dyn Disk,
        place: Place,
        queue: &Queue,
    ) -> std::result::Result<(), CannotRead> {
        let mut cursor = QueueCursor::new(place, self.upto);
        read_origins(disk, &mut cursor, queue, |id, origin| {
            self.descents.append(id, origin);
        })?;
        self.upto = cursor.at();
        self.descents.settle(queue.position.passed);
        Ok(())
    }
}

/// The earliest origin of a queue, as a reader finds it that has `seen` what it says of its suspects' queues.
pub(super) fn earliest_origin_of(
    disk: &dyn Disk,
    place: Place,
    queue: &Queue,
    seen: &mut HashMap<Place, SeenOrigins>,
) -> std::result::Result<Option<i64>, CannotRead> {
    let mut cursor = QueueCursor::new(place, queue.position.head);
    let first = cursor.peek(disk, queue);
    let first = first.map_err(|e| (cursor.at().file, e))?;
    let mut behind = None;
    if place.queue == 1 {
        let known = seen
            .entry(place)
            .or_insert_with(|| SeenOrigins::none_of(queue));
        if known.look(disk, place, queue).is_err() {
            // Its files may have been copied together since: all that waits is read anew.
            *known = SeenOrigins::none_of(queue);
            known.look(disk, place, queue)?;
        }
        behind = known.descents.earliest();
    }
    Ok(first.map(|run| run.origin).into_iter().chain(behind).min())
}

impl LogStore {
    /// The earliest origin of all runs that are not settled.
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
            let behind = match place.queue {
                1 => self.descents_of(place)?.earliest(),
                _ => None,
            };
            earliest = earliest.into_iter().chain(first).chain(behind).min();
        }
        Ok(earliest)
    }

    /// What is known of the order of a suspects' queue; read once, for the queue may be long.
    fn descents_of(&mut self, place: Place) -> Result<&Descents> {
        let known = &mut self.handed_out.entry(place).or_default().descents;
        if known.is_none() {
            let mut descents = Descents::default();
            let queue = self.fold.queue(place);
            let mut cursor = QueueCursor::new(place, queue.position.head);
            let read = read_origins(&*self.disk, &mut cursor, queue, |id, origin| {
                descents.append(id, origin);
            });
            read.map_err(|(file, e)| unreadable_queue(&*self.disk, place, file, e))?;
            *known = Some(descents);
        }
        Ok(known.get_or_insert_default())
    }
}
