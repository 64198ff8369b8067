//! Draft.
pub mod clock;
pub mod error;
