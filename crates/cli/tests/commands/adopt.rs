//! `meditopia adopt`: it changes only what its options name, and the command that a message names
//! works when it is typed.

use std::path::Path;
use std::process::{Command, Output};

use meditopia::{Client, ErrorKind};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::service::ConfiguredSpool;
use meditopia_testkit::spool::{ClientExt, TestSpool, copy_spool};
use meditopia_testkit::wait::{secs, wait_until};
use meditopia_testkit::{meditopia, meditopia_command};

use crate::cli::{FAILED, NEEDS_YES, USAGE, run, run_failing, stderr, stdout};

/// A spool whose three events belong to the first API, while its configuration names the second.
fn misconfigured() -> (Sandbox, Sandbox, ConfiguredSpool) {
    let (before, after) = (Sandbox::start(), Sandbox::start());
    let spool = ConfiguredSpool::new(before.endpoint(), before.token());
    spool.client().enqueue_users(0..3);
    spool.write_config(&format!(
        "endpoint = {:?}\nspool = {:?}\nbearer_token = {:?}\n",
        after.endpoint(),
        spool.spool(),
        after.token()
    ));
    (before, after, spool)
}

/// The message of a command that has to fail with `status`.
#[track_caller]
fn message_of(output: &Output, status: i32) -> String {
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    stderr(output)
}

/// Types the `meditopia adopt` command of a message, which ends at a line break or a semicolon.
fn type_in(message: &str) -> Output {
    let (_, command) = message.split_once("meditopia adopt ").expect(message);
    let (command, _) = command.split_once(['\n', ';']).expect(message);
    Command::new("sh")
        .arg("-c")
        .arg(format!("\"$0\" adopt {command}"))
        .arg(meditopia_command())
        .env_clear()
        .output()
        .unwrap()
}

/// Types the command of a message, which has to succeed.
#[track_caller]
fn type_command_of(message: &str) -> String {
    let typed = type_in(message);
    assert!(typed.status.success(), "{message}: {typed:?}");
    stdout(&typed)
}

/// The same for a spool whose events would go elsewhere: it asks first, and says what to type.
#[track_caller]
fn type_and_confirm(message: &str) -> String {
    let asked = message_of(&type_in(message), NEEDS_YES);
    assert!(asked.contains("nothing was done"), "{asked}");
    type_command_of(&asked)
}

#[test]
fn the_command_that_a_mismatch_error_names_changes_the_spools_endpoint() {
    let (before, after, spool) = misconfigured();
    let refused = message_of(&spool.output("flush", &[]), FAILED);

    let set = format!("set endpoint = {:?}", before.endpoint());
    let adopt = refused.find("meditopia adopt ").expect(&refused);
    assert!(refused.find(&set).is_some_and(|at| at < adopt), "{refused}");
    let adopted = type_and_confirm(&refused);

    assert!(adopted.contains("now belongs to"), "{adopted}");
    let flushed = spool.output("flush", &[]);
    assert!(flushed.status.success(), "{flushed:?}");
    assert_eq!(
        (before.ledger().requests, after.ledger().accepted_events),
        (0, 3)
    );
}

#[test]
fn adopt_with_a_configuration_alone_changes_nothing_and_names_the_command_that_does() {
    let (before, after, spool) = misconfigured();
    let identity = || std::fs::read(spool.spool().join("identity.json")).unwrap();
    let identity_before = identity();

    let refused = message_of(&spool.output("adopt", &[]), USAGE);

    assert!(refused.contains("nothing was changed"), "{refused}");
    assert_eq!(identity(), identity_before);
    // An option on the command line takes precedence over the configuration.
    let named = spool.output("adopt", &["--endpoint", before.endpoint()]);
    assert!(named.status.success(), "{named:?}");
    assert!(type_and_confirm(&refused).contains(&format!("now belongs to {}", after.endpoint())));
}

#[test]
fn an_error_quotes_an_account_with_blanks_and_quotes_for_the_shell() {
    let (before, _after, spool) = misconfigured();
    let flush = |account: &str| {
        let mut flush = meditopia();
        flush.arg("flush").arg(spool.spool());
        flush.env("MEDITOPIA_BEARER_TOKEN", before.token());
        flush.env("MEDITOPIA_ACCOUNT", account).output().unwrap()
    };
    let refused = message_of(&flush("the cook's $HOME"), FAILED);
    type_and_confirm(&refused);
    assert!(flush("the cook's $HOME").status.success());
}

#[test]
fn adopt_says_what_it_changed_and_what_it_left_unchanged() {
    let (_before, _after, spool) = misconfigured();
    let copy = spool.path("copy");
    copy_spool(&spool.spool(), &copy);
    let adopt = |spool: &Path| run(&["adopt"], spool);
    assert!(adopt(&copy).contains("may be used here now"));
    assert!(adopt(&copy).contains("stays as it is"));
    assert!(adopt(&spool.spool()).contains("stays as it is"));
}

