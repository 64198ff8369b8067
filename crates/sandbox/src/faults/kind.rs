//! The kinds of faults, as they are written in an order, and the answer that each gives.
//!
//! Most of them answer as something between the client and the API would: a proxy, a load balancer,
//! a captive portal's login page. The others replace what the connection sends, see `connection`.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;

use super::When;
use crate::answer::Answer;
use crate::api::Refusal;
use crate::connection::{AfterRaw, RawBytes, Substitute};

/// One kind of fault, with the members that only this kind has.
#[derive(Debug, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Kind {
    Delay {
        ms: Millis,
    },
    Status {
        status: u16,
        retry_after: Option<serde_json::Value>,
        #[serde(default)]
        headers: BTreeMap<String, String>,
        body: Option<String>,
        content_type: Option<String>,
        code: Option<String>,
        message: Option<String>,
    },
    Redirect {
        to: String,
        #[serde(default = "found")]
        status: u16,
    },
    LoginPage {},
    Success {},
    Reset {},
    Close {},
    HangUp {},
    Truncated {
        #[serde(default = "ok")]
        status: u16,
    },
    Raw {
        text: Option<String>,
        bytes: Option<Vec<u8>>,
        #[serde(default)]
        filler_bytes: usize,
        every_ms: Option<u32>,
        #[serde(default)]
        keep_open: bool,
    },
}

fn found() -> u16 {
    302
}

fn ok() -> u16 {
    200
}

/// A time in milliseconds: fixed, or drawn uniformly from a range that includes both ends.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged, expecting = "ms must be a number or [from, to]")]
pub(super) enum Millis {
    Fixed(u32),
    Uniform(u32, u32),
}

impl Millis {
    pub(super) fn checked(self) -> Result<Self, String> {
        match self {
            Self::Uniform(from, to) if from > to => {
                Err(format!("ms {from} to {to} is an empty range"))
            }
            _ => Ok(self),
        }
    }

    pub(super) fn draw(self, rng: &mut fastrand::Rng) -> Duration {
        Duration::from_millis(match self {
            Self::Fixed(ms) => ms.into(),
            Self::Uniform(from, to) => rng.u32(from..=to).into(),
        })
    }
}

const LOGIN_PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Welcome to our network</title></head>\n\
    <body><form method=\"post\" action=\"/login\"><input name=\"room\"><button>Log in</button></form></body></html>\n";

impl Kind {
    /// The names of all kinds.
    pub(super) const NAMES: [&str; 10] = [
        "delay",
        "status",
        "redirect",
        "login_page",
        "success",
        "reset",
        "close",
        "hang_up",
        "truncated",
        "raw",
    ];

    /// The name in an order and in the ledger.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Delay { .. } => "delay",
            Self::Status { .. } => "status",
            Self::Redirect { .. } => "redirect",
            Self::LoginPage {} => "login_page",
            Self::Success {} => "success",
            Self::Reset {} => "reset",
            Self::Close {} => "close",
            Self::HangUp {} => "hang_up",
            Self::Truncated { .. } => "truncated",
            Self::Raw { .. } => "raw",
        }
    }

    /// When a fault of this kind strikes, unless the order says when.
    pub(super) fn default_when(&self) -> When {
        if self.means_success() {
            When::After
        } else {
            When::Before
        }
    }

    /// Whether a correct client takes the answer for success.
    pub(super) fn means_success(&self) -> bool {
        matches!(self, Self::Success {} | Self::Status { status: 204, .. })
    }

    /// The answer that a fault of this kind gives. An error says what is wrong with the order.
    pub(super) fn into_answer(self) -> Result<Answer, String> {
        match self {
            Self::Delay { .. } => Ok(Answer::no_content()),
            Self::Status {
                status,
                retry_after,
                headers,
                body,
                content_type,
                code,
                message,
            } => {
                let answer =
                    status_answer(checked_status(status)?, body, content_type, code, message)?;
                with_headers(answer, retry_after, headers)
            }
            Self::Redirect { to, status } => {
                let headers = BTreeMap::from([("location".to_owned(), to)]);
                with_headers(Answer::html_page(checked_status(status)?), None, headers)
            }
            Self::LoginPage {} => Ok(Answer::with_body(
                StatusCode::OK,
                "text/html; charset=utf-8",
                LOGIN_PAGE,
            )),
            Self::Success {} => Ok(Answer::with_body(
                StatusCode::OK,
                "application/json",
                r#"{"success": true}"#,
            )),
            Self::Reset {} => Ok(Answer::NotHttp {
                status: None,
                substitute: Substitute::Reset,
            }),
            Self::Close {} | Self::HangUp {} => Ok(Answer::NotHttp {
                status: None,
                substitute: Substitute::Close,
            }),
            Self::Truncated { status } => {
                let status = checked_status(status)?;
                let head = "Content-Type: application/json\r\nContent-Length: 4096\r\n";
                let bytes = format!("HTTP/1.1 {status}\r\n{head}\r\n{{\"success\": tr").into();
                Ok(Answer::NotHttp {
                    status: Some(status.as_u16()),
                    substitute: Substitute::Raw(RawBytes {
                        bytes,
                        filler_bytes: 0,
                        delay_per_byte: None,
                        after: AfterRaw::Close,
                    }),
                })
            }
            Self::Raw {
                text,
                bytes,
                filler_bytes,
                every_ms,
                keep_open,
            } => {
                let bytes = match (text, bytes) {
                    (Some(text), None) => Bytes::from(text),
                    (None, Some(bytes)) => Bytes::from(bytes),
                    _ => return Err("raw needs either \"text\" or \"bytes\"".into()),
                };
                let after = if keep_open {
                    AfterRaw::KeepOpen
                } else {
                    AfterRaw::Close
                };
                Ok(Answer::NotHttp {
                    status: None,
                    substitute: Substitute::Raw(RawBytes {
                        bytes,
                        filler_bytes,
                        delay_per_byte: every_ms.map(|ms| Duration::from_millis(ms.into())),
                        after,
                    }),
                })
            }
        }
    }
}

