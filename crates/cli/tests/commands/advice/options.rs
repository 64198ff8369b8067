//! The messages that name an option, a file or a variable: with it, the same command does what it is for.

use std::fs;

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::service::{ConfiguredSpool, Service};
use meditopia_testkit::spool::ClientExt;
use serde_json::json;

use super::{Said, Shell};
use crate::cli::{FAILED, NEEDS_YES, UNKNOWN, USAGE};

const CONFIG: &str = "--config config.toml";

#[test]
fn without_a_spool_each_of_the_three_ways_that_are_named_works() {
    let spool = ConfiguredSpool::new(Sandbox::start().endpoint(), "token");
    let shell = Shell::of(&spool);
    let text = "no spool is given; name its directory, use --config FILE, or set MEDITOPIA_SPOOL";
    for name in [
        "status",
        "hold",
        "resume",
        "rejected list",
        "in-doubt list",
        "flush",
    ] {
        let none = shell.provoke(&format!("meditopia {name}"), USAGE, text);
        let typed: Vec<_> = [
            format!("{} spool", none.line),
            format!("{} {CONFIG}", none.line),
            format!("MEDITOPIA_SPOOL=spool {}", none.line),
        ]
        .iter()
        .map(|line| {
            let endpoint = match name {
                // It sends to where the environment says.
                "flush" => "MEDITOPIA_BEARER_TOKEN_FILE=token ",
                _ => "",
            };
            shell.provoke(&format!("{endpoint}{line}"), 0, "").text
        })
        .collect();
        assert_eq!(typed.len(), 3);
    }
}

/// A spool with two rejected events, and one that waits.
fn with_rejected(api: &Sandbox) -> (ConfiguredSpool, Shell) {
    api.set_unknown(json!([{ "prefix": "u-" }]));
    let spool = ConfiguredSpool::new(api.endpoint(), api.token());
    let client = spool.client();
    client.enqueue_users(0..2);
    assert_eq!(spool.output("flush", &[]).status.code(), Some(0));
    client.enqueue_users(2..3);
    let shell = Shell::of(&spool);
    (spool, shell)
}

#[test]
fn what_needs_a_confirmation_is_done_by_the_same_command_with_yes() {
    let api = Sandbox::start();
    let (spool, shell) = with_rejected(&api);
    for line in [
        "rejected discard --user u-0",
        "rejected discard --user u-1",
        "forget --user u-2",
    ] {
        let asked: Said = shell.provoke(
            &format!("meditopia {line} {CONFIG}"),
            NEEDS_YES,
            "nothing was done; to do it, run the command again with --yes",
        );
        asked.again_with(&shell, "--yes", 0);
    }
    let stats = spool.client().stats().unwrap();
    assert_eq!(stats.pending, 0);
    assert!(spool.client().rejected_rows().is_empty());
}

#[test]
fn each_option_that_selects_rejected_events_is_one() {
    let api = Sandbox::start();
    let (spool, shell) = with_rejected(&api);
    let id = spool.client().rejected_rows()[0].id;
    let which = shell.provoke(
        &format!("meditopia rejected discard {CONFIG}"),
        USAGE,
        "which events? select them by --id, --user, --code, --reason, --since or --until, or give --all",
    );
    for option in [
        &*format!("--id {id}"),
        "--user u-1",
        "--code A_1104",
        "--reason refused",
        "--since 2020-01-01",
        "--until 2100-01-01",
        "--all",
    ] {
        which.again_with(&shell, option, NEEDS_YES);
    }
    let both = shell.provoke(
        &format!("meditopia rejected requeue {CONFIG} --all --user u-1 --yes"),
        USAGE,
        "--all contradicts the options that select events; leave one of them out",
    );
    for left_out in ["--all ", "--user u-1 "] {
        shell.provoke(&both.line.replace(left_out, ""), 0, "requeued 1 event");
    }
}

#[test]
fn limits_that_contradict_each_other_are_mended_as_it_is_said() {
    let spool = ConfiguredSpool::new("http://127.0.0.1:9/", "token");
    let shell = Shell::of(&spool);
    let line = format!("meditopia status --check {CONFIG}");
    let wrong = shell.provoke(
        &format!("{line} --warn-age 2h"),
        UNKNOWN,
        "is reached first, so this never warns; exchange the two, or set both",
    );
    wrong.again_with(&shell, "--crit-age 3h", 0);
    let wrong = format!("{line} --warn-pending 20 --crit-pending 10");
    shell.provoke(&wrong, UNKNOWN, "--warn-pending: --crit-pending");
    shell.provoke(
        &format!("{line} --warn-pending 10 --crit-pending 20"),
        0,
        "",
    );
}

#[test]
fn a_service_listens_on_the_address_or_with_the_option_that_it_names() {
    let spool = ConfiguredSpool::new(Sandbox::start().endpoint(), "token");
    let shell = Shell::of(&spool);
    let run = format!("meditopia run {CONFIG}");
    let refused = shell.provoke(
        &format!("{run} --listen 0.0.0.0:0"),
        USAGE,
        "other hosts can reach this address; listen on 127.0.0.1, or add --listen-anywhere",
    );
    assert!(refused.text.contains("--listen-anywhere"));
    let service =
        Service::start(spool.command("run", &["--listen", "0.0.0.0:0", "--listen-anywhere"]));
    let taken = service.address();
    drop(service);
    let service = spool.start_service(&[]);
    let address = service.address();
    shell.provoke(
        &format!("{run} --listen {address}"),
        FAILED,
        "choose another port",
    );
    assert!(taken.starts_with("0.0.0.0:"), "{taken}");
}

#[test]
fn doctor_and_man_are_helped_by_the_options_that_they_name() {
    let api = Sandbox::start();
    let spool = ConfiguredSpool::new(api.endpoint(), api.token());
    let shell = Shell::of(&spool);
    let doctor = format!("meditopia doctor {CONFIG} --send-event u-1 --event video");
    shell.provoke(
        &format!("{doctor} --user-token-file none"),
        USAGE,
        "name the file that holds the user's token",
    );
    fs::write(spool.path("user-token"), "t-1").unwrap();
    shell.provoke(
        &format!("{doctor} --user-token-file user-token"),
        0,
        "it accepted the event",
    );
    let invalid = shell.provoke(
        &format!(
            "meditopia doctor {CONFIG} --send-event u-1 --event vidio --user-token-file user-token"
        ),
        USAGE,
        "see --send-event, --event and --user-token-file",
    );
    shell.provoke(&invalid.line.replace("vidio", "video"), 0, "");

    fs::write(spool.path("taken"), "").unwrap();
    let man = shell.provoke("meditopia man --out taken", FAILED, "choose another --out");
    shell.provoke(&man.line.replace("taken", "pages"), 0, "");
}
