//! The rules of the Partners API: what one request to `/default/v1/events` is answered, and why.
//!
//! A request is judged by a pure function of its head, its body and the [`Rules`] in force; nothing
//! here knows of sockets, faults or the ledger. The API text leaves three things open, decided here
//! on the strict side, because a sandbox that forgives hides mistakes: an event has exactly its five
//! members, `token` and `partner_user_id` are not empty, and fields are checked before users.
//! The codes `A_1000` to `A_1004` are the API's; those from `A_1100` on stand for what it does not name.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

use axum::http::{HeaderMap, header};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::users::UnknownUsers;

/// The most events that one request may carry.
pub const EVENTS_PER_REQUEST: usize = 100;

/// What the API holds a request against; replaced as a whole whenever the test changes its mind.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The one bearer token that is good; `None` when it has been revoked.
    pub token: Option<String>,
    /// The addresses that may call.
    pub allowed: Vec<IpAddr>,
    /// The users that the API does not know.
    pub unknown: UnknownUsers,
}

/// Why a request was refused, as the API says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub code: Cow<'static, str>,
    pub message: Cow<'static, str>,
}

impl Refusal {
    const fn new(status: u16, code: &'static str, message: &'static str) -> Self {
        Self {
            status,
            code: Cow::Borrowed(code),
            message: Cow::Borrowed(message),
        }
    }
}

/// A refusal, and the event that it is for if it is for one. The API keeps the second to itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    pub refusal: Refusal,
    /// Counted from 0.
    pub event: Option<usize>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            event: None,
        }
    }
}

const NO_BEARER: Refusal = Refusal::new(401, "A_1000", "The bearer token is missing.");
const MALFORMED_BEARER: Refusal = Refusal::new(401, "A_1001", "The bearer token is malformed.");
const WRONG_BEARER: Refusal = Refusal::new(401, "A_1002", "Invalid bearer token.");
const WRONG_ADDRESS: Refusal = Refusal::new(401, "A_1004", "Bad request.");
const NOT_JSON: Refusal = Refusal::new(
    422,
    "A_1100",
    "The content type has to be application/json.",
);
const NOT_A_LIST: Refusal = Refusal::new(422, "A_1101", "The body has to be {\"events\": [...]}.");
const WRONG_COUNT: Refusal = Refusal::new(422, "A_1102", "A request has to carry 1 to 100 events.");
const INVALID_EVENT: Refusal = Refusal::new(422, "A_1103", "Invalid event.");

/// The list of events in a request body, each still as it was written.
pub struct Events<'a>(Option<Vec<&'a RawValue>>);

impl<'a> Events<'a> {
    /// Splits a body into its events without judging them.
    pub fn of(body: &'a [u8]) -> Self {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Body<'a> {
            #[serde(borrow)]
            events: Vec<&'a RawValue>,
        }
        Self(
            serde_json::from_slice::<Body<'a>>(body)
                .ok()
                .map(|body| body.events),
        )
    }

    /// How many there are; 0 when the body is not such a list.
    pub fn count(&self) -> usize {
        self.texts().len()
    }

    /// The text of each.
    pub fn texts(&self) -> &[&'a RawValue] {
        self.0.as_deref().unwrap_or_default()
    }
}

/// One event of an accepted request.
#[derive(Debug, PartialEq, Eq)]
pub struct Accepted<'a> {
    /// The event as it was received, byte for byte.
    pub text: &'a str,
    /// A hash of the five fields' values; equal for a duplicate, whatever its member order.
    pub identity: u64,
}

