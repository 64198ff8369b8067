//! The library's errors that name a command, an option or a key, as a command passes them on.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};

use meditopia_testkit::privileges::{is_root, report_skip};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::service::ConfiguredSpool;
use meditopia_testkit::spool::{ClientExt, copy_spool};
use meditopia_testkit::store_files::damage_ledger;

use super::{Shell, commands_in};
use crate::cli::{FAILED, PAUSED, USAGE};

const FLUSH: &str = "meditopia flush --config config.toml";

fn with_events(api: &Sandbox) -> (ConfiguredSpool, Shell) {
    let spool = ConfiguredSpool::new(api.endpoint(), api.token());
    spool.client().enqueue_users(0..3);
    let shell = Shell::of(&spool);
    (spool, shell)
}

/// Types the only command that is advised; where it asks, it is typed with --yes as well.
#[track_caller]
fn type_only(shell: &Shell, text: &str) {
    let commands = commands_in(text);
    assert_eq!(commands.len(), 1, "{text}");
    let output = shell.run(&commands[0]);
    let said = super::everything(&output);
    match output.status.code() {
        Some(0 | 4) => {}
        // It says what to type where events wait.
        Some(3) => type_only(shell, &said),
        _ => panic!("{}: {said}", commands[0]),
    }
}

#[test]
fn a_spool_of_another_endpoint_is_sent_from_after_either_remedy_as_typed() {
    let (api, other) = (Sandbox::start(), Sandbox::start());
    let (spool, shell) = with_events(&api);
    let config = fs::read_to_string(spool.path("config.toml")).unwrap();
    let wrong = config.replace(api.endpoint(), other.endpoint());
    spool.write_config(&wrong);
    let mismatch = shell.provoke(FLUSH, FAILED, "; only if its events are to go to ");
    // `set endpoint = "..."` is a line of the file.
    let (_, line) = mismatch.text.split_once("; set ").unwrap();
    let (line, _) = line.split_once(", or name another spool").unwrap();
    let rest = wrong.lines().skip(1).collect::<Vec<_>>().join("\n");
    spool.write_config(&format!("{line}\n{rest}\n"));
    shell.provoke(FLUSH, 0, "3 delivered");

    spool.client().enqueue_users(3..5);
    spool.write_config(&wrong);
    let adopt = shell.provoke(
        "meditopia adopt --config config.toml",
        USAGE,
        "only if the spool's events are to go to ",
    );
    let doctor = shell.run("meditopia doctor --config config.toml");
    let doctor = super::everything(&doctor);
    let text = "use another spool, or change what this one belongs to: ";
    let line = doctor.lines().find(|line| line.contains(text));
    assert_eq!(
        commands_in(line.expect(&doctor)),
        commands_in(&adopt.text),
        "{doctor}"
    );
    type_only(&shell, &adopt.text);
    fs::write(spool.path("token"), other.token()).unwrap();
    shell.provoke(FLUSH, 0, "2 delivered");
    assert_eq!(other.ledger().accepted_events, 2);
}

#[test]
fn a_copy_and_a_damaged_store_are_sent_from_after_what_flush_advises() {
    let api = Sandbox::start();
    let (spool, shell) = with_events(&api);
    copy_spool(&spool.spool(), &spool.path("copy"));
    fs::remove_dir_all(spool.spool()).unwrap();
    fs::create_dir(spool.spool()).unwrap();
    copy_spool(&spool.path("copy/."), &spool.spool());
    let copied = shell.provoke(FLUSH, FAILED, "if the other one is gone: ");
    type_only(&shell, &copied.text);
    shell.provoke(FLUSH, 0, "3 delivered");

    damage_ledger(&spool.spool());
    let damaged = shell.provoke(
        FLUSH,
        PAUSED,
        "nothing is sent; keep a copy of the spool, then: ",
    );
    let mut commands = commands_in(&damaged.text);
    commands.dedup();
    for command in commands {
        let recovered = shell.run(&format!("{command} --yes"));
        assert!(
            [Some(0), Some(4)].contains(&recovered.status.code()),
            "{recovered:?}"
        );
    }
    shell.provoke(FLUSH, 0, "");
}

