//! The error that a call fills in: one struct of a frozen layout, owned by the caller.
//!
//! It has no `struct_size` because it never grows: a later version puts additions into `reserved`.
//! A success does not zero all 640 bytes, because that would take longer than an enqueue.

use std::ffi::c_char;
use std::marker::PhantomData;

use crate::error::Error;

use super::output::truncated;
use super::status::{meditopia_status, pause_number, status_of};

/// What went wrong in a call. Every function accepts NULL in place of this struct.
///
/// The caller owns the struct and need not initialise it, because every call fills it in. After a
/// success it holds that status, and every other field says that there is nothing: 0, an empty
/// string, or -1 for `event_index`. The layout never changes. Only one call at a time may use one
/// struct.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct meditopia_error {
    /// The status that the call returned.
    pub status: i32,
    /// HTTP status of the API's answer that led to the error; 0: none.
    pub http_status: i32,
    /// 1: the same call may succeed later without any change by the caller. 0: it will not.
    pub retryable: i32,
    /// One of `meditopia_pause_reason`. It differs from `MEDITOPIA_PAUSE_NONE` only with
    /// `MEDITOPIA_ERROR_PAUSED`.
    pub pause_reason: i32,
    /// Which event of the call the error is about, counted from 0; -1: none.
    pub event_index: i64,
    /// The API's error code, such as "A_1002"; empty: none. NUL-terminated UTF-8.
    pub api_code: [c_char; 32],
    /// What happened, to what, and what to do next. NUL-terminated UTF-8; a longer text is cut
    /// between two characters. Never contains a bearer token.
    pub message: [c_char; 512],
    /// Zero. A later version may give these bytes a meaning.
    pub reserved: [u64; 9],
}

impl From<&Error> for meditopia_error {
    fn from(error: &Error) -> Self {
        Self {
            status: status_of(error.kind()),
            http_status: error.http_status().map_or(0, i32::from),
            retryable: i32::from(error.is_retryable()),
            pause_reason: pause_number(error.pause_reason()),
            event_index: error
                .event_index()
                .and_then(|at| i64::try_from(at).ok())
                .unwrap_or(-1),
            api_code: truncated(error.api_code().unwrap_or_default()),
            message: truncated(error.message()),
            reserved: [0; 9],
        }
    }
}

/// The place where a call reports its outcome, unless the caller passed NULL.
pub(super) struct ErrorSlot<'a> {
    to: *mut meditopia_error,
    lives: PhantomData<&'a mut meditopia_error>,
}

impl ErrorSlot<'_> {
    /// The caller's struct, or NULL.
    ///
    /// # Safety
    /// `to` is NULL or a writable `meditopia_error`, initialised or not, that nothing else uses
    /// while this value lives.
    pub(super) unsafe fn new(to: *mut meditopia_error) -> Self {
        Self {
            to,
            lives: PhantomData,
        }
    }

    /// Writes the error.
    pub(super) fn put(self, error: &Error) {
        if !self.to.is_null() {
            // SAFETY: not NULL, writable and used by nothing else (contract of `new`).
            unsafe { self.to.write(error.into()) };
        }
    }

    /// Writes a success with this status.
    pub(super) fn clear(self, status: meditopia_status) {
        if self.to.is_null() {
            return;
        }
        // SAFETY: not NULL, writable and used by nothing else (contract of `new`). No reference is
        // made to the struct, because it may be uninitialised.
        unsafe {
            (&raw mut (*self.to).status).write(status);
            (&raw mut (*self.to).http_status).write(0);
            (&raw mut (*self.to).retryable).write(0);
            (&raw mut (*self.to).pause_reason).write(pause_number(None));
            (&raw mut (*self.to).event_index).write(-1);
            (&raw mut (*self.to).api_code).cast::<c_char>().write(0);
            (&raw mut (*self.to).message).cast::<c_char>().write(0);
            (&raw mut (*self.to).reserved).write([0; 9]);
        }
    }
}
