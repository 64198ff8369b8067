//! What operators are told about the last request that came to nothing.

use meditopia::internals::client::FailedRequest;
use serde_json::{Value, json};

use super::{event_count, sanitize};
use crate::times::show_span;

/// What came of the request, how many events it had, and how long ago that was.
pub fn describe(failed: &FailedRequest, now_ms: i64) -> String {
    let told: Vec<_> = [
        failed.api_code.clone(),
        failed.http_status.map(|status| format!("HTTP {status}")),
    ]
    .into_iter()
    .flatten()
    .filter(|part| !failed.message.contains(part.as_str()))
    .collect();
    let answer = match told.as_slice() {
        [] => String::new(),
        told => format!(" ({})", sanitize(&told.join(", "))),
    };
    format!(
        "{}{answer}, for a request of {}, {} ago",
        sanitize(failed.message.trim_end_matches('.')),
        event_count(failed.events),
        show_span((now_ms - failed.at_ms).max(0)),
    )
}

/// The same as an object.
pub fn to_json(failed: &FailedRequest) -> Value {
    json!({
        "at_ms": failed.at_ms,
        "events": failed.events,
        "http_status": failed.http_status,
        "api_code": failed.api_code,
        "message": failed.message,
    })
}
