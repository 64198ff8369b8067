//! The operator's guide: its commands and options exist, and its marked commands run in the order
//! in which a reader would type them.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use meditopia_testkit::{meditopia, meditopia_command, repository_root};

/// The mark before a block that this test runs.
const RUN: &str = "<!-- run -->\n";

fn guide() -> String {
    let path = repository_root().join("crates/cli/src/GUIDE.md");
    fs::read_to_string(path).unwrap()
}

/// The shell blocks of the guide, and whether each is marked to be run.
fn blocks(guide: &str) -> Vec<(bool, &str)> {
    let mut blocks = Vec::new();
    let mut rest = guide;
    while let Some((before, after)) = rest.split_once("```sh\n") {
        let (block, following) = after.split_once("```").unwrap();
        blocks.push((before.ends_with(RUN), block));
        rest = following;
    }
    blocks
}

#[test]
fn the_marked_commands_of_the_guide_work() {
    let guide = guide();
    let runs: String = blocks(&guide)
        .into_iter()
        .filter_map(|(runs, block)| runs.then_some(block))
        .collect();
    assert!(runs.lines().count() >= 10, "{runs}");
    let dir = tempfile::tempdir().unwrap();
    let command = meditopia_command();
    let directory = command.parent().unwrap();
    let output = Command::new("sh")
        .args(["-e", "-x", "-u", "-c", &runs])
        .current_dir(dir.path())
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", directory.display()))
        .output()
        .unwrap();
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed);
    assert!(output.status.success(), "{printed}");
    assert!(printed.contains("\"outcome\":\"delivered\""), "{printed}");
    assert!(printed.contains("the store is sound"), "{printed}");
}

#[test]
fn every_command_and_option_of_the_guide_exists() {
    let guide = guide();
    let mut seen = BTreeSet::new();
    for (_, block) in blocks(&guide) {
        for line in block.replace("\\\n", " ").lines() {
            for command in line.split("meditopia ").skip(1) {
                let words: Vec<&str> = command.split_whitespace().collect();
                let name = words[0];
                let help = meditopia().args([name, "--help"]).output().unwrap();
                assert!(help.status.success(), "{line}");
                let help = String::from_utf8(help.stdout).unwrap();
                let options = words.iter().take_while(|word| **word != "--");
                for option in options.filter(|word| word.starts_with("--")) {
                    assert!(help.contains(option), "{name} has no {option}: {line}");
                }
                seen.insert(name.to_owned());
            }
        }
    }
    for name in ["run", "flush", "adopt", "recover", "resume", "sandbox"] {
        assert!(seen.contains(name), "{seen:?}");
    }
}
