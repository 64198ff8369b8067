//! The journal: where an event is safe before anybody has thought of sending it.
//!
//! Any number of processes append, each to segments of its own ([`writer`]); the one elected sender
//! reads them in the order in which things happened on this host ([`round`]) and removes them when
//! their events are in the store.

pub(crate) mod backlog;
pub(crate) mod damage;
mod group_commit;
pub(crate) mod open_segment;
pub(crate) mod removal;
pub mod round;
pub mod segment;
pub(crate) mod segment_reader;
pub(crate) mod staged_segment;
mod striped_lock;
pub(crate) mod usage;
pub mod writer;

#[cfg(test)]
mod tests;
