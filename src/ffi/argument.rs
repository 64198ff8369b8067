//! Input from C: strings and arrays, checked as far as a pointer can be checked.
//!
//! Every error names the argument as the header does. Strings are borrowed for the call and never
//! copied here. A string with a length (`*_n`) may contain NUL bytes; `event.rs` decides whether an
//! event may.

use std::ffi::{CStr, c_char};

use crate::error::{Error, ErrorKind, Result};

/// The error for a NULL where NULL is not allowed.
pub(super) fn null_argument(name: &str) -> Error {
    invalid_argument(format!("{name} is NULL"))
}

/// An error about the arguments of a call.
pub(super) fn invalid_argument(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

/// A NUL-terminated string; NULL is an error.
///
/// # Safety
/// `text` is NULL or NUL-terminated, and lives for `'a`.
pub(super) unsafe fn required<'a>(name: &str, text: *const c_char) -> Result<&'a str> {
    // SAFETY: passed on.
    unsafe { optional(name, text) }?.ok_or_else(|| null_argument(name))
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

/// The bytes of a NUL-terminated string, UTF-8 or not; NULL is an error.
///
/// # Safety
/// `text` is NULL or NUL-terminated, and lives for `'a`.
pub(super) unsafe fn required_bytes<'a>(name: &str, text: *const c_char) -> Result<&'a [u8]> {
    // SAFETY: passed on.
    unsafe { optional_bytes(text) }.ok_or_else(|| null_argument(name))
}

/// The bytes of a NUL-terminated string; NULL is `None`.
///
/// # Safety
/// `text` is NULL or NUL-terminated, and lives for `'a`.
pub(super) unsafe fn optional_bytes<'a>(text: *const c_char) -> Option<&'a [u8]> {
    // SAFETY: NUL-terminated and alive (contract above).
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_bytes())
}

/// The bytes of a string of `len` bytes; NULL is an error.
///
/// # Safety
/// `text` is NULL or holds `len` bytes, and lives for `'a`.
pub(super) unsafe fn required_n<'a>(
    name: &str,
    text: *const c_char,
    len: usize,
) -> Result<&'a [u8]> {
    // SAFETY: passed on.
    unsafe { optional_n(name, text, len) }?.ok_or_else(|| null_argument(name))
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
            _ => Err(null_argument(name)),
        };
    }
    if count > isize::MAX as usize / size_of::<T>() {
        return Err(invalid_argument(format!(
            "{name}: a length of {count} is more than memory can hold"
        )));
    }
    if !first.is_aligned() {
        return Err(invalid_argument(format!(
            "{name} is not aligned for its type"
        )));
    }
    // SAFETY: not NULL, aligned and in bounds (checked above); initialised and alive (contract).
    Ok(unsafe { std::slice::from_raw_parts(first, count) })
}

fn utf8<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a str> {
    // The message does not quote the bytes, because they may be a bearer token.
    std::str::from_utf8(bytes).map_err(|cause| {
        invalid_argument(format!(
            "{name} is not UTF-8 (at byte {})",
            cause.valid_up_to()
        ))
    })
}
