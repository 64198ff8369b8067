//! Whether the bytes that records speak of are there: asked after a boot, of what is not known to be durable.

use std::io;

use super::Place;
use super::disk::Disk;
use super::entry::{Entry, Point, QueueFile};
use super::fold::{Fold, Queue};
use super::opening::Unreadable;
use super::queue_file::QueueCursor;
use super::rejected_file::RejectedReader;

/// What of the bytes that a record speaks of is not there.
pub(super) fn missing(
    disk: &dyn Disk,
    before: &Fold,
    entries: &[Entry<'_>],
) -> io::Result<Option<String>> {
    for entry in entries {
        let found = match entry {
            Entry::Queue { place, position } => {
                // The last one: a queue may go on in two files within a record.
                let files = entries.iter().rev().find_map(|entry| match entry {
                    Entry::QueueFiles { place: of, files } if of == place => Some(files.clone()),
                    _ => None,
                });
                let known = before.queue(*place);
                let now = Queue {
                    position: *position,
                    files: files.unwrap_or_else(|| known.files.clone()),
                    ..Queue::default()
                };
                let from = match known.tail().file {
                    0 => now.first_point(),
                    _ => known.tail(),
                };
                let session = before.numbers.session;
                check_runs(disk, *place, &now, from, known.position.last_run, session)
            }
            Entry::RejectedTail {
                number,
                next_id,
                end,
                ..
            } => {
                let last = before.rejected.last();
                let from = last.filter(|file| file.number == *number);
                let range = (from.map(|file| file.end), *end);
                check_rejected(disk, *number, range, *next_id, before.numbers.session)
            }
            _ => Ok(()),
        };
        match found {
            Ok(()) => {}
            Err(Unreadable::Io(e)) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            Err(Unreadable::Io(e)) => return Ok(Some(e.to_string())),
            Err(Unreadable::Newer(version)) => {
                return Ok(Some(format!("a file of version {version}")));
            }
            Err(Unreadable::Damaged(what)) => return Ok(Some(what)),
        }
    }
    Ok(None)
}

/// Checks every run of a queue from a point to its end.
pub(super) fn check_runs(
    disk: &dyn Disk,
    place: Place,
    queue: &Queue,
    from: Point,
    last_run: i64,
    session: u32,
) -> Result<(), Unreadable> {
    let mut cursor = QueueCursor::new(place, from);
    let mut last = last_run;
    while let Some(header) = cursor.peek(disk, queue)? {
        let run = cursor.next(disk, queue)?;
        if run.is_none_or(|run| run.id <= last) || header.session != session {
            let what = format!("run {} does not belong behind run {last}", header.id);
            return Err(Unreadable::Damaged(what));
        }
        last = header.id;
    }
    if last != queue.position.last_run {
        let what = format!("run {} is missing", queue.position.last_run);
        return Err(Unreadable::Damaged(what));
    }
    Ok(())
}

/// Checks the rejected events of a file between two offsets.
fn check_rejected(
    disk: &dyn Disk,
    number: u64,
    (from, end): (Option<u64>, u64),
    next_id: i64,
    session: u32,
) -> Result<(), Unreadable> {
    let mut reader = RejectedReader::open(disk, number, end)?;
    if let Some(from) = from {
        reader.seek(from);
    }
    let mut last = None;
    while let Some(header) = reader.peek()? {
        reader.read(&header)?;
        if header.session != session {
            let what = format!("rejected event {} is of another session", header.id);
            return Err(Unreadable::Damaged(what));
        }
        last = Some(header.id);
    }
    if last.is_none_or(|last| last != next_id - 1) {
        let what = format!("rejected event {} is missing", next_id - 1);
        return Err(Unreadable::Damaged(what));
    }
    Ok(())
}

impl Queue {
    /// Where its first run stands.
    fn first_point(&self) -> Point {
        self.files
            .first()
            .map_or_else(Point::default, |QueueFile { number, .. }| Point {
                file: *number,
                offset: super::frame::HEADER_LEN as u64,
            })
    }
}
