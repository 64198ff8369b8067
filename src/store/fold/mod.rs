//! The state of the store: the fold of what its ledger says.
//!
//! The sender, whoever looks, and a recovery all get their state by [`Fold::apply`], entry by entry. The
//! sender applies what it is about to write by the same function, so memory and file cannot differ.

mod rejected;
mod snapshot;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use once_cell::race::OnceBox;

use super::entry::{Entry, Isolation, Numbers, Point, QueueFile, QueuePosition, RejectedFile};
use super::frame::{GIVEN, is_given, is_id};
use super::ledger::NO_NUMBERS;
use super::{
    InDoubt, LaneState, PauseState, Place, QueueState, RejectedReason, Rest, Suspect, Totals,
};
use crate::journal::round::Offsets;

/// A file of rejected events has at most so many ids, and a bit for each.
pub(super) const FILE_IDS_MAX: i64 = 1 << 24;

/// What is known of one queue.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Queue {
    pub(super) position: QueuePosition,
    /// Its files, in order; runs are appended to the last one.
    pub(super) files: Vec<QueueFile>,
    /// Events that have left a run that still waits, a bit for each place.
    pub(super) marks: BTreeMap<i64, u128>,
    pub(super) isolation: Isolation,
}

impl Queue {
    /// Where the next run is appended; a file number of 0: there is no file yet.
    pub(super) fn tail(&self) -> Point {
        Point {
            file: self.files.last().map_or(0, |file| file.number),
            offset: self.position.tail,
        }
    }

    /// The point where the runs of `file` end.
    pub(super) fn end_of(&self, file: u64) -> Option<u64> {
        let tail = self.tail();
        if file == tail.file {
            return Some(tail.offset);
        }
        let found = self.files.iter().find(|known| known.number == file);
        found.map(|file| file.end)
    }

    /// The file that comes behind `file`.
    pub(super) fn file_behind(&self, file: u64) -> Option<u64> {
        let at = self.files.iter().position(|known| known.number == file)?;
        self.files.get(at + 1).map(|file| file.number)
    }

    /// A bit for the place of each event that has left a run.
    pub(super) fn marks_of(&self, run: i64) -> u128 {
        self.marks.get(&run).copied().unwrap_or(0)
    }

    /// Whether a run that waits may stand at `point`.
    pub(super) fn holds(&self, point: Point) -> bool {
        let head = self.position.head;
        let mut files = self.files_in_use();
        files.any(|file| file.number == point.file)
            && (point.file != head.file || point.offset >= head.offset)
    }

    /// The files in which runs may wait.
    pub(super) fn files_in_use(&self) -> impl Iterator<Item = &QueueFile> {
        let head = self.position.head.file;
        self.files
            .iter()
            .skip_while(move |file| file.number != head)
    }
}

/// What is known of one lane beside its queues.
#[derive(Debug, Clone, Default, PartialEq)]
struct Lane {
    in_doubt: Option<InDoubt>,
    rest: Rest,
}

/// The state of a store.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Fold {
    /// By lane, two for each.
    queues: Vec<Queue>,
    by_lane: Vec<Lane>,
    pub(super) lanes: u8,
    /// Segments by number: their names, and how far they are taken over.
    pub(super) segments: BTreeMap<u64, (String, u64)>,
    segment_numbers: HashMap<String, u64>,
    pub(super) suspects: HashMap<Vec<u8>, Suspect>,
    pub(super) refused_in_a_row: Vec<String>,
    pub(super) pause: Option<PauseState>,
    totals: Totals,
    /// In the order of their ids.
    pub(super) rejected: Vec<RejectedFile>,
    /// How many rejected events there are, by reason and API code.
    pub(super) rejected_counts: BTreeMap<(RejectedReason, String), u64>,
    pub(super) numbers: Numbers,
}

impl Fold {
    pub(super) fn queue(&self, place: Place) -> &Queue {
        // A lock that another thread of the parent held would stop a forked child for ever.
        static EMPTY: OnceBox<Queue> = OnceBox::new();
        let known = self.queues.get(index(place));
        known.unwrap_or_else(|| EMPTY.get_or_init(Box::default))
    }

