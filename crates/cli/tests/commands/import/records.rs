//! Which records are good and which are bad: formats, bad records, and inputs that are imported
//! again.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::ClientExt;
use meditopia_testkit::wait::secs;
use serde_json::Value;

use super::{Fixture, NOTHING_QUEUED, SOME_BAD, STOPPED, arrived_once, record, records};

#[test]
fn each_format_of_an_import_yields_the_same_events() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    let (a, b) = (record("a", 0), record("b", 1));
    let csv = "event,partner_user_id,event_value,received_at,token\r\n\
               video,c,\"0\",2024-08-06 15:04:05,t\r\n\r\n\
               video,\"d\",\"x \"\"1\"\",\n2\",,t";
    for (name, text) in [
        ("1.ndjson", format!("\u{feff}{a}\r\n\n{b}")),
        ("2.json", format!("\n[ {a} ,\n{b}\n] \n")),
        ("3.json", format!(r#" {{ "events" : [{a},{b}]}}"#)),
        ("4.json", "[]".to_owned()),
        ("5.ndjson", String::new()),
    ] {
        fixture.input(name, text);
        fixture.import_ending_with(0, &[name, "--allow-empty"]);
    }
    fixture.input("6.csv", csv);
    fixture.import_ending_with(0, &["6.csv"]);
    fixture.input("7.tsv", "token\tpartner_user_id\tevent\nt\te\tsignin\n");
    fixture.import_ending_with(0, &["7.tsv"]);
    fixture.spool.client().flush_ok(secs(30));

    let events: Vec<_> = api.events().into_iter().map(|event| event.fields).collect();
    let users: Vec<&str> = events
        .iter()
        .map(|event| event.partner_user_id.as_str())
        .collect();
    assert_eq!(users, ["a", "b", "a", "b", "a", "b", "c", "d", "e"]);
    assert_eq!(events[7].event_value, "x \"1\",\n2");
    assert_eq!(events[8].event_value, Value::Null);
}

#[test]
fn every_kind_of_bad_record_is_listed_with_line_field_and_reason() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    let good = record("a", 0);
    let long = record(&"u".repeat(9 * 1024 * 1024), 1);
    let too_big = record(&"u".repeat(70_000), 1);
    let bad: [(Vec<u8>, Option<&str>, &str); 14] = [
        (b"{\"token\":".to_vec(), None, "is not JSON: EOF"),
        (b"[1]".to_vec(), None, "is not a JSON object"),
        (
            format!("{{\"events\":[{good}]}}").into(),
            None,
            "unknown member \"events\"",
        ),
        (
            good.replace("\"a\"", "\"\"").into(),
            Some("partner_user_id"),
            "is empty",
        ),
        (
            good.replace("\"a\"", "7").into(),
            Some("partner_user_id"),
            "is not a string",
        ),
        (
            good.replace("\"token\":\"t\",", "").into(),
            Some("token"),
            "is missing",
        ),
        (
            good.replace("\"t\"", "17").into(),
            Some("token"),
            "is not a string",
        ),
        (
            good.replace("video", "vidoe").into(),
            Some("event"),
            "did you mean \"video\"?",
        ),
        (
            good.replace("08-06", "13-06").into(),
            Some("received_at"),
            "2024-13-06",
        ),
        (
            good.replace("\"0\"", r#""\ud800""#).into(),
            Some("event_value"),
            "half a character",
        ),
        (
            good.replacen('{', "{\"x\":1,", 1).into(),
            None,
            "unknown member \"x\"",
        ),
        (
            [&b"{\"token\":\"\xff\"}"[..]].concat(),
            None,
            "is not UTF-8 (at byte 10)",
        ),
        (too_big.into(), None, "max_event_bytes is 65536"),
        (long.into(), None, "is longer than 8 MiB"),
    ];
    let mut text = Vec::new();
    for (bad, _, _) in &bad {
        text.extend_from_slice(bad);
        text.extend_from_slice(format!("\n{good}\n").as_bytes());
    }
    fixture.input("mixed.ndjson", &text);

    let checked = fixture.import_ending_with(NOTHING_QUEUED, &["mixed.ndjson", "--dry-run"]);
    assert!(checked.contains("14 good, 14 bad"), "{checked}");
    assert!(fixture.bad_files("mixed.ndjson").is_empty());
    assert_eq!(fixture.pending(), 0);

    fixture.import_ending_with(SOME_BAD, &["mixed.ndjson"]);

    let listed = fixture.listed("mixed.ndjson");
    assert_eq!(listed.len(), bad.len());
    for (at, ((line, field, reason), (_, expected_field, expected))) in
        listed.iter().zip(&bad).enumerate()
    {
        assert_eq!(*line, 2 * at as u64 + 1, "{reason}");
        assert_eq!(field.as_deref(), *expected_field, "{reason}");
        assert!(reason.contains(expected), "{reason} is not {expected}");
    }
    let file = &fixture.bad_files("mixed.ndjson")[0];
    let mode = fs::metadata(fixture.inputs.path().join(file));
    assert_eq!(mode.unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fixture.pending(), 14);
}

#[test]
fn bad_json_elements_and_csv_rows_do_not_hide_later_records() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    let good = record("a", 0);
    fixture.input(
        "a.json",
        format!("[{good},\n{{\"token\":tru}},\n 17,\n{good}\n]"),
    );
    fixture.import_ending_with(SOME_BAD, &["a.json"]);
    let listed = fixture.listed("a.json");
    assert_eq!(listed.iter().map(|bad| bad.0).collect::<Vec<_>>(), [2, 3]);

    fixture.input(
        "b.csv",
        b"token,partner_user_id,event\r\nt,a,video\r\nt,\"a\nb\",nothing\r\nt,a\r\nt,\xff,video\r\nt,a,audio\r\n",
    );
    fixture.import_ending_with(SOME_BAD, &["b.csv"]);
    let listed = fixture.listed("b.csv");
    let lines: Vec<_> = listed.iter().map(|bad| (bad.0, bad.1.as_deref())).collect();
    assert_eq!(
        lines,
        [(3, Some("event")), (5, None), (6, Some("partner_user_id"))]
    );
    assert_eq!(listed[1].2, "has 2 fields, but the header has 3");
    assert_eq!(fixture.pending(), 4);

    for (name, text, why) in [
        ("c.csv", "token,user,event\n", "the column \"user\""),
        ("d.csv", "token,event\n", "no column partner_user_id"),
        ("e.json", "{\"x\":1}", "neither an array nor"),
    ] {
        fixture.input(name, text);
        let printed = fixture.import_ending_with(STOPPED, &[name]);
        assert!(printed.contains(why), "{printed}");
    }
}

