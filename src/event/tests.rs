use super::encode::FRAME_BYTES;
use super::fragment::{TOKEN, USER};
use super::*;
use crate::error::{ErrorKind, Result};
use proptest::prelude::*;

const NOW: i64 = 1_722_956_645_000;

fn event() -> Fields<'static> {
    Fields {
        token: "t",
        partner_user_id: "u",
        event: "video",
        event_value: None,
        received_at: Some("2024-08-06 15:04:05"),
    }
}

fn encoded(fields: &Fields<'_>) -> Result<String> {
    let mut out = Vec::new();
    encode(fields, &Rules::default(), NOW, &mut out)?;
    Ok(String::from_utf8(out).expect("UTF-8"))
}

fn refusal(fields: &Fields<'_>) -> String {
    let error = encoded(fields).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidEvent);
    error.message().to_owned()
}

#[test]
fn a_fragment_has_the_members_of_the_api_in_its_order() {
    assert_eq!(
        encoded(&event()).unwrap(),
        r#"{"token":"t","partner_user_id":"u","event":"video","event_value":null,"received_at":"2024-08-06 15:04:05"}"#
    );
}

#[test]
fn the_bytes_of_a_fragment_around_its_texts_fit_the_reserved_space() {
    let longest = Fields {
        event: "register",
        ..event()
    };
    assert!(encoded(&longest).unwrap().len() - 2 <= FRAME_BYTES);
}

#[test]
fn an_event_value_is_always_a_string_and_a_missing_received_at_is_the_current_time() {
    let event = Fields {
        event_value: Some("42"),
        received_at: None,
        ..event()
    };
    assert_eq!(
        encoded(&event).unwrap(),
        r#"{"token":"t","partner_user_id":"u","event":"video","event_value":"42","received_at":"2024-08-06 15:04:05"}"#
    );
}

#[test]
fn the_error_about_an_unknown_event_names_the_five_kinds_and_the_most_similar_one() {
    assert_eq!(
        refusal(&Fields {
            event: "vidoe",
            ..event()
        }),
        r#"event: "vidoe" is not one of register, signin, audio, video, content; did you mean "video"?"#
    );
    assert_eq!(
        refusal(&Fields {
            event: "",
            ..event()
        }),
        r#"event: "" is not one of register, signin, audio, video, content"#
    );
}

#[test]
fn an_empty_token_or_user_is_refused() {
    assert_eq!(
        refusal(&Fields {
            token: "",
            ..event()
        }),
        "token: is empty"
    );
    assert_eq!(
        refusal(&Fields {
            partner_user_id: "",
            ..event()
        }),
        "partner_user_id: is empty"
    );
}

#[test]
fn an_event_may_take_max_event_bytes_and_not_one_more() {
    // Each newline takes one byte here and two in the fragment.
    let value = "\n".repeat(100);
    let event = Fields {
        event_value: Some(&value),
        ..event()
    };
    let bytes = encoded(&event).unwrap().len();
    let fits = |max_event_bytes| {
        let rules = Rules {
            max_event_bytes,
            ..Rules::default()
        };
        encode(&event, &rules, NOW, &mut Vec::new()).is_ok()
    };
    assert!(fits(bytes));
    assert!(!fits(bytes - 1));
    assert!(!fits(50));
}

#[test]
fn a_refused_event_leaves_the_buffer_as_it_was() {
    let mut out = b"before".to_vec();
    for bad in [
        Fields {
            token: "",
            ..event()
        },
        Fields {
            event: "x",
            ..event()
        },
        Fields {
            received_at: Some("x"),
            ..event()
        },
    ] {
        encode(&bad, &Rules::default(), NOW, &mut out).expect_err("refused");
        assert_eq!(out, b"before");
    }
}

#[test]
fn no_error_about_an_event_quotes_its_token() {
    let token = "s3cr3t";
    for bad in [
        Fields {
            token,
            partner_user_id: "",
            ..event()
        },
        Fields {
            token,
            event: "x",
            ..event()
        },
        Fields {
            token,
            received_at: Some("x"),
            ..event()
        },
        Fields {
            token,
            event_value: Some(&"x".repeat(70_000)),
            ..event()
        },
    ] {
        assert!(!refusal(&bad).contains(token));
    }
}

#[test]
fn bytes_that_are_not_a_fragment_have_no_user() {
    for foreign in [
        &b""[..],
        b"{}",
        br#"{"token":"t"#,
        br#"{"token":"t""#,
        br#"{"token":"t\"#,
        br#"{"token":"t","partner_user_id":"u"#,
        br#"{"token":"t","partner_user_id":"u\"#,
        br#"{"partner_user_id":"u","token":"t"}"#,
    ] {
        assert_eq!(user_of(foreign), b"");
    }
    assert_eq!(user_text(b"\xFF"), "");
    assert_eq!(user_text(br#"a"b"#), "");
    assert_eq!(user_text(br"\"), "");
}

proptest! {
    #[test]
    fn every_accepted_event_is_json_with_the_given_fields(
        token: String,
        user: String,
        kind in proptest::sample::select(&EventKind::ALL),
        value: Option<String>,
        second in 0..=59_u8,
    ) {
        prop_assume!(!token.is_empty() && !user.is_empty());
        let received_at = format!("2024-08-06 15:04:{second:02}");
        let fields = Fields {
            token: &token,
            partner_user_id: &user,
            event: kind.name(),
            event_value: value.as_deref(),
            received_at: Some(&received_at),
        };
        let fragment = encoded(&fields).unwrap();

        let read: serde_json::Value = serde_json::from_str(&fragment).unwrap();
        prop_assert_eq!(read, serde_json::json!({
            "token": token,
            "partner_user_id": user,
            "event": kind.name(),
            "event_value": value,
            "received_at": received_at,
        }));
        prop_assert_eq!(user_of(fragment.as_bytes()), escaped_user(&user));
        prop_assert_eq!(user_text(user_of(fragment.as_bytes())), user);
    }

    #[test]
    fn no_bytes_make_the_search_for_their_user_panic(bytes: Vec<u8>) {
        let behind_the_prefix = [TOKEN, &bytes].concat();
        let behind_the_token = [TOKEN, USER, &bytes].concat();
        for foreign in [bytes, behind_the_prefix, behind_the_token] {
            let _ = user_text(user_of(&foreign));
            let _ = user_text(&foreign);
        }
    }
}
