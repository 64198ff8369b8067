//! The table of all drills in `tests/DRILLS.md`.

use std::fs;
use std::sync::Mutex;

use meditopia_testkit::repository_path;

/// The cells of a row: the drill, what each place said, and after how many seconds.
pub type Row = [String; 9];

static WRITING: Mutex<()> = Mutex::new(());

/// Holds the row of the table to what the drill has seen, besides the seconds.
pub fn hold(row: &Row) {
    let path = repository_path("tests/DRILLS.md");
    let line = format!("| {} |", row.join(" | "));
    println!("{line}");
    let _guard = WRITING.lock().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let is_it = |line: &&str| line.starts_with(&format!("| {} |", row[0]));
    let old = text.lines().find(is_it);
    if std::env::var_os("UPDATE_DRILLS").is_some() {
        let text = match old {
            Some(old) => text.replace(old, &line),
            None => format!("{text}{line}\n"),
        };
        fs::write(&path, text).unwrap();
        return;
    }
    let old = old.unwrap_or_else(|| panic!("{} has no row for {}", path.display(), row[0]));
    assert_eq!(
        without_seconds(old),
        without_seconds(&line),
        "UPDATE_DRILLS=1 writes the table anew"
    );
}

/// The seconds stand in brackets, and depend on the machine.
fn without_seconds(line: &str) -> String {
    let mut parts = line.split(" (after ");
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        text += part.split_once(" s)").map_or(part, |(_, rest)| rest);
    }
    text
}
