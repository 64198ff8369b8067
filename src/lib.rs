//! Draft.
pub mod clock;
pub mod config;
pub mod error;
pub mod event;
pub mod journal;
pub mod log;
mod spelling;
pub mod spool;
pub mod stats;
pub mod store;
mod sync;
pub mod transport;
