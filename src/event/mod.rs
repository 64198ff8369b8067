//! An event: its five fields checked, and encoded once to the JSON that the wire will carry.
//!
//! The encoded form, a *fragment*, is what the journal stores, what the store packs into runs and
//! what a request concatenates; nothing is ever parsed and serialised again:
//!
//! ```json
//! {"token":"t","partner_user_id":"u","event":"video","event_value":null,"received_at":"2024-08-06 15:04:05"}
//! ```
//!
//! Its members always stand in this order without spaces, and a text has only one way to be
//! escaped. So [`user_of`] finds the user of a fragment by scanning, and compares users as bytes.
//! No error ever quotes a `token`: it is a user's secret.

mod batch;
mod escape;
mod json;
mod received_at;

use std::fmt;

use crate::error::{Error, ErrorKind, Result};
use crate::spelling::{hint, quoted};

pub use batch::Batch;
pub use json::{encode_json, encode_json_event};
pub use received_at::UtcOffset;

const TOKEN: &[u8] = br#"{"token":""#;
const USER: &[u8] = br#"","partner_user_id":""#;
const EVENT: &[u8] = br#"","event":""#;
const EVENT_VALUE: &[u8] = br#"","event_value":"#;
const RECEIVED_AT: &[u8] = br#","received_at":""#;
const END: &[u8] = br#""}"#;

/// The bytes of a fragment that are neither the caller's texts nor escapes, rounded up.
const FRAME_BYTES: usize = 128;

/// What the user did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// The user registered.
    Register,
    /// The user signed in.
    Signin,
    /// The user consumed audio content.
    Audio,
    /// The user consumed video content.
    Video,
    /// The user consumed content other than audio or video.
    Content,
}

impl EventKind {
    /// Every kind, in the order of the API's documentation.
    pub const ALL: [Self; 5] = [
        Self::Register,
        Self::Signin,
        Self::Audio,
        Self::Video,
        Self::Content,
    ];

    /// The name that the API knows it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Signin => "signin",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Content => "content",
        }
    }

    /// The kind with this [`name`](Self::name), in lower case as the API writes it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The five fields of an event as a caller gives them.
///
/// It has no `Debug`, because `token` is a user's secret.
#[derive(Clone, Copy)]
pub struct Fields<'a> {
    /// The unique token of the user who did it; not empty.
    pub token: &'a str,
    /// The user's unique id at the partner; not empty.
    pub partner_user_id: &'a str,
    /// The name of an [`EventKind`].
    pub event: &'a str,
    /// Anything more about the event, always sent as a JSON string; `None` is sent as `null`.
    pub event_value: Option<&'a str>,
    /// When it happened: `YYYY-MM-DD HH:MM:SS` passes unchanged, RFC 3339 is converted to
    /// [`Rules::utc_offset`]; `None` is now.
    pub received_at: Option<&'a str>,
}

/// The same as bytes that nobody has looked at, as they come from C.
#[derive(Clone, Copy)]
pub(crate) struct RawFields<'a> {
    pub(crate) token: &'a [u8],
    pub(crate) partner_user_id: &'a [u8],
    pub(crate) event: &'a [u8],
    pub(crate) event_value: Option<&'a [u8]>,
    pub(crate) received_at: Option<&'a [u8]>,
}

impl<'a> From<&Fields<'a>> for RawFields<'a> {
    fn from(fields: &Fields<'a>) -> Self {
        Self {
            token: fields.token.as_bytes(),
            partner_user_id: fields.partner_user_id.as_bytes(),
            event: fields.event.as_bytes(),
            event_value: fields.event_value.map(str::as_bytes),
            received_at: fields.received_at.map(str::as_bytes),
        }
    }
}

/// What the checks need to know of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The offset that times are converted to.
    pub utc_offset: UtcOffset,
    /// The most bytes that one encoded event may take.
    pub max_event_bytes: usize,
}

impl Default for Rules {
    /// UTC and 64 KiB, the defaults of the configuration.
    fn default() -> Self {
        Self {
            utc_offset: UtcOffset::UTC,
            max_event_bytes: 65_536,
        }
    }
}

