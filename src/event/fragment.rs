//! The layout of a fragment, and how its user and kind are read.

use memchr::memchr_iter;

use super::escape;
use super::kind::EventKind;

/// The names of a fragment's members, in their order.
pub(super) const MEMBERS: [&str; 5] = [
    "token",
    "partner_user_id",
    "event",
    "event_value",
    "received_at",
];

pub(super) const TOKEN: &[u8] = br#"{"token":""#;
pub(super) const USER: &[u8] = br#"","partner_user_id":""#;
pub(super) const EVENT: &[u8] = br#"","event":""#;
pub(super) const EVENT_VALUE: &[u8] = br#"","event_value":"#;
pub(super) const RECEIVED_AT: &[u8] = br#","received_at":""#;
pub(super) const END: &[u8] = br#""}"#;

/// The escaped `partner_user_id` in a fragment; empty for bytes that are not a fragment.
///
/// Equal users have equal bytes; see [`escaped_user`] and [`user_text`].
pub fn user_of(fragment: &[u8]) -> &[u8] {
    user_and_rest(fragment).unwrap_or_default().0
}

/// The user, and the rest of the fragment from the closing quote of the user on.
fn user_and_rest(fragment: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = fragment.strip_prefix(TOKEN)?;
    let token = escape::until_quote(rest)?;
    let rest = rest[token.len()..].strip_prefix(USER)?;
    let user = escape::until_quote(rest)?;
    Some((user, &rest[user.len()..]))
}

/// The user of a fragment, escaped as by [`user_of`], and the kind of the event; `None` for bytes
/// that are not a fragment.
pub(crate) fn user_and_kind(fragment: &[u8]) -> Option<(&[u8], EventKind)> {
    let (user, rest) = user_and_rest(fragment)?;
    let name = escape::until_quote(rest.strip_prefix(EVENT)?)?;
    Some((user, EventKind::from_bytes(name)?))
}

/// `user` escaped as in a fragment, to find the user's events by equality with [`user_of`].
pub fn escaped_user(user: &str) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(user.len());
    let pushed = escape::push(user.as_bytes(), &mut escaped);
    debug_assert_eq!(pushed, Ok(()));
    escaped
}

/// What stands in each fragment of this escaped user, and in no fragment of another one.
pub fn mark_of_user(escaped: &[u8]) -> Vec<u8> {
    [USER, escaped, EVENT].concat()
}

/// Whether `mark`, which [`mark_of_user`] has made, stands in `bytes`.
pub(crate) fn has_mark(bytes: &[u8], mark: &[u8]) -> bool {
    // The `_` in the name of the member: few other bytes of a fragment are one.
    const ANCHOR: usize = 10;
    memchr_iter(USER[ANCHOR], bytes).any(|at| {
        let from = at.checked_sub(ANCHOR);
        from.is_some_and(|from| bytes[from..].starts_with(mark))
    })
}

/// The text of an escaped user; empty if the bytes are not an escaped text.
pub fn user_text(escaped: &[u8]) -> String {
    escape::unescape(escaped).unwrap_or_default()
}
