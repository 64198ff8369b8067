//! Lists that are read a page at a time, from a spool or from the store of a fleet.

use std::collections::VecDeque;

use meditopia::{Cursor, Receipt, Receipts, RejectedFilter, Row};
use meditopia_fleet::look::Look;
use meditopia_fleet::look::pending::PendingPages;
use meditopia_fleet::look::receipts::ReceiptPages;

use crate::failure::Failure;

/// Rejected events of a page.
const PAGE_ROWS: i64 = 200;

/// A list of events.
pub enum Rows<'a> {
    Spool(Cursor),
    Pending {
        look: &'a mut Look,
        pages: Box<PendingPages>,
        page: VecDeque<Row>,
    },
    Rejected {
        look: &'a mut Look,
        /// The rest of the list.
        filter: RejectedFilter,
        page: VecDeque<Row>,
        at_end: bool,
    },
    /// It was read as a whole.
    Read(VecDeque<Row>),
}

impl<'a> Rows<'a> {
    pub(super) fn pending(look: &'a mut Look, pages: PendingPages) -> Self {
        Self::Pending {
            look,
            pages: Box::new(pages),
            page: VecDeque::new(),
        }
    }

    pub(super) fn rejected(look: &'a mut Look, filter: RejectedFilter) -> Self {
        Self::Rejected {
            look,
            filter,
            page: VecDeque::new(),
            at_end: false,
        }
    }

    pub(super) fn read(rows: impl Iterator<Item = Row>) -> Self {
        Self::Read(rows.collect())
    }

    /// The next row; `None` at the end.
    pub fn next_row(&mut self) -> Result<Option<Row>, Failure> {
        match self {
            Self::Spool(cursor) => Ok(cursor.next_row()?),
            Self::Pending { look, pages, page } => {
                if page.is_empty() {
                    page.extend(pages.next_page(look)?);
                }
                Ok(page.pop_front())
            }
            Self::Rejected {
                look,
                filter,
                page,
                at_end,
            } => {
                if page.is_empty() && !*at_end {
                    page.extend(look.rejected(filter, PAGE_ROWS)?);
                    *at_end = (page.len() as i64) < PAGE_ROWS;
                    filter.after_id = page.back().map_or(filter.after_id, |row| row.id);
                }
                Ok(page.pop_front())
            }
            Self::Read(rows) => Ok(rows.pop_front()),
        }
    }
}

/// A list of receipts.
pub enum ReceiptRows<'a> {
    Spool(Receipts),
    Store {
        look: &'a mut Look,
        pages: ReceiptPages,
        page: VecDeque<Receipt>,
    },
}

impl<'a> ReceiptRows<'a> {
    pub(super) fn store(look: &'a mut Look, pages: ReceiptPages) -> Self {
        Self::Store {
            look,
            pages,
            page: VecDeque::new(),
        }
    }

    /// The next receipt; `None` at the end.
    pub fn next_receipt(&mut self) -> Result<Option<Receipt>, Failure> {
        match self {
            Self::Spool(receipts) => Ok(receipts.next_receipt()?),
            Self::Store { look, pages, page } => {
                if page.is_empty() {
                    page.extend(pages.next_page(look)?);
                }
                Ok(page.pop_front())
            }
        }
    }
}
