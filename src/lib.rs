//! Draft.
pub mod clock;
pub mod error;
pub mod journal;
pub mod spool;
mod sync;
