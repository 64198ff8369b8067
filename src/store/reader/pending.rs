//! The list of pending runs: those of all queues in the order of their ids, a page at a time.
//!
//! Between two pages nothing is held open. A list remembers where the next run of each queue stands, and
//! begins at that point again, or at the head of the queue where that has gone on meanwhile.

use super::{Failed, Reader};
use crate::error::Result;
use crate::store::entry::Point;
use crate::store::fold::Queue;
use crate::store::frame::HEADER_LEN;
use crate::store::queue_file::QueueCursor;
use crate::store::{Place, StoredRun};

/// How far a list of pending runs was read: for each queue, where its next run stands.
#[derive(Debug, Clone, Default)]
pub struct ListPosition {
    /// Runs before this one were listed.
    from: i64,
    queues: Vec<(Place, Point)>,
}

impl ListPosition {
    /// At the first run from this one on.
    pub fn from_run(from: i64) -> Self {
        Self {
            from,
            queues: Vec::new(),
        }
    }
}

impl Reader {
    /// The next runs of all queues from `position` on, at most `limit`, by their ids.
    ///
    /// Errors: as [`first_runs_with`](Self::first_runs_with).
    pub fn next_runs(
        &mut self,
        position: &mut ListPosition,
        limit: usize,
    ) -> Result<Vec<(Place, StoredRun)>> {
        let begun = position.clone();
        let (runs, now) = self.settled(|reader| {
            let mut position = begun.clone();
            let runs = reader.merge_runs(&mut position, limit)?;
            Ok((runs, position))
        })?;
        *position = now;
        Ok(runs)
    }

    fn merge_runs(
        &self,
        position: &mut ListPosition,
        limit: usize,
    ) -> std::result::Result<Vec<(Place, StoredRun)>, Failed> {
        let mut heads = Vec::new();
        for (place, queue) in self.fold.places() {
            let known = position.queues.iter().find(|(of, _)| *of == place);
            let at = match known.filter(|(_, point)| queue.holds(*point)) {
                Some((_, point)) => *point,
                None => self.seek(place, queue, position.from)?,
            };
            let mut head = Head {
                place,
                queue,
                at,
                cursor: QueueCursor::new(place, at),
                run: None,
            };
            self.advance(&mut head)?;
            while head.run.as_ref().is_some_and(|run| run.id < position.from) {
                self.advance(&mut head)?;
            }
            heads.push(head);
        }
        let mut runs = Vec::new();
        while runs.len() < limit {
            let waiting = heads.iter_mut().filter(|head| head.run.is_some());
            let first = waiting.min_by_key(|head| head.run.as_ref().map(|run| run.id));
            let Some(head) = first else {
                break;
            };
            if let Some(run) = head.run.take() {
                position.from = run.id + 1;
                runs.push((head.place, run));
            }
            self.advance(head)?;
        }
        position.queues = heads.iter().map(|head| (head.place, head.at)).collect();
        Ok(runs)
    }

    fn advance(&self, head: &mut Head<'_>) -> std::result::Result<(), Failed> {
        head.at = head.cursor.at();
        head.run = self.next_run(head.place, head.queue, &mut head.cursor)?;
        Ok(())
    }

    /// A point at or before the first run from `from` on.
    fn seek(&self, place: Place, queue: &Queue, from: i64) -> std::result::Result<Point, Failed> {
        let head = queue.position.head;
        let files: Vec<u64> = queue.files_in_use().map(|file| file.number).collect();
        let (mut low, mut high) = (0, files.len());
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            let at = Point {
                file: files[middle],
                offset: HEADER_LEN as u64,
            };
            let mut cursor = QueueCursor::new(place, at);
            let first = cursor
                .peek(&*self.disk, queue)
                .map_err(|e| self.failed(place, at, e))?;
            match first {
                Some(run) if run.id <= from => low = middle,
                _ => high = middle,
            }
        }
        Ok(match low {
            0 => head,
            _ => Point {
                file: files[low],
                offset: HEADER_LEN as u64,
            },
        })
    }
}

/// A queue while its runs are merged with those of others.
struct Head<'a> {
    place: Place,
    queue: &'a Queue,
    /// Where `run` stands, or the next one would.
    at: Point,
    cursor: QueueCursor,
    run: Option<StoredRun>,
}
