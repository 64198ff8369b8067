//! libmeditopia: queues user-activity events durably and delivers them, in batches, to the Meditopia
//! Partners API.
//!
//! The crate is a shared library first: its door for hosts is `include/meditopia.h`, written in
//! `ffi`. Rust programs can use [`client::Client`] directly. The rooms, from the top down (arrows
//! only point down):
//!
//! ```text
//! ffi                    the C door: converts, guards, delegates
//! client                 handles, one core for each spool of a process, lists, statistics
//! sender                 the I/O shell: election, take-over, lanes, commands, deadlines
//! delivery               pure decisions: verdicts, isolation, backoff, pauses
//! store     transport    SQLite and HTTPS
//! journal   spool        what makes an acknowledged event safe, and the directory it lives in
//! event     config       the five fields; every option
//! log  stats  error  process  mutex  clock
//! ```
//!
//! An event is acknowledged when its record is in the journal. The elected sender takes records
//! over into the store, and delivery decides from there which prefix of which lane goes next.

pub mod client;
pub mod clock;
pub mod config;
pub mod delivery;
pub mod error;
pub mod event;
pub mod exchange;
mod ffi;
pub mod journal;
pub mod log;
mod mutex;
mod process;
mod sender;
mod spelling;
pub mod spool;
pub mod stats;
pub mod store;
pub mod transport;