/// Judges one request: either all of its events are accepted, or none is.
pub fn judge<'a>(
    rules: &Rules,
    caller: IpAddr,
    headers: &HeaderMap,
    events: &Events<'a>,
) -> Result<Vec<Accepted<'a>>, Refused> {
    check_bearer(rules, headers)?;
    if !rules.allowed.contains(&caller) {
        return Err(WRONG_ADDRESS.into());
    }
    check_content_type(headers)?;

    let texts = events.0.as_ref().ok_or(NOT_A_LIST)?;
    if texts.is_empty() || texts.len() > EVENTS_PER_REQUEST {
        return Err(WRONG_COUNT.into());
    }
    let events: Vec<WireEvent<'a>> = texts
        .iter()
        .enumerate()
        .map(|(at, text)| WireEvent::read(text).ok_or_else(|| refused(INVALID_EVENT, at)))
        .collect::<Result<_, _>>()?;
    let unknown = |(at, event): (usize, &WireEvent<'_>)| {
        let refusal = rules.unknown.refusal_of(&event.partner_user_id)?;
        Some(refused(refusal, at))
    };
    if let Some(refused) = events.iter().enumerate().find_map(unknown) {
        return Err(refused);
    }
    Ok(texts
        .iter()
        .zip(&events)
        .map(|(text, event)| Accepted {
            text: text.get(),
            identity: event.identity(),
        })
        .collect())
}

fn refused(refusal: Refusal, event: usize) -> Refused {
    Refused {
        refusal,
        event: Some(event),
    }
}

fn check_bearer(rules: &Rules, headers: &HeaderMap) -> Result<(), Refusal> {
    let value = headers.get(header::AUTHORIZATION).ok_or(NO_BEARER)?;
    let text = value.to_str().map_err(|_| MALFORMED_BEARER)?;
    let (scheme, token) = text.split_once(' ').ok_or(MALFORMED_BEARER)?;
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() || token.contains(' ') {
        return Err(MALFORMED_BEARER);
    }
    if rules.token.as_deref() == Some(token) {
        Ok(())
    } else {
        Err(WRONG_BEARER)
    }
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let text = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let media_type = text.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(NOT_JSON)
    }
}

#[derive(Deserialize, Hash)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Register,
    Signin,
    Audio,
    Video,
    Content,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireEvent<'a> {
    #[serde(borrow)]
    token: Cow<'a, str>,
    #[serde(borrow)]
    partner_user_id: Cow<'a, str>,
    event: Kind,
    #[serde(borrow)]
    event_value: &'a RawValue,
    #[serde(borrow)]
    received_at: Cow<'a, str>,
}

impl<'a> WireEvent<'a> {
    fn read(text: &'a RawValue) -> Option<Self> {
        let event: Self = serde_json::from_str(text.get()).ok()?;
        let filled = !event.token.is_empty() && !event.partner_user_id.is_empty();
        (filled && is_date_and_time(&event.received_at)).then_some(event)
    }

    fn identity(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (
            &self.token,
            &self.partner_user_id,
            &self.event,
            self.event_value.get(),
            &self.received_at,
        )
            .hash(&mut hasher);
        hasher.finish()
    }
}

/// Whether `text` is a real `YYYY-MM-DD HH:MM:SS`: of exactly this shape, and on the calendar.
fn is_date_and_time(text: &str) -> bool {
    let shaped = text.len() == 19
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            10 => byte == b' ',
            13 | 16 => byte == b':',
            _ => byte.is_ascii_digit(),
        });
    // The library below takes a leap second (and makes it :59), which PHP's own check would not.
    shaped && !text.ends_with("60") && text.parse::<jiff::civil::DateTime>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

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
        judge(&rules, LOOPBACK, &headers, &Events::of(body.as_bytes()))
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
    fn fields_are_checked_before_users() {
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
            WireEvent::read(raw).expect("an event").identity()
        };
        let one = r#"{"token":"t","partner_user_id":"u","event":"video","event_value":null,"received_at":"2024-08-06 15:04:05"}"#;
        let same = r#"{"received_at":"2024-08-06 15:04:05","event_value":null,"event":"video","partner_user_id":"\u0075","token":"t"}"#;
        assert_eq!(identity(one), identity(same));
        assert_ne!(identity(one), identity(&one.replace("null", "\"null\"")));
    }
}
