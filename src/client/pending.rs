//! Which events wait, and since when: those in the store, then those that no sender has taken over yet.
//!
//! Each page is a look of its own and holds nothing open, so a list may be walked for as long as one
//! likes beside a running sender. What is delivered meanwhile is not listed. The last page of the store and
//! how far the journal is taken over are read at one moment, so no event is missed between the two.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use super::listing::{Row, RowReason, in_doubt_rows};
use crate::error::Result;
use crate::event;
use crate::journal::round::{Offsets, Round};
use crate::spool::Spool;
use crate::store::sqlite::Reader;
use crate::store::{LaneState, Place, StoredRun, pending_event_id, run_of_event};

/// Runs read from the store at a time: 3,200 events at most.
const PAGE_RUNS: usize = 32;
/// Bytes of events read from the journal at a time.
const PAGE_BYTES: usize = 256 * 1024;
/// An event that no sender has taken over has no row yet, and gets a number from here on.
pub(super) const FIRST_JOURNAL_ID: i64 = 1 << 62;

/// Which waiting events are asked for; the default is all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PendingFilter {
    /// Of this `partner_user_id`.
    pub user: Option<String>,
    /// Enqueued at this wall time or later, in milliseconds.
    pub from_ms: Option<i64>,
    /// Enqueued before this wall time.
    pub until_ms: Option<i64>,
    /// Behind this id.
    pub after_id: i64,
}

/// The pages of a list.
pub(super) struct Pages {
    spool: Arc<Spool>,
    filter: PendingFilter,
    /// The user as it stands in events.
    escaped_user: Option<Vec<u8>>,
    next: Next,
}

enum Next {
    /// The rows from this one on.
    Store {
        from: i64,
    },
    /// What is left of the journal, and the id of its next event.
    Journal {
        round: Box<Round>,
        id: i64,
    },
    Nothing,
}

impl Pages {
    pub(super) fn new(spool: Arc<Spool>, filter: PendingFilter) -> Self {
        Self {
            spool,
            escaped_user: filter.user.as_deref().map(event::escaped_user),
            next: Next::Store {
                from: run_of_event(filter.after_id),
            },
            filter,
        }
    }

    /// The next rows; none at the end.
    pub(super) fn turn(&mut self) -> Result<VecDeque<Row>> {
        let mut page = VecDeque::new();
        while page.is_empty() {
            match std::mem::replace(&mut self.next, Next::Nothing) {
                Next::Store { from } => self.next = self.read_store(from, &mut page)?,
                Next::Journal { round, id } => {
                    self.next = self.read_journal(round, id, &mut page)?;
                }
                Next::Nothing => break,
            }
        }
        Ok(page)
    }

    fn read_store(&self, from: i64, page: &mut VecDeque<Row>) -> Result<Next> {
        let Some(store) = Reader::open(&self.spool)? else {
            return self.journal(&Offsets::new());
        };
        let seen = store.at_one_moment(|store| Seen::at(store, from))?;
        for (place, stored) in &seen.runs {
            let settled = seen.settled_of(*place, stored.id);
            let events = stored.run.events().enumerate().skip(settled);
            for (number, (fragment, enqueued_ms)) in events {
                if !self.takes(fragment, enqueued_ms) {
                    continue;
                }
                let id = pending_event_id(stored.id, number, fragment);
                if id > self.filter.after_id {
                    let doubt = seen.in_doubt.get(&id);
                    page.push_back(row(id, fragment, enqueued_ms, doubt));
                }
            }
        }
        match (seen.runs.last(), seen.offsets) {
            (_, Some(offsets)) => self.journal(&offsets),
            (Some((_, last)), None) => Ok(Next::Store { from: last.id + 1 }),
            (None, None) => Ok(Next::Nothing),
        }
    }

    fn journal(&self, taken: &Offsets) -> Result<Next> {
        Ok(Next::Journal {
            round: Box::new(Round::begin(&self.spool, taken)?),
            id: FIRST_JOURNAL_ID,
        })
    }

    fn read_journal(
        &self,
        mut round: Box<Round>,
        mut id: i64,
        page: &mut VecDeque<Row>,
    ) -> Result<Next> {
        let more = round
            .read_chunk(PAGE_BYTES, |fragment, enqueued_ms| {
                if self.takes(fragment, enqueued_ms) && id > self.filter.after_id {
                    page.push_back(Row {
                        reason: RowReason::Journalled,
                        ..row(id, fragment, enqueued_ms, None)
                    });
                }
                id += 1;
            })?
            .more;
        Ok(match more {
            true => Next::Journal { round, id },
            false => Next::Nothing,
        })
    }

    fn takes(&self, fragment: &[u8], enqueued_ms: i64) -> bool {
        let user = self.escaped_user.as_deref();
        user.is_none_or(|user| event::user_of(fragment) == user)
            && self.filter.from_ms.is_none_or(|from| enqueued_ms >= from)
            && self.filter.until_ms.is_none_or(|until| enqueued_ms < until)
    }
}

fn row(id: i64, fragment: &[u8], enqueued_ms: i64, doubt: Option<&Row>) -> Row {
    Row {
        id,
        reason: doubt.map_or(RowReason::Pending, |doubt| doubt.reason),
        http_status: None,
        first_ms: enqueued_ms,
        last_ms: doubt.map_or(0, |doubt| doubt.last_ms),
        attempts: doubt.map_or(0, |doubt| doubt.attempts),
        event_json: String::from_utf8_lossy(fragment).into_owned(),
        api_code: String::new(),
        message: doubt.map_or_else(String::new, |doubt| doubt.message.clone()),
    }
}

/// What one look at the store has shown.
struct Seen {
    runs: Vec<(Place, StoredRun)>,
    lanes: Vec<(u8, LaneState)>,
    /// The first run of each queue whose head is partly settled.
    heads: HashMap<Place, i64>,
    in_doubt: HashMap<i64, Row>,
    /// How far the journal is taken over, when these are the last runs.
    offsets: Option<Offsets>,
}

impl Seen {
    fn at(store: &Reader, from: i64) -> Result<Self> {
        let runs = store.runs_from(from, PAGE_RUNS)?;
        let lanes = store.lanes()?;
        let mut heads = HashMap::new();
        for (lane, state) in &lanes {
            for (queue, known) in [0, 1].into_iter().zip(&state.queues) {
                let place = Place { lane: *lane, queue };
                if known.skip > 0
                    && let Some(first) = store.runs(place, 0, 1)?.first()
                {
                    heads.insert(place, first.id);
                }
            }
        }
        let in_doubt = in_doubt_rows(store)?;
        Ok(Self {
            offsets: match runs.len() < PAGE_RUNS {
                true => Some(store.offsets()?),
                false => None,
            },
            runs,
            lanes,
            heads,
            in_doubt: in_doubt.into_iter().map(|row| (row.id, row)).collect(),
        })
    }

    /// How many events at the beginning of a run are settled already.
    fn settled_of(&self, place: Place, run: i64) -> usize {
        if self.heads.get(&place) != Some(&run) {
            return 0;
        }
        let lane = self.lanes.iter().find(|(lane, _)| *lane == place.lane);
        lane.map_or(0, |(_, state)| {
            state.queues[usize::from(place.queue)].skip as usize
        })
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages")
            .field("filter", &self.filter)
            .finish_non_exhaustive()
    }
}
