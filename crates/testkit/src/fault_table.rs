//! How many trials a test of a fault runs, and the table to which each such test adds a row.
//!
//! `make test` runs a share of the trials, `make soak` (`MEDITOPIA_SOAK=1`) runs all. The table is the
//! file that `MEDITOPIA_FAULT_TABLE` names; both targets print it when all tests have run.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;

/// The number of trials to run: `share` in `make test`, `all` in `make soak`.
pub fn trial_count(share: u64, all: u64) -> u64 {
    if std::env::var_os("MEDITOPIA_SOAK").is_some() {
        all
    } else {
        share
    }
}

/// The row of one fault: what its trials did to events.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outcome {
    pub trials: u64,
    /// Events whose enqueue returned OK.
    pub acknowledged: u64,
    /// Acknowledged events that the API has or, in a test without an API, that are in the spool.
    pub delivered: u64,
    pub rejected: u64,
    /// Acknowledged events that are neither delivered, nor rejected, nor in the spool.
    pub lost: u64,
    /// Events that the API accepted more than once; repeated requests if `bound` counts requests.
    pub duplicated: u64,
}

/// Prints the row of `fault` and adds it to the table; `bound` is the most that `duplicated` may be.
pub fn add_row(fault: &str, outcome: Outcome, bound: impl fmt::Display) {
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
        // One write, because several processes add rows to the table.
        file.write_all(row.as_bytes()).unwrap();
    }
}
