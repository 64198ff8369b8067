//! The errors about an event: which field is wrong, and why.

use crate::error::{Error, ErrorKind};

use super::fragment::MEMBERS;

/// The field that an error of this module is about; `None` if the error is about the whole event.
pub fn field_of(error: &Error) -> Option<&'static str> {
    let message = error.message();
    MEMBERS
        .into_iter()
        .find(|field| match message.strip_prefix(field) {
            Some(what) => what.starts_with([':', ' ']),
            None => false,
        })
}

pub(super) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidEvent, message)
}

/// The message does not quote the bytes, because they may be a token.
pub(super) fn not_utf8(name: &str, at: usize) -> Error {
    Error::new(
        ErrorKind::InvalidArgument,
        format!("{name} is not UTF-8 (at byte {at})"),
    )
}
