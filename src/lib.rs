//! Draft.
pub mod clock;
pub mod config;
pub mod error;
pub mod event;
pub mod log;
mod spelling;
pub mod stats;
