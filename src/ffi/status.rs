//! What a call returns, why delivery is paused, and the numbers of both.
//!
//! The numbers are part of the ABI: a number never gets another meaning. The two matches on the
//! crate's own kinds are exhaustive, so a kind without a number does not compile.

use std::ffi::{CStr, c_char};

use crate::error::{ErrorKind, PauseReason};

use super::panic::guard_or;

/// The result of every function that can fail: one of `meditopia_status_code`.
///
/// 0 and above is success. Treat a negative number that you do not know like
/// `MEDITOPIA_ERROR_INTERNAL`, because a later version may add errors.
pub type meditopia_status = i32;

/// The values of `meditopia_status`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum meditopia_status_code {
    /// Success.
    MEDITOPIA_OK = 0,
    /// The end of a list or of the log: there is no further entry. This is a success.
    MEDITOPIA_DONE = 1,
    /// An argument is NULL where NULL is not allowed, is not UTF-8 or is out of range, or a
    /// `struct_size` is not set. The message names the argument. This is a mistake in the calling
    /// code.
    MEDITOPIA_ERROR_INVALID_ARGUMENT = -1,
    /// An event breaks a rule of the API. The message names the field, and `event_index` is the
    /// index of the event. Nothing was queued, not even the valid events of the same call.
    MEDITOPIA_ERROR_INVALID_EVENT = -2,
    /// The configuration is incomplete or contradictory, or a key or a value is not known.
    MEDITOPIA_ERROR_CONFIG = -3,
    /// Another client of this process has the same spool open with another value of an option. The
    /// message names the key.
    MEDITOPIA_ERROR_CONFLICT = -4,
    /// The spool belongs to another user, endpoint or account, or was copied or moved. An operator
    /// decides what to do (`meditopia adopt`).
    MEDITOPIA_ERROR_SPOOL_MISMATCH = -5,
    /// The disk is full, or the spool has reached `max_spool_bytes`. The events of this call were
    /// not queued; every event that was acknowledged before stays safe. Retryable.
    MEDITOPIA_ERROR_SPOOL_FULL = -6,
    /// The operating system refused a read or a write. If an enqueue fails with this error, its
    /// outcome is unknown: the event may still be delivered. Retryable.
    MEDITOPIA_ERROR_IO = -7,
    /// Delivery is paused; `pause_reason` says why. Every event is kept, and enqueue still works.
    /// Retryable.
    MEDITOPIA_ERROR_PAUSED = -8,
    /// The deadline passed first. Every event is kept, and delivery goes on. Retryable.
    MEDITOPIA_ERROR_TIMEOUT = -9,
    /// The client was closed before this call.
    MEDITOPIA_ERROR_CLOSED = -10,
    /// The store of the spool is damaged, or a newer version of the library wrote it. Enqueue still
    /// works.
    MEDITOPIA_ERROR_STORE = -11,
    /// Reserved; no version returns it. A forked process sends, flushes and lists like any other.
    MEDITOPIA_ERROR_FORKED = -12,
    /// A defect in this library, caught before it reached your code. Please report the message.
    MEDITOPIA_ERROR_INTERNAL = -13,
}

/// Why delivery is paused: the values of every `pause_reason` field. During a pause the library
/// keeps every event. Except during `MEDITOPIA_PAUSE_STORE_DAMAGED` and `MEDITOPIA_PAUSE_HOLD`, and
/// while it has no bearer token, the library sends one probe request at growing intervals (30 s to
/// 15 min); its answer can end the pause. A new process that sends, and `meditopia_flush`, have that
/// request sent at once, but never within 30 s of the last one. `meditopia_set_bearer_token` (if the
/// token was the cause) and `meditopia_resume` (except `MEDITOPIA_PAUSE_STORE_DAMAGED`) end a pause at once.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum meditopia_pause_reason {
    /// Delivery is not paused.
    MEDITOPIA_PAUSE_NONE = 0,
    /// The API refused the bearer token, or the sender has none.
    MEDITOPIA_PAUSE_AUTH = 1,
    /// The API does not accept requests from the address of this host. Ask Meditopia to allow the
    /// address.
    MEDITOPIA_PAUSE_IP = 2,
    /// The answers do not look like those of the Partners API: the URL is wrong, or a proxy
    /// answers.
    MEDITOPIA_PAUSE_MISROUTED = 3,
    /// The API refused events of many different users in a row, each alone in a request
    /// (`brake_users`). A mistake of the application is more likely than so many bad users.
    MEDITOPIA_PAUSE_MASS_REJECTION = 4,
    /// The API answers the same request with server errors again and again.
    MEDITOPIA_PAUSE_SERVER_ERROR = 5,
    /// The store cannot be trusted until an operator recovers it (`meditopia recover`).
    MEDITOPIA_PAUSE_STORE_DAMAGED = 6,
    /// An operator asked for it: `meditopia_hold`.
    MEDITOPIA_PAUSE_HOLD = 7,
}

