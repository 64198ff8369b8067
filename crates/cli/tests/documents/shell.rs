//! The completions and the manual pages that the command generates.
use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output};

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

/// The names under `Commands:` in the help of `words`.
fn subcommands(words: &[String]) -> Vec<String> {
    let help = run(meditopia().args(words).arg("-h"));
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    // A line with a deeper indent continues the line above.
    listed
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// The words of every command, including subcommands of subcommands.
fn all_commands() -> Vec<Vec<String>> {
    let mut found = vec![vec![]];
    let mut next = 0;
    while let Some(words) = found.get(next).cloned() {
        for name in subcommands(&words) {
            found.push([words.clone(), vec![name]].concat());
        }
        next += 1;
    }
    found
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
            .env("MANWIDTH", "100"));
        assert!(text.contains("SYNOPSIS"), "{page}: {text}");
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