#[test]
fn all_or_nothing_queues_nothing_if_one_record_is_bad() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    let good = records(&["a", "b"], 0..100);
    fixture.input("x.ndjson", format!("{good}{{}}\n"));
    let arguments = ["x.ndjson", "--all-or-nothing", "--commit-bytes", "1000"];

    fixture.import_ending_with(NOTHING_QUEUED, &arguments);
    assert_eq!(fixture.pending(), 0);
    assert_eq!(fixture.listed("x.ndjson")[0].0, 201);

    fixture.input("x.ndjson", good);
    fixture.import_ending_with(0, &arguments);
    assert_eq!(fixture.pending(), 200);
    let segments = fs::read_dir(fixture.spool.path().join("journal")).unwrap();
    assert_eq!(
        segments.count(),
        1,
        "one segment, so all became visible at once"
    );
}

#[test]
fn an_input_is_imported_a_second_time_only_with_again() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    let text = records(&["a"], 0..50);
    fixture.input("x.ndjson", &text);
    fixture.import_ending_with(0, &["x.ndjson"]);
    let printed = fixture.import_ending_with(0, &["x.ndjson"]);
    assert!(
        printed.contains("queued 0 of 50") && printed.contains("--again"),
        "{printed}"
    );
    // Appended records are new.
    fixture.input("x.ndjson", format!("{text}{}", records(&["a"], 50..60)));
    fixture.import_ending_with(0, &["x.ndjson"]);
    assert_eq!(fixture.pending(), 60);
    // A file with other content is another input.
    fixture.input("x.ndjson", records(&["b"], 0..5));
    fixture.import_ending_with(0, &["x.ndjson"]);
    fixture.import_ending_with(0, &["x.ndjson", "--again"]);
    assert_eq!(fixture.pending(), 70);
}

#[test]
fn an_import_of_an_input_that_was_cut_short_continues_when_it_is_whole() {
    let api = Sandbox::start();
    let fixture = Fixture::new(&api);
    let events: Vec<String> = (0..40).map(|number| record("a", number)).collect();
    let whole = format!("[{}]", events.join(",\n"));
    fixture.input("x.json", &whole[..whole.len() / 2]);
    let printed = fixture.import_ending_with(STOPPED, &["x.json"]);
    assert!(printed.contains("cut short"), "{printed}");
    fixture.input("x.json", format!("{}{}", "[".repeat(2), &whole));
    let printed = fixture.import_ending_with(STOPPED, &["x.json"]);
    assert!(printed.contains("nothing is remembered"), "{printed}");
    fixture.input("x.json", &whole);
    fixture.import_ending_with(0, &["x.json"]);
    fixture.spool.client().flush_ok(secs(30));
    assert_eq!(arrived_once(&api)["a"].len(), 40);
}
