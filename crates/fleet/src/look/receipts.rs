//! The receipts of all lanes, or of the lane of one user, by their times.
//!
//! Receipts are found by lane and time. A list of all lanes takes the next few of each lane from the index, merges
//! them, and reads the rows of the first of those alone.

use meditopia::internals::client::{Receipt, receipt_of_row};
use meditopia::internals::event;
use meditopia::internals::store::{Receipt as Stored, ReceiptFilter, Shares};
use tokio_postgres::types::Type;

use super::Look;
use crate::connection::column;
use crate::failure::Result;

/// Receipts of a page: about a megabyte if each of them has a hundred users.
const PAGE_ROWS: i64 = 256;

/// How far a list of receipts was read.
#[derive(Debug, Clone, Default)]
pub struct ReceiptPages {
    filter: ReceiptFilter,
    escaped_user: Option<Vec<u8>>,
    /// The last one that was read: time, lane, id.
    after: Option<(i64, i16, i64)>,
    at_end: bool,
}

impl ReceiptPages {
    /// The receipts that `filter` takes, the earliest first; its `after_id` is not read.
    pub fn new(filter: ReceiptFilter) -> Self {
        Self {
            escaped_user: filter.user.as_deref().map(event::escaped_user),
            filter,
            after: None,
            at_end: false,
        }
    }

    /// The next receipts; none at the end.
    ///
    /// # Errors
    /// Those of [`Connection::query`](crate::connection::Connection::query).
    pub fn next_page(&mut self, look: &mut Look) -> Result<Vec<Receipt>> {
        let mut page = Vec::new();
        while page.is_empty() && !self.at_end {
            page = self.read(look)?;
        }
        Ok(page)
    }

    fn read(&mut self, look: &mut Look) -> Result<Vec<Receipt>> {
        let lanes = look.lanes_of(self.filter.user.as_deref());
        let from = self.filter.from_ms.unwrap_or(i64::MIN);
        let (time, lane, id) = self.after.unwrap_or((from, -1, i64::MIN));
        let until = self.filter.until_ms.unwrap_or(i64::MAX);
        // A search of bytes can find the user in another's name, so what it finds is looked at again.
        let rows = look.connection.query(
            "SELECT f.time_ms, f.lane, f.id, r.http_status, r.attempts, r.events, r.shares FROM (
               SELECT n.* FROM unnest($1::smallint[]) AS l(lane) CROSS JOIN LATERAL (
                 SELECT i.time_ms, i.lane, i.id FROM meditopia.receipt i
                 WHERE i.lane = l.lane AND i.time_ms >= $2 AND i.time_ms < $5 AND (i.time_ms, i.lane, i.id) > ($2, $3, $4)
                   AND ($6::bytea IS NULL OR position($6 IN i.shares) > 0)
                 ORDER BY i.time_ms, i.id LIMIT $7
               ) AS n ORDER BY n.time_ms, n.lane, n.id LIMIT $7
             ) AS f JOIN meditopia.receipt r ON r.lane = f.lane AND r.time_ms = f.time_ms AND r.id = f.id
             ORDER BY f.time_ms, f.lane, f.id",
            &[
                (&lanes, Type::INT2_ARRAY),
                (&time, Type::INT8),
                (&lane, Type::INT2),
                (&id, Type::INT8),
                (&until, Type::INT8),
                (&self.escaped_user, Type::BYTEA),
                (&PAGE_ROWS, Type::INT8),
            ],
        )?;
        self.at_end = (rows.len() as i64) < PAGE_ROWS;
        let mut page = Vec::with_capacity(rows.len());
        for row in &rows {
            let (time_ms, lane, id) = (column(row, 0)?, column(row, 1)?, column(row, 2)?);
            self.after = Some((time_ms, lane, id));
            let (status, events): (i16, i16) = (column(row, 3)?, column(row, 5)?);
            let attempts: i32 = column(row, 4)?;
            let receipt = Stored {
                time_ms,
                http_status: status.cast_unsigned(),
                attempts: attempts.unsigned_abs(),
                events: u32::from(events.unsigned_abs()),
                shares: Shares::from_bytes(column(row, 6)?),
            };
            let user = self.escaped_user.as_deref();
            if user.is_none_or(|user| receipt.shares.iter().any(|share| share.user == user)) {
                page.push(receipt_of_row(id, &receipt));
            }
        }
        Ok(page)
    }
}
