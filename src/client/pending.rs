//! The list of pending events: those in the store, then those that no sender has taken over yet.
//!
//! Each page is read by itself, and nothing is held open between two pages, so reading a list may
//! take any time while a sender runs. Events that are delivered meanwhile are not listed. The last
//! page of the store and how far the journal is taken over are read at one moment, so no event is
//! missed in between.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use super::in_doubt::in_doubt_rows;
use super::row::{Row, RowReason, pending_row};
use crate::error::Result;
use crate::event;
use crate::journal::round::{Offsets, Round};
use crate::spool::Spool;
use crate::store::reader::ListPosition;
use crate::store::{Reader, pending_event_id, run_of_event};

/// Runs read from the store at a time: 3,200 events at most.
const PAGE_RUNS: usize = 32;
/// Bytes of events read from the journal at a time.
const PAGE_BYTES: usize = 256 * 1024;
/// The first ID of events that no sender has taken over, and which therefore have no row yet.
pub const FIRST_JOURNAL_ID: i64 = 1 << 62;

/// Which pending events to list; the default is all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PendingFilter {
    /// Only events of this `partner_user_id`.
    pub user: Option<String>,
    /// Only events enqueued at this wall time or later, in milliseconds.
    pub from_ms: Option<i64>,
    /// Only events enqueued before this wall time.
    pub until_ms: Option<i64>,
    /// Only events after this ID.
    pub after_id: i64,
}

/// The pages of a list.
pub(super) struct Pages {
    spool: Arc<Spool>,
    filter: PendingFilter,
    /// The user of the filter, escaped as in fragments.
    escaped_user: Option<Vec<u8>>,
    next: Next,
}

enum Next {
    /// The runs from here on.
    Store {
        at: ListPosition,
    },
    /// The rest of the journal, and the ID of its next event.
    Journal {
        round: Box<Round>,
        id: i64,
    },
    End,
}

impl Pages {
    pub(super) fn new(spool: Arc<Spool>, filter: PendingFilter) -> Self {
        Self {
            spool,
            escaped_user: filter.user.as_deref().map(event::escaped_user),
            next: Next::Store {
                at: ListPosition::from_run(run_of_event(filter.after_id)),
            },
            filter,
        }
    }

    /// The next rows; none at the end.
    pub(super) fn next_page(&mut self) -> Result<VecDeque<Row>> {
        let mut page = VecDeque::new();
        while page.is_empty() {
            match std::mem::replace(&mut self.next, Next::End) {
                Next::Store { at } => self.next = self.read_store(at, &mut page)?,
                Next::Journal { round, id } => {
                    self.next = self.read_journal(round, id, &mut page)?;
                }
                Next::End => break,
            }
        }
        Ok(page)
    }

    fn read_store(&self, mut at: ListPosition, page: &mut VecDeque<Row>) -> Result<Next> {
        let Some(mut store) = Reader::open(&self.spool)? else {
            return self.journal(&Offsets::new());
        };
        let runs = store.next_runs(&mut at, PAGE_RUNS)?;
        let in_doubt = in_doubt_rows(&mut store)?;
        let in_doubt: HashMap<i64, Row> = in_doubt.into_iter().map(|row| (row.id, row)).collect();
        for (_, stored) in &runs {
            for (number, fragment, enqueued_ms) in stored.waiting() {
                if !self.matches(fragment, enqueued_ms) {
                    continue;
                }
                let id = pending_event_id(stored.id, number, fragment);
                if id > self.filter.after_id {
                    page.push_back(pending_row(id, fragment, enqueued_ms, in_doubt.get(&id)));
                }
            }
        }
        // The last page of the store and how far the journal is taken over are of one moment.
        match runs.len() < PAGE_RUNS {
            true => self.journal(&store.offsets()),
            false => Ok(Next::Store { at }),
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
                if self.matches(fragment, enqueued_ms) && id > self.filter.after_id {
                    page.push_back(Row {
                        reason: RowReason::Journalled,
                        ..pending_row(id, fragment, enqueued_ms, None)
                    });
                }
                id += 1;
            })?
            .more;
        Ok(match more {
            true => Next::Journal { round, id },
            false => Next::End,
        })
    }

    fn matches(&self, fragment: &[u8], enqueued_ms: i64) -> bool {
        let user = self.escaped_user.as_deref();
        is_listed(&self.filter, user, fragment, enqueued_ms)
    }
}

/// Whether the filter takes an event, whatever its ID. `escaped_user`: the user of the filter as in fragments.
pub fn is_listed(
    filter: &PendingFilter,
    escaped_user: Option<&[u8]>,
    fragment: &[u8],
    enqueued_ms: i64,
) -> bool {
    escaped_user.is_none_or(|user| event::user_of(fragment) == user)
        && filter.from_ms.is_none_or(|from| enqueued_ms >= from)
        && filter.until_ms.is_none_or(|until| enqueued_ms < until)
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages")
            .field("filter", &self.filter)
            .finish_non_exhaustive()
    }
}
