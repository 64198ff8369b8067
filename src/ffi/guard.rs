//! What every fallible export runs under: it turns the outcome of its body into a status and fills
//! in the caller's error.

use crate::error::{Error, ErrorKind, Result};

use super::error::{ErrorSlot, meditopia_error};
use super::panic::catch_panic;
use super::status::{meditopia_status, meditopia_status_code, status_of};

/// What a fallible export has to say when nothing went wrong.
pub(super) trait Outcome {
    fn status(self) -> meditopia_status;
}

impl Outcome for () {
    fn status(self) -> meditopia_status {
        meditopia_status_code::MEDITOPIA_OK as meditopia_status
    }
}

/// One step through a list: `MEDITOPIA_OK` with something, or `MEDITOPIA_DONE`.
pub(super) enum Step {
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
pub(super) fn guard<T: Outcome>(
    error: *mut meditopia_error,
    work: impl FnOnce() -> Result<T>,
) -> meditopia_status {
    // SAFETY: NULL, or a writable struct that is this call's until it returns: the header demands
    // it of the application, and only exports call this function (see above).
    let slot = unsafe { ErrorSlot::new(error) };
    let outcome = match catch_panic(work) {
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