#[test]
fn a_spool_that_has_lost_its_identity_says_so_and_gets_a_new_one_by_adopt() {
    let api = Sandbox::start();
    // With a store, and without.
    for delivered in [0, 4] {
        let spool = ConfiguredSpool::new(api.endpoint(), api.token());
        let client = spool.client();
        client.enqueue_users(0..delivered);
        drop(client);
        if delivered > 0 {
            assert!(spool.output("flush", &[]).status.success());
        }
        spool.client().enqueue_users(10..13);
        std::fs::remove_file(spool.spool().join("identity.json")).unwrap();
        for command in ["flush", "status", "recover"] {
            let output = spool.output(command, &[]);
            let said = format!("{}{}", stderr(&output), stdout(&output));
            assert!(!output.status.success(), "{command}");
            assert!(said.contains("no identity.json"), "{command}: {said}");
            assert!(said.contains("meditopia adopt "), "{command}: {said}");
        }
        let refused = message_of(&spool.output("flush", &[]), FAILED);
        let adopted = type_command_of(&refused);
        assert!(adopted.contains("has a new identity.json"), "{adopted}");
        assert!(spool.output("flush", &[]).status.success());
    }
    assert_eq!(api.ledger().accepted_events, 4 + 2 * 3);
}

#[test]
fn adopt_refuses_another_endpoint_while_a_process_sends() {
    let (before, after) = (Sandbox::start(), Sandbox::start());
    let spool = ConfiguredSpool::new(before.endpoint(), before.token());
    let client = spool.client();
    client.enqueue_users(0..3);
    let mut sender = spool.start_service(&[]);
    wait_until("all is settled", || client.stats().unwrap().delivered == 3);
    let change_endpoint = || spool.output("adopt", &["--endpoint", after.endpoint()]);
    let refused = message_of(&change_endpoint(), FAILED);
    assert!(refused.contains("end that one, then adopt"), "{refused}");
    // Without a change it may run beside the sender.
    let unchanged = spool.output("adopt", &[]);
    assert!(unchanged.status.success(), "{unchanged:?}");
    sender.kill();
    sender.wait_for_end();
    let changed = change_endpoint();
    assert!(changed.status.success(), "{changed:?}");
}

#[test]
fn adopt_refuses_beside_a_sender_before_it_asks_about_the_events_that_wait() {
    let (before, after) = (Sandbox::start(), Sandbox::start());
    let spool = ConfiguredSpool::new(before.endpoint(), before.token());
    let client = spool.client();
    client.hold().unwrap();
    client.enqueue_users(0..3);
    let mut sender = spool.start_service(&[]);
    sender.wait_for_log("elected");
    let change_endpoint = || spool.output("adopt", &["--endpoint", after.endpoint()]);
    let refused = message_of(&change_endpoint(), FAILED);
    assert!(refused.contains("end that one, then adopt"), "{refused}");
    sender.kill();
    sender.wait_for_end();
    let asked = message_of(&change_endpoint(), NEEDS_YES);
    assert!(asked.contains("send what waits (3 events)"), "{asked}");
}

#[test]
fn a_spool_whose_endpoint_has_changed_sends_again_once_an_operator_adopts_it() {
    let (before, after) = (Sandbox::start(), Sandbox::start());
    let spool = TestSpool::for_sandbox(&before);
    let client = spool.client();
    client.enqueue_users(0..3);
    drop(client);
    let spool = spool.with("endpoint", after.endpoint()).with("lanes", "2");
    let Err(error) = Client::open(spool.config()) else {
        panic!("opened");
    };
    assert_eq!(error.kind(), ErrorKind::SpoolMismatch);
    assert!(error.message().contains("meditopia adopt"), "{error}");

    run(
        &["adopt", "--yes", "--endpoint", after.endpoint()],
        &spool.path(),
    );
    assert_eq!(spool.into_client().flush_ok(secs(10)).delivered, 3);
    assert_eq!(
        (before.ledger().requests, after.ledger().accepted_events),
        (0, 3)
    );
}

#[test]
fn adopt_for_another_endpoint_asks_while_events_wait_and_does_not_ask_when_none_does() {
    let (before, after) = (Sandbox::start(), Sandbox::start());
    let spool = TestSpool::for_sandbox(&before);
    spool.client().enqueue_users(0..3);
    let adopt = ["adopt", "--endpoint", after.endpoint()];
    let identity = || std::fs::read(spool.path().join("identity.json")).unwrap();
    let identity_before = identity();

    let asked = run_failing(&adopt, &spool.path(), NEEDS_YES);

    let words = format!(
        "send what waits (3 events) to {}, and no longer to {}; nothing was done; to do it, type: meditopia adopt ",
        after.endpoint(),
        before.endpoint()
    );
    assert!(asked.contains(&words), "{asked}");
    assert_eq!(identity(), identity_before);

    spool.client().flush_ok(secs(10));
    assert!(run(&adopt, &spool.path()).contains("now belongs to"));
}
