//! One request: what is known when it arrives, how it ended, and the record that the ledger keeps.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Serialize;

/// How a request ended. In JSON the names are in snake case: `accepted_untold`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The request has not ended: it is still being received, delayed or judged.
    Open,
    /// The API accepted the events, and the answer said so.
    Accepted,
    /// The API refused the request, and the answer said why.
    Refused,
    /// A fault struck before the API saw the request. No event was accepted.
    Faulted,
    /// The API accepted the events, but a fault replaced the answer.
    AcceptedUntold,
    /// The API refused the request, but a fault replaced the answer.
    RefusedUntold,
    /// The body did not arrive completely.
    Incomplete,
    /// The API has no such method or path.
    NotFound,
}

/// How a request ended, and what its caller was sent.
#[derive(Debug, Clone)]
pub(crate) struct Ending {
    pub outcome: Outcome,
    /// The HTTP status that was sent; `None` if no complete head was.
    pub status: Option<u16>,
    /// The API's error code, even if a fault kept it from the caller.
    pub code: Option<Cow<'static, str>>,
    /// The name of the fault that replaced the answer.
    pub fault: Option<&'static str>,
}

/// What is known of a request when it has arrived.
pub(crate) struct Arrival<'a> {
    pub connection: u64,
    pub events: usize,
    pub body: &'a [u8],
    pub user_agent: &'a str,
    pub delay_ms: u64,
}

/// The record of one request. The names of its fields are those of the JSON that lists it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Request {
    pub request: u64,
    /// Wall time of its arrival, in milliseconds since 1970-01-01T00:00:00Z.
    pub time_ms: u64,
    pub connection: u64,
    pub events: u32,
    pub bytes: u32,
    /// A 64-bit hash of the body, in JSON as hexadecimal digits.
    #[serde(serialize_with = "as_hexadecimal")]
    pub body_hash: u64,
    /// 1 for the first request with this body, 2 for the second, and so on.
    pub attempt: u32,
    pub outcome: Outcome,
    pub status: Option<u16>,
    pub code: Option<Cow<'static, str>>,
    pub fault: Option<&'static str>,
    /// How long faults delayed the request and its answer, in milliseconds.
    pub delay_ms: u64,
    #[serde(serialize_with = "as_text")]
    pub user_agent: Arc<str>,
    /// The place of the request's first event among the accepted ones, if they were accepted.
    #[serde(skip)]
    pub first_event: Option<usize>,
}

fn as_text<S: serde::Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

fn as_hexadecimal<S: serde::Serializer>(hash: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{hash:016x}"))
}
