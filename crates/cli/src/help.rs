//! The help of `meditopia` itself: five commands to begin with, then all others in groups.
//!
//! clap lists subcommands in one column of twenty, in which nobody sees where to begin. `-h` and a call without
//! arguments show the five, `help` and `--help` everything. What each command does is said where it is defined.

use clap::Command;

/// The width of the text. A terminal has at least so many columns, so nothing is wrapped twice.
const COLUMNS: usize = 80;

/// Where the description of a command begins.
const INDENT: usize = 15;

/// What to begin with: see a delivery, deliver, and look whether it works.
const FIRST: [&str; 5] = ["try", "run", "status", "doctor", "find"];

/// The others. A command that is in no group is listed at the end.
const GROUPS: [(&str, &[&str]); 5] = [
    ("Deliver once, or from a file:", &["flush", "import"]),
    (
        "List what a spool holds, and decide about it:",
        &["pending", "receipts", "rejected", "in-doubt", "damaged"],
    ),
    (
        "Stop, repair, erase:",
        &["hold", "resume", "forget", "adopt", "recover"],
    ),
    (
        "Hand events to other hosts that deliver them:",
        &["forward", "fleet"],
    ),
    (
        "Test and set up:",
        &["sandbox", "completions", "man", "help"],
    ),
];

const TEMPLATE: &str =
    "{about-with-newline}\n{usage-heading} {usage}{after-help}\n\nOptions:\n{options}";

const MORE: &str = "All commands: meditopia help. One, with examples: meditopia help COMMAND.";

const CONVENTION: &str =
    "meditopia help COMMAND shows options and examples. There, /var/spool/shop is a
spool, /etc/meditopia/shop.toml its configuration, and u-17 a user.";

/// Gives a command the two overviews of its subcommands.
pub fn with_overview(command: Command) -> Command {
    let first = group(&command, "Begin with:", &FIRST);
    let mut all = first.clone();
    for (heading, names) in GROUPS {
        all.push_str(&format!("\n{}", group(&command, heading, names)));
    }
    let others: Vec<&str> = command
        .get_subcommands()
        .filter(|subcommand| !subcommand.is_hide_set())
        .map(Command::get_name)
        .filter(|name| !is_grouped(name))
        .collect();
    if !others.is_empty() {
        all.push_str(&format!("\n{}", group(&command, "Others:", &others)));
    }
    command
        .help_template(TEMPLATE)
        .after_help(format!("{first}\n{MORE}"))
        .after_long_help(format!("{all}\n{CONVENTION}"))
}

/// Gives a command what its manual page says of the examples: that page has a list of all subcommands anyway.
pub fn with_convention(command: Command) -> Command {
    command.after_help(CONVENTION)
}

fn is_grouped(name: &str) -> bool {
    let mut groups = GROUPS.iter();
    FIRST.contains(&name) || groups.any(|(_, names)| names.contains(&name))
}

/// A heading, and a line for each command below it.
fn group(command: &Command, heading: &str, names: &[&str]) -> String {
    let mut text = format!("{heading}\n");
    for name in names {
        let about = match command.find_subcommand(name).and_then(Command::get_about) {
            Some(about) => about.to_string(),
            // clap adds this one by itself, and later.
            None => "Print this, or the help of a command".to_owned(),
        };
        text.push_str(&entry(name, &about));
    }
    text
}

/// `  name         what it does`, with all lines but the first below the text.
fn entry(name: &str, about: &str) -> String {
    let mut text = format!("  {name:<width$}", width = INDENT - 2);
    let mut column = INDENT;
    for word in about.split_whitespace() {
        if column + word.len() > COLUMNS {
            text.truncate(text.trim_end().len());
            text.push_str(&format!("\n{:INDENT$}", ""));
            column = INDENT;
        }
        text.push_str(word);
        text.push(' ');
        column += word.len() + 1;
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}
