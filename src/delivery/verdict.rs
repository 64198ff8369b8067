//! What one exchange with the API means for the events in it.
//!
//! [`judge`] holds the table of verdicts, by API code first and by status second. Its last row is the
//! surprising one: an answer that is not understood pauses delivery and keeps every event, because a
//! wrong URL or a captive portal must never reject a million of them.
//!
//! Codes are compared exactly. A code that differs from one of the four known ones only in case, in blanks, in its
//! separator, or by being a number is neither known nor safely another code: it pauses as misrouted.
//!
//! The API's codes are texts, and gateways have numbers of their own. So a number is a code of the API only if it is
//! from 1000 to 1999, as the documented ones are, and if the answer has the documented members and no others. Any other
//! number refuses nothing: its answer counts as one without an error of the API.
//!
//! The engine decides what happens next: to isolate, to wait or to probe.

use crate::clock::Moment;
use crate::error::PauseReason;
use crate::exchange::{Answer, BODY_LIMIT_BYTES, Exchange};
use crate::spelling::escape_unprintable;
use serde_json::Value;
use std::time::Duration;

/// The longest `Retry-After` that is honoured.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// How many characters of a message of the API are kept.
pub const MESSAGE_CHARS: usize = 300;

/// How many characters of a code of the API are kept.
pub const CODE_CHARS: usize = 64;

/// What the API said about an event or a batch that it refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The API's code, [`CODE_CHARS`] characters at most.
    pub code: String,
    /// The API's message, with what cannot be seen escaped, [`MESSAGE_CHARS`] characters at most.
    pub message: String,
    /// The HTTP status.
    pub status: u16,
}

/// What an exchange means for the events of its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All of them are delivered.
    Delivered,
    /// None was processed: at least one of them is bad.
    Refused(Refusal),
    /// None was processed: the request was too large.
    TooLarge {
        /// Present if the API itself said so, and not a proxy or gateway.
        refusal: Option<Refusal>,
    },
    /// None was processed, and the same request may succeed later.
    Retry {
        /// What the API asked for, at most [`LONGEST_RETRY_AFTER`].
        after: Option<Duration>,
    },
    /// All of them or none were processed; repeat the same bytes before anything else.
    InDoubt {
        /// What the API asked for, at most [`LONGEST_RETRY_AFTER`].
        after: Option<Duration>,
        /// The status, if the API answered with a server error.
        server_error: Option<u16>,
    },
    /// No event is to blame: delivery stops and keeps all of them.
    Pause {
        /// What delivery waits for.
        reason: PauseReason,
        /// The HTTP status.
        status: u16,
        /// The API's code, if it gave one.
        code: Option<String>,
        /// The API's message, or what was observed instead.
        message: String,
        /// Whether the events may have been processed nevertheless.
        in_doubt: bool,
    },
}

/// Judges one exchange. `now` is needed for a `Retry-After` that is a date.
pub fn judge(exchange: &Exchange, now: Moment) -> Verdict {
    match exchange {
        Exchange::Answered(answer) => judge_answer(answer, now),
        Exchange::NotSent { .. } => Verdict::Retry { after: None },
        Exchange::Unsettled { .. } => Verdict::InDoubt {
            after: None,
            server_error: None,
        },
    }
}

