//! Lists of what the spool holds - pending events, events in doubt, rejected events, receipts - and
//! changes to it.
//!
//! A list reads the store beside a running sender. Only the sender changes the store, so a change
//! is a command to it.

use std::fs::File;
use std::io::BufWriter;

use super::cursor::Cursor;
use super::export;
use super::pending::PendingFilter;
use super::receipts::Receipts;
use super::spool_client::Client;
use crate::dispatch::Command;
use crate::error::Result;
use crate::spool::LimitedFile;
use crate::store::Reader;
use crate::store::{ReceiptFilter, RejectedFilter};

impl Client {
    /// The rejected events after row `after_id` (0: all), the earliest first, optionally of one
    /// user or with one code. Errors: as [`stats`](Self::stats).
    pub fn rejected(
        &self,
        user: Option<&str>,
        api_code: Option<&str>,
        after_id: i64,
    ) -> Result<Cursor> {
        self.rejected_matching(&RejectedFilter {
            user: user.map(ToOwned::to_owned),
            api_code: api_code.map(ToOwned::to_owned),
            after_id,
            ..RejectedFilter::default()
        })
    }

    /// The rejected events that match `filter`, the earliest first. Errors: as
    /// [`stats`](Self::stats).
    pub fn rejected_matching(&self, filter: &RejectedFilter) -> Result<Cursor> {
        Cursor::rejected(self.core()?.spool.clone(), filter.clone())
    }

    /// Puts the rejected events that match `filter` now back at the end of the queue, in the order
    /// of their rejection, and returns their number. They change in portions of 1,000, each of them
    /// all or none. Errors: as [`hold`](Self::hold).
    pub fn requeue_matching(&self, filter: &RejectedFilter) -> Result<usize> {
        self.change_matching(filter, |filter, upto| Command::RequeueMatching {
            filter,
            upto,
        })
    }

    /// Removes the rejected events that match `filter` now, for good, and returns their number.
    /// They are removed in portions of 1,000, each of them all or none. Errors: as
    /// [`hold`](Self::hold).
    pub fn discard_matching(&self, filter: &RejectedFilter) -> Result<usize> {
        self.change_matching(filter, |filter, upto| Command::DiscardMatching {
            filter,
            upto,
        })
    }

    fn change_matching(
        &self,
        filter: &RejectedFilter,
        command: impl Fn(RejectedFilter, i64) -> Command,
    ) -> Result<usize> {
        let core = self.core()?;
        let Some(store) = Reader::open(&core.spool)? else {
            return Ok(0);
        };
        let upto = store.last_rejected();
        drop(store);
        core.sender.command(&command(filter.clone(), upto))
    }

    /// Writes the rejected events that match `filter` to `out`, one JSON object in each line, and
    /// returns their number. A line has the `event` as in a request, and `id`, `reason`,
    /// `may_be_delivered`, `api_code`, `message`, `http_status` (`null`: none), `attempts`,
    /// `first_ms`, `last_ms`. The events stay in the store.
    ///
    /// Errors: as [`stats`](Self::stats); [`ErrorKind::Io`](crate::error::ErrorKind::Io) if `out`
    /// fails.
    pub fn export_rejected(
        &self,
        filter: &RejectedFilter,
        out: &mut dyn std::io::Write,
    ) -> Result<usize> {
        export::write_all(self.rejected_matching(filter)?, out)
    }

    /// The same to a new file, which does not grow beyond this process's file-size limit.
    pub(crate) fn export_rejected_to(&self, filter: &RejectedFilter, file: File) -> Result<usize> {
        self.export_rejected(filter, &mut BufWriter::new(LimitedFile::new(file)))
    }

    /// Takes events out of the batches in doubt, by the IDs of [`in_doubt`](Self::in_doubt), and
    /// returns their number: for an event on which the API fails again and again. The events become
    /// rejected ones with the reason [`RowReason::SetAside`](super::RowReason::SetAside), since the
    /// API may have them, and can be requeued. An event whose request is in flight stays. Errors:
    /// as [`hold`](Self::hold).
    pub fn set_aside(&self, ids: &[i64]) -> Result<usize> {
        let core = self.core()?;
        core.sender.command(&Command::SetAside(ids.to_vec()))
    }

    /// The events of requests that no answer has settled, after row `after_id` (0: all).
    /// Errors: as [`stats`](Self::stats).
    pub fn in_doubt(&self, after_id: i64) -> Result<Cursor> {
        Cursor::in_doubt(&self.core()?.spool, after_id)
    }

    /// The pending events that match `filter`: those in the store, in the order of their rows, then
    /// those that no sender has taken over yet, the earliest first.
    /// [`Row::first_ms`](super::Row::first_ms) is the time of the enqueue.
    ///
    /// Reads a page at a time beside a running sender: events that are delivered meanwhile are not
    /// listed, events that are enqueued meanwhile may be. A filter does not make this cheaper: all
    /// pending events are read. Errors: as [`stats`](Self::stats).
    pub fn pending(&self, filter: &PendingFilter) -> Result<Cursor> {
        Cursor::pending(self.core()?.spool.clone(), filter.clone())
    }

    /// The receipts that match `filter`, the earliest first: which requests the API accepted within
    /// the last `receipts_days`, and whose events they carried. A batch that was delivered while
    /// the disk was full has no receipt.
    ///
    /// Reads a page at a time beside a running sender. With a user in the filter, all receipts of
    /// the period are read. Errors: as [`stats`](Self::stats).
    pub fn receipts(&self, filter: &ReceiptFilter) -> Result<Receipts> {
        Receipts::open(self.core()?.spool.clone(), filter.clone())
    }

    /// Puts rejected events back at the end of the queue, in the order of their rejection, and
    /// returns their number. Errors: as [`hold`](Self::hold).
    pub fn requeue_rejected(&self, ids: &[i64]) -> Result<usize> {
        let core = self.core()?;
        core.sender.command(&Command::Requeue(ids.to_vec()))
    }

    /// Removes rejected events for good, and returns their number. Errors: as [`hold`](Self::hold).
    pub fn discard_rejected(&self, ids: &[i64]) -> Result<usize> {
        let core = self.core()?;
        core.sender.command(&Command::Discard(ids.to_vec()))
    }
}
