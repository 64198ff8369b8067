//! The fields of an event as a caller gives them, and the rules that they are checked by.

use super::received_at::UtcOffset;

/// The five fields of an event as a caller gives them.
///
/// It has no `Debug`, because `token` is a user's secret.
#[derive(Clone, Copy)]
pub struct Fields<'a> {
    /// The unique token of the user; not empty.
    pub token: &'a str,
    /// The unique ID of the user at the partner; not empty.
    pub partner_user_id: &'a str,
    /// The name of an [`EventKind`](super::EventKind).
    pub event: &'a str,
    /// More about the event. It is always sent as a JSON string, and `None` as `null`.
    pub event_value: Option<&'a str>,
    /// When the event happened: `YYYY-MM-DD HH:MM:SS` is sent unchanged, RFC 3339 is converted to
    /// [`Rules::utc_offset`], and `None` is the current time.
    pub received_at: Option<&'a str>,
}

/// The five fields as unchecked bytes, as they come from C.
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

/// The options that the checks of an event depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The UTC offset that times are converted to.
    pub utc_offset: UtcOffset,
    /// Maximum size of one encoded event, in bytes.
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