fn judge_answer(answer: &Answer, now: Moment) -> Verdict {
    use Blame::{Address, Events, NearlyKnown, Token};
    use Body::{Cut, Error, Other, Success};

    let status = answer.status;
    let after = || retry_after(answer.retry_after.as_deref(), now);
    let pause = |reason, error: ApiError| error.pause(reason, status);

    #[rustfmt::skip]
    let verdict = match (status, read_body(answer)) {
        (204, _)                                                  => Verdict::Delivered,
        (_, Error(Token, error))                                  => pause(PauseReason::Auth, error),
        (_, Error(Address, error))                                => pause(PauseReason::Ip, error),
        (_, Error(NearlyKnown, error))                            => pause(PauseReason::Misrouted, error),
        (429 | 425, _)                                            => Verdict::Retry { after: after() },
        (408, _)                                                  => Verdict::InDoubt { after: after(), server_error: None },
        (500..=599, _)                                            => Verdict::InDoubt { after: after(), server_error: Some(status) },
        (200..=299, Success)                                      => Verdict::Delivered,
        (200..=299 | 400..=499, Cut)                              => Verdict::InDoubt { after: None, server_error: None },
        (400 | 401 | 403 | 404 | 409 | 422, Error(Events, error)) => Verdict::Refused(error.refusal(status)),
        (413, Error(Events, error))                               => Verdict::TooLarge { refusal: Some(error.refusal(status)) },
        (413, _)                                                  => Verdict::TooLarge { refusal: None },
        (401, Other | Success)                                    => pause(PauseReason::Auth, ApiError::missing(status)),
        (_, Error(Events, error))                                 => pause(PauseReason::Misrouted, error),
        (_, Other | Success | Cut)                                => pause(PauseReason::Misrouted, ApiError::missing(status)),
    };
    verdict
}

/// What the body of an answer is.
enum Body {
    /// JSON that says `"success": true`.
    Success,
    /// An API error body: JSON of the documented shape.
    Error(Blame, ApiError),
    /// The beginning of a body: the connection ended before the rest of it.
    Cut,
    /// Anything else: empty, HTML, JSON of another shape, or longer than anything the API says.
    Other,
}

/// What a code blames.
#[derive(Clone, Copy, PartialEq)]
enum Blame {
    /// The bearer token.
    Token,
    /// The address of this host.
    Address,
    /// Nothing for certain: the code is almost one that blames the token or the address.
    NearlyKnown,
    /// The events of the request.
    Events,
}

/// A code and a message of the API, made safe to be shown.
struct ApiError {
    code: Option<String>,
    message: String,
}

impl ApiError {
    /// Stands for the error of an answer that has none.
    fn missing(status: u16) -> Self {
        Self {
            code: None,
            message: format!("HTTP {status} without an error body of the Partners API"),
        }
    }

    fn refusal(self, status: u16) -> Refusal {
        Refusal {
            code: self.code.unwrap_or_default(),
            message: self.message,
            status,
        }
    }

    fn pause(self, reason: PauseReason, status: u16) -> Verdict {
        Verdict::Pause {
            reason,
            status,
            code: self.code,
            message: self.message,
            in_doubt: matches!(status, 200..=299 | 408 | 500..=599),
        }
    }
}

fn read_body(answer: &Answer) -> Body {
    if !answer.whole {
        return if answer.body.len() < BODY_LIMIT_BYTES {
            Body::Cut
        } else {
            Body::Other
        };
    }
    let Some(body) = parse_body(&answer.body) else {
        return Body::Other;
    };
    match (body.get("success"), body.get("errors")) {
        (Some(Value::Bool(true)), _) => Body::Success,
        (Some(Value::Bool(false)), Some(Value::Array(errors))) => {
            decisive_error(errors, has_members(&body, 2))
        }
        _ => Body::Other,
    }
}

/// The JSON of a body, as a person would read it: whatever byte order mark or white space is around it, in
/// Latin-1 where it is not UTF-8, and an error of the API also behind warnings, as PHP prints them.
fn parse_body(body: &[u8]) -> Option<Value> {
    let mut text = String::with_capacity(body.len());
    for chunk in body.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|&byte| char::from(byte)));
    }
    let text = text.trim_matches(|c: char| c == '\u{FEFF}' || c.is_whitespace());
    if let Ok(alone) = serde_json::from_slice(text.as_bytes()) {
        return Some(alone);
    }
    let lower = text.to_ascii_lowercase();
    let holds = |part: &&str| {
        let mut pieces = lower.as_bytes().windows(part.len());
        pieces.any(|piece| piece == part.as_bytes())
    };
    if PARTS_OF_A_PAGE.iter().any(holds) {
        return None;
    }
    let begins = text.match_indices('{').take(OPENING_BRACKETS);
    let mut behind_warnings =
        begins.filter_map(|(at, _)| serde_json::from_slice(&text.as_bytes()[at..]).ok());
    // That events have arrived is believed only of an answer that says nothing else.
    behind_warnings
        .find(|value: &Value| value.get("success").and_then(Value::as_bool) == Some(false))
}

