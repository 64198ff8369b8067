//! Output to C: out parameters, and strings that end with a NUL.
//!
//! Every output is blank before anything can fail, so that a caller never reads an uninitialised
//! value.

use std::ffi::c_char;

use crate::error::Result;

use super::argument::null_argument;

/// An out parameter that must not be NULL. It holds `blank` until the export fills it.
///
/// # Safety
/// `to` is NULL or a writable `T`, and nothing else uses it for `'a`.
pub(super) unsafe fn out_param<'a, T>(name: &str, to: *mut T, blank: T) -> Result<&'a mut T> {
    // SAFETY: passed on.
    unsafe { optional_out_param(to, blank) }.ok_or_else(|| null_argument(name))
}

/// An out parameter that may be NULL. It holds `blank` until the export fills it.
///
/// # Safety
/// `to` is NULL or a writable `T`, and nothing else uses it for `'a`.
pub(super) unsafe fn optional_out_param<'a, T>(to: *mut T, blank: T) -> Option<&'a mut T> {
    if to.is_null() {
        return None;
    }
    // SAFETY: not NULL, writable and used by nothing else (contract above). The write initialises
    // it.
    unsafe {
        to.write(blank);
        Some(&mut *to)
    }
}

/// `text` as a NUL-terminated array; a longer text is cut between two characters.
pub(super) fn truncated<const N: usize>(text: &str) -> [c_char; N] {
    let mut end = text.len().min(N.saturating_sub(1));
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut array = [0; N];
    for (to, from) in array.iter_mut().zip(without_nul(&text.as_bytes()[..end])) {
        *to = from as c_char;
    }
    array
}

/// A string for C, with a NUL at its end.
pub(super) struct Terminated(Vec<u8>);

impl Terminated {
    /// `text` as it is. It may contain NUL bytes, so C needs [`len`](Self::len) to read all of it.
    pub(super) fn exact(text: String) -> Self {
        let mut bytes = text.into_bytes();
        bytes.push(0);
        Self(bytes)
    }

    /// `text` for readers that have no length: each NUL inside becomes a question mark.
    pub(super) fn readable(text: &str) -> Self {
        Self(without_nul(text.as_bytes()).chain([0]).collect())
    }

    pub(super) fn as_ptr(&self) -> *const c_char {
        self.0.as_ptr().cast()
    }

    /// The length in bytes, without the NUL at the end.
    pub(super) fn len(&self) -> usize {
        self.0.len() - 1
    }
}

/// `bytes` with a question mark for each NUL, which would hide the bytes after it.
fn without_nul(bytes: &[u8]) -> impl Iterator<Item = u8> {
    bytes
        .iter()
        .map(|&byte| if byte == 0 { b'?' } else { byte })
}
