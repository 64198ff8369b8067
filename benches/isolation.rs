//! Requests per event with bad events among them: the table and the plot of the README, on the real
//! delivery code.
//!
//! Counted, not timed, so a shared machine cannot spoil it, and the same on every run: each figure
//! is a mean over seeds that start at 1. Exits with 1 if a row is over its goal or over 1.1 times the
//! better of the two policies that people write by hand (see [`policies`]), or if the README or
//! the plot do not show these figures; `UPDATE_README=1` writes them there.
//!
//! What was tried and is not what `delivery` does: the length whose answer is as likely one as the
//! other, for groups and for unknown events (as good below 2 %; up to 9 % more requests from 25 to 38 %, 2 %
//! more in bursts and with 20 or more bad ones of the first 100); the cheapest length for the belief's mean rate
//! (4 to 8 % more with one bad of the first 100); the fewest requests per settled event (5 % more with 5 of them); a
//! group's cheapest tree for the belief as a whole instead of the mean over its rates (within 1 % either way, at several times the
//! work); counting that nothing stands behind the first 100 (2 % fewer with one or two bad ones of them, 1 %
//! more with 5, for 100 times the table); forgetting half as fast or twice as fast (within 0.3 %; not at all costs
//! three quarters more in bursts); a first belief that leans more on bad events, or less (moves the cost
//! between one bad of the first 100 and many). The column *rate known* says how little is left to find.

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
