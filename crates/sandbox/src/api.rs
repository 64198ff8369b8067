//! The rules of the Partners API: which answer a request to `/default/v1/events` gets, and why.
//!
//! [`judge`] is a pure function of a request's head, its body and the [`Rules`] in force; it knows
//! nothing of sockets, faults or the ledger. The API's text leaves three questions open. The
//! sandbox takes the strict side, because a tolerant sandbox hides mistakes: an event has exactly
//! its five members, `token` and `partner_user_id` are not empty, and fields are checked before
//! users. The codes `A_1000` to `A_1004` are the API's own; codes from `A_1100` on stand for errors
//! that the text does not name.

mod event;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::net::IpAddr;

use axum::http::{HeaderMap, header};
use serde::Deserialize;
use serde_json::value::RawValue;

use self::event::Event;
use super::users::UnknownUsers;

/// The most events that one request may carry.
pub(crate) const EVENTS_PER_REQUEST: usize = 100;

/// What a request is judged by. A change replaces the rules as a whole.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// The only bearer token that is good; `None` after it was revoked.
    pub token: Option<String>,
    /// The addresses that may send requests.
    pub allowed: Vec<IpAddr>,
    /// The users that the API does not know.
    pub unknown: UnknownUsers,
}

/// Why a request was refused, in the API's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
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

/// A refusal, and the event that caused it, if one did. The API does not say which event it was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
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

/// The events of a request body, each as the text that was received.
pub(crate) struct EventTexts<'a>(Option<Vec<&'a RawValue>>);

impl<'a> EventTexts<'a> {
    /// Splits a body into its events without judging them.
    pub(crate) fn parse(body: &'a [u8]) -> Self {
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

    /// The texts; none if the body is not a list of events.
    pub(crate) fn as_slice(&self) -> &[&'a RawValue] {
        self.0.as_deref().unwrap_or_default()
    }
}

/// One event of an accepted request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Accepted<'a> {
    /// The event as it was received, byte for byte.
    pub text: &'a str,
    /// A hash of the values of the five fields. A duplicate has the same, in whatever order its
    /// members are.
    pub identity: u64,
}

/// Judges one request: either all of its events are accepted, or none is.
pub(crate) fn judge<'a>(
    rules: &Rules,
    caller: IpAddr,
    headers: &HeaderMap,
    events: &EventTexts<'a>,
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
    let events: Vec<Event<'a>> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| Event::parse(text).ok_or_else(|| refused(INVALID_EVENT, index)))
        .collect::<Result<_, _>>()?;
    let unknown_user = |(index, event): (usize, &Event<'_>)| {
        let refusal = rules.unknown.refusal_of(&event.partner_user_id)?;
        Some(refused(refusal, index))
    };
    if let Some(refused) = events.iter().enumerate().find_map(unknown_user) {
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
