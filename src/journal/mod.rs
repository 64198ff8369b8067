//! The journal: where an event is acknowledged, before a sender exists or has started.
//!
//! Any number of processes append, each to segments of its own ([`writer`]). The one elected sender
//! reads the segments in the order in which events were enqueued on this host ([`round`]), and
//! removes them once their events are in the store ([`removal`]).

pub(crate) mod backlog;
pub(crate) mod damage;
pub(crate) mod group_commit;
mod listing;
pub(crate) mod open_segment;
mod read_buffers;
pub(crate) mod removal;
pub mod round;
pub mod segment;
mod segment_look;
pub(crate) mod segment_reader;
pub(crate) mod staged_segment;
mod striped_lock;
pub(crate) mod usage;
pub mod writer;

#[cfg(test)]
mod tests;
