//! What a call returns, why delivery is paused, and the numbers of both.
//!
//! The numbers are the ABI: none is ever given to another meaning. The two matches from the
//! crate's own kinds are exhaustive, so a kind without a number does not compile.

use std::ffi::{CStr, c_char};

use crate::error::{ErrorKind, PauseReason};

use super::panic::guard_or;

/// What every fallible function returns: one of `meditopia_status_code`.
///
/// 0 and above is success. Treat a negative number that you do not know like
/// `MEDITOPIA_ERROR_INTERNAL`: a later version may have more of them.
pub type meditopia_status = i32;

/// The values of `meditopia_status`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum meditopia_status_code {
    /// It is done.
    MEDITOPIA_OK = 0,
    /// The end of a list: there is no further row or record. No error.
    MEDITOPIA_DONE = 1,
    /// An argument is NULL where it may not be, not UTF-8, or out of range; or a `struct_size` is
    /// not set. The message names it. A mistake in the calling code.
    MEDITOPIA_ERROR_INVALID_ARGUMENT = -1,
    /// An event breaks a rule of the API. The message names the field, `event_index` the event.
    /// Nothing was queued, not even the good events of the same call.
    MEDITOPIA_ERROR_INVALID_EVENT = -2,
    /// The configuration is incomplete or contradictory, or a key or value is not known.
    MEDITOPIA_ERROR_CONFIG = -3,
    /// Another client of this process has the same spool open with another value for a key; the
    /// message names the key.
    MEDITOPIA_ERROR_CONFLICT = -4,
    /// The spool belongs to another user, endpoint, account or place on disk. An operator decides
    /// (`meditopia adopt`).
    MEDITOPIA_ERROR_SPOOL_MISMATCH = -5,
    /// The disk, or `max_spool_bytes`, is full. This event was not queued; every event that was
    /// acknowledged before stays safe. Retryable.
    MEDITOPIA_ERROR_SPOOL_FULL = -6,
    /// The operating system refused a read or a write. An enqueue that fails so is unknown: its
    /// event may still be delivered. Retryable.
    MEDITOPIA_ERROR_IO = -7,
    /// Delivery is paused; `pause_reason` says why. Everything is kept, and enqueue goes on.
    /// Retryable.
    MEDITOPIA_ERROR_PAUSED = -8,
    /// The deadline passed first. Everything is kept, and delivery goes on. Retryable.
    MEDITOPIA_ERROR_TIMEOUT = -9,
    /// The client was closed before this call.
    MEDITOPIA_ERROR_CLOSED = -10,
    /// The store of the spool is damaged, or of a newer version than this library. Enqueue goes on.
    MEDITOPIA_ERROR_STORE = -11,
    /// This process was forked from one that had the store open. Here it may enqueue, but neither
    /// send nor list; any other process may.
    MEDITOPIA_ERROR_FORKED = -12,
    /// A defect of this library, caught at its door. Please report the message.
    MEDITOPIA_ERROR_INTERNAL = -13,
}

/// Why delivery is paused: the values of every `pause_reason`. A pause keeps every event, probes
/// with one request at growing intervals (30 s to 15 min), and ends at once with
/// `meditopia_set_bearer_token` (where the token was the cause) or `meditopia_resume`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum meditopia_pause_reason {
    /// It is not paused.
    MEDITOPIA_PAUSE_NONE = 0,
    /// The API refused the bearer token.
    MEDITOPIA_PAUSE_AUTH = 1,
    /// The API refused this host's address: ask Meditopia to allow it.
    MEDITOPIA_PAUSE_IP = 2,
    /// What answers at the endpoint does not look like the Partners API: a wrong URL, a proxy.
    MEDITOPIA_PAUSE_MISROUTED = 3,
    /// Lone refusals of many different users in a row (`brake_users`): more likely our mistake
    /// than theirs.
    MEDITOPIA_PAUSE_MASS_REJECTION = 4,
    /// The API answers the same request with server errors again and again.
    MEDITOPIA_PAUSE_SERVER_ERROR = 5,
    /// The store cannot be trusted until an operator recovers it.
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

/// The stable number of a kind of error.
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
        ErrorKind::Forked => MEDITOPIA_ERROR_FORKED,
        ErrorKind::Internal => MEDITOPIA_ERROR_INTERNAL,
    };
    code as meditopia_status
}

/// The stable number of a pause, or of none.
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

/// The name of a status as it is written in this header, such as "MEDITOPIA_ERROR_PAUSED".
///
/// For logs. Returns a constant of the library, never NULL; "MEDITOPIA_ERROR_UNKNOWN" for a number
/// that this version does not have. Callable from any thread, at any time; does not block.
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
