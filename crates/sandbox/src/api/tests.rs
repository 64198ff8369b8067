use axum::http::HeaderValue;

use super::event::is_date_and_time;
use super::*;

const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn judge_body(body: &str) -> Result<usize, String> {
    let rules = Rules {
        token: Some("good".into()),
        allowed: vec![LOOPBACK],
        unknown: UnknownUsers::not_found(vec!["u-17".into()], Vec::new()),
    };
    let mut headers = HeaderMap::new();
    headers.insert(
        header::AUTHORIZATION,
        HeaderValue::from_static("Bearer good"),
    );
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json; charset=utf-8"),
    );
    judge(
        &rules,
        LOOPBACK,
        &headers,
        &EventTexts::parse(body.as_bytes()),
    )
    .map(|accepted| accepted.len())
    .map_err(|refused| refused.refusal.code.into_owned())
}

fn judge_event(event: &str) -> Result<usize, String> {
    judge_body(&format!(r#"{{"events":[{event}]}}"#))
}

#[test]
fn times_that_are_not_on_the_calendar_are_refused() {
    for good in [
        "2024-02-29 00:00:00",
        "2024-08-06 15:04:05",
        "1999-12-31 23:59:59",
    ] {
        assert!(is_date_and_time(good), "{good}");
    }
    for bad in [
        "2024-02-30 10:00:00",
        "2023-02-29 10:00:00",
        "2024-13-01 10:00:00",
        "2024-01-01 24:00:00",
        "2024-01-01 23:59:60",
        "2024-01-01 23:60:00",
        "2024-01-01T10:00:00",
        "2024-01-01 10:00",
        "2024-1-01 10:00:00",
        "2024-01-01 10:00:00 ",
        "2024-01-01 10:00:0x",
        "",
    ] {
        assert!(!is_date_and_time(bad), "{bad}");
    }
}

#[test]
fn an_event_needs_its_five_members_with_their_types_and_no_other() {
    let good = r#"{"token":"t","partner_user_id":"u","event":"video","event_value":null,"received_at":"2024-08-06 15:04:05"}"#;
    assert_eq!(judge_event(good), Ok(1));
    for value in ["12", "\"x\"", "[1,{}]", "{\"a\":1}", "true", "1e400"] {
        assert_eq!(judge_event(&good.replace("null", value)), Ok(1), "{value}");
    }
    for (from, to) in [
        (r#""token":"t","#, ""),
        (r#""partner_user_id":"u","#, ""),
        (r#""event":"video","#, ""),
        (r#""event_value":null,"#, ""),
        (r#","received_at":"2024-08-06 15:04:05""#, ""),
        (r#""t""#, "1"),
        (r#""t""#, r#""""#),
        (r#""u""#, "7"),
        (r#""u""#, r#""""#),
        (r#""video""#, r#""login""#),
        (r#""video""#, r#""Video""#),
        (r#""video""#, "null"),
        (r#""2024-08-06 15:04:05""#, "1722956645"),
        (r#"{"token""#, r#"{"extra":1,"token""#),
        (r#"{"token""#, r#"{"token":"t","token""#),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from} is in the good event");
        assert_eq!(judge_event(&bad), Err("A_1103".into()), "{bad}");
    }
    assert_eq!(judge_event("null"), Err("A_1103".into()));
}

#[test]
fn the_sandbox_checks_the_fields_of_an_event_before_its_user() {
    let unknown = r#"{"token":"t","partner_user_id":"u-17","event":"video","event_value":null,"received_at":"2024-08-06 15:04:05"}"#;
    assert_eq!(judge_event(unknown), Err("A_1104".into()));
    assert_eq!(
        judge_event(&format!("{unknown},{{}}")),
        Err("A_1103".into())
    );
}

#[test]
fn a_body_is_an_object_with_a_list_of_1_to_100_events() {
    for body in [
        "",
        "x",
        "[]",
        "{}",
        r#"{"events":{}}"#,
        r#"{"events":[]} x"#,
        r#"{"events":[],"more":1}"#,
    ] {
        assert_eq!(judge_body(body), Err("A_1101".into()), "{body}");
    }
    assert_eq!(judge_body(r#"{"events":[]}"#), Err("A_1102".into()));
}

#[test]
fn a_duplicate_has_the_same_identity_whatever_the_order_of_its_members() {
    let identity = |text: &str| {
        let raw: &RawValue = serde_json::from_str(text).expect("JSON");
        Event::parse(raw).expect("an event").identity()
    };
    let one = r#"{"token":"t","partner_user_id":"u","event":"video","event_value":null,"received_at":"2024-08-06 15:04:05"}"#;
    let same = r#"{"received_at":"2024-08-06 15:04:05","event_value":null,"event":"video","partner_user_id":"\u0075","token":"t"}"#;
    assert_eq!(identity(one), identity(same));
    assert_ne!(identity(one), identity(&one.replace("null", "\"null\"")));
}
