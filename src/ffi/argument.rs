//! What comes in from C: strings, arrays and structs, each checked as far as a pointer can be.
//!
//! Every error names the argument as the header does. Strings are borrowed for the call and never
//! copied here. A string that C measured (`*_n`) may hold NUL bytes; whether an event may is for
//! `event.rs` to say.

use std::ffi::{CStr, c_char};

use crate::error::{Error, ErrorKind, Result};

/// The error for a NULL where there may be none.
pub(super) fn null(name: &str) -> Error {
    invalid(format!("{name} is NULL"))
}

/// An error about the arguments of a call.
pub(super) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

/// A NUL-terminated string that must be there.
///
/// # Safety
/// `text` is NULL or NUL-terminated, and lives for `'a`.
pub(super) unsafe fn required<'a>(name: &str, text: *const c_char) -> Result<&'a str> {
    // SAFETY: passed on.
    unsafe { optional(name, text) }?.ok_or_else(|| null(name))
}

/// A NUL-terminated string; NULL is `None`.
///
/// # Safety
/// `text` is NULL or NUL-terminated, and lives for `'a`.
pub(super) unsafe fn optional<'a>(name: &str, text: *const c_char) -> Result<Option<&'a str>> {
    // SAFETY: passed on.
    let bytes = unsafe { optional_bytes(text) };
    bytes.map(|bytes| utf8(name, bytes)).transpose()
}

/// The bytes of a NUL-terminated string that must be there; nobody has looked whether they are UTF-8.
///
/// # Safety
/// `text` is NULL or NUL-terminated, and lives for `'a`.
pub(super) unsafe fn required_bytes<'a>(name: &str, text: *const c_char) -> Result<&'a [u8]> {
    // SAFETY: passed on.
    unsafe { optional_bytes(text) }.ok_or_else(|| null(name))
}

/// The bytes of a NUL-terminated string; NULL is `None`.
///
/// # Safety
/// `text` is NULL or NUL-terminated, and lives for `'a`.
pub(super) unsafe fn optional_bytes<'a>(text: *const c_char) -> Option<&'a [u8]> {
    // SAFETY: NUL-terminated and alive (contract above).
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_bytes())
}

/// The bytes of a string of `len` bytes that must be there.
///
/// # Safety
/// `text` is NULL or holds `len` bytes, and lives for `'a`.
pub(super) unsafe fn required_n<'a>(
    name: &str,
    text: *const c_char,
    len: usize,
) -> Result<&'a [u8]> {
    // SAFETY: passed on.
    unsafe { optional_n(name, text, len) }?.ok_or_else(|| null(name))
}

/// The bytes of a string of `len` bytes; NULL with length 0 is `None`.
///
/// # Safety
/// `text` is NULL or holds `len` bytes, and lives for `'a`.
pub(super) unsafe fn optional_n<'a>(
    name: &str,
    text: *const c_char,
    len: usize,
) -> Result<Option<&'a [u8]>> {
    if text.is_null() && len == 0 {
        return Ok(None);
    }
    // SAFETY: NULL or `len` bytes (contract above).
    unsafe { array(name, text.cast::<u8>(), len) }.map(Some)
}

/// An array of `count` elements. NULL is the empty array, as in an empty `std::vector`.
///
/// # Safety
/// `first` is NULL or points to `count` initialised elements that live for `'a`.
pub(super) unsafe fn array<'a, T>(name: &str, first: *const T, count: usize) -> Result<&'a [T]> {
    if first.is_null() {
        return match count {
            0 => Ok(&[]),
            _ => Err(null(name)),
        };
    }
    if count > isize::MAX as usize / size_of::<T>() {
        return Err(invalid(format!(
            "{name}: a length of {count} is more than memory holds"
        )));
    }
    if !first.is_aligned() {
        return Err(invalid(format!("{name} is not aligned for its type")));
    }
    // SAFETY: not NULL, aligned, within bounds, initialised and alive (checked, and contract above).
    Ok(unsafe { std::slice::from_raw_parts(first, count) })
}

fn utf8<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a str> {
    // The bytes stay out of the message: this may be a bearer token.
    std::str::from_utf8(bytes).map_err(|cause| {
        invalid(format!(
            "{name} is not UTF-8 (at byte {})",
            cause.valid_up_to()
        ))
    })
}
