use super::value::MAX_DEPTH;
use super::*;
use crate::event::{escaped_user, field_of, user_of};
use proptest::prelude::*;

const NOW: i64 = 1_722_956_645_000;
const EVENT: &str = r#"{"token":"t","partner_user_id":"u","event":"video","event_value":null,"received_at":"2024-08-06 15:04:05"}"#;

fn batch(json: &str) -> Result<Batch, Error> {
    let mut out = Batch::new();
    let count = encode_json(json.as_bytes(), &Rules::default(), NOW, &mut out)?;
    assert_eq!(count, out.len());
    Ok(out)
}

fn fragments(json: &str) -> Vec<String> {
    let batch = batch(json).unwrap_or_else(|error| panic!("{json}: {error}"));
    let text = |fragment: &[u8]| String::from_utf8(fragment.to_vec()).expect("UTF-8");
    batch.iter().map(text).collect()
}

fn refusal(json: &str) -> Error {
    let Err(error) = batch(json) else {
        panic!("{json} was accepted")
    };
    error
}

#[test]
fn an_object_an_array_and_the_body_of_an_api_request_are_accepted() {
    assert_eq!(fragments(EVENT), [EVENT]);
    assert_eq!(
        fragments(&format!(" [{EVENT} , {EVENT}]\n")),
        [EVENT, EVENT]
    );
    assert_eq!(fragments(&format!(r#"{{"events":[{EVENT}]}}"#)), [EVENT]);
    assert_eq!(fragments("[]"), [""; 0]);
    assert_eq!(fragments(r#"{"events":[]}"#), [""; 0]);
}

#[test]
fn members_of_an_event_may_be_in_any_order_without_event_value_and_received_at() {
    let shuffled = r#"{"event" : "video", "partner_user_id":"u", "token":"t"}"#;
    let nulls = r#"{"received_at":null,"event_value":null,"event":"video","partner_user_id":"u","token":"t"}"#;
    assert_eq!(fragments(shuffled), [EVENT]);
    assert_eq!(fragments(nulls), [EVENT]);
}

#[test]
fn an_event_value_in_json_is_kept_byte_for_byte() {
    for value in [
        "12345678901234567890.10",
        "1.7976931348623157E+308",
        "-5e-324",
        "0e999",
        "-0.000e-999",
        r#"{ "b" : 1, "a" : [ true , null ],"b":2}"#,
        r#""\u00e9\ud83d\ude00\/[[""#,
    ] {
        let json = format!(
            r#"{{"token":"t","partner_user_id":"u","event":"video","event_value": {value} }}"#
        );
        let expected = EVENT.replace(":null,", &format!(":{value},"));
        assert_eq!(fragments(&json), [expected]);
    }
}

#[test]
fn a_user_has_the_same_bytes_however_the_json_escaped_it() {
    let json = r#"[{"token":"t","partner_user_id":"\u00fc\/\u0022\u000a","event":"video"}]"#;
    let batch = batch(json).unwrap();
    let user = user_of(batch.iter().next().unwrap());
    assert_eq!(user, escaped_user("\u{fc}/\"\n"));
}

#[test]
fn the_error_about_a_bad_event_names_field_value_and_event_and_no_event_is_accepted() {
    let bad = EVENT.replace("2024-08-06 15", "2024-02-30 10");
    let json = format!("[{}{bad},{EVENT},{EVENT}]", format!("{EVENT},").repeat(17));
    let mut out = batch(EVENT).unwrap();
    let before = out.clone();

    let error = encode_json(json.as_bytes(), &Rules::default(), NOW, &mut out).unwrap_err();

    assert_eq!(
        error.message(),
        r#"received_at: "2024-02-30 10:04:05" is not a date on the calendar (event 17 of 20; none was queued)"#
    );
    assert_eq!(error.kind(), ErrorKind::InvalidEvent);
    assert_eq!(error.event_index(), Some(17));
    assert_eq!(out, before);
}

#[test]
fn the_error_about_a_lone_event_does_not_mention_other_events() {
    let error = refusal(r#"{"token":"t","partner_user_id":"","event":"video"}"#);
    assert_eq!(error.message(), "partner_user_id: is empty");
    assert_eq!(error.event_index(), Some(0));
}

#[test]
fn the_error_about_an_event_leaves_the_number_of_events_out_if_the_rest_is_not_json() {
    let error = refusal(r#"{"events":[{"token":""},"#);
    assert_eq!(
        error.message(),
        "partner_user_id: is missing (event 0; none was queued)"
    );
}

#[test]
fn the_error_about_a_wrong_member_names_it_and_what_is_wrong() {
    for (members, words) in [
        (r#""token":"a","token":"b""#, "token: is given twice"),
        (
            r#""tokn":"a""#,
            r#"unknown member "tokn"; did you mean "token"?"#,
        ),
        (
            r#""token":"a","partner_user_id":7"#,
            "partner_user_id: 7 is not a string",
        ),
        (r#""token":"a","partner_user_id":"u""#, "event: is missing"),
        (
            r#""token":"a","partner_user_id":"u","event":"video","received_at":1722956645"#,
            "received_at: 1722956645 is not a string",
        ),
        (
            r#""token":"a","partner_user_id":"\ud800""#,
            "partner_user_id: holds half a character",
        ),
        (
            r#""token":"a","partner_user_id":"u","event":"audio","event_value":"\udc00""#,
            "event_value: holds half a character",
        ),
        (
            r#""token":"a","partner_user_id":"u","event":"audio","event_value":["\ud83dx"]"#,
            "event_value: holds half a character",
        ),
        (
            r#""event_value":null,"events":[]"#,
            r#"unknown member "events""#,
        ),
    ] {
        let error = refusal(&format!("{{{members}}}"));
        assert!(error.message().contains(words), "{error}");
        assert_eq!(error.kind(), ErrorKind::InvalidEvent);
    }
}

#[test]
fn an_event_value_nested_deeper_than_parsers_accept_is_refused() {
    let nested = |depth: usize| {
        let value = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        EVENT.replace(":null,", &format!(":{value},"))
    };
    assert_eq!(fragments(&nested(MAX_DEPTH)).len(), 1);
    let error = refusal(&nested(MAX_DEPTH + 1));
    assert!(error.message().contains("nests deeper"), "{error}");
    refusal(&nested(30_000));
}

#[test]
fn a_number_that_no_double_holds_is_refused_by_the_name_of_its_member() {
    let digits = "9".repeat(400);
    let small = format!("0.{}1", "0".repeat(400));
    let fine = format!("0.{}", "1".repeat(400));
    let with = |value: &str| EVENT.replace(":null,", &format!(":{value},"));
    for number in [
        "1e400",
        "-1e400",
        "1E+309",
        "1e-400",
        "-2.5e-999",
        &digits,
        &small,
        "1e99999999999999999999",
    ] {
        for value in [
            number.to_owned(),
            format!("[0,{number}]"),
            format!(r#"{{"e":[true,{{"1e9":{number}}}]}}"#),
        ] {
            let error = refusal(&with(&value));
            let message = error.message();
            assert_eq!(error.kind(), ErrorKind::InvalidEvent);
            assert!(message.starts_with("event_value: "), "{message}");
            assert!(message.contains("no double holds"), "{message}");
            assert!(message.len() < 200, "{message}");
            let single = encode_json_event(
                with(&value).as_bytes(),
                &Rules::default(),
                NOW,
                &mut Batch::new(),
            );
            assert!(single.unwrap_err().message().contains("no double holds"));
        }
    }
    // A text stays what it is, and so does what a double holds nearly.
    for value in [
        r#""1e400""#,
        r#"["1e400\n"]"#,
        r#"{"1e400":1e2}"#,
        "12345678901234567890123",
        &fine,
    ] {
        assert_eq!(fragments(&with(value)), [with(value)]);
    }
}

#[test]
fn a_long_text_that_nests_too_deep_is_refused_before_it_is_read() {
    for repeated in [
        "[",
        r#"{"a":"#,
        r#"{"events":["#,
        r#"[{"token":"t","event_value":["#,
    ] {
        let text = repeated.repeat((64 << 20) / repeated.len());
        let event_value = format!(r#"{{"token":"t","event_value":{text}"#);
        for text in [text, event_value] {
            let begun = std::time::Instant::now();
            let error = refusal(&text);
            let took = begun.elapsed();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
            assert!(error.message().contains("nests deeper than 100"), "{error}");
            assert!(took.as_millis() < 300, "{repeated}: {took:?}");
        }
    }
}

#[test]
fn a_long_text_of_anything_else_is_read_in_a_time_that_grows_with_it_alone() {
    let filler = 8 << 20;
    let event = |value: String| EVENT.replace(":null,", &format!(":{value},"));
    for text in [
        event(format!("\"{}\"", "\\u0041".repeat(filler / 6))),
        event(format!("\"{}", "\\\"".repeat(filler / 2))),
        event("7".repeat(filler)),
        event(format!("[{}0]", "0,".repeat(filler / 2))),
        event(format!("[{}0]", "1e400,".repeat(filler / 6))),
        event(format!("{{{}\"z\":0}}", "\"a\":0,".repeat(filler / 6))),
        format!("[{}7]", "{},".repeat(filler / 3)),
        format!(
            "[{}{}]",
            format!("{EVENT},").repeat(filler / EVENT.len()),
            "7"
        ),
        format!("{{\"{}\":1}}", "k".repeat(filler)),
        " ".repeat(filler),
        "[]".repeat(filler / 2),
    ] {
        let begun = std::time::Instant::now();
        assert!(batch(&text).is_err());
        assert!(
            begun.elapsed().as_secs() < 5,
            "{:.40}: {:?}",
            text,
            begun.elapsed()
        );
    }
}

#[test]
fn brackets_in_strings_do_not_nest() {
    let long = "[{".repeat(1 << 20);
    let event = EVENT.replace(":null,", &format!(r#":["\\\"{long}"],"#));
    let error = refusal(&event);
    assert!(error.message().contains("max_event_bytes"), "{error}");
}

#[test]
fn json_that_is_not_a_list_of_events_is_refused() {
    for (json, words) in [
        ("", "json: EOF"),
        ("null", "json: is neither an event"),
        ("7", "json: is neither an event"),
        (r#"{"events":{}}"#, r#"json: "events" is not an array"#),
        (
            r#"{"events":[],"x":1}"#,
            r#"json: has a member beside "events""#,
        ),
        ("[] []", "json: trailing characters"),
        (
            "[7]",
            "is not a JSON object (event 0 of 1; none was queued)",
        ),
        ("{}", "token: is missing"),
    ] {
        let error = refusal(json);
        assert!(error.message().contains(words), "{error}");
    }
    let error =
        refusal(r#"{"events":[{"token":"t","partner_user_id":"u","event":"video"}],"x":1}"#);
    assert_eq!(error.event_index(), None, "{error}");
    let error = encode_json(b"[\xFF]", &Rules::default(), NOW, &mut Batch::new()).unwrap_err();
    assert_eq!(
        error.message(),
        "json: is not UTF-8 at byte 1 (none was queued)"
    );
}

#[test]
fn no_error_about_json_quotes_a_token_wherever_the_token_is() {
    for json in [
        r#""s3cr3t""#,
        r#"["s3cr3t"]"#,
        r#"{"events":"s3cr3t"}"#,
        r#"{"token":["s3cr3t"]}"#,
        r#"{"token":"s3cr3t\ud800","partner_user_id":"u","event":"video"}"#,
        r#"{"token":"s3cr3t","partner_user_id":"u","event":"x"}"#,
        r#"{"token":"s3cr3t","token":"s3cr3t"}"#,
        r#"{"token":"s3cr3t"#,
        r#"{"token":"s3cr3t\x"}"#,
        r#"{"token":s3cr3t}"#,
    ] {
        let error = refusal(json);
        assert!(!error.message().contains("s3cr3t"), "{error}");
    }
}

/// Any JSON value, a few levels deep.
fn any_value() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(any::<String>(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn every_accepted_json_event_reads_back_as_its_members(
        token in ".+", user in ".+", value in any_value(),
    ) {
        let given = serde_json::json!([{
            "token": token,
            "partner_user_id": user,
            "event": "content",
            "event_value": value,
            "received_at": "2024-08-06 15:04:05",
        }]);
        let out = batch(&given.to_string()).unwrap();
        let fragment = out.iter().next().unwrap();
        let read: serde_json::Value = serde_json::from_slice(fragment).unwrap();
        prop_assert_eq!(&read, &given[0]);
        prop_assert_eq!(user_of(fragment), escaped_user(&user));
    }

    #[test]
    fn no_bytes_make_the_json_walk_panic_and_what_it_accepts_becomes_json(
        bytes: Vec<u8>,
        near in r#"[\[{]("(token|partner_user_id|event|events|event_value)"[:,]("video"|\[|\{|"\\u[dD][89abc]00"|7|\]|\}|,)){0,6}[\]}]?"#,
    ) {
        for json in [&bytes[..], near.as_bytes()] {
            let mut out = Batch::new();
            if encode_json(json, &Rules::default(), NOW, &mut out).is_ok() {
                for fragment in out.iter() {
                    serde_json::from_slice::<serde_json::Value>(fragment).unwrap();
                }
            } else {
                prop_assert!(out.is_empty());
            }
        }
    }
}

#[test]
fn a_single_event_is_one_json_object_and_its_error_names_the_field() {
    let good = r#"{"token":"t","partner_user_id":"u","event":"video"}"#;
    let check = |json: &str| {
        let mut out = Batch::new();
        let checked = encode_json_event(json.as_bytes(), &Rules::default(), 0, &mut out);
        assert_eq!(out.len(), usize::from(checked.is_ok()), "{json}");
        checked.map_err(|e| (field_of(&e), e.message().to_owned()))
    };
    assert_eq!(check(good), Ok(()));
    for (json, field, message) in [
        (format!("[{good}]"), None, "is not a JSON object"),
        (
            format!("{good}{good}"),
            None,
            "is not JSON: trailing characters",
        ),
        (
            good.replace("\"u\"", "\"\""),
            Some("partner_user_id"),
            "partner_user_id: is empty",
        ),
        (
            good.replace("video", "x"),
            Some("event"),
            "event: \"x\" is not one of",
        ),
        (
            good.replace("\"t\"", "\"t\",\"tokens\":1"),
            None,
            "unknown member \"tokens\"",
        ),
    ] {
        let (found, said) = check(&json).unwrap_err();
        assert_eq!(found, field, "{said}");
        assert!(said.starts_with(message), "{said}");
    }
}
