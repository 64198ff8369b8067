//! What the documents for developers refer to exists: files, items of the source, links, `make`
//! targets, test programs, and what selects tests in them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use meditopia_testkit::repository_path;

/// The documents for developers.
const DOCUMENTS: [&str; 3] = ["docs/design.md", "CONTRIBUTING.md", "tests/README.md"];

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
}

/// A document without its fenced blocks, and the lines of these blocks.
fn text_and_blocks(document: &str) -> (String, Vec<String>) {
    text_and_blocks_of(&repository_path(document))
}

fn text_and_blocks_of(path: &Path) -> (String, Vec<String>) {
    let (mut text, mut blocks) = (String::new(), Vec::new());
    let mut in_block = false;
    for line in read(path).lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if in_block {
            blocks.push(line.to_owned());
        } else {
            text.push_str(line);
            text.push('\n');
        }
    }
    (text, blocks)
}

/// What stands between backticks in the text of a document.
fn code_spans(document: &str) -> Vec<String> {
    let (text, _) = text_and_blocks(document);
    let spans = text.split('`').skip(1).step_by(2);
    // A span may go over the end of a line.
    spans.map(|span| span.replace('\n', " ")).collect()
}

/// What a reader is told to type, each with its comment cut off.
fn commands(document: &str) -> Vec<String> {
    let (_, blocks) = text_and_blocks(document);
    let lines = blocks.iter().map(|line| line.split('#').next().unwrap());
    code_spans(document)
        .into_iter()
        .chain(lines.map(str::to_owned))
        .flat_map(|line| {
            line.split("&&")
                .map(|command| command.trim().to_owned())
                .collect::<Vec<_>>()
        })
        .filter(|command| {
            let words = command.split_whitespace();
            let first = words.clone().find(|word| !word.contains('='));
            matches!(first, Some("make" | "cargo" | "python3")) && words.count() > 1
        })
        .collect()
}

/// All files below a directory.
fn files(below: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut waiting = vec![below.to_owned()];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(path).unwrap();
            waiting.extend(entries.map(|entry| entry.unwrap().path()));
        } else {
            files.push(path);
        }
    }
    files
}

