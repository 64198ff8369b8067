//! What is known of the lane in memory: what the database holds, and what the next statement will add.

use std::collections::{BTreeSet, HashMap};

use meditopia::internals::clock::{self, Moment};
use meditopia::internals::store::{
    Change, LaneState, Place, Rejected, Run, SavedLane, StoredRun, Suspect, Totals,
};

use super::draft::Draft;
use super::known::{Known, KnownRuns};
use crate::parcel::{checksum, encode_slots};

/// An id of a rejected event or of a receipt is a time, and then its lane: no two lanes give the same.
const IDS_PER_MS: i64 = 256;

/// The time on the server's clock, in milliseconds since ids are counted from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServerTime {
    pub(crate) ms: i64,
    pub(crate) read: Moment,
}

impl ServerTime {
    /// The server has said this just now.
    pub(crate) fn said(ms: i64) -> Self {
        let read = clock::now();
        Self { ms, read }
    }

    fn now_ms(self) -> i64 {
        let since = self.read.until(clock::now());
        self.ms + i64::try_from(since.as_millis()).unwrap_or(0)
    }
}

/// A lane.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) lane: i16,
    pub(crate) saved: SavedLane,
    /// The runs that were read, by queue.
    pub(crate) known: [KnownRuns; 2],
    /// No run before these waits, by queue.
    pub(crate) first_runs: [i64; 2],
    pub(crate) last_suspect_run: i64,
    /// The last run of the suspects that stands in the database.
    pub(crate) stored_suspect_run: i64,
    /// The last run that the sorter has appended to any lane, and how many events to this one, when it was asked last.
    pub(crate) last_run: i64,
    pub(crate) appended_events: i64,
    pub(crate) left_events: i64,
    pub(crate) last_rejected: i64,
    pub(crate) last_receipt: i64,
    pub(crate) suspects: HashMap<Vec<u8>, Suspect>,
    /// The whole fleet's, when they were asked for last.
    pub(crate) refused_in_a_row: BTreeSet<String>,
    pub(crate) time: ServerTime,
}

/// The first runs of a queue, all of which a statement has to know. Runs that are named may stand in the database as
/// they were read and not be the first ones: their reader has seen what another owner had settled before them, and
/// the database was set back to before that, and to this one's lease. Those before them would never be found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) queue: u8,
    pub(crate) from: i64,
    pub(crate) upto: i64,
    /// How many of them are known to stand in the database.
    pub(crate) runs: usize,
}

/// Why a change is refused, in words.
pub(crate) type Refused = &'static str;

impl State {
    /// Takes a change in, and has the next statement say it.
    pub(crate) fn take_in(
        &mut self,
        change: &Change<'_>,
        draft: &mut Draft,
    ) -> Result<(), Refused> {
        match *change {
            // A database has no journal, and a lane of the fleet is the one lane of its store.
            Change::Taken { .. } | Change::Gone { .. } | Change::Lanes(_) => return Ok(()),
            Change::Append { place, origin, run } => self.append(place, origin, run, draft)?,
            Change::Settle { place, upto } => {
                let queue = queue_of(place)?;
                let settled = self.known[queue].settle(upto);
                let settled =
                    settled.ok_or("a run is settled that does not wait, or was not read")?;
                let from = self.first_runs[queue];
                draft.settled_from[queue].get_or_insert(from);
                self.first_runs[queue] = upto + 1;
                for run in settled {
                    draft.settle(place.queue, run);
                }
            }
            Change::Mark { place, run, marks } => {
                let known = self.known[queue_of(place)?].find_mut(run);
                let known = known.ok_or("a run is marked that does not wait, or was not read")?;
                known.marks = marks;
                draft.mark(place.queue, known);
            }
            Change::Leave { events, .. } => self.left_events += events as i64,
            Change::Lane { state, .. } => {
                draft.has_state = true;
                draft.puts_in_doubt |= is_sent(&self.saved.state, state);
                self.saved.state = state.clone();
            }
            Change::Rest { rest, .. } => {
                draft.has_state = true;
                self.saved.rest = *rest;
            }
            Change::Pause(pause) => {
                draft.has_state = true;
                self.saved.pause = pause.cloned();
            }
            Change::Totals(totals) => {
                draft.has_totals = true;
                self.saved.totals = Totals {
                    pending: 0,
                    pending_bytes: 0,
                    ..*totals
                };
            }
            Change::Receipt(receipt) => {
                self.last_receipt = self.next_id_behind(self.last_receipt);
                draft.receipts.push((self.last_receipt, receipt.clone()));
            }
            Change::Reject(event) => self.reject(event, draft),
            Change::Forget { rejected, .. } => {
                if rejected > self.last_rejected {
                    return Err("an event is forgotten that was never rejected");
                }
                draft.forget(rejected);
            }
            Change::Suspect(suspect) => {
                let suspect = Suspect {
                    lane: 0,
                    ..suspect.clone()
                };
                let user = suspect.user.clone();
                draft.suspects.insert(user.clone(), Some(suspect.clone()));
                self.suspects.insert(user, suspect);
            }
            Change::Cleared { user } => {
                draft.suspects.insert(user.to_vec(), None);
                self.suspects.remove(user);
            }
            Change::RefusedInARow { user } => {
                draft.refused.push(user.to_owned());
                self.refused_in_a_row.insert(user.to_owned());
            }
            Change::AcceptedSince => {
                draft.accept();
                self.refused_in_a_row.clear();
            }
        }
        draft.is_wanted = true;
        Ok(())
    }

