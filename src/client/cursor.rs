//! Lists of rejected events, events in doubt and pending events, read a page at a time without
//! holding a transaction.

use std::collections::VecDeque;
use std::sync::Arc;

use super::in_doubt::in_doubt_rows;
use super::pending::{Pages, PendingFilter};
use super::row::{Row, rejected_row};
use crate::error::Result;
use crate::spool::Spool;
use crate::store::{Reader, RejectedFilter};

/// Rows of a page.
const PAGE_ROWS: usize = 100;

/// A list of events, read a page at a time.
#[derive(Debug)]
pub struct Cursor {
    source: Source,
    page: VecDeque<Row>,
}

#[derive(Debug)]
enum Source {
    Rejected {
        spool: Arc<Spool>,
        /// The rest of the list: `after_id` moves on with each page.
        filter: RejectedFilter,
    },
    /// Read as a whole, because there is at most one batch in doubt in each lane.
    InDoubt,
    Pending(Pages),
}

impl Cursor {
    pub(super) fn rejected(spool: Arc<Spool>, filter: RejectedFilter) -> Result<Self> {
        let mut cursor = Self {
            source: Source::Rejected { spool, filter },
            page: VecDeque::new(),
        };
        cursor.read_page()?;
        Ok(cursor)
    }

    pub(super) fn pending(spool: Arc<Spool>, filter: PendingFilter) -> Result<Self> {
        let mut cursor = Self {
            source: Source::Pending(Pages::new(spool, filter)),
            page: VecDeque::new(),
        };
        cursor.read_page()?;
        Ok(cursor)
    }

    pub(super) fn in_doubt(spool: &Spool, after: i64) -> Result<Self> {
        let rows = match Reader::open(spool)? {
            Some(mut store) => in_doubt_rows(&mut store)?,
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
            self.read_page()?;
        }
        Ok(self.page.pop_front())
    }

    fn read_page(&mut self) -> Result<()> {
        let (spool, filter) = match &mut self.source {
            Source::Rejected { spool, filter } => (spool, filter),
            Source::Pending(pages) => {
                self.page = pages.next_page()?;
                return Ok(());
            }
            Source::InDoubt => return Ok(()),
        };
        let Some(mut store) = Reader::open(spool)? else {
            return Ok(());
        };
        for (id, rejected) in store.rejected(filter, PAGE_ROWS)? {
            filter.after_id = id;
            self.page.push_back(rejected_row(id, rejected));
        }
        Ok(())
    }
}