/// The Rust sources of the library.
fn library() -> Vec<String> {
    let mut sources = files(&repository_path("src"));
    sources.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    sources.iter().map(read).collect()
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[test]
fn every_file_that_a_document_for_developers_names_exists() {
    let root = fs::read_dir(meditopia_testkit::repository_root()).unwrap();
    let mut top: BTreeSet<String> = root
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    // What a build makes is not there before.
    top.remove("target");
    top.remove("dist");
    for document in DOCUMENTS {
        let (_, blocks) = text_and_blocks(document);
        let words = blocks.iter().flat_map(|line| line.split_whitespace());
        let (mut named, mut missing) = (0, Vec::new());
        for name in code_spans(document)
            .into_iter()
            .chain(words.map(str::to_owned))
        {
            let is_path = name
                .chars()
                .all(|c| is_word(c) || matches!(c, '/' | '.' | '-'));
            let (first, is_below) = match name.split_once('/') {
                Some((first, _)) => (first, true),
                None => (&*name, false),
            };
            let is_file = is_below || name.ends_with(".md");
            if is_path && is_file && (top.contains(first) || !is_below) {
                named += 1;
                if !repository_path(&name).exists() {
                    missing.push(name);
                }
            }
        }
        assert!(missing.is_empty(), "{document} names {missing:?}");
        assert!(named >= 5, "{document} names only {named} files");
    }
}

#[test]
fn every_item_of_the_source_that_the_design_names_exists() {
    let sources = library();
    let (mut named, mut missing) = (0, Vec::new());
    for span in code_spans("docs/design.md") {
        let Some((owner, member)) = span.split_once("::") else {
            continue;
        };
        let is_type = owner.starts_with(|c: char| c.is_ascii_uppercase());
        if !is_type || !owner.chars().chain(member.chars()).all(is_word) {
            continue;
        }
        named += 1;
        let defined = |kind: &str| {
            let definition = format!("{kind} {owner}");
            sources.iter().find(|source| {
                source
                    .split(&definition)
                    .skip(1)
                    .any(|behind| !behind.starts_with(is_word))
            })
        };
        let is_method = member.starts_with(|c: char| c.is_ascii_lowercase());
        let found = if is_method {
            let method = format!("fn {member}");
            (defined("struct").or(defined("enum")).or(defined("trait"))).is_some()
                && sources.iter().any(|source| {
                    source
                        .split(&method)
                        .skip(1)
                        .any(|behind| !behind.starts_with(is_word))
                })
        } else {
            defined("enum").is_some_and(|source| source.contains(member))
        };
        if !found {
            missing.push(span);
        }
    }
    assert!(missing.is_empty(), "docs/design.md names {missing:?}");
    assert!(named >= 10, "found only {named} names");
}

#[test]
fn every_link_of_a_document_leads_somewhere() {
    let for_developers = DOCUMENTS.iter().map(|name| (*name).to_owned());
    let others = ["SECURITY.md", "tests/FIELD.md", "benches/README.md"].map(str::to_owned);
    let pages: BTreeSet<String> = for_developers
        .chain(others)
        .chain(crate::blocks::names_of_pages())
        .collect();
    let (mut links, mut broken) = (0, Vec::new());
    for document in &pages {
        let (text, _) = text_and_blocks(document);
        for link in text.split("](").skip(1) {
            let link = link.split(')').next().unwrap();
            if link.starts_with("http") {
                continue;
            }
            links += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let path = match file {
                "" => repository_path(document),
                file => repository_path(document).parent().unwrap().join(file),
            };
            if !path.exists() {
                broken.push(format!("{document} links to {link}"));
                continue;
            }
            // What a web page shows of a directory.
            let page = match path.is_dir() {
                true => path.join("README.md"),
                false => path,
            };
            if !anchor.is_empty() && !headings(&text_and_blocks_of(&page).0).contains(anchor) {
                broken.push(format!("{document} links to {link}: no such heading"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(links >= 100, "found only {links} links");
}

/// The anchors of a document's headings.
fn headings(document: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for line in document.lines().filter(|line| line.starts_with('#')) {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = heading
            .chars()
            .filter(|c| is_word(*c) || matches!(c, ' ' | '-'));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        // The second of a name, as C++ after C, has a number.
        let numbered = (1..).map(|number| format!("{anchor}-{number}"));
        let mut candidates = std::iter::once(anchor.clone()).chain(numbered);
        anchors.extend(candidates.find(|name| !anchors.contains(name)));
    }
    anchors
}

#[test]
fn every_command_that_a_document_for_developers_tells_to_type_has_its_target() {
    let makefile = read(repository_path("Makefile"));
    let mut seen = 0;
    for document in DOCUMENTS {
        for command in commands(document) {
            let words: Vec<&str> = command.split_whitespace().collect();
            let after = |option: &str| {
                let at = words.iter().position(|word| *word == option)?;
                words.get(at + 1).copied()
            };
            let check = |exists: bool| assert!(exists, "{document} tells to type: {command}");
            seen += 1;
            if words[0] == "make" {
                check(makefile.contains(&format!("\n{}:", words[1])));
                continue;
            }
            if let Some(key) = after("--only") {
                let results = read(repository_path("benches/results.json"));
                check(results.contains(&format!("\"{key}\": {{")));
            }
            let package = match after("-p") {
                None => repository_path("."),
                Some(package) => {
                    let name = package.strip_prefix("meditopia-").unwrap_or_default();
                    repository_path(&format!("crates/{name}"))
                }
            };
            check(package.join("Cargo.toml").exists());
            if let Some(program) = after("--test") {
                let program = package.join("tests").join(program);
                check(program.join("main.rs").exists());
                let at = words.iter().position(|word| *word == "--test").unwrap();
                if let Some(filter) = words.get(at + 2) {
                    check(has_test(&program, filter));
                }
            }
            if let Some(filter) = after("--lib") {
                let module = repository_path(&format!("src/{}", filter.replace("::", "/")));
                let places = [module.with_extension("rs"), module];
                let mut sources = places
                    .iter()
                    .filter(|place| place.exists())
                    .flat_map(|place| files(place));
                check(sources.any(|source| read(source).contains("#[test]")));
            }
        }
    }
    assert!(seen >= 20, "found only {seen} commands");
}

/// Whether a part of the path of some test of a program is `filter`.
fn has_test(program: &Path, filter: &str) -> bool {
    files(program).iter().any(|path| {
        let in_path = path
            .strip_prefix(program)
            .unwrap()
            .to_string_lossy()
            .contains(filter);
        in_path
            || read(path)
                .split("#[test]\nfn ")
                .skip(1)
                .any(|test| test.split('(').next().unwrap().contains(filter))
    })
}

#[test]
fn the_example_of_style_is_the_head_of_the_file_that_it_names() {
    let document = read(repository_path("CONTRIBUTING.md"));
    let (before, block) = document.split_once("```rust\n").unwrap();
    let (example, _) = block.split_once("```").unwrap();
    let (_, named) = before.trim_end().rsplit_once("From\n`").unwrap();
    let file = named.trim_end_matches("`:");
    let source = read(repository_path(file));
    assert!(source.starts_with(example), "{file} begins otherwise");
}

#[test]
fn every_option_is_described_in_the_header_and_is_a_keyword_of_python() {
    let header = read(repository_path("include/meditopia.h"));
    let python = read(repository_path("bindings/python/src/meditopia/_client.py"));
    for option in meditopia::internals::config::reference() {
        let key = option.key;
        assert!(
            header.contains(&format!(" *   {key} ")),
            "meditopia.h: {key}"
        );
        assert!(
            python.contains(&format!("        {key}: Optional[")),
            "_client.py: {key}"
        );
    }
}

#[test]
fn the_readme_of_the_tests_has_a_row_for_each_test_program() {
    let readme = read(repository_path("tests/README.md"));
    let (_, table) = readme.split_once("## The test programs").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    let mut places = vec![repository_path("tests")];
    let crates = fs::read_dir(repository_path("crates")).unwrap();
    places.extend(crates.map(|entry| entry.unwrap().path().join("tests")));
    let mut programs = 0;
    for place in places.iter().filter(|place| place.is_dir()) {
        for entry in fs::read_dir(place).unwrap() {
            let path = entry.unwrap().path();
            if path.join("main.rs").exists() {
                programs += 1;
                let name = path.file_name().unwrap().to_string_lossy();
                assert!(table.contains(&format!("| `{name}` |")), "{name}");
            }
        }
    }
    assert!(programs >= 8, "found only {programs} test programs");
}