/// Checks the fields and appends their fragment to `out`; allocates nothing while `out` has room.
///
/// `now_wall_ms` is the wall time in milliseconds, for an event without `received_at`.
///
/// # Errors
/// [`ErrorKind::InvalidEvent`] names the field and what is wrong with it; `out` is then as before.
pub fn encode(
    fields: &Fields<'_>,
    rules: &Rules,
    now_wall_ms: i64,
    out: &mut Vec<u8>,
) -> Result<()> {
    encode_raw(&fields.into(), rules, now_wall_ms, out)
}

/// [`encode`], also for what is not UTF-8: that is an [`ErrorKind::InvalidArgument`].
pub(crate) fn encode_raw(
    fields: &RawFields<'_>,
    rules: &Rules,
    now_wall_ms: i64,
    out: &mut Vec<u8>,
) -> Result<()> {
    let value = fields.event_value.map_or(Value::Null, Value::Text);
    push_fragment(fields, value, rules, now_wall_ms, out)
}

/// An `event_value` on its way into a fragment.
#[derive(Clone, Copy)]
enum Value<'a> {
    Null,
    /// Becomes a JSON string.
    Text(&'a [u8]),
    /// Is checked JSON already and kept byte for byte.
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

/// Appends the fragment of `fields` with `value` in place of their own `event_value`.
fn push_fragment(
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
    let kind = EventKind::ALL
        .into_iter()
        .find(|kind| kind.name().as_bytes() == fields.event)
        .ok_or_else(|| unknown_kind(fields.event))?;
    // Escaping never shortens, so a text that is too long is refused before it is copied.
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

/// The bytes stay out of the message: they may be a token.
fn not_utf8(name: &str, at: usize) -> Error {
    Error::new(
        ErrorKind::InvalidArgument,
        format!("{name} is not UTF-8 (at byte {at})"),
    )
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

/// The field that an error of this module is about; `None` if it is about the event as a whole.
pub fn field_of(error: &Error) -> Option<&'static str> {
    let message = error.message();
    json::MEMBERS
        .into_iter()
        .find(|field| match message.strip_prefix(field) {
            Some(what) => what.starts_with([':', ' ']),
            None => false,
        })
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidEvent, message)
}

/// The escaped `partner_user_id` inside a fragment made by this module.
///
/// Equal users have equal bytes; see [`escaped_user`] and [`user_text`]. Bytes that are not a
/// fragment have no user: the answer is empty.
pub fn user_of(fragment: &[u8]) -> &[u8] {
    user_and_rest(fragment).unwrap_or_default().0
}

/// The user, and what follows from its closing quote on.
fn user_and_rest(fragment: &[u8]) -> Option<(&[u8], &[u8])> {
    let token_on = fragment.strip_prefix(TOKEN)?;
    let token = escape::until_quote(token_on)?;
    let user_on = token_on[token.len()..].strip_prefix(USER)?;
    let user = escape::until_quote(user_on)?;
    Some((user, &user_on[user.len()..]))
}

/// The user of a fragment as [`user_of`] gives it, and the event's kind; `None` for bytes that are no
/// fragment.
pub(crate) fn user_and_kind(fragment: &[u8]) -> Option<(&[u8], EventKind)> {
    let (user, behind) = user_and_rest(fragment)?;
    let name = escape::until_quote(behind.strip_prefix(EVENT)?)?;
    let kind = EventKind::ALL
        .into_iter()
        .find(|kind| kind.name().as_bytes() == name)?;
    Some((user, kind))
}

/// `user` as [`user_of`] would give it, to look a user's events up by equality.
pub fn escaped_user(user: &str) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(user.len());
    let pushed = escape::push(user.as_bytes(), &mut escaped);
    debug_assert_eq!(pushed, Ok(()));
    escaped
}

/// The text of a user given by [`user_of`]; empty if the bytes are not an escaped text.
pub fn user_text(escaped: &[u8]) -> String {
    escape::text(escaped).unwrap_or_default()
}

#[cfg(test)]
mod tests;
