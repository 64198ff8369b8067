//! The error that a call fills in: one frozen struct, owned by the caller.
//!
//! It has no `struct_size` because it will never grow; what a later version has to add goes into
//! `reserved`. A success does not zero the 640 bytes, because an enqueue is shorter than that.

use std::ffi::c_char;
use std::marker::PhantomData;

use crate::error::Error;

use super::output::fitted;
use super::status::{meditopia_status, pause_number, status_of};

/// What went wrong. Any function accepts NULL in its place.
///
/// The caller owns it and need not initialise it: every call fills it in, after a success with
/// that status, no numbers and empty strings. Its layout is frozen for ever. One struct belongs to
/// one call at a time.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct meditopia_error {
    /// What the call returned.
    pub status: i32,
    /// HTTP status of the API's answer that led here; 0: none.
    pub http_status: i32,
    /// 1: the same call may succeed later without any change by the caller. 0: it will not.
    pub retryable: i32,
    /// One of `meditopia_pause_reason`; not `MEDITOPIA_PAUSE_NONE` only with
    /// `MEDITOPIA_ERROR_PAUSED`.
    pub pause_reason: i32,
    /// Which event of the call is meant, counted from 0; -1: none.
    pub event_index: i64,
    /// The API's own code, such as "A_1002"; empty: none. NUL-terminated UTF-8.
    pub api_code: [c_char; 32],
    /// What happened, to what, and what to do next. NUL-terminated UTF-8, cut between two
    /// characters where it is too long. Never contains a bearer token.
    pub message: [c_char; 512],
    /// Zero; a later version may give them a meaning.
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
            api_code: fitted(error.api_code().unwrap_or_default()),
            message: fitted(error.message()),
            reserved: [0; 9],
        }
    }
}

/// Where the caller wants to read what went wrong, if at all.
pub(super) struct ErrorSlot<'a> {
    to: *mut meditopia_error,
    lives: PhantomData<&'a mut meditopia_error>,
}

impl ErrorSlot<'_> {
    /// The caller's struct, or NULL.
    ///
    /// # Safety
    /// `to` is NULL or a writable `meditopia_error`, initialised or not, that nobody else uses
    /// while this value lives.
    pub(super) unsafe fn new(to: *mut meditopia_error) -> Self {
        Self {
            to,
            lives: PhantomData,
        }
    }

    /// Says what went wrong.
    pub(super) fn put(self, error: &Error) {
        if !self.to.is_null() {
            // SAFETY: not NULL, writable and ours alone (contract of `new`).
            unsafe { self.to.write(error.into()) };
        }
    }

    /// Says that nothing went wrong.
    pub(super) fn clear(self, status: meditopia_status) {
        if self.to.is_null() {
            return;
        }
        // SAFETY: not NULL, writable and ours alone (contract of `new`). Only places are formed, no
        // reference to a struct that may be uninitialised.
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
