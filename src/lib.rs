//! Draft.
pub mod clock;
pub mod delivery;
pub mod error;
