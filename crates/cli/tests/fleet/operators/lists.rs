//! Lists of a fleet have the form, the filters and the statuses of a spool's.

use std::collections::BTreeSet;

use meditopia_testkit::meditopia;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;
use serde_json::Value;

use super::rows::{Fleet, lane};
use crate::host::said;

fn keys(row: &Value) -> BTreeSet<&String> {
    row.as_object().unwrap().keys().collect()
}

#[test]
fn find_says_of_the_whole_fleet_where_a_users_events_are_and_which_host_may_have_more() {
    let fleet = Fleet::new();
    let nothing = fleet.ends(&["find", "--user", "u-1"], 5);
    assert!(nothing.contains("no event of that user"), "{nothing}");
    fleet.sorted("u-1", 7, 2);
    fleet.sorted("u-17", 8, 1);
    fleet.in_doubt("u-1", 1);
    fleet.rejected(300, "u-1", "A_1104");
    fleet.sql(
        "SELECT meditopia.enqueue('t', 'u-1', 'audio'), meditopia.enqueue('t', 'u-17', 'audio')",
    );
    fleet.host_behind();
    let found = fleet.json(&["find", "--user", "u-1"]);
    let reasons: Vec<_> = found
        .iter()
        .map(|row| row["reason"].as_str().unwrap())
        .collect();
    assert_eq!(
        reasons,
        [
            "refused",
            "in_doubt",
            "pending",
            "journalled",
            "host_behind"
        ]
    );
    assert_eq!(found[4]["host"], "web-7");
    let text = fleet.done(&["find", "--user", "u-1", "--utc"]);
    assert!(text.contains("not sorted"), "{text}");
    assert!(
        text.contains("host web-7 may have more: 2.0 KiB were not handed in"),
        "{text}"
    );
    // A host that is behind is no event.
    let nothing = fleet.ends(&["find", "--user", "nobody"], 5);
    assert!(nothing.contains("web-7"), "{nothing}");
}

#[test]
fn each_list_of_a_fleet_has_the_members_and_the_columns_of_a_spools() {
    let api = Sandbox::start();
    let spool = TestSpool::for_sandbox(&api);
    let client = spool.client();
    client.enqueue_for("u-18", 1);
    client.flush_ok(secs(30));
    api.set_unknown_users(["u-1"]);
    client.enqueue_for("u-1", 1);
    client.flush_ok(secs(30));
    client.enqueue_for("u-1", 1);
    let of_spool = |words: &[&str]| {
        let mut command = meditopia();
        command.args(words).arg(spool.path());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };

    let fleet = Fleet::new();
    fleet.sorted("u-1", 7, 1);
    fleet.rejected(300, "u-1", "A_1104");
    let lane = lane("u-18");
    fleet.sql(&format!(
        "INSERT INTO meditopia.receipt VALUES ({lane}, 1, 1722956645000, 204, 1, 1, '\\x010000000004000000752d3138'::bytea)"
    ));
    for list in ["pending", "rejected", "receipts"] {
        let words = [list, "list", "--json"];
        let spools: Value = serde_json::from_str(of_spool(&words).lines().next().unwrap()).unwrap();
        let fleets = fleet.json(&[list, "list"]);
        assert_eq!(keys(&fleets[0]), keys(&spools), "{list}");
    }
    for list in ["pending", "rejected"] {
        let spools = of_spool(&[list, "list"]);
        let fleets = fleet.done(&[list, "list"]);
        assert_eq!(fleets.lines().next(), spools.lines().next(), "{list}");
    }
    let shown = fleet.done(&["rejected", "show", "--id", "300"]);
    assert!(
        shown.contains("Unknown user.") && shown.contains("A_1104"),
        "{shown}"
    );
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rejected.ndjson");
    let exported = fleet.done(&["rejected", "export", "--output", file.to_str().unwrap()]);
    assert!(exported.contains("exported 1 event"), "{exported}");
    let line = std::fs::read_to_string(file).unwrap();
    assert_eq!(line, fleet.done(&["rejected", "export"]));
}

