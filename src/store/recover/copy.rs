//! What of a copy is of another moment than its ledger.
//!
//! Whoever copies the spool of a sender that runs gets each file as it was when its turn came. What the
//! files say is compared here. A segment that the copied ledger does not name yet, and that was delivered
//! and removed before the journal was copied, leaves no trace: so a caller also asks whether a sender ran.

use std::fmt;

use super::ledger::whole_file;
use super::queues::{QueueFound, RUNS};
use super::scan::scan;
use super::{Found, places};
use crate::error::Result;
use crate::journal::backlog::{self, Gap};
use crate::journal::round;
use crate::spool::{Heartbeat, Spool};
use crate::store::Place;
use crate::store::disk::{Disk, Folder};
use crate::store::fold::{Fold, Queue};
use crate::store::queue_file;

/// Something in a copy that does not fit its ledger, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    what: String,
    /// Whether events may be missing by this; otherwise some may be sent twice, or nothing happens.
    pub loses_events: bool,
}

impl Mismatch {
    fn losing(what: String) -> Self {
        let loses_events = true;
        Self { what, loses_events }
    }

    fn harmless(what: String) -> Self {
        let loses_events = false;
        Self { what, loses_events }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// Compares the files of a store, which were read, with its ledger.
pub(super) fn mismatches(disk: &dyn Disk, spool: &Spool, found: &Found) -> Result<Vec<Mismatch>> {
    let fold = &found.ledger.fold;
    let is_whole = found.ledger.is_whole();
    let mut waiting = match is_whole {
        true => backlog::count(spool, &fold.offsets())?.events,
        false => 0,
    };
    let mut mismatches = Vec::new();
    for (place, on_disk) in places(disk, &found.ledger)? {
        let queue = found.queues.get(&place);
        mismatches.extend(queue.and_then(|queue| missing(queue, fold.queue(place))));
        if is_whole {
            let later = taken_later(disk, fold, place, &on_disk, &mut waiting);
            mismatches.extend(later);
        }
    }
    if is_whole {
        compare_journal(spool, fold, &mut mismatches)?;
    }
    Ok(mismatches)
}

fn queue_name(Place { lane, queue }: Place) -> String {
    match queue {
        0 => format!("lane {lane}"),
        _ => format!("lane {lane}, suspects"),
    }
}

/// Events that wait as the ledger says, and that no file has: the range of their runs, among those that wait.
fn missing(found: &QueueFound, known: &Queue) -> Option<Mismatch> {
    if found.damage.is_none() || found.lost == Some(0) {
        return None;
    }
    let (passed, last) = (known.position.passed, known.position.last_run);
    let (head, ids) = (known.position.head, found.runs.keys());
    let begins_at_head = found
        .runs
        .values()
        .next()
        .is_some_and(|run| (run.file, run.offset) == (head.file, head.offset));
    let (from, upto) = match (ids.clone().next(), ids.last()) {
        (Some(_), Some(&high)) if begins_at_head && high < last => (high + 1, last),
        (Some(&low), Some(&high)) if !begins_at_head && high == last => (passed + 1, low - 1),
        _ => (passed + 1, last),
    };
    let events = match found.lost {
        Some(events) => events.to_string(),
        None => "an unknown number of".to_owned(),
    };
    Some(Mismatch::losing(format!(
        "{}: {events} events of the runs {from} to {upto} are not in this copy",
        queue_name(found.place)
    )))
}

/// Whole runs behind the end of a queue: their events were taken over after the ledger was copied. If as many
/// of the events that wait in the journal are left, they are taken over again.
fn taken_later(
    disk: &dyn Disk,
    fold: &Fold,
    place: Place,
    on_disk: &[u64],
    waiting: &mut u64,
) -> Option<Mismatch> {
    let known = fold.queue(place);
    let (mut from, mut upto, mut events) = (i64::MAX, 0, 0);
    for &number in on_disk {
        let (first, end) = whole_file();
        let first = match number {
            number if number == known.tail().file => known.tail().offset,
            number if number > fold.numbers.queue_file => first,
            _ => continue,
        };
        let name = queue_file::file_name(place, number);
        let expected = queue_file::expected_header(place, number);
        // What cannot be read was told with the queue.
        let Ok(found) = scan(disk, (Folder::Queues, &name), &RUNS, expected, (first, end)) else {
            continue;
        };
        let runs = found.units.iter().map(|at| &at.unit);
        for run in runs.filter(|run| run.id > known.position.last_run) {
            (from, upto) = (from.min(run.id), upto.max(run.id));
            events += run.run.slots.len() as u64;
        }
    }
    let what = format!(
        "{}: {events} events of the runs {from} to {upto} were taken over after the ledger was copied",
        queue_name(place)
    );
    if events == 0 {
        return None;
    }
    Some(match waiting.checked_sub(events) {
        Some(left) => {
            *waiting = left;
            Mismatch::harmless(format!("{what}; they are sent from the journal"))
        }
        None => Mismatch::losing(format!("{what}; the copied journal does not have them all")),
    })
}

fn compare_journal(spool: &Spool, fold: &Fold, mismatches: &mut Vec<Mismatch>) -> Result<()> {
    let taken = fold.offsets();
    let names = round::list_segments(spool)?;
    let heartbeat = Heartbeat::read(spool)?.unwrap_or_default();
    for name in &names {
        let offset = taken.get(name).copied();
        if let Some((events, first)) = backlog::waiting(spool, name, offset)?
            && first < heartbeat.taken_upto()
        {
            mismatches.push(Mismatch::harmless(format!(
                "journal/{name}: some of its last {events} events had been taken over; they are sent twice if they were delivered"
            )));
        }
        mismatches.extend(match backlog::gap(spool, name, offset)? {
            Gap::None => None,
            Gap::Behind { bytes, events } => Some(Mismatch::losing(format!(
                "journal/{name}: {bytes} bytes were given back after the ledger was copied; {} events are missing",
                events.map_or("some".to_owned(), |events| format!("at most {events}"))
            ))),
            Gap::Short { size } => Some(Mismatch::harmless(format!(
                "journal/{name}: was copied with {size} bytes, and {} were taken over when the ledger was copied; nothing is missing by that",
                offset.unwrap_or(0)
            ))),
        });
    }
    let mut gone: Vec<_> = taken.iter().collect();
    gone.retain(|(segment, _)| !names.contains(segment));
    gone.sort_unstable();
    mismatches.extend(gone.iter().map(|(segment, upto)| {
        Mismatch::losing(format!(
            "journal/{segment}: is not in this copy; what stood behind byte {upto} may be missing"
        ))
    }));
    Ok(())
}