/// HTTP has no status outside 100 to 599, and 1xx is not a final answer.
fn checked_status(status: u16) -> Result<StatusCode, String> {
    match StatusCode::from_u16(status) {
        Ok(good) if (200..=599).contains(&status) => Ok(good),
        _ => Err(format!(
            "status {status} is not between 200 and 599; a \"raw\" fault can send it"
        )),
    }
}

fn status_answer(
    status: StatusCode,
    body: Option<String>,
    content_type: Option<String>,
    code: Option<String>,
    message: Option<String>,
) -> Result<Answer, String> {
    match (body, code) {
        (Some(_), Some(_)) => Err("status takes \"body\" or \"code\", not both".into()),
        (None, _) if content_type.is_some() => Err("\"content_type\" needs a \"body\"".into()),
        (_, None) if message.is_some() => Err("\"message\" needs a \"code\"".into()),
        (None, Some(code)) => {
            let message = message.unwrap_or_else(|| "Bad request.".into());
            Ok(Answer::refusal(&Refusal {
                status: status.as_u16(),
                code: code.into(),
                message: message.into(),
            }))
        }
        (Some(body), None) => {
            let content_type = content_type.unwrap_or_else(|| "text/html".into());
            let headers = BTreeMap::from([("content-type".to_owned(), content_type)]);
            with_headers(
                Answer::Http {
                    status,
                    headers: HeaderMap::new(),
                    body: body.into(),
                },
                None,
                headers,
            )
        }
        (None, None) if status == StatusCode::NO_CONTENT => Ok(Answer::no_content()),
        (None, None) => Ok(Answer::html_page(status)),
    }
}

fn with_headers(
    mut answer: Answer,
    retry_after: Option<serde_json::Value>,
    others: BTreeMap<String, String>,
) -> Result<Answer, String> {
    let retry_after = match retry_after {
        None => None,
        Some(serde_json::Value::String(text)) => Some(text),
        Some(serde_json::Value::Number(seconds)) => Some(seconds.to_string()),
        Some(other) => {
            return Err(format!(
                "retry_after {other} is neither a number nor a string"
            ));
        }
    };
    if let Answer::Http { headers, .. } = &mut answer {
        let retry_after = retry_after.map(|text| (header::RETRY_AFTER.to_string(), text));
        for (name, value) in others.into_iter().chain(retry_after) {
            let bad = || {
                format!(
                    "header {name:?}: {value:?} is not allowed in HTTP; a \"raw\" fault can send it"
                )
            };
            let header: HeaderName = name.parse().map_err(|_| bad())?;
            headers.insert(header, HeaderValue::from_str(&value).map_err(|_| bad())?);
        }
    }
    Ok(answer)
}
