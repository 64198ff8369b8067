//! What a command advises works as it is printed: here each advice is typed into a shell, word for word.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use meditopia_testkit::meditopia_command;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::service::{ConfiguredSpool, Service};
use meditopia_testkit::spool::{ClientExt, copy_spool};
use meditopia_testkit::store_files::damage_ledger;
use meditopia_testkit::wait::secs;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::cli::{stderr, stdout, wait_for_status};

/// Programs that an advice may begin with.
const PROGRAMS: [&str; 5] = ["meditopia ", "kill ", "df ", "chmod ", "systemctl "];

/// Where and how an operator types.
struct Shell {
    dir: PathBuf,
}

impl Shell {
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
            c == ';' && !quoted
        });
        commands.push(rest[..end.unwrap_or(rest.len())].trim_end().to_owned());
    }
    commands
}

/// Everything that `status`, `status --check` and `doctor` advise, when they are given `words`.
fn advised(shell: &Shell, words: &str) -> BTreeSet<String> {
    let mut commands = BTreeSet::new();
    let table = stdout(&shell.run(&format!("meditopia status {words}")));
    for next in table
        .lines()
        .filter_map(|line| line.strip_prefix("next      "))
    {
        let found = commands_in(next);
        assert!(!found.is_empty(), "no command in {next:?}");
        commands.extend(found);
    }
    for (line, member) in [
        (
            format!("meditopia status --check --json {words}"),
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
                commands.extend(commands_in(finding["advice"].as_str().unwrap_or_default()));
            }
        }
    }
    commands
}

/// Types a command, which has to do what it is for.
#[track_caller]
fn type_in(shell: &Shell, command: &str) {
    let output = shell.run(command);
    let code = output.status.code().unwrap();
    let allowed: &[i32] = match command.split(' ').nth(1).unwrap() {
        // Looks, and needs --yes.
        "recover" => &[0, 3],
        "doctor" => &[0, 1, 2],
        // Events may be left, and a pause may last.
        "flush" => &[0, 6, 7],
        _ => &[0],
    };
    assert!(allowed.contains(&code), "{command}: {output:?}");
    let said = stderr(&output);
    for wrong in ["Usage:", "error:", "no spool is given"] {
        assert!(!said.contains(wrong), "{command}: {said}");
    }
}

/// Every advice that is given in this state, however the caller names the spool, works as it is typed.
#[track_caller]
fn assert_advice_works(shell: &Shell, spool: &ConfiguredSpool, wanted: &[&str]) {
    let word = |path: &Path| format!("'{}'", path.display());
    let named = [
        format!("--config {}", word(&spool.path("config.toml"))),
        word(&spool.spool()),
        format!("--spool {}", word(&spool.spool())),
    ];
    for words in named {
        let commands = advised(shell, &words);
        for name in wanted {
            assert!(
                commands.iter().any(|command| command.starts_with(name)),
                "{name} is not advised: {commands:?}"
            );
        }
        for command in &commands {
            if command.starts_with("meditopia ") && !command.contains("adopt") {
                let plain = words.replace('\'', "");
                assert!(command.contains(&plain), "{command} does not say {words}");
            }
        }
    }
    // The ones that end the state come last.
    let mut commands: Vec<String> = Vec::new();
    for words in [
        word(&spool.spool()),
        format!("--config {}", word(&spool.path("config.toml"))),
    ] {
        commands.extend(advised(shell, &words));
    }
    commands.sort_by_key(|command| {
        command.starts_with("meditopia resume") || command.starts_with("kill -KILL")
    });
    for command in commands
        .iter()
        .filter(|command| !command.starts_with("kill -KILL"))
    {
        type_in(shell, command);
    }
}

fn shell_of(spool: &ConfiguredSpool) -> Shell {
    Shell {
        dir: spool.path(""),
    }
}

#[test]
fn every_advice_about_a_spool_without_a_sender_or_with_rejected_events_works_as_typed() {
    let api = Sandbox::builder().unknown_user("u-1").start();
    let spool = ConfiguredSpool::new(api.endpoint(), api.token());
    let shell = shell_of(&spool);
    spool.client().enqueue_users(0..3);
    assert_advice_works(&shell, &spool, &["meditopia "]);
    // The advised flush has delivered what waited.
    assert_eq!(api.ledger().accepted_events, 2);
    assert_advice_works(&shell, &spool, &["meditopia rejected list "]);
}

