//! The C door: what `include/meditopia.h` declares.
//!
//! Every function here converts its arguments, delegates to [`crate::client`] or
//! [`crate::config`], and converts what comes back; a decision about events belongs to them. The
//! doc comments of the exports *are* the header's documentation, so they speak C and not Rust:
//! cbindgen copies them, and `tests/headers.rs` compares the result with the committed headers.
//! cbindgen does not see what a macro makes, so no export comes from one.
//!
//! A panic must not cross into the host: every export runs under [`guard`] or [`guard_or`], which
//! turn it into `MEDITOPIA_ERROR_INTERNAL` or into an empty value. There is no thread-local "last
//! error" to read after a call; each call writes into the `meditopia_error` that it was given.
//!
//! This module is not the place where forks are noticed or threads are kept apart: the client
//! behind a handle is shared by reference and does both.

// The types carry the names that a C programmer reads, and the comments are C's, not Markdown.
#![allow(non_camel_case_types, rustdoc::bare_urls)]

mod argument;
mod client;
mod config;
mod cursor;
mod enqueue;
mod error;
mod handle;
mod log;
mod output;
mod receipts;
mod rejected;
mod report;
mod stats;
mod status;
mod text;
mod version;

#[cfg(test)]
mod tests;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, ErrorKind, Result};

use error::{ErrorSlot, meditopia_error};
use status::{meditopia_status, meditopia_status_code, status_of};

#[cfg(panic = "abort")]
compile_error!(
    "libmeditopia promises its host that no panic ends the process; build it with panic = \"unwind\""
);

/// What a fallible export has to say when nothing went wrong.
trait Outcome {
    fn status(self) -> meditopia_status;
}

impl Outcome for () {
    fn status(self) -> meditopia_status {
        meditopia_status_code::MEDITOPIA_OK as meditopia_status
    }
}

/// One step through a list: `MEDITOPIA_OK` with something, or `MEDITOPIA_DONE`.
enum Step {
    Given,
    Done,
}

impl Outcome for Step {
    fn status(self) -> meditopia_status {
        match self {
            Self::Given => meditopia_status_code::MEDITOPIA_OK as meditopia_status,
            Self::Done => meditopia_status_code::MEDITOPIA_DONE as meditopia_status,
        }
    }
}

/// Runs the body of a fallible export: reports its error, or its panic, to the caller.
///
/// Only an export may call this function, or a function that exports share, and only with the
/// `error` of its caller: the header demands NULL there, or a struct that no other call uses. An
/// unsafe function would make every export repeat that sentence and prove nothing more, because
/// Rust sees none of the callers.
fn guard<T: Outcome>(
    error: *mut meditopia_error,
    work: impl FnOnce() -> Result<T>,
) -> meditopia_status {
    // SAFETY: NULL, or a writable struct that is this call's until it returns: the header demands
    // it of the application, and only exports call this function (see above).
    let slot = unsafe { ErrorSlot::new(error) };
    let outcome = match caught(work) {
        Ok(outcome) => outcome,
        Err(message) => Err(Error::new(
            ErrorKind::Internal,
            format!("a defect of libmeditopia, please report it: {message}"),
        )),
    };
    match outcome {
        Ok(done) => {
            let status = done.status();
            slot.clear(status);
            status
        }
        Err(error) => {
            slot.put(&error);
            status_of(error.kind())
        }
    }
}

/// Runs the body of an export that cannot fail; after a panic it returns `fallback`.
fn guard_or<T>(fallback: T, work: impl FnOnce() -> T) -> T {
    caught(work).unwrap_or(fallback)
}

/// Runs `work`; the message of its panic, if it panics.
fn caught<T>(work: impl FnOnce() -> T) -> std::result::Result<T, String> {
    // A panic may leave what `work` touched half changed. What outlives the call is behind the
    // client's own locks, and those decide what a poisoned one means.
    catch_unwind(AssertUnwindSafe(|| {
        #[cfg(test)]
        tests::panics::strike();
        work()
    }))
    .map_err(panic_message)
}

fn panic_message(payload: Box<dyn Any + Send>) -> String {
    if let Some(message) = payload.downcast_ref::<&str>() {
        return (*message).to_owned();
    }
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(unknown) => {
            // Its destructor is foreign code and might panic again, now outside of any guard.
            std::mem::forget(unknown);
            "a panic without a message".to_owned()
        }
    }
}
