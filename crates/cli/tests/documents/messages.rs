//! The messages of the command and of the library: each command, option, configuration key and variable that
//! one names exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use meditopia_testkit::command_tree::{all_commands, help};
use meditopia_testkit::messages::{Literal, literals};
use meditopia_testkit::repository_path;

/// Options of other programs that a message tells to run.
const OF_OTHER_PROGRAMS: [(&str, &str); 1] = [("mount", "--bind")];
/// The name of a pause, a column in an example, a type of C++, and the roles of a fleet's database.
const OTHER_NAMES: [&str; 11] = [
    "mass_rejection",
    "user_id",
    "event_type",
    "meditopia_forward",
    "meditopia_enqueue",
    "meditopia_relay",
    "meditopia_read",
    "receipt_other",
    "keep_receipts",
    "pg_read_all_stats",
    "track_counts",
];

fn keys() -> BTreeSet<&'static str> {
    let of_library = meditopia::internals::config::reference().map(|option| option.key);
    of_library
        .chain(meditopia::internals::config::OPTIONS_OF_FLEET)
        .collect()
}

fn all_literals() -> Vec<Literal> {
    let found = [literals("src"), literals("crates/cli/src")].concat();
    assert!(found.len() > 1_000, "found only {} texts", found.len());
    found
}

/// Every command by its words, with its help.
fn commands() -> BTreeMap<Vec<String>, String> {
    let all = all_commands().into_iter();
    all.map(|words| (words.clone(), help(&words))).collect()
}

/// The words of `text` that begin with `start` and go on with characters that `is_part` accepts.
fn words<'a>(text: &'a str, start: &str, is_part: impl Fn(char) -> bool) -> Vec<&'a str> {
    let found = text.match_indices(start);
    let is_inside = |at: usize| text[..at].ends_with(|c: char| is_part(c));
    let begins = found.filter(|(at, _)| !is_inside(*at));
    begins
        .map(|(at, _)| {
            let rest = &text[at..];
            let end = start.len()
                + rest[start.len()..]
                    .find(|c| !is_part(c))
                    .unwrap_or(rest.len() - start.len());
            &rest[..end]
        })
        .filter(|word| word.len() > start.len())
        .collect()
}

#[test]
fn every_command_and_option_that_a_message_names_exists() {
    let commands = commands();
    let has_option = |help: &str, option: &str| {
        let options = words(help, "--", |c| c.is_ascii_lowercase() || c == '-');
        match option.ends_with('-') {
            // A placeholder follows.
            true => options.iter().any(|known| known.starts_with(option)),
            false => options.contains(&option),
        }
    };
    let top: BTreeSet<&str> = commands
        .keys()
        .filter_map(|words| words.first().map(String::as_str))
        .collect();
    let (mut named, mut wrong) = (0, Vec::new());
    for literal in all_literals() {
        let text = &literal.text;
        for option in words(text, "--", |c| c.is_ascii_lowercase() || c == '-') {
            let elsewhere = OF_OTHER_PROGRAMS
                .iter()
                .any(|(program, of)| *of == option && text.contains(program));
            named += 1;
            // A line of a table is no option.
            let elsewhere = elsewhere || option.starts_with("---");
            if !elsewhere && !commands.values().any(|help| has_option(help, option)) {
                wrong.push(format!("{}: {option}", literal.place));
            }
        }
        for (at, _) in text.match_indices("meditopia ") {
            let rest = &text[at + "meditopia ".len()..];
            let clause = rest.split([';', '\n', ')']).next().unwrap();
            let mut typed = clause.split(' ').peekable();
            // A word that only looks like a command's name.
            let Some(first) = typed.next_if(|word| top.contains(word)) else {
                continue;
            };
            named += 1;
            let mut path = vec![first.to_owned()];
            if let Some(second) = typed.peek() {
                let longer = [path.clone(), vec![(*second).to_owned()]].concat();
                let has_more = commands
                    .keys()
                    .any(|words| words.len() == 2 && words[0] == first);
                if commands.contains_key(&longer) {
                    path = longer;
                } else if has_more && second.starts_with(|c: char| c.is_ascii_lowercase()) {
                    wrong.push(format!("{}: meditopia {first} {second}", literal.place));
                }
            }
            let help = &commands[&path];
            for option in typed.filter(|word| word.starts_with("--")) {
                let option = option.trim_end_matches([',', '.']);
                if !has_option(help, option) {
                    wrong.push(format!("{}: {path:?} {option}", literal.place));
                }
            }
        }
        // The name of a command that is put together with the words of the caller.
        if literal.code_before.ends_with(".command(") {
            named += 1;
            let path: Vec<String> = text.split(' ').map(str::to_owned).collect();
            if !commands.contains_key(&path) {
                wrong.push(format!("{}: meditopia {text}", literal.place));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(named > 100, "found only {named}");
}

#[test]
fn every_key_that_a_message_names_is_an_option_or_stands_in_the_header() {
    let header = fs::read_to_string(repository_path("include/meditopia.h")).unwrap();
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let known: BTreeSet<&str> = header.split(|c| !is_part(c)).collect();
    let keys = keys();
    let (mut named, mut wrong) = (0, Vec::new());
    for literal in all_literals() {
        // A text for a reader, and not a name.
        if !literal.text.contains(' ') {
            continue;
        }
        let text = without_placeholders(&literal.text);
        for word in text.split(|c| !is_part(c)) {
            let is_name = word.contains('_')
                && word.starts_with(|c: char| c.is_ascii_lowercase())
                && word.ends_with(|c: char| c.is_ascii_lowercase());
            if is_name && !word.contains(|c: char| c.is_ascii_uppercase()) {
                named += 1;
                if !keys.contains(word) && !known.contains(word) && !OTHER_NAMES.contains(&word) {
                    wrong.push(format!("{}: {word}", literal.place));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(named > 30, "found only {named}");
}

#[test]
fn every_variable_that_a_message_names_sets_an_option() {
    let header = fs::read_to_string(repository_path("include/meditopia.h")).unwrap();
    let (mut named, mut wrong) = (0, Vec::new());
    for literal in all_literals() {
        let is_part = |c: char| c.is_ascii_uppercase() || c == '_';
        for variable in words(&literal.text, "MEDITOPIA_", is_part) {
            named += 1;
            let key = variable["MEDITOPIA_".len()..].to_lowercase();
            // What ends in an underscore is the beginning of several names.
            let is_option = keys()
                .iter()
                .any(|known| *known == key || (key.ends_with('_') && known.starts_with(&key)));
            if !is_option && !header.contains(variable) {
                wrong.push(format!("{}: {variable}", literal.place));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(named >= 5, "found only {named}");
}

fn without_placeholders(text: &str) -> String {
    let mut parts = text.split('{');
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |all, part| {
        all + " " + part.split_once('}').map_or("", |(_, rest)| rest)
    })
}
