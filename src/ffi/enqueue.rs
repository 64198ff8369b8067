//! The three ways to enqueue events.

use std::ffi::c_char;

use crate::event::RawFields;

use super::argument::{
    array, null_argument, optional_bytes, optional_n, required_bytes, required_n,
};
use super::client::meditopia_client;
use super::error::meditopia_error;
use super::guard::guard;
use super::handle::shared;
use super::output::optional_out_param;
use super::status::meditopia_status;

/// Queues one event. When it returns `MEDITOPIA_OK`, the event is safe at the configured
/// `durability`: whatever happens to this process, the event will be delivered, or kept with the
/// reason why not.
///
/// All strings are UTF-8, NUL-terminated and borrowed for the call only.
///
///   client           an open client
///   token            the user's token (not the bearer token); not empty
///   partner_user_id  the user's id in your application; not empty
///   event            "register", "signin", "audio", "video" or "content"
///   event_value      more about the event; NULL is sent as null, any other value as a JSON string
///   received_at      "YYYY-MM-DD HH:MM:SS", sent unchanged; or RFC 3339, such as
///                    "2024-08-06T15:04:05Z", converted to `utc_offset` without fractions of a
///                    second; NULL: now
///   error            may be NULL
///
/// The whole event takes at most `max_event_bytes` as JSON.
///
/// Does no network I/O and never waits for the sender. It costs one write to a file and, with
/// `durability` "power", one wait for the disk. Callable from any thread, also after fork. Events
/// of one user whose calls did not overlap arrive in the order of the calls.
///
/// Errors:
///   MEDITOPIA_ERROR_INVALID_ARGUMENT  an argument is NULL or not UTF-8; the message names it
///   MEDITOPIA_ERROR_INVALID_EVENT     the message names the field; nothing is queued
///   MEDITOPIA_ERROR_SPOOL_FULL        nothing is queued; try again when there is room
///   MEDITOPIA_ERROR_IO                the outcome is unknown: the event may still be delivered
///   MEDITOPIA_ERROR_CLOSED
///
/// Example:
///
///   if (meditopia_enqueue(client, "user-token-1", "user-1", "video", NULL, NULL, &error) < 0)
///       fprintf(stderr, "meditopia: %s\n", error.message);
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_enqueue(
    client: *mut meditopia_client,
    token: *const c_char,
    partner_user_id: *const c_char,
    event: *const c_char,
    event_value: *const c_char,
    received_at: *const c_char,
    error: *mut meditopia_error,
) -> meditopia_status {
    guard(error, || {
        // SAFETY: the header demands a live client, and strings that outlive the call.
        let (client, fields) = unsafe {
            let fields = RawFields {
                token: required_bytes("token", token)?,
                partner_user_id: required_bytes("partner_user_id", partner_user_id)?,
                event: required_bytes("event", event)?,
                event_value: optional_bytes(event_value),
                received_at: optional_bytes(received_at),
            };
            (shared("client", client)?, fields)
        };
        client.client.enqueue_raw(&fields)
    })
}

/// Queues one event whose strings carry their lengths in bytes. It is `meditopia_enqueue` for
/// languages whose strings need not end with a NUL.
///
/// A NUL byte is part of a string and does not end it. `event_value` and `received_at` may be NULL
/// with length 0, which means null and now. NULL with another length is an error, and so is NULL
/// for the other strings. An `event_value` that is not NULL and has length 0 is the empty string.
///
/// Blocking, threads, fork and errors as for `meditopia_enqueue`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_enqueue_n(
    client: *mut meditopia_client,
    token: *const c_char,
    token_len: usize,
    partner_user_id: *const c_char,
    partner_user_id_len: usize,
    event: *const c_char,
    event_len: usize,
    event_value: *const c_char,
    event_value_len: usize,
    received_at: *const c_char,
    received_at_len: usize,
    error: *mut meditopia_error,
) -> meditopia_status {
    guard(error, || {
        // SAFETY: the header demands a live client, and strings of these lengths that outlive the
        // call.
        let (client, fields) = unsafe {
            let fields = RawFields {
                token: required_n("token", token, token_len)?,
                partner_user_id: required_n(
                    "partner_user_id",
                    partner_user_id,
                    partner_user_id_len,
                )?,
                event: required_n("event", event, event_len)?,
                event_value: optional_n("event_value", event_value, event_value_len)?,
                received_at: optional_n("received_at", received_at, received_at_len)?,
            };
            (shared("client", client)?, fields)
        };
        client.client.enqueue_raw(&fields)
    })
}

/// Queues many events at once: all of them or none, even across a crash.
///
/// `json` is `len` bytes of UTF-8, borrowed for the call: one event object, an array of them, or
/// {"events": [...]} as in the API's own documentation. It may hold more than 100 events; the
/// sender divides them into requests. An event has the members token, partner_user_id, event,
/// event_value and received_at, as in `meditopia_enqueue`; an unknown or repeated member is an
/// error. A missing `event_value` is null, and any other is sent byte for byte; it may nest 100
/// levels deep, and a number in it must be one that a double can hold: many parsers refuse a whole
/// request because of 1e400. A missing or null `received_at` is now.
///
/// `accepted` (may be NULL) receives the number of events queued; 0 after an error.
///
/// Cheaper than one call per event. Blocking, threads and fork as for `meditopia_enqueue`.
///
/// Errors: those of `meditopia_enqueue`; `MEDITOPIA_ERROR_INVALID_ARGUMENT` also if `json` is not
/// JSON. With `MEDITOPIA_ERROR_INVALID_EVENT`, `event_index` says which event it was, counted from
/// 0.
///
/// Example:
///
///   const char *json = "[{\"token\":\"t-1\",\"partner_user_id\":\"u-1\",\"event\":\"signin\"}]";
///   size_t accepted = 0;
///   status = meditopia_enqueue_json(client, json, strlen(json), &accepted, &error);
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_enqueue_json(
    client: *mut meditopia_client,
    json: *const c_char,
    len: usize,
    accepted: *mut usize,
    error: *mut meditopia_error,
) -> meditopia_status {
    guard(error, || {
        // SAFETY: the header demands NULL or a writable size_t.
        let accepted = unsafe { optional_out_param(accepted, 0) };
        if json.is_null() {
            return Err(null_argument("json"));
        }
        // SAFETY: the header demands a live client, and `len` bytes that outlive the call.
        let (client, json) = unsafe {
            (
                shared("client", client)?,
                array("json", json.cast::<u8>(), len)?,
            )
        };
        let queued = client.client.enqueue_json(json)?;
        if let Some(accepted) = accepted {
            *accepted = queued;
        }
        Ok(())
    })
}
