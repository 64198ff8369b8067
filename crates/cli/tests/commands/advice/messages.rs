//! The messages of single commands that tell another command to type.

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::service::ConfiguredSpool;
use meditopia_testkit::spool::{ClientExt, copy_spool};
use meditopia_testkit::store_files::damage_ledger;
use meditopia_testkit::wait::wait_until;
use rustix::process::Signal;
use serde_json::json;

use super::{Shell, commands_in};
use crate::cli::{EVENTS_LEFT, FAILED, NEEDS_YES, USAGE, wait_for_status};

const CONFIG: &str = "--config config.toml";

/// A spool with three waiting events.
fn with_events(api: &Sandbox) -> (ConfiguredSpool, Shell) {
    let spool = ConfiguredSpool::new(api.endpoint(), api.token());
    spool.client().enqueue_users(0..3);
    let shell = Shell::of(&spool);
    (spool, shell)
}

#[test]
fn what_hold_and_resume_advise_works_as_typed() {
    let api = Sandbox::start();
    let (spool, shell) = with_events(&api);
    let held = shell.provoke(
        &format!("meditopia hold {CONFIG}"),
        0,
        "nothing is sent until: ",
    );
    held.type_all(&shell);
    wait_for_status(&spool.spool(), |status| status["paused"].is_null());
    let resumed = shell.provoke(
        &format!("meditopia resume {CONFIG} --accept-rejections 5"),
        0,
        "before many refusals pause delivery again; to see them: ",
    );
    assert!(resumed.type_all(&shell)[0].contains("no rejected event matches"));
}

#[test]
fn what_the_commands_for_damage_advise_works_as_typed() {
    let api = Sandbox::start();
    let (spool, shell) = with_events(&api);
    // What the store cannot read is neither here nor there: only the names count.
    let missing = shell.provoke(
        &format!("meditopia damaged show {CONFIG} --file x"),
        FAILED,
        "; to see what is there: ",
    );
    assert!(missing.type_all(&shell)[0].contains("nothing is set aside"));
    let unnamed = shell.provoke(
        &format!("meditopia damaged requeue {CONFIG}"),
        USAGE,
        "which files? name them by --file, or give --all; to see them: ",
    );
    unnamed.type_all(&shell);
    unnamed.again_with(&shell, "--all --yes", 0);
    assert_eq!(spool.client().stats().unwrap().pending, 3);
}

#[test]
fn what_forget_advises_of_a_request_in_flight_works_as_typed() {
    let api = Sandbox::start();
    api.set_fault(json!({ "fault": "reset" }));
    let (spool, shell) = with_events(&api);
    let _ = spool.output("flush", &["--timeout", "1"]);
    wait_for_status(&spool.spool(), |status| status["in_doubt"] == 3);
    let left = shell.provoke(
        &format!("meditopia forget {CONFIG} --user u-1 --timeout 1 --yes"),
        EVENTS_LEFT,
        "and this command is run again; to see what is not settled: ",
    );
    assert!(left.type_all(&shell)[0].contains("u-1"));
    // "until it is answered and this command is run again".
    api.clear_faults();
    shell.type_in(&format!("meditopia flush {CONFIG}"));
    shell.provoke(&left.line, 0, "nothing of the user is left in the spool");
}

#[test]
fn what_setting_aside_advises_works_as_typed() {
    let api = Sandbox::start();
    api.set_fault(json!({ "fault": "reset" }));
    let (spool, shell) = with_events(&api);
    let set_aside = format!("meditopia in-doubt set-aside {CONFIG}");
    let unnamed = shell.provoke(
        &set_aside,
        USAGE,
        "which events? name them by --id, or give --all; to see them: ",
    );
    unnamed.type_all(&shell);
    unnamed.again_with(&shell, "--all", 0);
    let absent = shell.provoke(
        &format!("{set_aside} --id 77"),
        FAILED,
        "it may have been settled; see: ",
    );
    absent.type_all(&shell);

    // Each request takes a while, so one is in flight.
    api.set_fault(json!({ "fault": "delay", "ms": 3_000 }));
    let token = spool.token_file();
    spool.configure(&format!(
        "flush_interval_ms = 20\nbearer_token_file = {token:?}"
    ));
    let mut service = spool.start_service(&[]);
    wait_for_status(&spool.spool(), |status| status["in_doubt"] == 3);
    let refused = shell.provoke(
        &format!("{set_aside} --all --yes"),
        FAILED,
        "a request with them is in flight; to try again after it: ",
    );
    let commands = refused.commands();
    assert!(commands[0].contains("--reason set-aside"), "{commands:?}");
    refused.type_all(&shell);
    api.set_fault(json!({ "fault": "reset" }));
    wait_until(
        "the request is over, and the hold keeps the next one back",
        || {
            let again = shell.run(&refused.line);
            again.status.success()
        },
    );
    service.terminate();
    let nothing = shell.provoke(&refused.line, 0, "nothing is in doubt");
    assert!(commands_in(&nothing.text).is_empty());
}

