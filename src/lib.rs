//! libmeditopia: queues user-activity events durably and delivers them, in batches, to the Meditopia
//! Partners API.
//!
//! The crate is a shared library first: applications use the C API of `include/meditopia.h`, which
//! the module `ffi` implements. A Rust program uses [`Client`]:
//!
//! ```
//! # fn main() -> meditopia::Result<()> {
//! use meditopia::{Client, Config, Fields};
//!
//! let mut config = Config::new();
//! config.set("durability", "memory")?; // an application names its `spool` instead
//! let client = Client::open(&config)?;
//! client.enqueue(&Fields {
//!     token: "user-token-1",
//!     partner_user_id: "user-1",
//!     event: "video",
//!     event_value: None,
//!     received_at: None,
//! })?;
//! # Ok(())
//! # }
//! ```
//!
//! # The modules
//!
//! From the top down. A module imports only from lines below its own; the exact rule is the table in
//! section 3 of `docs/design.md`.
//!
//! ```text
//! ffi                      the C API: converts, guards, delegates
//! client                   clients, one core for each spool of a process, lists, statistics
//! sender                   the I/O around dispatch: election, take-over, threads, syncs, deadlines
//! dispatch                 the lanes of a store: the steps that turn decisions into commits
//! store      transport     the sender's state on disk; HTTPS
//! delivery   journal       pure decisions about requests; where an acknowledged event is safe
//! config     spool         every option; the directory that holds everything
//! stats event log
//! exchange process
//! error clock mutex spelling
//! ```
//!
//! An event is acknowledged when its record is in the journal. The elected sender takes records
//! over into the store, and delivery decides which prefix of which lane goes next. `docs/design.md`
//! tells the whole story.

// Without the feature, the compiler counts as unused what only the other crates of this workspace
// use.
#![cfg_attr(not(feature = "internals"), allow(dead_code, unused_imports))]
// Every type in a public signature has a public name.
#![cfg_attr(not(feature = "internals"), deny(unnameable_types))]

mod client;
mod clock;
mod config;
mod delivery;
mod dispatch;
mod error;
mod event;
mod exchange;
mod ffi;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
mod journal;
mod log;
mod mutex;
mod process;
mod sender;
mod spelling;
mod spool;
mod stats;
mod store;
mod transport;

pub use client::{
    Client, Cursor, Erasure, Import, ImportEnd, KnownImport, PendingFilter, Receipt, ReceiptFilter,
    Receipts, RejectedFilter, RejectedReason, Report, Row, RowReason, SenderSeen, UserShare,
};
pub use config::{BearerToken, Config, Durability, Endpoint, Proxy, Role, Settings, TokenSource};
pub use error::{Error, ErrorKind, PauseReason, Result};
pub use event::{Batch, EventKind, Fields, Rules, UtcOffset};
pub use log::{Callback as LogCallback, Level as LogLevel, Record as LogRecord};
pub use stats::Stats;
pub use stats::histogram::{
    Bounds, DELIVERY_BOUNDS_US, ENQUEUE_BOUNDS_US, Histogram, REQUEST_BOUNDS_US,
};
