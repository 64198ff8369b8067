//! What is said of a spool whose events are handed to a fleet's database.

use meditopia::internals::client::ForwardRecord;
use serde_json::{Value, json};

use super::sanitize;
use crate::times::show_span;

/// Where the events go, and whether they do.
pub fn describe(record: &ForwardRecord, now_ms: i64) -> String {
    let store = sanitize(&record.store);
    let ago = |ms: i64| show_span((now_ms - ms).max(0));
    match (record.failing_since_ms, record.forwarded_ms) {
        (Some(since), _) => format!(
            "cannot be handed to {store} for {}: {}",
            ago(since),
            sanitize(record.failure.as_deref().unwrap_or("no reason is known"))
        ),
        (None, Some(at)) => {
            let closed = match record.closed {
                true => "; the spool is closed",
                false => "",
            };
            format!("to {store}, which last answered {} ago{closed}", ago(at))
        }
        (None, None) => format!("to {store}, which was not reached yet"),
    }
}

/// The same in JSON.
pub fn to_json(record: &ForwardRecord) -> Value {
    json!({
        "store": record.store,
        "id": record.id,
        "step": record.step,
        "forwarded_ms": record.forwarded_ms,
        "failing_since_ms": record.failing_since_ms,
        "failure": record.failure,
        "closed": record.closed,
        "kept_bytes": record.kept_bytes,
        "kept_since_ms": record.kept_since_ms,
    })
}
