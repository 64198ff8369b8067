//! New events on their way into the lanes: which lane each goes over, and the runs that they make.

use crate::event;
use crate::store::{Change, Place, Run};

/// Events in one run: what fits in a request.
const RUN_EVENTS: usize = 100;

/// The lane of a user, the same for ever: order per user hangs on it.
pub fn lane_of(escaped_user: &[u8], lanes: usize) -> usize {
    crc32c::crc32c(escaped_user) as usize % lanes.max(1)
}

/// Spreads events over lanes.
pub struct Spread {
    new: NewRuns,
    /// The run of each lane that has room for more.
    open: Vec<Run>,
}

/// Runs for the ends of the lanes' regular queues.
#[derive(Debug, Default)]
pub struct NewRuns {
    runs: Vec<(Place, Run)>,
    pub(super) events: u64,
    pub(super) bytes: u64,
}

impl Spread {
    /// Over so many lanes.
    pub fn over(lanes: usize) -> Self {
        Self {
            new: NewRuns::default(),
            open: vec![Run::default(); lanes],
        }
    }

    /// The next event.
    pub fn push(&mut self, fragment: &[u8], enqueued_ms: i64) {
        let lane = match self.open.len() {
            1 => 0,
            lanes => lane_of(event::user_of(fragment), lanes),
        };
        let run = &mut self.open[lane];
        run.push(fragment, enqueued_ms);
        self.new.events += 1;
        self.new.bytes += fragment.len() as u64;
        if run.slots.len() == RUN_EVENTS {
            self.new.runs.push((regular(lane), std::mem::take(run)));
        }
    }

    /// What they make.
    pub fn into_runs(self) -> NewRuns {
        let Self { mut new, open } = self;
        let rest = open.into_iter().enumerate();
        let rest = rest.filter(|(_, run)| !run.slots.is_empty());
        new.runs
            .extend(rest.map(|(lane, run)| (regular(lane), run)));
        new
    }
}

impl NewRuns {
    /// The changes that append them.
    pub(super) fn changes(&self) -> impl Iterator<Item = Change<'_>> {
        self.runs.iter().map(|(place, run)| Change::Append {
            place: *place,
            origin: None,
            run,
        })
    }

    /// The runs of what was spread over one lane.
    #[cfg(feature = "internals")]
    pub(crate) fn into_single_lane(self) -> Vec<Run> {
        self.runs.into_iter().map(|(_, run)| run).collect()
    }

    /// The runs, those of a lane in its order.
    #[cfg(feature = "internals")]
    pub fn by_place(self) -> Vec<(Place, Run)> {
        self.runs
    }

    /// The queues that they go to.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        self.runs.iter().map(|(place, _)| *place)
    }
}

fn regular(lane: usize) -> Place {
    Place {
        lane: lane as u8,
        queue: 0,
    }
}
