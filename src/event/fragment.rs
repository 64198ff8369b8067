//! The layout of a fragment, and the user and kind that are read out of one.

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
    Some((user, EventKind::from_name(name)?))
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
