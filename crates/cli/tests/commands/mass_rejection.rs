//! Three thousand users that the API does not know: an operator who has looked ends that with one command.

use std::process::Command;

use meditopia_testkit::meditopia_command;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::service::ConfiguredSpool;
use meditopia_testkit::spool::ClientExt;
use serde_json::{Value, json};

use crate::cli::{run, status};

const USERS: usize = 3_000;

/// The commands that a status says, word by word, each behind "meditopia ".
fn commands_in(table: &str) -> Vec<Vec<String>> {
    let said = table
        .lines()
        .filter_map(|line| line.split_once(": meditopia "));
    said.map(|(_, command)| command.split(' ').map(str::to_owned).collect())
        .collect()
}

fn type_in(words: &[String]) -> String {
    let output = Command::new(meditopia_command())
        .args(words)
        .output()
        .unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn three_thousand_unknown_users_are_rejected_after_one_command_that_the_status_says() {
    let api = Sandbox::start();
    api.set_unknown(json!([{"prefix": "u-"}]));
    let configured = ConfiguredSpool::new(api.endpoint(), api.token());
    let spool = configured.spool();
    configured.client().enqueue_users(0..USERS);
    let paused = configured.output("flush", &[]);
    assert_eq!(paused.status.code(), Some(7), "{paused:?}");
    let before = status(&spool);
    assert_eq!(
        (&before["paused"], &before["pending"]),
        (&"mass_rejection".into(), &2_980.into())
    );

    let table = run(&["status"], &spool);
    let ways: Vec<&str> = table
        .lines()
        .filter(|line| line.starts_with("next"))
        .collect();
    assert!(
        ways[0].contains("let it reject up to 2980 more events"),
        "{table}"
    );
    assert!(
        ways[1].contains("put it right, then: meditopia resume"),
        "{table}"
    );
    let commands = commands_in(&table);
    assert_eq!(commands[0][..1], ["resume"], "{table}");

    let answer = type_in(&commands[0]);
    assert!(
        answer.contains("up to 2,980 events may be rejected"),
        "{answer}"
    );
    assert_eq!(status(&spool)["accepted_rejections_left"], 2_980);
    let flushed = configured.output("flush", &["--timeout", "120"]);
    assert_eq!(flushed.status.code(), Some(0), "{flushed:?}");
    let after = status(&spool);
    assert_eq!(after["paused"], Value::Null);
    assert_eq!(
        (&after["pending"], &after["rejected"]),
        (&0.into(), &USERS.into())
    );
    assert_eq!(after["accepted_rejections_left"], 0);

    // What was accepted is used up: the next unknown users are counted again.
    configured.client().enqueue_users(USERS..USERS + 100);
    let paused = configured.output("flush", &[]);
    assert_eq!(paused.status.code(), Some(7), "{paused:?}");
    let again = status(&spool);
    assert_eq!(again["rejected"], USERS + 20);
}
