//! The frame of every export that can fail: turns the outcome of its body into a status, and fills
//! in the caller's error.

use crate::error::{Error, ErrorKind, Result};

use super::error::{ErrorSlot, meditopia_error};
use super::panic::catch_panic;
use super::status::{meditopia_status, meditopia_status_code, status_of};

/// What the body of a fallible export returns on success.
pub(super) trait Outcome {
    fn status(self) -> meditopia_status;
}

impl Outcome for () {
    fn status(self) -> meditopia_status {
        meditopia_status_code::MEDITOPIA_OK as meditopia_status
    }
}

/// One step through a list: an entry (`MEDITOPIA_OK`), or its end (`MEDITOPIA_DONE`).
pub(super) enum Step {
    Entry,
    Done,
}

impl Outcome for Step {
    fn status(self) -> meditopia_status {
        match self {
            Self::Entry => meditopia_status_code::MEDITOPIA_OK as meditopia_status,
            Self::Done => meditopia_status_code::MEDITOPIA_DONE as meditopia_status,
        }
    }
}

/// Runs the body of an export that can fail. An error or a panic of the body becomes the status and
/// is written to `error`.
///
/// Only exports and the functions that they share may call this function, and only with the `error`
/// that the caller passed: the header demands NULL, or a struct that no other call uses. If this
/// were an unsafe function, every export would have to repeat that argument, and it would prove
/// nothing more, because Rust sees none of the C callers.
pub(super) fn guard<T: Outcome>(
    error: *mut meditopia_error,
    work: impl FnOnce() -> Result<T>,
) -> meditopia_status {
    // SAFETY: only exports call this function (see above), and the header demands of their callers
    // NULL or a writable struct that no other call uses.
    let slot = unsafe { ErrorSlot::new(error) };
    let outcome = match catch_panic(work) {
        Ok(outcome) => outcome,
        Err(message) => Err(Error::new(
            ErrorKind::Internal,
            format!("a defect in libmeditopia; please report it: {message}"),
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
