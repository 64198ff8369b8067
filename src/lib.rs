//! Draft.
pub mod client;
pub mod clock;
pub mod config;
pub mod delivery;
pub mod error;
pub mod event;
pub mod journal;
pub mod log;
mod sender;
mod spelling;
pub mod spool;
pub mod stats;
pub mod store;
mod sync;
pub mod transport;