/// What a login page has, and a warning has not.
const PARTS_OF_A_PAGE: [&str; 7] = [
    "<!doctype",
    "<html",
    "<head",
    "<body",
    "<form",
    "<script",
    "<title",
];
/// How many opening brackets a warning may have before the error of the API begins.
const OPENING_BRACKETS: usize = 32;

/// The error that decides: the first that does not blame the events, or else the first of all.
fn decisive_error(errors: &[Value], is_documented: bool) -> Body {
    let coded = || {
        errors
            .iter()
            .filter_map(|error| Some((code_of(error, is_documented)?, error)))
    };
    let decisive = coded()
        .find(|(code, _)| matches!(blame(code), Blame::Token | Blame::Address))
        .or_else(|| coded().find(|(code, _)| blame(code) == Blame::NearlyKnown))
        .or_else(|| coded().next());
    let Some((code, error)) = decisive else {
        return Body::Other;
    };
    let message = error
        .get("message")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let shown = ApiError {
        code: Some(printable(&code, CODE_CHARS)),
        message: printable(message, MESSAGE_CHARS),
    };
    Body::Error(blame(&code), shown)
}

/// The code of an error: a text, or a number that is the API's (`is_documented`: the body has no other members).
fn code_of(error: &Value, is_documented: bool) -> Option<String> {
    match error.get("code")? {
        Value::String(code) => Some(code.clone()),
        Value::Number(code)
            if is_documented
                && has_members(error, 2)
                && error.get("message").is_some_and(Value::is_string)
                && code
                    .as_u64()
                    .is_some_and(|code| CODE_NUMBERS.contains(&code)) =>
        {
            Some(code.to_string())
        }
        _ => None,
    }
}

/// The numbers of the API's codes.
const CODE_NUMBERS: std::ops::Range<u64> = 1000..2000;

fn has_members(object: &Value, count: usize) -> bool {
    object
        .as_object()
        .is_some_and(|members| members.len() == count)
}

fn blame(code: &str) -> Blame {
    match code {
        "A_1000" | "A_1001" | "A_1002" => Blame::Token,
        "A_1004" => Blame::Address,
        _ => {
            let mut code = code.to_ascii_uppercase();
            code.retain(|c| c.is_ascii_alphanumeric());
            match code.strip_prefix('A').unwrap_or(&code) {
                "1000" | "1001" | "1002" | "1004" => Blame::NearlyKnown,
                _ => Blame::Events,
            }
        }
    }
}

/// The beginning of `text` that takes at most `chars` characters once what cannot be seen is escaped.
fn printable(text: &str, chars: usize) -> String {
    let begin: String = text.chars().take(chars).collect();
    escape_unprintable(&begin).chars().take(chars).collect()
}

/// Reads seconds or an HTTP date. A date that has passed is zero; anything else is `None`.
fn retry_after(header: Option<&str>, now: Moment) -> Option<Duration> {
    let header = header?.trim();
    let asked = if !header.is_empty() && header.bytes().all(|b| b.is_ascii_digit()) {
        Duration::from_secs(header.parse().unwrap_or(u64::MAX))
    } else {
        let date = jiff::fmt::rfc2822::DateTimeParser::new()
            .parse_timestamp(header)
            .ok()?;
        let millis = date.as_millisecond().saturating_sub(now.wall_ms);
        Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    };
    Some(asked.min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests;
