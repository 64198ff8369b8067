//! What is good and what is bad: formats, bad records, and inputs that come again.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::{NOTHING_QUEUED, Place, SOME_BAD, STOPPED, arrived_once, line, lines};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::ClientExt;
use meditopia_testkit::wait::secs;

#[test]
fn each_format_brings_the_same_events() {
    let api = Sandbox::start();
    let place = Place::of(&api);
    let (a, b) = (line("a", 0), line("b", 1));
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
        place.input(name, text);
        place.ends_with(0, &[name]);
    }
    place.input("6.csv", csv);
    place.ends_with(0, &["6.csv"]);
    place.input("7.tsv", "token\tpartner_user_id\tevent\nt\te\tsignin\n");
    place.ends_with(0, &["7.tsv"]);
    place.host.client().flush_ok(secs(30));

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
fn every_kind_of_bad_record_is_told_with_line_field_and_reason() {
    let api = Sandbox::start();
    let place = Place::of(&api);
    let good = line("a", 0);
    let long = line(&"u".repeat(9 * 1024 * 1024), 1);
    let too_big = line(&"u".repeat(70_000), 1);
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
    place.input("mixed.ndjson", &text);

    let checked = place.ends_with(NOTHING_QUEUED, &["mixed.ndjson", "--dry-run"]);
    assert!(checked.contains("14 good, 14 bad"), "{checked}");
    assert!(
        !place
            .inputs
            .path()
            .join("mixed.ndjson.rejected.ndjson")
            .exists()
    );
    assert_eq!(place.waiting(), 0);

    place.ends_with(SOME_BAD, &["mixed.ndjson"]);

    let told = place.bad("mixed.ndjson.rejected.ndjson");
    assert_eq!(told.len(), bad.len());
    for (at, ((line, field, reason), (_, known_field, known))) in told.iter().zip(&bad).enumerate()
    {
        assert_eq!(*line, 2 * at as u64 + 1, "{reason}");
        assert_eq!(field.as_deref(), *known_field, "{reason}");
        assert!(reason.contains(known), "{reason} is not {known}");
    }
    let mode = fs::metadata(place.inputs.path().join("mixed.ndjson.rejected.ndjson"));
    assert_eq!(mode.unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(place.waiting(), 14);
}

#[test]
fn bad_elements_and_rows_do_not_hide_those_behind_them() {
    let api = Sandbox::start();
    let place = Place::of(&api);
    let good = line("a", 0);
    place.input(
        "a.json",
        format!("[{good},\n{{\"token\":tru}},\n 17,\n{good}\n]"),
    );
    place.ends_with(SOME_BAD, &["a.json"]);
    let told = place.bad("a.json.rejected.ndjson");
    assert_eq!(told.iter().map(|bad| bad.0).collect::<Vec<_>>(), [2, 3]);

    place.input(
        "b.csv",
        b"token,partner_user_id,event\r\nt,a,video\r\nt,\"a\nb\",nothing\r\nt,a\r\nt,\xff,video\r\nt,a,audio\r\n",
    );
    place.ends_with(SOME_BAD, &["b.csv"]);
    let told = place.bad("b.csv.rejected.ndjson");
    let lines: Vec<_> = told.iter().map(|bad| (bad.0, bad.1.as_deref())).collect();
    assert_eq!(
        lines,
        [(3, Some("event")), (5, None), (6, Some("partner_user_id"))]
    );
    assert_eq!(told[1].2, "has 2 fields, the header has 3");
    assert_eq!(place.waiting(), 4);

    for (name, text, why) in [
        ("c.csv", "token,user,event\n", "the column \"user\""),
        ("d.csv", "token,event\n", "no column partner_user_id"),
        ("e.json", "{\"x\":1}", "neither an array nor"),
        ("f.json", "", "there is no JSON array in it"),
    ] {
        place.input(name, text);
        let said = place.ends_with(STOPPED, &[name]);
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn all_or_nothing_queues_nothing_when_one_record_is_bad() {
    let api = Sandbox::start();
    let place = Place::of(&api);
    let good = lines(&["a", "b"], 0..100);
    place.input("x.ndjson", format!("{good}{{}}\n"));
    let orders = ["x.ndjson", "--all-or-nothing", "--commit-bytes", "1000"];

    place.ends_with(NOTHING_QUEUED, &orders);
    assert_eq!(place.waiting(), 0);
    assert_eq!(place.bad("x.ndjson.rejected.ndjson")[0].0, 201);

    place.input("x.ndjson", good);
    let said = place.ends_with(1, &orders);
    assert!(said.contains("is there already"), "{said}");
    fs::remove_file(place.inputs.path().join("x.ndjson.rejected.ndjson")).unwrap();
    place.ends_with(0, &orders);
    assert_eq!(place.waiting(), 200);
    let segments = fs::read_dir(place.host.path().join("journal")).unwrap();
    assert_eq!(segments.count(), 1, "they became visible at once");
}

#[test]
fn an_input_that_was_imported_is_not_imported_again_unless_told_to() {
    let api = Sandbox::start();
    let place = Place::of(&api);
    let text = lines(&["a"], 0..50);
    place.input("x.ndjson", &text);
    place.ends_with(0, &["x.ndjson"]);
    let said = place.ends_with(0, &["x.ndjson"]);
    assert!(
        said.contains("queued 0 of 50") && said.contains("--again"),
        "{said}"
    );
    // What was added since is news.
    place.input("x.ndjson", format!("{text}{}", lines(&["a"], 50..60)));
    place.ends_with(0, &["x.ndjson"]);
    assert_eq!(place.waiting(), 60);
    // Another content is another input.
    place.input("x.ndjson", lines(&["b"], 0..5));
    place.ends_with(0, &["x.ndjson"]);
    place.ends_with(0, &["x.ndjson", "--again"]);
    assert_eq!(place.waiting(), 70);
}

#[test]
fn an_input_that_is_cut_short_is_taken_up_when_it_is_whole() {
    let api = Sandbox::start();
    let place = Place::of(&api);
    let events: Vec<String> = (0..40).map(|number| line("a", number)).collect();
    let whole = format!("[{}]", events.join(",\n"));
    place.input("x.json", &whole[..whole.len() / 2]);
    let said = place.ends_with(STOPPED, &["x.json"]);
    assert!(said.contains("cut short"), "{said}");
    place.input("x.json", format!("{}{}", "[".repeat(2), &whole));
    let said = place.ends_with(1, &["x.json"]);
    assert!(said.contains("another input"), "{said}");
    place.input("x.json", &whole);
    place.ends_with(0, &["x.json"]);
    place.host.client().flush_ok(secs(30));
    assert_eq!(arrived_once(&api)["a"].len(), 40);
}