#[test]
fn every_advice_about_a_pause_works_as_typed_and_ends_it_once_the_cause_is_gone() {
    let api = Sandbox::start();
    let spool = ConfiguredSpool::new(api.endpoint(), api.token());
    let shell = shell_of(&spool);
    let pause = |cause: &dyn Fn(), reason: &str, end: &dyn Fn()| {
        cause();
        spool.client().enqueue_users(0..2);
        let _ = spool.output("flush", &["--timeout", "5"]);
        wait_for_status(&spool.spool(), |status| status["paused"] == reason);
        assert_advice_works(&shell, &spool, &["meditopia resume "]);
        end();
        let _ = spool.output("flush", &["--timeout", "5"]);
        wait_for_status(&spool.spool(), |status| status["paused"].is_null());
        assert_eq!(spool.client().stats().unwrap().pending, 0);
    };
    let resume = || {
        shell.run("meditopia resume --config config.toml");
    };
    let held = || {
        let said = stdout(&shell.run("meditopia hold --config config.toml"));
        let commands = commands_in(&said);
        assert_eq!(
            commands,
            ["meditopia resume --config config.toml"],
            "{said}"
        );
    };
    pause(&held, "hold", &resume);
    pause(&|| api.refuse_address(), "ip", &|| {
        api.allow_address();
        resume();
    });
    pause(&|| spool.write_token("stale"), "auth", &|| {
        spool.write_token(api.token());
        resume();
    });
    let login_page = || api.set_fault(json!({ "fault": "login_page" }));
    pause(&login_page, "misrouted", &|| {
        api.clear_faults();
        resume();
    });
}

#[test]
fn every_advice_about_an_api_that_is_away_works_as_typed() {
    let api = Sandbox::start();
    api.set_fault(json!({ "fault": "status", "status": 503, "retry_after": 60 }));
    let spool = ConfiguredSpool::new(api.endpoint(), api.token());
    spool.configure(&format!(
        "flush_interval_ms = 20\nbearer_token_file = {:?}",
        spool.token_file()
    ));
    let _service: Service = spool.start_service(&[]);
    spool.client().enqueue_users(0..3);
    wait_for_status(&spool.spool(), |status| status["retry"]["lasting"] == true);
    assert_advice_works(&shell_of(&spool), &spool, &["meditopia doctor "]);
}

#[test]
fn every_advice_about_a_sender_that_is_stopped_works_as_typed() {
    let api = Sandbox::start();
    let spool = ConfiguredSpool::new(api.endpoint(), api.token());
    let shell = shell_of(&spool);
    let mut service = spool.start_service(&[]);
    wait_for_status(&spool.spool(), |status| status["sender"]["alive"] == true);
    service.signal(Signal::STOP);
    spool.client().enqueue_users(0..3);
    wait_for_status(&spool.spool(), |status| {
        status["sender"]["state"] == "stopped"
    });
    let commands = advised(&shell, "--config config.toml");
    let kill = format!("kill -KILL {}", service.pid());
    assert!(commands.contains(&kill), "{commands:?}");
    type_in(&shell, &kill);
    service.wait_for_end();
    type_in(&shell, "meditopia flush --config config.toml");
    assert_eq!(api.ledger().accepted_events, 3);
}

#[test]
fn every_advice_about_a_damaged_store_and_a_copy_works_as_typed() {
    let api = Sandbox::start();
    let spool = ConfiguredSpool::new(api.endpoint(), api.token());
    let shell = shell_of(&spool);
    let client = spool.client();
    client.enqueue_users(0..3);
    let _ = client.flush(secs(0));
    drop(client);
    let flushed = spool.output("flush", &[]);
    assert_eq!(flushed.status.code(), Some(0), "{flushed:?}");
    damage_ledger(&spool.spool());
    assert_advice_works(&shell, &spool, &["meditopia recover "]);
    let looked = stdout(&shell.run("meditopia recover --config config.toml"));
    let commands = commands_in(&looked);
    assert_eq!(
        commands,
        ["meditopia recover --config config.toml --yes"],
        "{looked}"
    );
    let recovered = shell.run(&commands[0]);
    assert!(
        [Some(0), Some(4)].contains(&recovered.status.code()),
        "{recovered:?}"
    );

    let copy = spool.path("a copy; it's one");
    copy_spool(&spool.spool(), &copy);
    fs::remove_dir_all(spool.spool()).unwrap();
    let table = stdout(&shell.run(r#"meditopia status "a copy; it's one""#));
    let next = table
        .lines()
        .find(|line| line.starts_with("next "))
        .unwrap();
    let commands = commands_in(next);
    assert_eq!(commands.len(), 1, "{next}");
    let adopted = shell.run(&commands[0]);
    assert!(
        [Some(0), Some(3)].contains(&adopted.status.code()),
        "{adopted:?}"
    );
}
