//! Texts of any length that the library makes and the caller frees.

use std::ffi::c_char;

use super::handle::{Handle, Shared, free, give, shared};
use super::output::Terminated;
use super::panic::guard_or;

/// A UTF-8 text made by the library. It never changes, so any number of threads may read it at the
/// same time. The caller frees it once with `meditopia_text_free`. It stays valid when the client
/// or the config that it came from is freed.
pub struct meditopia_text {
    text: Terminated,
}

impl Handle for meditopia_text {
    type Access = Shared;
}

impl meditopia_text {
    /// A text for C to free.
    pub(super) fn give(text: String) -> *mut Self {
        give(Self {
            text: Terminated::exact(text),
        })
    }
}

/// The bytes of a text, NUL-terminated. They stay valid until `meditopia_text_free`.
///
/// Returns NULL for NULL. Callable from any thread; does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_text_data(text: *const meditopia_text) -> *const c_char {
    guard_or(std::ptr::null(), || {
        // SAFETY: the header demands NULL or a live text.
        let text = unsafe { shared("text", text) };
        text.map_or(std::ptr::null(), |text| text.text.as_ptr())
    })
}

/// The length of a text in bytes, without the NUL at its end.
///
/// Returns 0 for NULL. Callable from any thread; does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_text_len(text: *const meditopia_text) -> usize {
    guard_or(0, || {
        // SAFETY: the header demands NULL or a live text.
        let text = unsafe { shared("text", text) };
        text.map_or(0, |text| text.text.len())
    })
}

/// Frees a text. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_text_free(text: *mut meditopia_text) {
    guard_or((), || {
        // SAFETY: the header demands NULL or a text that no other call uses or has freed.
        unsafe { free(text) }
    });
}