    fn append(
        &mut self,
        place: Place,
        origin: Option<i64>,
        run: &Run,
        draft: &mut Draft,
    ) -> Result<(), Refused> {
        if queue_of(place)? == 0 {
            return Err("runs come into the regular queue by the sorter alone");
        }
        let last = self.last_suspect_run.max(self.last_run);
        let id = self.time.now_ms().max(last + 1);
        self.last_suspect_run = id;
        self.left_events -= run.slots.len() as i64;
        let stored = StoredRun {
            id,
            origin: origin.unwrap_or(id),
            run: run.clone(),
            marks: 0,
        };
        let sum = checksum(&run.body, &encode_slots(&run.slots));
        draft.appended.insert(id, (stored, sum));
        Ok(())
    }

    fn reject(&mut self, event: &Rejected, draft: &mut Draft) {
        self.last_rejected = self.next_id_behind(self.last_rejected);
        draft.rejected.insert(self.last_rejected, event.clone());
    }

    fn next_id_behind(&self, last: i64) -> i64 {
        let ms = self.time.now_ms().max(last / IDS_PER_MS + 1);
        ms * IDS_PER_MS + i64::from(self.lane)
    }

    /// The runs of the batch in doubt that stand in the database.
    pub(crate) fn runs_in_doubt(&self, draft: &Draft) -> (u8, Vec<&Known>) {
        let Some(batch) = self.saved.state.in_doubt else {
            return (0, Vec::new());
        };
        let known = &self.known[usize::from(batch.queue.min(1))];
        let runs = known.head(batch.events);
        let is_stored = |run: &&Known| batch.queue == 0 || !draft.appended.contains_key(&run.id);
        (batch.queue, runs.filter(is_stored).collect())
    }

    /// The heads that the next statement settles or sends.
    pub(crate) fn heads(&self, draft: &Draft) -> Vec<Head> {
        let (of, doubted) = match draft.puts_in_doubt {
            true => self.runs_in_doubt(draft),
            false => (0, Vec::new()),
        };
        let head = |queue: u8| {
            let at = usize::from(queue);
            let settled = draft.settled.iter().filter(|(of, _)| *of == queue).count();
            let doubted = if of == queue { &doubted[..] } else { &[] };
            let settled_upto = draft.settled_from[at].map(|_| self.first_runs[at] - 1);
            let upto = doubted.last().map(|run| run.id).or(settled_upto)?;
            Some(Head {
                queue,
                from: draft.settled_from[at].unwrap_or(self.first_runs[at]),
                upto,
                runs: settled + doubted.len(),
            })
        };
        [0, 1].into_iter().filter_map(head).collect()
    }

    /// Events that wait.
    pub(crate) fn pending(&self) -> u64 {
        u64::try_from(self.appended_events - self.left_events).unwrap_or(0)
    }
}

/// Whether a batch is sent after this state is committed, and was not before.
fn is_sent(before: &LaneState, now: &LaneState) -> bool {
    let sent = |state: &LaneState| {
        let batch = state.in_doubt?;
        Some((batch.queue, batch.events, batch.attempts, batch.first_ms))
    };
    now.in_doubt.is_some() && sent(before) != sent(now)
}

/// The store of a lane has one, which is 0 there.
pub(crate) fn queue_of(place: Place) -> Result<usize, Refused> {
    match (place.lane, place.queue) {
        (0, queue @ (0 | 1)) => Ok(usize::from(queue)),
        _ => Err("it is spoken of another lane"),
    }
}
