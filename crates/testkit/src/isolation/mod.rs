//! What bad events cost, counted on the library's delivery code: the rows of the README's table, and
//! its plot. `benches/isolation.rs` prints and publishes them; a test holds what is published to them.

pub mod plot;
pub mod policies;
pub mod published;
pub mod rows;
pub mod table;
pub mod users;
pub mod zipf;
