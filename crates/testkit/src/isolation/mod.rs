//! The requests that bad events cost, counted on the library's delivery code: the rows of the
//! tables of `docs/isolation.md`, and its plot. `benches/isolation.rs` prints and publishes them; a test checks
//! that the published ones are up to date.

pub mod plot;
mod policies;
pub mod published;
pub mod rows;
pub mod table;
mod users;
pub mod zipf;
