//! The published figures: the tables between two marks in the README, and the plot in `benches`.

use std::path::PathBuf;

const START: &str = "UPDATE_README=1 cargo bench --locked --bench isolation -->\n";
const END: &str = "<!-- end -->";

fn in_repository(path: &str) -> PathBuf {
    crate::repository_root().join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(in_repository(path)).expect(path)
}

/// The README before the tables, the tables, and the README after them.
fn readme() -> [String; 3] {
    let readme = read("README.md");
    let (before, rest) = readme.split_once(START).expect(START);
    let (table, after) = rest.split_once(END).expect(END);
    [before, table, after].map(str::to_owned)
}

/// The tables as published.
pub fn table() -> String {
    let [_, table, _] = readme();
    table
}

/// The plot as published.
pub fn plot() -> String {
    read("benches/isolation.svg")
}

/// Which of the two are out of date. Writes both instead if `UPDATE_README` is set.
pub fn outdated(table: &str, plot: &str) -> Vec<&'static str> {
    if std::env::var_os("UPDATE_README").is_some() {
        let [before, _, after] = readme();
        let readme = [&before, START, table, END, &after].concat();
        std::fs::write(in_repository("README.md"), readme).expect("README.md");
        std::fs::write(in_repository("benches/isolation.svg"), plot).expect("the plot");
        return Vec::new();
    }
    let mut outdated = Vec::new();
    if self::table() != table {
        outdated.push("the table in README.md");
    }
    if self::plot() != plot {
        outdated.push("benches/isolation.svg");
    }
    outdated
}
