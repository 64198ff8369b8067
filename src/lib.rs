//! Draft.
pub mod clock;
pub mod error;
pub mod journal;
pub mod spool;
pub mod store;
mod sync;
