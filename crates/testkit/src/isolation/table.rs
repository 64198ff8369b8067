//! The rows as the two tables of `docs/isolation.md`.

use super::rows::Row;
use std::fmt::Write;

/// Both tables.
pub fn markdown(per_event: &[Row], first_batches: &[Row]) -> String {
    let mut text = String::new();
    for (what, rows) in [
        ("bad events: requests per event", per_event),
        (
            "bad ones of the first 100 events: requests in all",
            first_batches,
        ),
    ] {
        let _ = write!(
            text,
            "| {what} | goal | this library | halving | one by one | rate known | floor | this / floor |\n\
             |---|---|---|---|---|---|---|---|\n"
        );
        text.extend(rows.iter().map(line));
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// One row. Requests for a batch have one decimal, requests per event have four.
pub fn line(row: &Row) -> String {
    let decimals = if row.one_by_one > 1.0 { 1 } else { 4 };
    let figure = |figure: f64| format!("{figure:.decimals$}");
    let maybe = |maybe: Option<f64>| maybe.map(figure).unwrap_or_default();
    let cells = [
        row.name.clone(),
        maybe(row.goal),
        figure(row.this),
        figure(row.halving),
        figure(row.one_by_one),
        maybe(row.rate_known),
        figure(row.floor),
        format!("{:.2}", row.this / row.floor),
    ];
    format!("| {} |\n", cells.join(" | "))
}