    pub(super) fn queue_mut(&mut self, place: Place) -> &mut Queue {
        let index = index(place);
        if self.queues.len() <= index {
            self.queues.resize_with(index + 1, Queue::default);
        }
        &mut self.queues[index]
    }

    fn lane_mut(&mut self, lane: u8) -> &mut Lane {
        let lane = usize::from(lane);
        if self.by_lane.len() <= lane {
            self.by_lane.resize_with(lane + 1, Lane::default);
        }
        &mut self.by_lane[lane]
    }

    /// Every queue that was ever used.
    pub(super) fn places(&self) -> impl Iterator<Item = (Place, &Queue)> {
        self.queues.iter().enumerate().map(|(index, queue)| {
            let place = Place {
                lane: (index / 2) as u8,
                queue: (index % 2) as u8,
            };
            (place, queue)
        })
    }

    /// The sums, and what waits.
    pub(super) fn totals(&self) -> Totals {
        let sum = |of: fn(&QueuePosition) -> u64| -> u64 {
            let each = self.queues.iter().map(|queue| of(&queue.position));
            each.fold(0, u64::saturating_add)
        };
        Totals {
            pending: sum(|position| position.events),
            pending_bytes: sum(|position| position.bytes),
            ..self.totals
        }
    }

    /// The state of a lane, as delivery wants it.
    pub(super) fn lane_state(&self, lane: u8) -> LaneState {
        LaneState {
            in_doubt: self.in_doubt(lane),
            queues: [0, 1].map(|queue| {
                let queue = self.queue(Place { lane, queue });
                QueueState {
                    group: queue.isolation.group,
                    doubtful: queue.isolation.doubtful,
                    belief: queue.isolation.belief.clone(),
                }
            }),
        }
    }

    /// The number of the lanes of which something is known.
    pub(super) fn lane_end(&self) -> u8 {
        self.by_lane.len().max(self.queues.len().div_ceil(2)) as u8
    }

    pub(super) fn in_doubt(&self, lane: u8) -> Option<InDoubt> {
        self.by_lane.get(usize::from(lane))?.in_doubt
    }

    pub(super) fn rest(&self, lane: u8) -> Rest {
        let lane = self.by_lane.get(usize::from(lane));
        lane.map_or_else(Rest::default, |lane| lane.rest)
    }

    pub(super) fn segment_number(&self, name: &str) -> Option<u64> {
        self.segment_numbers.get(name).copied()
    }

    pub(super) fn offsets(&self) -> Offsets {
        self.segments.values().cloned().collect()
    }

    /// The sums that differ in `now`.
    pub(super) fn changed_totals(&self, now: &Totals) -> Vec<(u8, u64)> {
        let (mut known, mut now) = (self.totals, *now);
        let pairs = known.numbers().zip(now.numbers()).enumerate();
        pairs
            .filter(|(_, (known, now))| known != now)
            .map(|(place, (_, now))| (place as u8, *now))
            .collect()
    }