#[test]
fn what_setting_aside_says_of_the_events_works_as_typed() {
    let api = Sandbox::start();
    api.set_fault(json!({ "fault": "reset" }));
    let (spool, shell) = with_events(&api);
    let _ = spool.output("flush", &["--timeout", "1"]);
    let done = shell.provoke(
        &format!("meditopia in-doubt set-aside {CONFIG} --all --yes"),
        0,
        "set 3 events aside; see: ",
    );
    assert!(done.type_all(&shell)[0].contains("u-2"));
}

#[test]
fn what_recover_and_adopt_advise_works_as_typed() {
    let api = Sandbox::start();
    let (spool, shell) = with_events(&api);
    let _ = spool.output("flush", &["--timeout", "5"]);
    damage_ledger(&spool.spool());
    copy_spool(&spool.spool(), &spool.path("a copy"));
    let looked = shell.provoke(
        &format!("meditopia recover {CONFIG}"),
        NEEDS_YES,
        "nothing was done; to recover: ",
    );
    for command in looked.commands() {
        let recovered = shell.run(&command);
        assert!([Some(0), Some(4)].contains(&recovered.status.code()));
    }

    let copied = shell.provoke(
        "meditopia adopt 'a copy'",
        NEEDS_YES,
        "to use this copy as it is: ",
    );
    assert!(
        copied.text.contains("nothing will be sent before: "),
        "{}",
        copied.text
    );
    let mut commands = copied.commands();
    // What is to be done first is said last: the spool is adopted, then its store is recovered.
    commands.sort_by_key(|command| command.contains("recover"));
    assert_eq!(commands.len(), 2, "{commands:?}");
    for command in commands {
        let output = shell.run(&command);
        assert!(
            [Some(0), Some(4)].contains(&output.status.code()),
            "{command}: {output:?}"
        );
    }
    shell.type_in("meditopia status 'a copy'");
}

#[test]
fn what_a_running_service_advises_of_another_endpoint_works_as_typed() {
    let api = Sandbox::start();
    let other = Sandbox::builder().token(api.token()).start();
    let spool = ConfiguredSpool::new(api.endpoint(), api.token());
    let shell = Shell::of(&spool);
    let mut service = spool.start_service(&[]);
    service.wait_for_log("elected");
    let old = std::fs::read_to_string(spool.path("config.toml")).unwrap();
    spool.write_config(&old.replace(api.endpoint(), other.endpoint()));
    service.signal(Signal::HUP);
    let line =
        service.wait_for_log("if the spool is to belong to another one, end the process, then: ");
    service.terminate();
    let commands = commands_in(&line);
    assert_eq!(commands.len(), 1, "{line}");
    shell.type_in(&commands[0]);
    let service = spool.start_service(&[]);
    service.wait_for_log("elected");
    let event = r#"{"token":"t","partner_user_id":"u-1","event":"video"}"#;
    let import = "meditopia import - --format ndjson --config config.toml";
    shell.type_in(&format!("echo '{event}' | {import}"));
    other.wait_for_events(1);
}

#[test]
fn what_the_log_advises_of_many_rejected_events_works_as_typed() {
    let api = Sandbox::start();
    api.set_unknown(json!([{ "prefix": "u-" }]));
    for (brake, text, word) in [
        (0, "{events} events {what}; to see them: ", "u-9"),
        (10, "were refused and stay pending", "u-"),
    ] {
        let text = text.replace("{events} events {what}", "were rejected");
        let spool = ConfiguredSpool::new(api.endpoint(), api.token());
        let shell = Shell::of(&spool);
        let token = spool.token_file();
        spool.configure(&format!(
            "brake_users = {brake}\nbearer_token_file = {token:?}"
        ));
        spool.client().enqueue_users(0..30);
        let output = spool.output("flush", &[]);
        let log = String::from_utf8(output.stderr).unwrap();
        let line = log.lines().find(|line| line.contains(&text));
        let line = line.unwrap_or_else(|| panic!("{text}: {log}"));
        let commands = commands_in(line);
        assert_eq!(commands.len(), 1, "{line}");
        assert!(shell.type_in(&commands[0]).contains(word));
    }
}
