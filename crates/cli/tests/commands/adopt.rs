//! `meditopia adopt`: what it is told to change it changes, what an error says to type works, and what
//! nobody named stays.

use std::path::Path;
use std::process::{Command, Output};

use meditopia::ErrorKind;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::service::ConfiguredSpool;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;

/// A place whose three events are for the first API, while the configuration names the second.
fn astray() -> (Sandbox, Sandbox, ConfiguredSpool) {
    let (before, after) = (Sandbox::start(), Sandbox::start());
    let place = ConfiguredSpool::new(before.endpoint(), before.token());
    place.client().enqueue_users(0..3);
    place.write_config(&format!(
        "endpoint = {:?}\nspool = {:?}\nbearer_token = {:?}\n",
        after.endpoint(),
        place.spool(),
        after.token()
    ));
    (before, after, place)
}

#[track_caller]
fn complaint(output: &Output, status: i32) -> String {
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Types the `meditopia adopt` command of a message, up to the next part of the sentence.
fn type_command_of(message: &str) -> String {
    let (_, command) = message.split_once("meditopia adopt ").expect(message);
    let (command, _) = command.split_once(['\n', ';']).expect(message);
    let typed = Command::new("sh")
        .arg("-c")
        .arg(format!("\"$0\" adopt {command}"))
        .arg(env!("CARGO_BIN_EXE_meditopia"))
        .env_clear()
        .output()
        .unwrap();
    assert!(typed.status.success(), "{command}: {typed:?}");
    String::from_utf8(typed.stdout).unwrap()
}

#[test]
fn the_command_that_a_mismatch_names_gives_the_spool_away() {
    let (before, after, place) = astray();
    let refused = complaint(&place.output("flush", &[]), 1);

    let told = type_command_of(&refused);

    assert!(told.contains("now belongs to"), "{told}");
    let flushed = place.output("flush", &[]);
    assert!(flushed.status.success(), "{flushed:?}");
    assert_eq!(
        (before.ledger().requests, after.ledger().accepted_events),
        (0, 3)
    );
}

#[test]
fn a_configuration_alone_gives_nothing_away_and_the_command_that_does_is_named() {
    let (before, after, place) = astray();
    let identity = std::fs::read(place.spool().join("identity.json")).unwrap();

    let refused = complaint(&place.output("adopt", &[]), 2);

    assert!(refused.contains("nothing was changed"), "{refused}");
    let kept = std::fs::read(place.spool().join("identity.json")).unwrap();
    assert_eq!(identity, kept);
    // What is named on the command line is taken, whatever the configuration says.
    let named = place.output("adopt", &["--endpoint", before.endpoint()]);
    assert!(named.status.success(), "{named:?}");
    assert!(type_command_of(&refused).contains(&format!("now belongs to {}", after.endpoint())));
}

#[test]
fn an_account_with_blanks_and_quotes_is_named_as_a_shell_takes_it() {
    let (before, _after, place) = astray();
    let spool = place.spool();
    let flush = |account: &str| {
        let mut flush = Command::new(env!("CARGO_BIN_EXE_meditopia"));
        let flush = flush.arg("flush").arg(&spool).env_clear();
        let flush = flush.env("MEDITOPIA_BEARER_TOKEN", before.token());
        flush.env("MEDITOPIA_ACCOUNT", account).output().unwrap()
    };
    let refused = complaint(&flush("the cook's $HOME"), 1);
    type_command_of(&refused);
    assert!(flush("the cook's $HOME").status.success());
}

#[test]
fn it_says_what_it_changed_and_what_not() {
    let (_before, _after, place) = astray();
    let spool = place.spool();
    let copy = place.path("copy");
    let copied = Command::new("cp").arg("-a").args([&spool, &copy]).status();
    assert!(copied.unwrap().success());
    let adopt = |spool: &Path| {
        let mut adopt = Command::new(env!("CARGO_BIN_EXE_meditopia"));
        let output = adopt.arg("adopt").arg(spool).env_clear().output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(adopt(&copy).contains("may send from here now"));
    assert!(adopt(&copy).contains("stays as it is"));
    assert!(adopt(&spool).contains("stays as it is"));
}

#[test]
fn a_spool_is_not_given_away_under_its_sender() {
    let (before, after) = (Sandbox::start(), Sandbox::start());
    let place = ConfiguredSpool::new(before.endpoint(), before.token());
    place.client().enqueue_users(0..3);
    let mut sender = place.start_service(&[]);
    before.wait_for_events(3);
    let give_away = || place.output("adopt", &["--endpoint", after.endpoint()]);
    let refused = complaint(&give_away(), 1);
    assert!(refused.contains("end that one, then adopt"), "{refused}");
    // What changes nothing disturbs nobody.
    let kept = place.output("adopt", &[]);
    assert!(kept.status.success(), "{kept:?}");
    sender.kill();
    sender.wait_for_end();
    let given = give_away();
    assert!(given.status.success(), "{given:?}");
}

#[test]
fn a_spool_that_moved_to_another_endpoint_sends_again_once_an_operator_adopts_it() {
    let (before, after) = (Sandbox::start(), Sandbox::start());
    let host = TestSpool::for_sandbox(&before);
    let client = host.client();
    client.enqueue_users(0..3);
    drop(client);
    let host = host.with("endpoint", after.endpoint()).with("lanes", "2");
    let Err(error) = meditopia::Client::open(host.config()) else {
        panic!("opened");
    };
    assert_eq!(error.kind(), ErrorKind::SpoolMismatch);
    assert!(error.message().contains("meditopia adopt"), "{error}");

    let adopted = Command::new(env!("CARGO_BIN_EXE_meditopia"))
        .arg("adopt")
        .arg(host.path())
        .args(["--endpoint", after.endpoint()])
        .output()
        .unwrap();
    assert!(adopted.status.success(), "{adopted:?}");
    assert_eq!(host.into_client().flush_ok(secs(10)).delivered, 3);
    assert_eq!(
        (before.ledger().requests, after.ledger().accepted_events),
        (0, 3)
    );
}
