//! The events that a spool keeps, for whoever looks at them or disposes of them: what waits, what is in
//! doubt, what was rejected, and the receipts of what was delivered.
//!
//! A list is a read of the store beside a running sender. A change is the sender's, so it is a command.

use super::cursor::Cursor;
use super::export;
use super::handle::Client;
use super::pending::PendingFilter;
use super::receipts::Receipts;
use crate::error::Result;
use crate::sender::Command;
use crate::store::sqlite::Reader;
use crate::store::{ReceiptFilter, RejectedFilter};

impl Client {
    /// The rejected events behind row `after_id` (0: all), the earliest first, of one user or with
    /// one code if asked for. Errors: as [`stats`](Self::stats).
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

    /// The rejected events that `filter` takes, the earliest first. Errors: as [`stats`](Self::stats).
    pub fn rejected_matching(&self, filter: &RejectedFilter) -> Result<Cursor> {
        Cursor::rejected(self.core()?.spool.clone(), filter.clone())
    }

    /// Puts the rejected events that `filter` takes and that are there now back at the end of the
    /// queue, in the order of their rejection; says how many there were. They change in portions of
    /// 1,000, each as a whole. Errors: as [`hold`](Self::hold).
    pub fn requeue_matching(&self, filter: &RejectedFilter) -> Result<usize> {
        self.change_matching(filter, |filter, upto| Command::RequeueMatching {
            filter,
            upto,
        })
    }

    /// Forgets the rejected events that `filter` takes and that are there now; says how many there
    /// were. They go in portions of 1,000, each as a whole. Errors: as [`hold`](Self::hold).
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
        let upto = store.last_rejected()?;
        drop(store);
        core.sender.command(&command(filter.clone(), upto))
    }

    /// Writes the rejected events that `filter` takes to `out`, a JSON object a line: the `event` as it
    /// is on the wire, and `id`, `reason`, `may_be_delivered`, `api_code`, `message`, `http_status`
    /// (`null`: none), `attempts`, `first_ms`, `last_ms`. Says how many. They stay where they are.
    ///
    /// Errors: as [`stats`](Self::stats); [`ErrorKind::Io`](crate::error::ErrorKind::Io) if `out` fails.
    pub fn export_rejected(
        &self,
        filter: &RejectedFilter,
        out: &mut dyn std::io::Write,
    ) -> Result<usize> {
        export::write_all(self.rejected_matching(filter)?, out)
    }

    /// Takes events out of the batches in doubt by the ids of [`in_doubt`](Self::in_doubt), for an event
    /// that the API fails on again and again; says how many there were. They go to the rejected
    /// store as [`RowReason::SetAside`](super::RowReason::SetAside), since the API may have them, and can be requeued. An event
    /// whose request is on its way at that moment stays. Errors: as [`hold`](Self::hold).
    pub fn set_aside(&self, ids: &[i64]) -> Result<usize> {
        let core = self.core()?;
        core.sender.command(&Command::SetAside(ids.to_vec()))
    }

    /// The events of requests that no answer has settled, behind row `after_id` (0: all).
    /// Errors: as [`stats`](Self::stats).
    pub fn in_doubt(&self, after_id: i64) -> Result<Cursor> {
        Cursor::in_doubt(&self.core()?.spool, after_id)
    }

    /// The events that wait and that `filter` takes: those in the store, in order of their rows, then those
    /// that no sender has taken over yet, the earliest first. [`Row::first_ms`](super::Row::first_ms) is when they were enqueued.
    ///
    /// Looks a page at a time beside a running sender: what is delivered meanwhile is not listed, what
    /// is enqueued meanwhile may be. With a filter, all that waits is gone through.
    /// Errors: as [`stats`](Self::stats).
    pub fn pending(&self, filter: &PendingFilter) -> Result<Cursor> {
        Cursor::pending(self.core()?.spool.clone(), filter.clone())
    }

    /// The receipts that `filter` takes: which requests the API has taken within the last `receipts_days`,
    /// and whose events were in them; the earliest first. A batch that was delivered while the disk was
    /// full has none.
    ///
    /// Looks a page at a time beside a running sender. With a user, all receipts of the time are gone
    /// through. Errors: as [`stats`](Self::stats).
    pub fn receipts(&self, filter: &ReceiptFilter) -> Result<Receipts> {
        Receipts::open(self.core()?.spool.clone(), filter.clone())
    }

    /// Puts rejected events back at the end of the queue, in the order of their rejection; says how
    /// many there were. Errors: as [`hold`](Self::hold).
    pub fn requeue_rejected(&self, ids: &[i64]) -> Result<usize> {
        let core = self.core()?;
        core.sender.command(&Command::Requeue(ids.to_vec()))
    }

    /// Forgets rejected events; says how many there were. Errors: as [`hold`](Self::hold).
    pub fn discard_rejected(&self, ids: &[i64]) -> Result<usize> {
        let core = self.core()?;
        core.sender.command(&Command::Discard(ids.to_vec()))
    }
}
