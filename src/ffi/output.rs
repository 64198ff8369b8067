//! What goes out to C: places for handles and numbers, structs that may grow, and texts that must fit.
//!
//! A place is blanked before anything can fail, so that a caller never reads what was not written.
//! A struct of an older or newer caller is recognised by the `struct_size` that the caller set:
//! no byte beyond it is ever touched.

use std::ffi::c_char;

use crate::error::Result;

use super::argument::null;

/// A place that must be given; it holds `blank` until the caller of this function fills it.
///
/// # Safety
/// `to` is NULL or a writable `T`, and nobody else uses it for `'a`.
pub(super) unsafe fn out_param<'a, T>(name: &str, to: *mut T, blank: T) -> Result<&'a mut T> {
    // SAFETY: passed on.
    unsafe { optional_out_param(to, blank) }.ok_or_else(|| null(name))
}

/// A place that may be NULL when the caller does not care.
///
/// # Safety
/// `to` is NULL or a writable `T`, and nobody else uses it for `'a`.
pub(super) unsafe fn optional_out_param<'a, T>(to: *mut T, blank: T) -> Option<&'a mut T> {
    if to.is_null() {
        return None;
    }
    // SAFETY: not NULL, writable, ours alone (contract above), and initialised by the write.
    unsafe {
        to.write(blank);
        Some(&mut *to)
    }
}

/// `text` as a NUL-terminated array, cut where a character ends.
pub(super) fn fitted<const N: usize>(text: &str) -> [c_char; N] {
    let mut end = text.len().min(N.saturating_sub(1));
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut array = [0; N];
    for (to, from) in array.iter_mut().zip(visible(&text.as_bytes()[..end])) {
        *to = from as c_char;
    }
    array
}

/// A text that C reads until its NUL.
pub(super) struct Terminated(Vec<u8>);

impl Terminated {
    /// `text` with a NUL after it; what it holds itself stays and is counted by [`len`](Self::len).
    pub(super) fn exact(text: String) -> Self {
        let mut bytes = text.into_bytes();
        bytes.push(0);
        Self(bytes)
    }

    /// `text` for readers who have no length: a NUL inside becomes a question mark.
    pub(super) fn readable(text: &str) -> Self {
        Self(visible(text.as_bytes()).chain([0]).collect())
    }

    pub(super) fn as_ptr(&self) -> *const c_char {
        self.0.as_ptr().cast()
    }

    /// In bytes, without the NUL after it.
    pub(super) fn len(&self) -> usize {
        self.0.len() - 1
    }
}

/// A NUL inside would hide what follows it.
fn visible(bytes: &[u8]) -> impl Iterator<Item = u8> {
    bytes
        .iter()
        .map(|&byte| if byte == 0 { b'?' } else { byte })
}