/// Every status and its name.
pub(super) const NAMES: [(meditopia_status_code, &CStr); 15] = {
    use meditopia_status_code::*;
    [
        (MEDITOPIA_OK, c"MEDITOPIA_OK"),
        (MEDITOPIA_DONE, c"MEDITOPIA_DONE"),
        (
            MEDITOPIA_ERROR_INVALID_ARGUMENT,
            c"MEDITOPIA_ERROR_INVALID_ARGUMENT",
        ),
        (
            MEDITOPIA_ERROR_INVALID_EVENT,
            c"MEDITOPIA_ERROR_INVALID_EVENT",
        ),
        (MEDITOPIA_ERROR_CONFIG, c"MEDITOPIA_ERROR_CONFIG"),
        (MEDITOPIA_ERROR_CONFLICT, c"MEDITOPIA_ERROR_CONFLICT"),
        (
            MEDITOPIA_ERROR_SPOOL_MISMATCH,
            c"MEDITOPIA_ERROR_SPOOL_MISMATCH",
        ),
        (MEDITOPIA_ERROR_SPOOL_FULL, c"MEDITOPIA_ERROR_SPOOL_FULL"),
        (MEDITOPIA_ERROR_IO, c"MEDITOPIA_ERROR_IO"),
        (MEDITOPIA_ERROR_PAUSED, c"MEDITOPIA_ERROR_PAUSED"),
        (MEDITOPIA_ERROR_TIMEOUT, c"MEDITOPIA_ERROR_TIMEOUT"),
        (MEDITOPIA_ERROR_CLOSED, c"MEDITOPIA_ERROR_CLOSED"),
        (MEDITOPIA_ERROR_STORE, c"MEDITOPIA_ERROR_STORE"),
        (MEDITOPIA_ERROR_FORKED, c"MEDITOPIA_ERROR_FORKED"),
        (MEDITOPIA_ERROR_INTERNAL, c"MEDITOPIA_ERROR_INTERNAL"),
    ]
};

const UNKNOWN: &CStr = c"MEDITOPIA_ERROR_UNKNOWN";

/// The number of a kind of error.
pub(super) fn status_of(kind: ErrorKind) -> meditopia_status {
    use meditopia_status_code::*;
    let code = match kind {
        ErrorKind::InvalidArgument => MEDITOPIA_ERROR_INVALID_ARGUMENT,
        ErrorKind::InvalidEvent => MEDITOPIA_ERROR_INVALID_EVENT,
        ErrorKind::Config => MEDITOPIA_ERROR_CONFIG,
        ErrorKind::Conflict => MEDITOPIA_ERROR_CONFLICT,
        ErrorKind::SpoolMismatch => MEDITOPIA_ERROR_SPOOL_MISMATCH,
        ErrorKind::SpoolFull => MEDITOPIA_ERROR_SPOOL_FULL,
        ErrorKind::Io => MEDITOPIA_ERROR_IO,
        ErrorKind::Paused => MEDITOPIA_ERROR_PAUSED,
        ErrorKind::Timeout => MEDITOPIA_ERROR_TIMEOUT,
        ErrorKind::Closed => MEDITOPIA_ERROR_CLOSED,
        ErrorKind::Store => MEDITOPIA_ERROR_STORE,
        ErrorKind::Internal => MEDITOPIA_ERROR_INTERNAL,
    };
    code as meditopia_status
}

/// The number of a reason to pause; `None` is no pause.
pub(super) fn pause_number(pause: Option<PauseReason>) -> i32 {
    use meditopia_pause_reason::*;
    let reason = match pause {
        None => MEDITOPIA_PAUSE_NONE,
        Some(PauseReason::Auth) => MEDITOPIA_PAUSE_AUTH,
        Some(PauseReason::Ip) => MEDITOPIA_PAUSE_IP,
        Some(PauseReason::Misrouted) => MEDITOPIA_PAUSE_MISROUTED,
        Some(PauseReason::MassRejection) => MEDITOPIA_PAUSE_MASS_REJECTION,
        Some(PauseReason::ServerError) => MEDITOPIA_PAUSE_SERVER_ERROR,
        Some(PauseReason::StoreDamaged) => MEDITOPIA_PAUSE_STORE_DAMAGED,
        Some(PauseReason::Hold) => MEDITOPIA_PAUSE_HOLD,
    };
    reason as i32
}

/// The name of a status as this header writes it, such as "MEDITOPIA_ERROR_PAUSED".
///
/// For logs. Returns a constant of the library, never NULL: "MEDITOPIA_ERROR_UNKNOWN" for a number
/// that this version does not know. Callable from any thread at any time; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn meditopia_status_name(status: meditopia_status) -> *const c_char {
    guard_or(std::ptr::null(), || {
        NAMES
            .iter()
            .find(|(code, _)| *code as meditopia_status == status)
            .map_or(UNKNOWN, |(_, name)| name)
            .as_ptr()
    })
}
