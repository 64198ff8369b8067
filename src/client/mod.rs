//! The client: what an application opens on a spool.
//!
//! All clients of one process on one spool share one core: a writer, a sender, a log. Every process
//! has cores of its own. The first call in a forked child creates a new core, without taking a lock
//! that another thread may have held at the moment of the fork.

mod connection;
mod core;
mod cursor;
#[cfg(feature = "internals")]
mod damaged;
mod erasure;
mod export;
#[cfg(feature = "internals")]
mod forwarding;
mod import;
mod in_doubt;
#[cfg(feature = "internals")]
mod operator;
mod pending;
mod receipts;
mod recover;
mod registry;
mod report;
#[cfg(feature = "internals")]
mod retry;
mod row;
#[cfg(feature = "internals")]
mod search;
mod spool_client;
mod statistics;
mod stored_events;
#[cfg(test)]
mod tests;
mod watchdog;

pub use self::connection::{check_connection, connection};
pub use self::cursor::Cursor;
#[cfg(feature = "internals")]
pub use self::damaged::{Damaged, DamagedEvent, DamagedKind};
pub use self::erasure::Erasure;
#[cfg(feature = "internals")]
pub use self::forwarding::{Forwarded, Waker};
pub use self::import::{Import, ImportEnd, KnownImport};
#[cfg(feature = "internals")]
pub use self::operator::{Purpose, RejectedCount};
pub use self::pending::{FIRST_JOURNAL_ID, PendingFilter, is_listed};
pub use self::receipts::{Receipt, Receipts, UserShare, receipt_of_row};
pub use self::recover::{Comparison, compare_copy, recover};
#[cfg(feature = "internals")]
pub use self::retry::Retry;
pub use self::row::{Row, RowReason, in_doubt_row, pending_row, rejected_row};
#[cfg(feature = "internals")]
pub use self::search::Search;
pub use self::spool_client::Client;
pub use self::watchdog::SenderSeen;
#[cfg(feature = "internals")]
pub use crate::sender::forward::{
    Forwarding, Found as ForwardFound, Handover, Keep, Record as ForwardRecord,
    Window as ForwardWindow,
};
pub use crate::sender::{Elected, Report, Standing, Vitals};
pub use crate::spool::FailedRequest;
pub use crate::store::recover::{Mismatch, Repair, Salvage};
pub use crate::store::{ReceiptFilter, RejectedFilter, RejectedReason};
