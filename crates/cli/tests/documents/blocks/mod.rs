//! Every block that a reader would paste is run by a test: here, in `make dist-check`, or by a test that
//! the page names.

mod page;
mod session;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use meditopia_testkit::privileges::can_run_under;
use meditopia_testkit::{meditopia, repository_path, repository_root};

use page::{Block, Mark, Page};

/// All pages for users: the README, `docs`, and what lies beside each binding.
pub fn names_of_pages() -> Vec<String> {
    let root = repository_root();
    let mut names = vec!["README.md".to_owned()];
    let mut waiting = vec!["docs".to_owned(), "bindings".to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(root.join(&directory)).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{directory}/{}", entry.file_name().to_string_lossy());
            if entry.file_type().unwrap().is_dir() {
                waiting.push(path);
            } else if path.ends_with(".md") {
                names.push(path);
            }
        }
    }
    names.sort();
    names
}

fn pages() -> Vec<Page> {
    let names = names_of_pages();
    names
        .iter()
        .map(|name| Page::read(repository_root(), name))
        .collect()
}

/// How a block is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tested {
    Here,
    ByDistCheck,
    ByItsOwnTest,
    ByNone,
}

/// What `make dist-check` runs of the README.
fn dist_check() -> String {
    read("bindings/release/tests/part.sh")
}

fn read(path: &str) -> String {
    fs::read_to_string(repository_path(path)).unwrap_or_default()
}

/// The test that runs a block, or why none does.
fn tested(page: &Page, block: &Block) -> Result<Tested, String> {
    for mark in &block.marks {
        match mark {
            Mark::Install => return Ok(Tested::ByDistCheck),
            Mark::NotRun => return Ok(Tested::ByNone),
            Mark::RunBy(test) => {
                let file = page.name.rsplit('/').next().unwrap();
                return match read(test).contains(file) {
                    true => Ok(Tested::ByItsOwnTest),
                    false => Err(format!("{test} does not read {file}")),
                };
            }
            // `bindings/pages/test.sh` fails for a block that the story does not use.
            Mark::Test => {
                let stem = Path::new(&page.name).file_stem().unwrap().to_string_lossy();
                let story = format!("bindings/pages/stories/{stem}.py");
                return match repository_path(&story).exists() {
                    true => Ok(Tested::ByItsOwnTest),
                    false => Err(format!("there is no {story}")),
                };
            }
            _ => {}
        }
    }
    match session::can_run(block) {
        true => Ok(Tested::Here),
        false => Err(format!("what to do with {:?}?", block.language)),
    }
}

#[test]
fn a_test_runs_every_block_that_a_reader_would_paste() {
    let mut failures = Vec::new();
    let mut counts = std::collections::BTreeMap::new();
    let pages = pages();
    for page in &pages {
        for block in page.blocks.iter().filter(|block| block.is_for_pasting()) {
            match tested(page, block) {
                Ok(by) => *counts.entry(by).or_insert(0) += 1,
                Err(why) => {
                    failures.push(format!("{}: no test runs this block: {why}", block.place))
                }
            }
        }
    }
    let all: usize = counts.values().sum();
    eprintln!("{all} blocks in {} pages: {counts:?}", pages.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(all >= 50, "found only {all} blocks");
    let untested = counts.get(&Tested::ByNone).copied().unwrap_or(0);
    assert!(
        untested <= 4,
        "docs/docker.md needs a Docker daemon; which other page has blocks that no test runs?"
    );
}

#[test]
fn what_the_pages_tell_to_paste_works_in_their_order() {
    if !can_run_under(&["unshare", "--mount", "--net", "--pid", "--fork"]) {
        return;
    }
    let only = std::env::var("MEDITOPIA_PAGE").ok();
    let mut pages = pages();
    pages.retain(|page| only.as_ref().is_none_or(|only| page.name == *only));
    let results = std::thread::scope(|scope| {
        let sessions: Vec<_> = pages
            .iter()
            .map(|page| {
                scope.spawn(|| {
                    let is_here = |block: &&Block| {
                        block.is_for_pasting() && tested(page, block) == Ok(Tested::Here)
                    };
                    let blocks: Vec<&Block> = page.blocks.iter().filter(is_here).collect();
                    (!blocks.is_empty()).then(|| session::run(page, &blocks))
                })
            })
            .collect();
        let joined = sessions.into_iter().map(|session| session.join().unwrap());
        joined.collect::<Vec<_>>()
    });
    let mut failures = String::new();
    for (page, output) in pages.iter().zip(results) {
        let Some(output) = output else { continue };
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed);
        if only.is_some() {
            eprintln!("{printed}");
        }
        if !output.status.success() {
            failures.push_str(&format!("== {}\n{printed}\n", page.name));
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn make_dist_check_runs_the_lines_that_install() {
    let pages = pages();
    let blocks = pages.iter().flat_map(|page| &page.blocks);
    let installing =
        blocks.filter(|block| block.marks.iter().any(|mark| matches!(mark, Mark::Install)));
    let lines: Vec<&str> = installing.flat_map(|block| block.text.lines()).collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    // part.sh takes a line of the README by its first word, so the words of both are the same.
    assert!(dist_check().contains("README.md"));
    for (line, script) in lines.iter().zip(["composer", "wheel", "debian11"]) {
        let first = line.trim_start_matches("sudo ").split(' ').next().unwrap();
        let script = read(&format!("bindings/release/tests/{script}.sh"));
        assert!(script.contains(&format!("install_line {first}")), "{line}");
    }
}

#[test]
fn every_command_and_option_of_the_pages_exists() {
    let mut seen = BTreeSet::new();
    for page in pages() {
        for block in page.blocks.iter().filter(|block| block.language == "sh") {
            for line in block.text.replace("\\\n", " ").lines() {
                check_commands(&block.place, line.split('#').next().unwrap(), &mut seen);
            }
        }
    }
    for name in [
        "run", "flush", "adopt", "recover", "resume", "sandbox", "find", "import",
    ] {
        assert!(seen.contains(name), "{seen:?}");
    }
}

fn check_commands(place: &str, line: &str, seen: &mut BTreeSet<String>) {
    for (at, _) in line.match_indices("meditopia ") {
        // A path, as /opt/meditopia/bin/meditopia, and not a part of another name.
        let before = line[..at].chars().last();
        if before.is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')) {
            continue;
        }
        let command = line[at + "meditopia ".len()..].replace('\'', " ");
        let words: Vec<&str> = command.split_whitespace().collect();
        let is_name = |word: &&&str| word.starts_with(|c: char| c.is_ascii_lowercase());
        let Some(name) = words.first().filter(is_name) else {
            continue;
        };
        let nested = words.get(1).copied().unwrap_or_default();
        let helps = [vec![*name, "--help"], vec![*name, nested, "--help"]];
        let helps = helps.map(|words| meditopia().args(words).output().unwrap());
        assert!(helps[0].status.success(), "{place}: {line}");
        let known = helps.map(|help| String::from_utf8_lossy(&help.stdout).into_owned());
        let ends = ["--", "|", "||", "&&", ";"];
        let options = words.iter().take_while(|word| !ends.contains(word));
        for option in options.filter(|word| word.starts_with("--")) {
            let is_known = known.iter().any(|help| help.contains(option));
            assert!(is_known, "{place}: {name} has no {option}: {line}");
        }
        seen.insert((*name).to_owned());
    }
}
