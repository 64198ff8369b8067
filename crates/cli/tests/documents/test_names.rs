//! The tests that the documents name exist.

use std::fs;
use std::path::PathBuf;

use meditopia_testkit::repository_path;

/// The text between the first `start` and the next `end`.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(start).expect(start);
    rest.split_once(end).expect(end).0
}

#[test]
fn every_test_that_the_guarantees_name_exists() {
    let guarantees = fs::read_to_string(repository_path("docs/guarantees.md")).unwrap();
    assert_names_tests(between(
        &guarantees,
        "## The seven promises",
        "## What is not promised",
    ));
}

#[test]
fn every_test_that_the_security_document_names_exists() {
    let security = fs::read_to_string(repository_path("SECURITY.md")).unwrap();
    let (_, tried) = security.split_once("## What was tried and held").unwrap();
    assert_names_tests(tried);
}

#[test]
fn every_test_that_the_document_of_field_reports_names_exists() {
    let field = fs::read_to_string(repository_path("tests/FIELD.md")).unwrap();
    let (_, rows) = field.split_once("## The process around").unwrap();
    assert_names_tests(rows);
}

fn assert_names_tests(text: &str) {
    let sources = sources(&["src", "tests", "crates", "bindings"]);
    let mut named = 0;
    for promise in text.split("\n").flat_map(|line| line.split('`')) {
        if promise.matches('_').count() < 3
            || promise.starts_with('_')
            || promise.contains(|c: char| c == ' ' || c.is_uppercase())
        {
            continue;
        }
        named += 1;
        // In Rust, Python and C++.
        let tests = ["fn ", "def ", "STORY("].map(|begins| format!("{begins}{promise}"));
        assert!(
            sources
                .iter()
                .any(|source| tests.iter().any(|test| source.contains(test))),
            "{promise}"
        );
    }
    assert!(named >= 20, "found only {named} names of tests");
}

fn sources(dirs: &[&str]) -> Vec<String> {
    let mut waiting: Vec<PathBuf> = dirs.iter().map(|dir| repository_path(dir)).collect();
    let mut sources = Vec::new();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(path).unwrap();
            waiting.extend(entries.map(|entry| entry.unwrap().path()));
        } else if path
            .extension()
            .is_some_and(|name| ["rs", "py", "cpp"].iter().any(|of| name == *of))
        {
            sources.push(fs::read_to_string(path).unwrap());
        }
    }
    sources
}
