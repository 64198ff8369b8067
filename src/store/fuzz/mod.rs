//! The fuzz targets of the store: what `crates/fuzz` and the unit tests do with bytes that nobody of ours
//! has written.
//!
//! A target is a plain function that fails by a panic. libFuzzer calls it with bytes that it learns from
//! (`make fuzz`), `cargo test` calls it with mutations of the same seeds. Checksums would make nearly all
//! such bytes damage at the first look, so the first byte of an input says whether its checksums are put
//! right before a reader sees it (`seal`). What is behind the checks is reached then as well.
//!
//! What every target demands: no panic, no endless loop, no buffer that the length of the input does not
//! justify, what is decoded is written back as the same, and all ways of reading a file agree.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a target fails by a panic"
)]

mod disk;
#[cfg(test)]
mod finds;
mod fold;
mod frame;
mod queue;
mod recovered;
mod rejected;
mod seal;
mod seeds;
mod spool;
#[cfg(test)]
mod tests;

/// A function that takes any bytes, and bytes to begin with.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Fails by a panic.
    pub run: fn(&[u8]),
    /// Inputs that mutations start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: [Target; 5] = [
    Target {
        name: "frame",
        run: frame::run,
        seeds: seeds::ledgers,
    },
    Target {
        name: "fold",
        run: fold::run,
        seeds: seeds::payloads,
    },
    Target {
        name: "queue",
        run: queue::run,
        seeds: seeds::queues,
    },
    Target {
        name: "rejected",
        run: rejected::run,
        seeds: seeds::rejected,
    },
    Target {
        name: "spool",
        run: spool::run,
        seeds: seeds::spools,
    },
];

/// What a reader may read at once beyond the length of its input: it reads ahead, and a short file does
/// not make the buffer shorter.
const READ_AHEAD: usize = 300 * 1024;

/// Splits an input into its choices and its bytes.
fn choices(data: &[u8]) -> Option<(u8, Vec<u8>)> {
    let (&choices, bytes) = data.split_first()?;
    Some((choices, bytes.to_vec()))
}

/// The choice that the checksums are put right.
const SEALED: u8 = 1;
