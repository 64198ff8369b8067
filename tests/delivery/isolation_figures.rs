//! The figures of the README held to the delivery code: those of `benches/isolation.rs`, counted anew.
//!
//! They are the same on every run and every machine, so one that differs is out of date, or a change
//! has made isolation cost something else. `make test` counts those that are soon counted, `make soak` all.

use meditopia_testkit::fault_table::trial_count;
use meditopia_testkit::isolation::{plot, published, rows, table};

const UPDATE: &str = "UPDATE_README=1 cargo bench --locked --bench isolation";

#[test]
fn the_published_cost_of_bad_events_is_that_of_the_library() {
    let published = published::table();
    for row in rows::first_batches() {
        let line = table::line(&row);
        assert!(published.contains(&line), "{line}{UPDATE}");
        assert!(!row.is_over(), "{line} is over its limit");
    }
    let plot = published::plot();
    for rate in [0.1, 0.3, 0.35, 0.98] {
        let dot = plot::dot(&rows::point(rate));
        assert!(plot.contains(&dot), "{dot}\n{UPDATE}");
    }
    if trial_count(0, 1) == 1 {
        let (per_event, first_batches) = (rows::per_event(), rows::first_batches());
        let table = table::markdown(&per_event, &first_batches);
        let stale = published::outdated(&table, &plot::svg(&rows::curve()));
        assert!(stale.is_empty(), "{stale:?}: {UPDATE}");
        assert!(!per_event.iter().any(rows::Row::is_over), "{table}");
    }
}
