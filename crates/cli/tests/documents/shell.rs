//! The completions and the manual pages that the command generates.
use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output};

use meditopia_testkit::command_tree::{all_commands, examples, subcommands};
use meditopia_testkit::meditopia;

/// Runs a command that has to succeed without any message on standard error; returns its output.
fn run(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let errors = String::from_utf8_lossy(&stderr);
    assert!(
        status.success() && errors.is_empty(),
        "{command:?}: {errors}"
    );
    String::from_utf8(stdout).unwrap()
}

#[test]
fn every_command_has_a_manual_page_that_renders_without_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().join("man 1");
    run(meditopia().args(["man", "--out"]).arg(&pages));
    let written: BTreeSet<String> = fs::read_dir(&pages)
        .unwrap()
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .collect();
    let commands = all_commands();
    assert!(commands.len() > 4, "{commands:?}");
    let expected: BTreeSet<String> = commands
        .iter()
        .map(|words| {
            format!(
                "{}.1",
                [vec!["meditopia".to_owned()], words.clone()]
                    .concat()
                    .join("-")
            )
        })
        .collect();
    assert_eq!(written, expected);
    for page in &written {
        let text = run(Command::new("man")
            .args(["--warnings", "--local-file"])
            .arg(pages.join(page))
            .env("MANWIDTH", "80")
            .env("LC_ALL", "C"));
        assert!(text.contains("SYNOPSIS"), "{page}: {text}");
        let name = page.strip_suffix(".1").unwrap();
        let words = commands
            .iter()
            .find(|words| words.join("-") == name.trim_start_matches("meditopia-"));
        for example in examples(words.map_or(&[], |words| words)) {
            let shown = text.lines().any(|line| line.trim() == example);
            assert!(shown, "{page} does not show {example}: {text}");
        }
    }
}

#[test]
fn bash_completes_every_command_and_its_options() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("meditopia.bash");
    let completions = run(meditopia().args(["completions", "bash"]));
    fs::write(&script, completions).unwrap();
    let complete = |words: &[&str]| {
        let ask = r#"source "$1"; shift
            COMP_WORDS=(meditopia "$@"); COMP_CWORD=$#
            function_of=$(complete -p meditopia | sed 's/.*-F \([^ ]*\).*/\1/')
            "$function_of" meditopia "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
            printf '%s\n' "${COMPREPLY[@]}""#;
        let mut bash = Command::new("bash");
        bash.args(["--norc", "-c", ask, "bash"])
            .arg(&script)
            .args(words);
        run(&mut bash)
            .lines()
            .map(str::to_owned)
            .collect::<BTreeSet<_>>()
    };
    let offered = complete(&[""]);
    for name in subcommands(&[]) {
        assert!(offered.contains(&name), "{name} is not in {offered:?}");
    }
    assert_eq!(complete(&["sandb"]), BTreeSet::from(["sandbox".to_owned()]));
    assert!(complete(&["sandbox", "--po"]).contains("--port"));
}

#[test]
fn the_completions_for_zsh_and_fish_name_every_command() {
    for shell in ["zsh", "fish"] {
        let script = run(meditopia().args(["completions", shell]));
        for name in subcommands(&[]) {
            assert!(script.contains(&name), "{shell}: {name}");
        }
    }
}

#[test]
fn help_has_no_colours_unless_a_terminal_reads_it() {
    for words in all_commands() {
        let help = run(meditopia().args(&words).arg("--help"));
        assert!(!help.contains('\u{1b}'), "{words:?}");
        assert!(help.contains("Usage:"), "{words:?}");
    }
}
