//! Draft.
pub mod clock;
pub mod error;
pub mod transport;
