//! The published figures: the tables between two marks in `docs/isolation.md`, and the plot in `benches`.

use crate::repository_path;

const PAGE: &str = "docs/isolation.md";
const START: &str = "UPDATE_README=1 cargo bench --locked --bench isolation -->\n";
const END: &str = "<!-- end -->";

fn read(path: &str) -> String {
    std::fs::read_to_string(repository_path(path)).expect(path)
}

/// The page before the tables, the tables, and the page after them.
fn page() -> [String; 3] {
    let page = read(PAGE);
    let (before, rest) = page.split_once(START).expect(START);
    let (table, after) = rest.split_once(END).expect(END);
    [before, table, after].map(str::to_owned)
}

/// The tables as published.
pub fn table() -> String {
    let [_, table, _] = page();
    table
}

/// The plot as published.
pub fn plot() -> String {
    read("benches/isolation.svg")
}

/// Which of the two are out of date. Writes both instead if `UPDATE_README` is set.
pub fn outdated(table: &str, plot: &str) -> Vec<&'static str> {
    if std::env::var_os("UPDATE_README").is_some() {
        let [before, _, after] = page();
        let page = [&before, START, table, END, &after].concat();
        std::fs::write(repository_path(PAGE), page).expect(PAGE);
        std::fs::write(repository_path("benches/isolation.svg"), plot).expect("the plot");
        return Vec::new();
    }
    let mut outdated = Vec::new();
    if self::table() != table {
        outdated.push("the table in docs/isolation.md");
    }
    if self::plot() != plot {
        outdated.push("benches/isolation.svg");
    }
    outdated
}
