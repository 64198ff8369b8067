//! Requests per event with bad events among them: the tables and the plot of `docs/isolation.md`, measured
//! on the real delivery code.
//!
//! Requests are counted, not timed, so the result is the same on every machine and every run: each
//! figure is a mean over seeds that start at 1. The bench exits with 1 if a row is over its goal or
//! over 1.1 times the better of the two policies that people write by hand (`isolation::policies` in
//! the test kit), or if that page or the plot does not show these figures; `UPDATE_README=1` writes
//! them there.
//!
//! These alternatives were tried and rejected:
//!
//! - The length at which both answers are equally likely, for groups and for unknown events: as good
//!   below 2 %; up to 9 % more requests from 25 to 38 %; 2 % more in bursts and with 20 or more bad
//!   events of the first 100.
//! - The cheapest length for the mean rate of the belief: 4 to 8 % more with one bad event of the
//!   first 100.
//! - The fewest requests per settled event: 5 % more with 5 bad events of the first 100.
//! - For a group, the cheapest tree for the belief as a whole instead of the mean over its rates:
//!   within 1 % either way, at several times the work.
//! - Counting on nothing behind the first 100 events: 2 % fewer with one or two bad events among them,
//!   1 % more with 5, for 100 times the table.
//! - Forgetting half as fast or twice as fast: within 0.3 %. Not forgetting at all: three quarters
//!   more in bursts.
//! - A prior that expects more bad events, or fewer: it only moves cost between one bad event of the
//!   first 100 and many.
//!
//! The column *rate known* shows how little is left to gain.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use meditopia_testkit::isolation::{plot, published, rows, table};

fn main() {
    let per_event = rows::per_event();
    let first_batches = rows::first_batches();
    let table = table::markdown(&per_event, &first_batches);
    print!("{table}");

    let over: Vec<&str> = per_event
        .iter()
        .chain(&first_batches)
        .filter(|row| row.is_over())
        .map(|row| row.name.as_str())
        .collect();
    let plot = plot::svg(&rows::curve());
    let stale = published::outdated(&table, &plot);
    for (what, which) in [("over their limit", &over), ("not up to date", &stale)] {
        if !which.is_empty() {
            eprintln!("{what}: {}", which.join("; "));
        }
    }
    if !stale.is_empty() {
        eprintln!("UPDATE_README=1 cargo bench --locked --bench isolation");
    }
    if !over.is_empty() || !stale.is_empty() {
        std::process::exit(1);
    }
}