#[test]
fn a_list_is_filtered_limited_and_empty_as_a_spools() {
    let fleet = Fleet::new();
    assert_eq!(
        fleet.done(&["pending", "list"]),
        "no pending event matches\n"
    );
    assert_eq!(
        fleet.done(&["rejected", "list"]),
        "no rejected event matches\n"
    );
    assert_eq!(fleet.done(&["in-doubt", "list"]), "nothing is in doubt\n");
    assert!(
        fleet
            .done(&["receipts", "list"])
            .contains("no receipt matches")
    );
    for id in 1..=300 {
        fleet.rejected(id, if id % 3 == 0 { "u-3" } else { "u-1" }, "A_1104");
    }
    // More than a page.
    assert_eq!(fleet.json(&["rejected", "list"]).len(), 300);
    assert_eq!(
        fleet.json(&["rejected", "list", "--user", "u-3"]).len(),
        100
    );
    assert_eq!(
        fleet.json(&["rejected", "list", "--limit", "2"])[1]["id"],
        2
    );
    assert_eq!(fleet.json(&["rejected", "list", "--code", "A_9"]).len(), 0);
    let missing = fleet.ends(&["rejected", "show", "--id", "999"], 1);
    assert!(
        missing.contains("no rejected event has the id 999"),
        "{missing}"
    );
    fleet.sorted("u-1", 7, 30);
    assert_eq!(fleet.json(&["pending", "list", "--limit", "20"]).len(), 20);
    assert_eq!(
        fleet
            .json(&["pending", "list", "--since", "2024-08-07"])
            .len(),
        0
    );
}

#[test]
fn a_command_is_about_the_store_or_the_spool_that_is_named_and_about_the_spool_where_a_host_has_both()
 {
    let fleet = Fleet::new();
    fleet.rejected(300, "u-1", "A_1104");
    let spool = TestSpool::for_endpoint("http://127.0.0.1:9/events");
    drop(spool.client());
    let path = spool.path();
    let both = ["rejected", "list", path.to_str().unwrap(), "--json"];
    let said_of_both = fleet.ends(&both, 2);
    assert!(
        said_of_both.contains("leave out the other"),
        "{said_of_both}"
    );
    let listed = |words: &[&str], with_spool: bool| {
        let mut command = meditopia();
        command.args(words).env("MEDITOPIA_STORE", fleet.url());
        if with_spool {
            command.env("MEDITOPIA_SPOOL", spool.path());
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        output.stdout.len()
    };
    let list = ["rejected", "list", "--json"];
    assert!(listed(&list, false) > 0);
    assert_eq!(listed(&list, true), 0);
    assert!(listed(&[&list[..], &["--store", &fleet.url()]].concat(), true) > 0);

    // Who only looks may look, and the message of what is denied has no secret.
    let user = format!("reader_{}", fleet.database);
    fleet.sql(&format!("CREATE ROLE {user} LOGIN IN ROLE meditopia_read"));
    let url = fleet.server.url_as(&user, &fleet.database);
    let as_reader = |words: &[&str]| {
        let mut command = meditopia();
        command
            .args(words)
            .args(["--store", &url])
            .output()
            .unwrap()
    };
    for words in [
        &["status"][..],
        &["find", "--user", "u-1"],
        &list,
        &["in-doubt", "list"],
    ] {
        let output = as_reader(words);
        assert!(output.status.success(), "{words:?}: {}", said(&output));
    }
    let denied = as_reader(&["rejected", "discard", "--all", "--yes"]);
    assert_eq!(denied.status.code(), Some(1));
    assert!(
        said(&denied).contains("permission denied"),
        "{}",
        said(&denied)
    );
    assert_eq!(fleet.json(&["rejected", "list"]).len(), 1);
}
