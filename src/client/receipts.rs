//! Receipts - when whose events were delivered - read a page at a time.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::error::Result;
use crate::event::{self, EventKind};
use crate::spool::Spool;
use crate::store::Reader;
use crate::store::{Receipt as Row, ReceiptFilter};

/// Receipts of a page: about a megabyte if each of them has a hundred users.
const PAGE_ROWS: usize = 256;

/// One request that the API accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Identifies the receipt for the next page; grows along the list.
    pub id: i64,
    /// When the answer came: wall time in milliseconds.
    pub time_ms: i64,
    /// The HTTP status of the answer.
    pub http_status: u16,
    /// Requests that carried this batch; more than 1 if no answer had settled an earlier one.
    pub attempts: u32,
    /// The number of events.
    pub events: u32,
    /// The users of the events, in the order of their first events.
    pub users: Vec<UserShare>,
}

/// One user's events in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserShare {
    /// The `partner_user_id`.
    pub user: String,
    /// The number of events of each kind, in the order of [`EventKind::ALL`].
    pub kinds: [u32; EventKind::ALL.len()],
}

impl Receipt {
    /// The number of events of each kind, of all users, in the order of [`EventKind::ALL`].
    pub fn kinds(&self) -> [u32; EventKind::ALL.len()] {
        let mut sums = [0; EventKind::ALL.len()];
        for share in &self.users {
            for (sum, count) in sums.iter_mut().zip(share.kinds) {
                *sum += count;
            }
        }
        sums
    }
}

/// A receipt in a list.
pub fn receipt_of_row(id: i64, row: &Row) -> Receipt {
    let users = row.shares.iter().map(|share| UserShare {
        user: event::user_text(share.user),
        kinds: share.kinds.map(u32::from),
    });
    Receipt {
        id,
        time_ms: row.time_ms,
        http_status: row.http_status,
        attempts: row.attempts,
        events: row.events,
        users: users.collect(),
    }
}

/// A list of receipts, read a page at a time without holding a transaction.
#[derive(Debug)]
pub struct Receipts {
    spool: Arc<Spool>,
    /// The rest of the list: `after_id` moves on with each page.
    filter: ReceiptFilter,
    /// The user of the filter, escaped as in rows.
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
        receipts.read_page()?;
        Ok(receipts)
    }

    /// The next receipt; `None` at the end. With a user in the filter, a call may read many
    /// receipts.
    ///
    /// Errors: as [`Client::stats`](super::Client::stats).
    pub fn next_receipt(&mut self) -> Result<Option<Receipt>> {
        while self.page.is_empty() && !self.at_end {
            self.read_page()?;
        }
        Ok(self.page.pop_front())
    }

    fn read_page(&mut self) -> Result<()> {
        let rows = match Reader::open(&self.spool)? {
            Some(store) => store.receipts(&self.filter, PAGE_ROWS)?,
            None => Vec::new(),
        };
        self.at_end = rows.len() < PAGE_ROWS;
        for (id, row) in &rows {
            self.filter.after_id = *id;
            let user = self.escaped_user.as_deref();
            if user.is_none_or(|user| row.shares.iter().any(|share| share.user == user)) {
                self.page.push_back(receipt_of_row(*id, row));
            }
        }
        Ok(())
    }
}
