//! When whose events were delivered: the receipts, read by page.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::error::Result;
use crate::event::{self, EventKind};
use crate::spool::Spool;
use crate::store::sqlite::Reader;
use crate::store::{Receipt as Row, ReceiptFilter};

/// Receipts read from the store at a time: about a megabyte where each has a hundred users.
const PAGE_ROWS: usize = 256;

/// One request that the API has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// For the next page; grows along the list.
    pub id: i64,
    /// When its answer came: wall time in milliseconds.
    pub time_ms: i64,
    /// The HTTP status of the answer.
    pub http_status: u16,
    /// Requests that carried this batch; more than 1 where no answer had settled an earlier one.
    pub attempts: u32,
    /// How many events it held.
    pub events: u32,
    /// Whose, in the order of their first events.
    pub users: Vec<UserShare>,
}

/// One user's events in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserShare {
    /// The `partner_user_id`.
    pub user: String,
    /// How many of each kind, in the order of [`EventKind::ALL`].
    pub kinds: [u32; EventKind::ALL.len()],
}

impl Receipt {
    /// How many events of each kind it held, in the order of [`EventKind::ALL`].
    pub fn kinds(&self) -> [u32; EventKind::ALL.len()] {
        let mut sums = [0; EventKind::ALL.len()];
        for share in &self.users {
            for (sum, count) in sums.iter_mut().zip(share.kinds) {
                *sum += count;
            }
        }
        sums
    }

    fn of(id: i64, row: &Row) -> Self {
        let users = row.shares.iter().map(|share| UserShare {
            user: event::user_text(share.user),
            kinds: share.kinds.map(u32::from),
        });
        Self {
            id,
            time_ms: row.time_ms,
            http_status: row.http_status,
            attempts: row.attempts,
            events: row.events,
            users: users.collect(),
        }
    }
}

/// The receipts of a filter, read as they are walked. It holds no transaction.
#[derive(Debug)]
pub struct Receipts {
    spool: Arc<Spool>,
    /// What is left of the list.
    filter: ReceiptFilter,
    /// The user as it stands in rows.
    escaped_user: Option<Vec<u8>>,
    page: VecDeque<Receipt>,
    at_end: bool,
}

impl Receipts {
    pub(super) fn open(spool: Arc<Spool>, filter: ReceiptFilter) -> Result<Self> {
        let mut receipts = Self {
            spool,
            escaped_user: filter.user.as_deref().map(event::escaped_user),
            filter,
            page: VecDeque::new(),
            at_end: false,
        };
        receipts.turn()?;
        Ok(receipts)
    }

    /// The next receipt; `None` at the end. May go through many where few have the user.
    ///
    /// Errors: as [`Client::stats`](super::Client::stats).
    pub fn next_receipt(&mut self) -> Result<Option<Receipt>> {
        while self.page.is_empty() && !self.at_end {
            self.turn()?;
        }
        Ok(self.page.pop_front())
    }

    fn turn(&mut self) -> Result<()> {
        let rows = match Reader::open(&self.spool)? {
            Some(store) => store.receipts(&self.filter, PAGE_ROWS)?,
            None => Vec::new(),
        };
        self.at_end = rows.len() < PAGE_ROWS;
        for (id, row) in &rows {
            self.filter.after_id = *id;
            let user = self.escaped_user.as_deref();
            if user.is_none_or(|user| row.shares.iter().any(|share| share.user == user)) {
                self.page.push_back(Receipt::of(*id, row));
            }
        }
        Ok(())
    }
}
