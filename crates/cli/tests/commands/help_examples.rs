//! The examples of every `--help` are typed at a terminal, each on a spool in which there is something for it to do.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use meditopia_testkit::command_tree::{all_commands, examples, help, subcommands};
use meditopia_testkit::meditopia_command;
use meditopia_testkit::process::ChildProcess;

use self::situation::Situation;

mod situation;

/// No wider than any terminal: an example that is wrapped cannot be copied.
const COLUMNS: usize = 80;

/// What goes on until Ctrl-C, by a part of the example.
const GOES_ON: [&str; 5] = [
    "meditopia run ",
    "meditopia forward ",
    "--stay",
    "--watch",
    "--serve",
];

/// Examples that end with another status than 0, because of what they find.
const STATUSES: [(&str, i32); 1] = [
    // A warning: there is a rejected event.
    ("--warn-rejected 1", 1),
];

/// What Ctrl-C is to a terminal.
const CTRL_C: &[u8] = b"\x03";
const ENDED_BY_SIGINT: i32 = 130;

/// Every command but `meditopia` itself, whose help lists the others.
fn commands() -> Vec<Vec<String>> {
    let mut commands = all_commands();
    commands.retain(|words| !words.is_empty());
    assert!(commands.len() > 30, "{commands:?}");
    commands
}

/// Types a line at a terminal, and `y` where it asks. Returns the exit status and what was shown.
fn type_at_terminal(line: &str, situation: &Situation) -> (i32, String) {
    let typed = situation.dir().join("typed.sh");
    fs::write(&typed, format!("{line}\n")).unwrap();
    // Who runs the tests in the background has them ignore SIGINT, and so would all that is typed.
    let mut script = Command::new("env");
    script
        .args(["--default-signal", "script"])
        .args([
            "-q",
            "-e",
            "-c",
            "exec bash -o pipefail typed.sh",
            "/dev/null",
        ])
        .current_dir(situation.dir())
        .env_clear()
        .env("PATH", path_with_command())
        .env("HOME", situation.home())
        .env("TMPDIR", situation.dir())
        .env("TERM", "dumb")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = ChildProcess(script.spawn().unwrap());
    let mut input = child.0.stdin.take().unwrap();
    let mut output = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let mut shown = String::new();
    if GOES_ON.iter().any(|part| line.contains(part)) {
        shown.push_str(&output.next().unwrap().unwrap());
        input.write_all(CTRL_C).unwrap();
    } else {
        // It may have ended already.
        let _ = input.write_all(b"y\n");
    }
    for line in output {
        shown.push_str(&line.unwrap());
        shown.push('\n');
    }
    (child.0.wait().unwrap().code().unwrap(), shown)
}

fn path_with_command() -> String {
    let command = meditopia_command();
    let path = std::env::var("PATH").unwrap();
    format!("{}:{path}", command.parent().unwrap().display())
}

#[test]
fn every_subcommand_has_examples_that_fit_a_terminal_at_the_end_of_its_help() {
    for words in commands() {
        let examples = examples(&words);
        assert!(
            (1..=4).contains(&examples.len()),
            "{words:?}: {examples:#?}"
        );
        for example in examples {
            let begins = ["meditopia ", "eval \"$(meditopia "];
            assert!(
                begins.iter().any(|begin| example.starts_with(begin)),
                "{words:?}: {example}"
            );
            assert!(example.len() + 2 <= COLUMNS, "{words:?}: {example}");
        }
    }
}

#[test]
fn every_example_of_a_help_works_when_it_is_typed() {
    let mut seen = Vec::new();
    for words in commands() {
        for example in examples(&words) {
            if seen.contains(&example) {
                continue;
            }
            let situation = Situation::for_command(&example);
            let line = situation.fill_in(&example);
            let (status, shown) = type_at_terminal(&line, &situation);
            let other = STATUSES.iter().find(|(part, _)| example.contains(part));
            let expected = other.map_or(0, |(_, status)| *status);
            let goes_on = GOES_ON.iter().any(|part| example.contains(part));
            assert!(
                status == expected || (goes_on && status == ENDED_BY_SIGINT),
                "{words:?}: {line}\nended with {status}:\n{shown}"
            );
            seen.push(example);
        }
    }
    assert!(seen.len() >= 50, "{}", seen.len());
}

#[test]
fn help_begins_with_five_commands_and_lists_each_of_the_others_once_in_a_group() {
    let all = help(&[]);
    let names = subcommands(&[]);
    assert_eq!(names[..5], ["try", "run", "status", "doctor", "find"]);
    let mut once = names.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), names.len(), "{names:?}");
    assert!(!all.contains("Others:"), "a command is in no group: {all}");
    // clap knows each of them, and lists them in the usage of an unknown one.
    for name in &names {
        assert!(
            help(std::slice::from_ref(name)).contains("Usage:"),
            "{name}"
        );
    }
    let run = |arguments: &[&str]| {
        let output = meditopia_testkit::meditopia()
            .args(arguments)
            .output()
            .unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    assert_eq!(run(&["help"]), all);
    let short = run(&[]);
    assert_eq!(short, run(&["-h"]));
    assert!(
        short.contains("\n  find ") && !short.contains("\n  hold "),
        "{short}"
    );
    assert!(short.lines().count() < 25, "{short}");
    assert!(
        short
            .lines()
            .chain(all.lines())
            .all(|line| line.len() <= COLUMNS)
    );
    assert_eq!(
        run(&["help", "rejected", "list"]),
        help(&["rejected".into(), "list".into()])
    );
}

/// Makes a file that can be run.
fn make_program(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}
