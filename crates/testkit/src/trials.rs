//! How much of a fault test runs, and the table that all of them fill.
//!
//! `make test` runs a share of each, `make soak` (`MEDITOPIA_SOAK=1`) all of it. Each test adds one
//! row to the file that `MEDITOPIA_FAULT_TABLE` names, and the target prints it when all have run.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;

/// How often to try: `share` in `make test`, `all` in `make soak`.
pub fn trials(share: u64, all: u64) -> u64 {
    if std::env::var_os("MEDITOPIA_SOAK").is_some() {
        all
    } else {
        share
    }
}

/// What became of the events of a fault's trials.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outcome {
    pub trials: u64,
    /// Events whose enqueue returned OK.
    pub acknowledged: u64,
    /// Of these: events that the API has, or (without an API) that stand in the spool.
    pub delivered: u64,
    pub rejected: u64,
    /// Acknowledged events that are nowhere.
    pub lost: u64,
    /// Events, or repeated requests where `bound` counts requests, that came more than once.
    pub duplicated: u64,
}

/// Prints the row of `fault` and adds it to the table; `bound` says what `duplicated` may be at most.
pub fn report(fault: &str, outcome: Outcome, bound: impl fmt::Display) {
    let Outcome {
        trials,
        acknowledged,
        delivered,
        rejected,
        lost,
        duplicated,
    } = outcome;
    let row = format!(
        "| {fault} | {trials} | {acknowledged} | {delivered} | {rejected} | {lost} | {duplicated} | {bound} |\n"
    );
    print!("{row}");
    if let Some(table) = std::env::var_os("MEDITOPIA_FAULT_TABLE") {
        let mut options = OpenOptions::new();
        let mut file = options.create(true).append(true).open(table).unwrap();
        // One write: tests of several processes share the table.
        file.write_all(row.as_bytes()).unwrap();
    }
}