#[test]
fn a_spool_that_has_lost_its_identity_gets_one_by_the_command_as_typed() {
    let api = Sandbox::start();
    let (spool, shell) = with_events(&api);
    fs::remove_file(spool.spool().join("identity.json")).unwrap();
    let lost = shell.provoke(
        FLUSH,
        FAILED,
        "or say to which endpoint the events belong: ",
    );
    type_only(&shell, &lost.text);
    shell.provoke(FLUSH, 0, "3 delivered");

    spool.client().enqueue_users(3..5);
    fs::remove_file(spool.spool().join("identity.json")).unwrap();
    // A command that is given no endpoint leaves that to the operator.
    let unknown = shell.run("meditopia pending list spool");
    let unknown = super::everything(&unknown);
    let command = commands_in(&unknown).remove(0);
    assert!(command.ends_with(" --endpoint URL"), "{unknown}");
    shell.type_in(&command.replace("URL", api.endpoint()));
    shell.provoke(FLUSH, 0, "2 delivered");
}

#[test]
fn a_key_that_an_error_tells_to_set_is_taken_by_the_configuration() {
    let api = Sandbox::start();
    let (spool, shell) = with_events(&api);
    spool.configure("");
    let without = shell.provoke(FLUSH, PAUSED, "set bearer_token or bearer_token_file");
    let token = spool.token_file();
    for line in [
        format!("bearer_token = {:?}", api.token()),
        format!("bearer_token_file = {token:?}"),
    ] {
        spool.configure(&line);
        shell.provoke(&without.line, 0, "");
    }
    spool.configure(&format!(
        "durability = \"memory\"\nbearer_token_file = {token:?}"
    ));
    shell.provoke(
        FLUSH,
        USAGE,
        "so this command cannot send from it; set process or power",
    );
    for durability in ["process", "power"] {
        spool.configure(&format!(
            "durability = {durability:?}\nbearer_token_file = {token:?}"
        ));
        shell.provoke(FLUSH, 0, "");
    }
}

#[test]
fn root_is_helped_by_the_command_that_a_path_of_others_is_answered_with() {
    if !is_root() {
        report_skip("this process does not run as root");
        return;
    }
    const USER: u32 = 12_345;
    let api = Sandbox::start();
    let (spool, shell) = with_events(&api);
    let dir = spool.path("it's here");
    fs::create_dir(&dir).unwrap();
    fs::copy(spool.path("config.toml"), dir.join("config.toml")).unwrap();
    fs::set_permissions(&dir, Permissions::from_mode(0o777)).unwrap();
    let open = shell.provoke(
        r#"meditopia status --config "it's here/config.toml""#,
        USAGE,
        "run the command as the spool's owner, or take that right from them: ",
    );
    type_only(&shell, &open.text);
    shell.provoke(&open.line, 0, "");

    // A directory in which another user can make the spool.
    chown(&dir, Some(USER), Some(USER)).unwrap();
    fs::set_permissions(spool.path(""), Permissions::from_mode(0o755)).unwrap();
    let line = r#"meditopia flush --spool "it's here/new" --config config.toml"#;
    let none = shell.provoke(line, FAILED, "or create the directory for its user: ");
    let command = commands_in(&none.text).remove(0);
    shell.type_in(&command.replace("USER", &USER.to_string()));
    assert!(dir.join("new").is_dir());
}

#[test]
fn what_a_shell_or_a_directory_forbids_is_allowed_by_the_command_as_typed() {
    let api = Sandbox::start();
    let (spool, shell) = with_events(&api);
    fs::set_permissions(spool.spool(), Permissions::from_mode(0o777)).unwrap();
    let text = "its application takes that back when it opens it, or: ";
    let doctor = || super::everything(&shell.run("meditopia doctor --config config.toml"));
    let open = doctor();
    let line = open.lines().find(|line| line.contains(text)).expect(&open);
    type_only(&shell, line);
    assert!(!doctor().contains(text));

    let limited = shell.provoke(
        &format!("ulimit -f 64; {FLUSH}"),
        FAILED,
        "bytes at most (ulimit -f, RLIMIT_FSIZE); a spool needs ",
    );
    let raised = limited.line.replace("ulimit -f 64", "ulimit -f unlimited");
    shell.provoke(&raised, 0, "3 delivered");
}
