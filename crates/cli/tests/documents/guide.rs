//! The operator's guide held to the program: its commands and options exist, and those that can be run
//! here are run, one after the other, as a reader would.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What stands before a block that is run.
const RUN: &str = "<!-- run -->\n";

fn guide() -> String {
    let path = meditopia_testkit::repository_root().join("crates/cli/src/GUIDE.md");
    fs::read_to_string(path).unwrap()
}

/// The shell blocks of the guide, and whether each is to be run.
fn blocks(guide: &str) -> Vec<(bool, &str)> {
    let mut blocks = Vec::new();
    let mut rest = guide;
    while let Some((before, after)) = rest.split_once("```sh\n") {
        let (block, behind) = after.split_once("```").unwrap();
        blocks.push((before.ends_with(RUN), block));
        rest = behind;
    }
    blocks
}

#[test]
fn what_the_guide_has_one_type_works() {
    let guide = guide();
    let runs: String = blocks(&guide)
        .into_iter()
        .filter_map(|(runs, block)| runs.then_some(block))
        .collect();
    assert!(runs.lines().count() >= 10, "{runs}");
    let dir = tempfile::tempdir().unwrap();
    let commands = Path::new(env!("CARGO_BIN_EXE_meditopia")).parent().unwrap();
    let output = Command::new("sh")
        .args(["-e", "-x", "-u", "-c", &runs])
        .current_dir(dir.path())
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", commands.display()))
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("\"outcome\":\"delivered\""), "{said}");
    assert!(said.contains("the store is sound"), "{said}");
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
                let help = Command::new(env!("CARGO_BIN_EXE_meditopia"))
                    .args([name, "--help"])
                    .output()
                    .unwrap();
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