    /// Takes one entry in.
    ///
    /// Errors: what the entry contradicts, in words.
    pub(super) fn apply(&mut self, entry: &Entry<'_>) -> Result<(), &'static str> {
        match entry {
            Entry::Snapshot { .. } => {}
            Entry::Elected { session, .. } => self.numbers.session = *session,
            Entry::Queue { place, position } => self.move_queue(*place, position)?,
            Entry::QueueFiles { place, files } => {
                let numbers: BTreeSet<u64> = files.iter().map(|file| file.number).collect();
                if numbers.len() < files.len() {
                    // Whoever reads the queue would go from one to the other for ever.
                    return Err("a queue has a file twice");
                }
                let last = numbers.last().copied().unwrap_or(0);
                if !is_given(last) {
                    return Err("a queue has a file with a number that there is not");
                }
                self.numbers.queue_file = self.numbers.queue_file.max(last);
                self.queue_mut(*place).files.clone_from(files);
            }
            Entry::Marks { place, run, marks } => {
                let known = &mut self.queue_mut(*place).marks;
                match *marks {
                    0 => known.remove(run),
                    marks => known.insert(*run, marks),
                };
            }
            Entry::Isolation { place, isolation } => {
                self.queue_mut(*place).isolation.clone_from(isolation);
            }
            Entry::InDoubt { lane, in_doubt } => self.lane_mut(*lane).in_doubt = *in_doubt,
            Entry::Answered { lane, status } => {
                if let Some(batch) = &mut self.lane_mut(*lane).in_doubt {
                    batch.status = Some(*status).filter(|status| *status != 0);
                }
            }
            Entry::Rest { lane, rest } => self.lane_mut(*lane).rest = *rest,
            Entry::Segment { number, name } => {
                if !is_given(*number) {
                    return Err("a segment has a number that there is not");
                }
                self.numbers.segment = self.numbers.segment.max(*number);
                self.segment_numbers.insert((*name).to_owned(), *number);
                self.segments.insert(*number, ((*name).to_owned(), 0));
            }
            Entry::Taken { number, upto } => match self.segments.get_mut(number) {
                Some((_, known)) => *known = *upto,
                None => return Err("it speaks of a segment that it has not named"),
            },
            Entry::Gone { number } => {
                if let Some((name, _)) = self.segments.remove(number) {
                    self.segment_numbers.remove(&name);
                }
            }
            Entry::Suspect(suspect) => {
                self.suspects.insert(suspect.user.clone(), suspect.clone());
            }
            Entry::Cleared { user } => {
                self.suspects.remove(*user);
            }
            Entry::RefusedInARow { user } => self.refused_in_a_row.push((*user).to_owned()),
            Entry::AcceptedSince => self.refused_in_a_row.clear(),
            Entry::Pause(pause) => self.pause.clone_from(pause),
            Entry::Lanes(lanes) => self.lanes = *lanes,
            Entry::Totals(changed) => {
                for (place, value) in changed {
                    // A number of a later version has no place here.
                    if let Some(known) = self.totals.numbers().nth(usize::from(*place)) {
                        *known = *value;
                    }
                }
            }
            Entry::RejectedFile(_)
            | Entry::RejectedTail { .. }
            | Entry::Forgotten(_)
            | Entry::RejectedGone { .. } => self.apply_to_rejected(entry)?,
            Entry::Receipt { id, .. } => {
                if !is_id(*id) {
                    return Err("a receipt has an id that there is not");
                }
                self.numbers.receipt = self.numbers.receipt.max(*id);
            }
            Entry::ReceiptsForgotten { below } => self.numbers.receipts_from = *below,
            Entry::Numbers(numbers) => {
                let ids = [numbers.run, numbers.receipt, numbers.rejected];
                let of_files = [numbers.segment, numbers.queue_file, numbers.rejected_file];
                if !ids.iter().all(|number| GIVEN.contains(number))
                    || !of_files.iter().all(|number| is_given(*number))
                {
                    return Err(NO_NUMBERS);
                }
                self.numbers = *numbers;
            }
            Entry::RejectedCount {
                reason,
                api_code,
                events,
            } => {
                let key = (*reason, (*api_code).to_owned());
                match *events {
                    0 => self.rejected_counts.remove(&key),
                    events => self.rejected_counts.insert(key, events),
                };
            }
        }
        Ok(())
    }

    fn move_queue(&mut self, place: Place, position: &QueuePosition) -> Result<(), &'static str> {
        let queue = self.queue_mut(place);
        if position.last_run < queue.position.last_run
            || position.passed < queue.position.passed
            || position.passed > position.last_run
        {
            return Err("a queue goes back");
        }
        if !GIVEN.contains(&position.last_run) {
            return Err("a run has a number that there is not");
        }
        if position.passed > queue.position.passed {
            queue.marks = queue.marks.split_off(&(position.passed + 1));
        }
        queue.position = *position;
        // Only now: a recovery goes on behind what is refused.
        self.numbers.run = self.numbers.run.max(position.last_run);
        Ok(())
    }
}

fn index(place: Place) -> usize {
    usize::from(place.lane) * 2 + usize::from(place.queue)
}
