//! The check of an event's fields, and their encoding to a fragment.

use crate::error::{Error, Result};
use crate::spelling::{hint, quoted};

use super::fields::{Fields, RawFields, Rules};
use super::fragment::{END, EVENT, EVENT_VALUE, RECEIVED_AT, TOKEN, USER};
use super::invalid::{invalid, not_utf8};
use super::kind::EventKind;
use super::{escape, received_at};

/// The bytes of a fragment that are neither the caller's texts nor escapes, rounded up.
pub(super) const FRAME_BYTES: usize = 128;

/// Checks the fields and appends their fragment to `out`. Allocates nothing while `out` has
/// capacity.
///
/// `now_wall_ms` is the wall time in milliseconds, for an event without `received_at`.
///
/// # Errors
/// [`ErrorKind::InvalidEvent`](crate::error::ErrorKind::InvalidEvent) names the field and what is
/// wrong with it; `out` is then as before.
pub fn encode(
    fields: &Fields<'_>,
    rules: &Rules,
    now_wall_ms: i64,
    out: &mut Vec<u8>,
) -> Result<()> {
    encode_raw(&fields.into(), rules, now_wall_ms, out)
}

/// [`encode`] of bytes. Bytes that are not UTF-8 are an
/// [`ErrorKind::InvalidArgument`](crate::error::ErrorKind::InvalidArgument).
pub(crate) fn encode_raw(
    fields: &RawFields<'_>,
    rules: &Rules,
    now_wall_ms: i64,
    out: &mut Vec<u8>,
) -> Result<()> {
    let value = fields.event_value.map_or(Value::Null, Value::Text);
    push_fragment(fields, value, rules, now_wall_ms, out)
}

/// The `event_value` of a fragment.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Null,
    /// A text, which becomes a JSON string.
    Text(&'a [u8]),
    /// Checked JSON, which is kept byte for byte.
    Json(&'a str),
}

impl Value<'_> {
    fn len(self) -> usize {
        match self {
            Self::Null => 0,
            Self::Text(text) => text.len(),
            Self::Json(json) => json.len(),
        }
    }

    fn push(self, out: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Json(json) => out.extend_from_slice(json.as_bytes()),
            Self::Text(text) => {
                out.push(b'"');
                push_text("event_value", text, out)?;
                out.push(b'"');
            }
        }
        Ok(())
    }
}

/// Appends the fragment of `fields`, with `value` instead of their `event_value`.
pub(super) fn push_fragment(
    fields: &RawFields<'_>,
    value: Value<'_>,
    rules: &Rules,
    now_wall_ms: i64,
    out: &mut Vec<u8>,
) -> Result<()> {
    let start = out.len();
    let pushed = push_checked(fields, value, rules, now_wall_ms, out)
        .and_then(|()| check_len(out.len() - start, rules));
    if pushed.is_err() {
        out.truncate(start);
    }
    pushed
}

fn push_checked(
    fields: &RawFields<'_>,
    value: Value<'_>,
    rules: &Rules,
    now_wall_ms: i64,
    out: &mut Vec<u8>,
) -> Result<()> {
    for (name, text) in [
        ("token", fields.token),
        ("partner_user_id", fields.partner_user_id),
    ] {
        if text.is_empty() {
            return Err(invalid(format!("{name}: is empty")));
        }
    }
    let kind = EventKind::from_bytes(fields.event).ok_or_else(|| unknown_kind(fields.event))?;
    // Escaping never shortens a text, so one that is too long is refused before it is copied.
    let texts = fields.token.len() + fields.partner_user_id.len() + value.len();
    check_len(texts, rules)?;

    out.reserve(texts + FRAME_BYTES);
    out.extend_from_slice(TOKEN);
    push_text("token", fields.token, out)?;
    out.extend_from_slice(USER);
    push_text("partner_user_id", fields.partner_user_id, out)?;
    out.extend_from_slice(EVENT);
    out.extend_from_slice(kind.name().as_bytes());
    out.extend_from_slice(EVENT_VALUE);
    value.push(out)?;
    out.extend_from_slice(RECEIVED_AT);
    match fields.received_at {
        Some(text) => received_at::push(text, rules.utc_offset, out)?,
        None => received_at::push_now(now_wall_ms, rules.utc_offset, out)?,
    }
    out.extend_from_slice(END);
    Ok(())
}

fn push_text(name: &str, text: &[u8], out: &mut Vec<u8>) -> Result<()> {
    escape::push(text, out).map_err(|cause| not_utf8(name, cause.valid_up_to))
}

fn check_len(bytes: usize, rules: &Rules) -> Result<()> {
    if bytes <= rules.max_event_bytes {
        return Ok(());
    }
    Err(invalid(format!(
        "the event takes {bytes} bytes or more; max_event_bytes is {}",
        rules.max_event_bytes
    )))
}

fn unknown_kind(name: &[u8]) -> Error {
    let name = match std::str::from_utf8(name) {
        Ok(name) => name,
        Err(cause) => return not_utf8("event", cause.valid_up_to()),
    };
    let known = EventKind::ALL.map(EventKind::name);
    invalid(format!(
        "event: {} is not one of {}{}",
        quoted(name),
        known.join(", "),
        hint(name, known)
    ))
}
