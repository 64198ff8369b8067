//! Lists of rejected, in-doubt and waiting events, read by page without holding a transaction.

use std::collections::VecDeque;
use std::sync::Arc;

use super::pending::{Pages, PendingFilter};
use crate::error::Result;
use crate::spool::Spool;
use crate::store::sqlite::Reader;
use crate::store::{Place, RejectedFilter, RejectedReason, pending_event_id};

/// Rows read from the store at a time.
const PAGE_ROWS: usize = 100;

/// Why an event is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowReason {
    /// The API refused it alone.
    Refused {
        /// An earlier request that held it was never answered: the API may have it.
        may_be_delivered: bool,
    },
    /// It waited longer than `event_ttl_s`.
    Expired {
        /// An earlier request that held it was never answered: the API may have it.
        may_be_delivered: bool,
    },
    /// A request that holds it was never answered; it will be repeated.
    InDoubt,
    /// It was in doubt, and an operator took it out of its batch: the API may have it.
    SetAside,
    /// It waits in the store.
    Pending,
    /// It waits in the journal: no sender has taken it over yet.
    Journalled,
}

impl RowReason {
    /// Whether the API may have the event already.
    pub fn may_be_delivered(self) -> bool {
        match self {
            Self::Refused { may_be_delivered } | Self::Expired { may_be_delivered } => {
                may_be_delivered
            }
            Self::SetAside | Self::InDoubt => true,
            Self::Pending | Self::Journalled => false,
        }
    }
}

/// One listed event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// For requeue, discard and the next page. Of a [`RowReason::Journalled`] event it is 2^62 or more,
    /// and only says where it stands in this list.
    pub id: i64,
    /// Why it is listed.
    pub reason: RowReason,
    /// The HTTP status of its refusal.
    pub http_status: Option<u16>,
    /// Wall time of its enqueue, in milliseconds; in the list of those in doubt, of the first such request.
    pub first_ms: i64,
    /// Wall time of its rejection, or of the last request in doubt; 0: none of them.
    pub last_ms: i64,
    /// Requests that held it, as far as the sender knows.
    pub attempts: u32,
    /// The event as it is on the wire.
    pub event_json: String,
    /// The API's code; empty: none.
    pub api_code: String,
    /// The API's message, or ours.
    pub message: String,
}

/// A list that is read as it is walked.
#[derive(Debug)]
pub struct Cursor {
    source: Source,
    page: VecDeque<Row>,
}

#[derive(Debug)]
enum Source {
    Rejected {
        spool: Arc<Spool>,
        /// What is left of the list.
        filter: RejectedFilter,
    },
    /// At most one batch a lane: read as a whole.
    InDoubt,
    Pending(Pages),
}

impl Cursor {
    pub(super) fn rejected(spool: Arc<Spool>, filter: RejectedFilter) -> Result<Self> {
        let mut cursor = Self {
            source: Source::Rejected { spool, filter },
            page: VecDeque::new(),
        };
        cursor.turn()?;
        Ok(cursor)
    }

    pub(super) fn pending(spool: Arc<Spool>, filter: PendingFilter) -> Result<Self> {
        let mut cursor = Self {
            source: Source::Pending(Pages::new(spool, filter)),
            page: VecDeque::new(),
        };
        cursor.turn()?;
        Ok(cursor)
    }

    pub(super) fn in_doubt(spool: &Spool, after: i64) -> Result<Self> {
        let rows = match Reader::open(spool)? {
            Some(store) => in_doubt_rows(&store)?,
            None => Vec::new(),
        };
        Ok(Self {
            source: Source::InDoubt,
            page: rows.into_iter().filter(|row| row.id > after).collect(),
        })
    }

    /// The next row; `None` at the end.
    ///
    /// Errors: as [`Client::stats`](super::Client::stats).
    pub fn next_row(&mut self) -> Result<Option<Row>> {
        if self.page.is_empty() {
            self.turn()?;
        }
        Ok(self.page.pop_front())
    }

    fn turn(&mut self) -> Result<()> {
        let (spool, filter) = match &mut self.source {
            Source::Rejected { spool, filter } => (spool, filter),
            Source::Pending(pages) => {
                self.page = pages.turn()?;
                return Ok(());
            }
            Source::InDoubt => return Ok(()),
        };
        let Some(store) = Reader::open(spool)? else {
            return Ok(());
        };
        for (id, rejected) in store.rejected(filter, PAGE_ROWS)? {
            filter.after_id = id;
            self.page.push_back(Row {
                id,
                reason: match rejected.reason {
                    RejectedReason::Refused => RowReason::Refused {
                        may_be_delivered: rejected.may_be_delivered,
                    },
                    RejectedReason::Expired => RowReason::Expired {
                        may_be_delivered: rejected.may_be_delivered,
                    },
                    RejectedReason::SetAside => RowReason::SetAside,
                },
                http_status: rejected.http_status,
                first_ms: rejected.first_ms,
                last_ms: rejected.last_ms,
                attempts: rejected.attempts,
                event_json: String::from_utf8_lossy(&rejected.event).into_owned(),
                api_code: rejected.api_code,
                message: rejected.message,
            });
        }
        Ok(())
    }
}

/// How many events are in doubt.
pub(super) fn in_doubt_count(store: &Reader) -> Result<u64> {
    let lanes = store.lanes()?;
    let events = lanes.iter().filter_map(|(_, lane)| lane.in_doubt);
    Ok(events.map(|batch| u64::from(batch.events)).sum())
}

pub(super) fn in_doubt_rows(store: &Reader) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (lane, state) in store.lanes()? {
        let Some(batch) = state.in_doubt else {
            continue;
        };
        let place = Place {
            lane,
            queue: batch.queue,
        };
        let skip = state.queues[usize::from(batch.queue)].skip as usize;
        let runs = store.runs(place, 0, batch.events as usize + 1)?;
        let events = runs.iter().flat_map(|stored| {
            let numbered = stored.run.events().enumerate();
            numbered.map(|(number, (fragment, _))| {
                (pending_event_id(stored.id, number, fragment), fragment)
            })
        });
        for (id, fragment) in events.skip(skip).take(batch.events as usize) {
            rows.push(Row {
                id,
                reason: RowReason::InDoubt,
                http_status: None,
                first_ms: batch.first_ms,
                last_ms: batch.last_ms,
                attempts: batch.attempts,
                event_json: String::from_utf8_lossy(fragment).into_owned(),
                api_code: String::new(),
                message: "a request with it was not answered; it is repeated until it is"
                    .to_owned(),
            });
        }
    }
    rows.sort_unstable_by_key(|row| row.id);
    Ok(rows)
}
