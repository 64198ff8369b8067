//! Draft.
pub mod clock;
pub mod error;
pub mod event;
mod spelling;
