//! Every message that names a command or an option is provoked by a test of this directory: the test holds a
//! part of the message's text.

use std::collections::BTreeSet;
use std::fs;

use meditopia_testkit::messages::{Literal, is_help, literals, literals_of};
use meditopia_testkit::repository_path;

/// What follows one of these is typed.
const MARKS: [&str; 7] = [
    "meditopia ",
    " --",
    "kill -",
    ": df ",
    "chmod ",
    "install -d",
    "ulimit",
];
/// A shorter part may stand in another message.
const PART_CHARS: usize = 8;

/// Messages that no test of this directory holds by their text, and where they are.
const ELSEWHERE: [(&str, &str); 14] = [
    (
        "recovered; what was damaged is kept in {}",
        "messages: recover",
    ),
    (
        "type: {} --yes",
        "spools: what adopt asks before it sends elsewhere",
    ),
    (" without --again", "import/again.rs"),
    ("the search has come down to one event", "bisect.rs"),
    (
        "the search has not come to its end in time",
        "searches: both ends of a search in time",
    ),
    ("a password on a command line", "fleet.rs"),
    ("as status --check finds it", "the help of a metric"),
    (
        "{} --endpoint URL",
        "spools: a spool that has lost its identity",
    ),
    (" --{what} {}", "spools: a spool of another endpoint"),
    ("meditopia adopt {}{}", "spools: a copy"),
    ("raise this process's file-size limit", "src/spool/tests.rs"),
    (
        "a batch of {bytes} bytes is too large for files",
        "tests/durability/descriptors.rs",
    ),
    ("raise the limit of threads", "tests/application/threads.rs"),
    (
        "mount --bind it there",
        "tests/application/dropped_rights.rs",
    ),
];

/// The texts in the sources of these tests.
fn parts_of_tests() -> BTreeSet<String> {
    let mut parts = BTreeSet::new();
    for entry in fs::read_dir(repository_path("crates/cli/tests/commands/advice")).unwrap() {
        let path = entry.unwrap().path();
        if !path.ends_with("coverage.rs") {
            let texts = literals_of(&path).into_iter().map(|literal| literal.text);
            parts.extend(texts.filter(|text| text.len() >= PART_CHARS && text.contains(' ')));
        }
    }
    parts
}

fn file_of(literal: &Literal) -> &str {
    literal.place.split(':').next().unwrap()
}

/// Whether a text names something to type.
fn names_command(text: &str) -> bool {
    MARKS.iter().any(|mark| {
        text.match_indices(mark)
            .any(|(at, _)| mark.starts_with(' ') || !text[..at].ends_with(char::is_alphabetic))
    })
}

/// The messages that name something to type.
fn advice(literals: &[Literal]) -> Vec<&Literal> {
    let mut found: Vec<&Literal> = Vec::new();
    let mut last: Option<&Literal> = None;
    for literal in literals {
        if literal.code_before.ends_with(".command(") {
            // The message that the command is put into stands before it.
            found.extend(last.filter(|last| file_of(last) == file_of(literal)));
        } else if literal.text.contains(' ') && !is_help(literal) {
            if literal.text.contains("{}") {
                last = Some(literal);
            }
            if names_command(&literal.text) {
                found.push(literal);
            }
        }
    }
    found
}

#[test]
fn every_message_that_names_a_command_or_an_option_is_provoked_and_typed() {
    let parts = parts_of_tests();
    let all = [literals("src"), literals("crates/cli/src")].concat();
    let advice = advice(&all);
    assert!(advice.len() > 60, "found only {} messages", advice.len());
    let is_held = |text: &str| {
        let mut elsewhere = ELSEWHERE.iter();
        parts.iter().any(|part| text.contains(part.as_str()))
            || elsewhere.any(|(part, _)| text.contains(part))
    };
    let missing: BTreeSet<String> = advice
        .iter()
        .filter(|literal| !is_held(&literal.text))
        .map(|literal| format!("{}: {}", literal.place, literal.text))
        .collect();
    assert!(
        missing.is_empty(),
        "{} are not provoked: {missing:#?}",
        missing.len()
    );
    let gone: Vec<_> = ELSEWHERE
        .iter()
        .filter(|(part, _)| !advice.iter().any(|literal| literal.text.contains(part)))
        .collect();
    assert!(gone.is_empty(), "no message has {gone:#?}");
}
