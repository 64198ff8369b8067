//! The journal: where an event is safe before anybody has thought of sending it.
//!
//! Any number of processes append, each to segments of its own ([`writer`]); the one elected sender
//! reads them in the order in which things happened on this host ([`reader`]) and removes them when
//! their events are in the store.

pub mod cursor;
pub(crate) mod damaged;
pub mod ending;
pub mod reader;
pub mod segment;
pub(crate) mod staged;
mod stripes;
pub(crate) mod usage;
pub mod writer;

#[cfg(test)]
mod tests;
