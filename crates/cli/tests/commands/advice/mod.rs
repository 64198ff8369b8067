//! What a command advises works as it is printed: here each advice is provoked, taken out of the message, and
//! typed into a shell word for word.
//!
//! `coverage` holds the sources to it: a message that names a command or an option and that no test provokes
//! fails there.

mod coverage;
mod fleet;
mod imports;
mod messages;
mod options;
mod searches;
mod spools;
mod states;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use meditopia_testkit::meditopia_command;
use meditopia_testkit::service::ConfiguredSpool;
use serde_json::Value;

use crate::cli::{NEEDS_YES, stdout};

/// Programs that an advice may begin with.
const PROGRAMS: [&str; 12] = [
    "meditopia ",
    "kill ",
    "df ",
    "chmod ",
    "systemctl ",
    "install ",
    "iconv ",
    "zcat ",
    "zstdcat ",
    "xzcat ",
    "bzcat ",
    "id ",
];

/// Where an operator types.
struct Shell {
    dir: PathBuf,
}

/// What a line that was typed has said.
struct Said {
    line: String,
    text: String,
}

impl Shell {
    /// In the directory of a spool and its configuration.
    fn of(spool: &ConfiguredSpool) -> Self {
        Self {
            dir: spool.path(""),
        }
    }

    fn run(&self, line: &str) -> Output {
        let programs = meditopia_command().parent().unwrap().to_owned();
        Command::new("sh")
            .args(["-c", line])
            .current_dir(&self.dir)
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Types a line, which has to end with `status` and to say `text`.
    #[track_caller]
    fn provoke(&self, line: &str, status: i32, text: &str) -> Said {
        let output = self.run(line);
        let said = everything(&output);
        assert_eq!(output.status.code(), Some(status), "{line}: {said}");
        assert!(said.contains(text), "{line} does not say {text:?}: {said}");
        let line = line.to_owned();
        Said { line, text: said }
    }

    /// Types an advised command, which has to do what it is for; returns what it says.
    #[track_caller]
    fn type_in(&self, command: &str) -> String {
        let output = self.run(command);
        let code = output.status.code().unwrap();
        let said = everything(&output);
        let allowed: &[i32] = match command.split(' ').nth(1).unwrap() {
            // Looks, and needs --yes.
            "recover" => &[0, 3],
            "doctor" => &[0, 1, 2],
            // Events may be left, and a pause may last.
            "flush" => &[0, 6, 7],
            _ => &[0],
        };
        if code == NEEDS_YES && said.contains("run the command again with --yes") {
            return self.type_in(&format!("{command} --yes"));
        }
        assert!(allowed.contains(&code), "{command}: {said}");
        for wrong in ["Usage:", "error:", "no spool is given"] {
            assert!(!said.contains(wrong), "{command}: {said}");
        }
        said
    }
}

impl Said {
    /// The commands that it advises, of which there is at least one.
    #[track_caller]
    fn commands(&self) -> Vec<String> {
        let commands = commands_in(&self.text);
        assert!(!commands.is_empty(), "no command in {:?}", self.text);
        commands
    }

    /// Types each command that it advises; what they say.
    #[track_caller]
    fn type_all(&self, shell: &Shell) -> Vec<String> {
        let commands = self.commands();
        commands
            .iter()
            .map(|command| shell.type_in(command))
            .collect()
    }

    /// Types the line again with an option that it names; what that says.
    #[track_caller]
    fn again_with(&self, shell: &Shell, option: &str, status: i32) -> String {
        let name = option.split(' ').next().unwrap();
        assert!(self.text.contains(name), "no {name} in {:?}", self.text);
        let line = format!("{} {option}", self.line);
        shell.provoke(&line, status, "").text
    }
}

fn everything(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(text).unwrap()
}

/// The commands of an advice: what follows a colon up to the next semicolon, outside of quotes.
fn commands_in(advice: &str) -> Vec<String> {
    let mut commands = Vec::new();
    for (at, _) in advice.match_indices(": ") {
        let rest = &advice[at + 2..];
        if !PROGRAMS.iter().any(|program| rest.starts_with(program)) {
            continue;
        }
        let mut quoted = false;
        let end = rest.find(|c| {
            quoted ^= c == '\'';
            matches!(c, ';' | '\n') && !quoted
        });
        commands.push(rest[..end.unwrap_or(rest.len())].trim_end().to_owned());
    }
    commands
}

/// Everything that `status`, `status --check` with these limits, and `doctor` advise, when they are given `words`.
fn advised(shell: &Shell, words: &str, limits: &str) -> BTreeSet<String> {
    let mut advice = BTreeSet::new();
    let table = stdout(&shell.run(&format!("meditopia status {words}")));
    for next in table
        .lines()
        .filter_map(|line| line.strip_prefix("next      "))
    {
        assert!(!commands_in(next).is_empty(), "no command in {next:?}");
        advice.insert(next.to_owned());
    }
    for (line, member) in [
        (
            format!("meditopia status --check --json {words} {limits}"),
            "findings",
        ),
        (format!("meditopia doctor --json {words}"), ""),
    ] {
        let text = stdout(&shell.run(&line));
        for line in text.lines() {
            let object: Value = serde_json::from_str(line).expect(line);
            let findings = match member {
                "" => vec![object],
                member => object[member].as_array().unwrap().clone(),
            };
            for finding in findings {
                advice.insert(finding["advice"].as_str().unwrap_or_default().to_owned());
            }
        }
    }
    advice
}

/// Every advice that is given in this state, however the caller names the spool, works as it is typed. Each
/// of `wanted` is part of one.
#[track_caller]
fn assert_advice_works(shell: &Shell, spool: &ConfiguredSpool, limits: &str, wanted: &[&str]) {
    let word = |path: &Path| format!("'{}'", path.display());
    let named = [
        format!("--config {}", word(&spool.path("config.toml"))),
        word(&spool.spool()),
        format!("--spool {}", word(&spool.spool())),
    ];
    let mut all: BTreeSet<String> = BTreeSet::new();
    for words in named {
        let advice = advised(shell, &words, limits);
        for command in advice.iter().flat_map(|advice| commands_in(advice)) {
            if command.starts_with("meditopia ") && !command.contains("adopt") {
                let plain = words.replace('\'', "");
                assert!(command.contains(&plain), "{command} does not say {words}");
            }
        }
        all.extend(advice);
    }
    for text in wanted {
        assert!(
            all.iter().any(|advice| advice.contains(text)),
            "{text:?} is not advised: {all:#?}"
        );
    }
    // The ones that end the state come last.
    let mut commands: Vec<String> = all.iter().flat_map(|advice| commands_in(advice)).collect();
    commands.dedup();
    commands.sort_by_key(|command| {
        ["resume", "in-doubt bisect", "damaged acknowledge"]
            .iter()
            .any(|name| command.starts_with(&format!("meditopia {name}")))
    });
    for command in commands
        .iter()
        .filter(|command| !command.starts_with("kill -KILL"))
    {
        shell.type_in(command);
    }
}
