//! The three ways to queue events.

use std::ffi::c_char;

use crate::event::RawFields;

use super::argument::{array, null, optional_bytes, optional_n, required_bytes, required_n};
use super::client::meditopia_client;
use super::error::meditopia_error;
use super::guard::guard;
use super::handle::shared;
use super::output::optional_out_param;
use super::status::meditopia_status;

/// Queues one event. When it returns `MEDITOPIA_OK` the event is safe at the configured
/// `durability` and will be delivered, or kept with the reason why not, whatever happens to this
/// process.
///
/// All strings are UTF-8, NUL-terminated and borrowed for the call only.
///
///   client           an open client
///   token            the user's token (not the bearer token); not empty
///   partner_user_id  the user's id in your application; not empty
///   event            "register", "signin", "audio", "video" or "content"
///   event_value      more about the event; NULL is sent as null, anything else as a JSON string
///   received_at      "YYYY-MM-DD HH:MM:SS", passed on unchanged; or RFC 3339, such as
///                    "2024-08-06T15:04:05Z", converted to `utc_offset` with fractions cut; NULL:
///                    now
///   error            may be NULL
///
/// The whole event is at most `max_event_bytes` as JSON.
///
/// Does no network I/O and never waits for the sender: it costs one write to a file, and with
/// `durability` "power" one wait for the disk. Callable from any thread, also after fork. Events of
/// one user whose calls did not overlap arrive in the order of the calls.
///
/// Errors:
///   MEDITOPIA_ERROR_INVALID_ARGUMENT  NULL or not UTF-8; the message names the argument
///   MEDITOPIA_ERROR_INVALID_EVENT     the message names the field; nothing is queued
///   MEDITOPIA_ERROR_SPOOL_FULL        nothing is queued; try again when there is room
///   MEDITOPIA_ERROR_IO                unknown: the event may still be delivered
///   MEDITOPIA_ERROR_CLOSED
///
/// Example:
///
///   if (meditopia_enqueue(client, "user-token-1", "user-1", "video", NULL, NULL, &error) < 0)
///       fprintf(stderr, "meditopia: %s\n", error.message);
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
        // SAFETY: the header asks for a live client and for strings that outlive the call.
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

/// Queues one event whose strings carry their lengths in bytes: `meditopia_enqueue` for languages
/// whose strings need not end with NUL.
///
/// A NUL byte inside does not cut a string; it is part of it. `event_value` and `received_at` may
/// be NULL with length 0, which means null and now; NULL with another length is an error, and so
/// is NULL for the others. An `event_value` that is not NULL with length 0 is the empty string.
///
/// Blocking, threads, fork and errors as for `meditopia_enqueue`.
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
        // SAFETY: the header asks for a live client and for strings of these lengths that outlive
        // the call.
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

/// Queues many events at once: all of them or none, also across a crash.
///
/// `json` is `len` bytes of UTF-8, borrowed for the call: one event object, an array of them, or
/// {"events": [...]} as in the API's own documentation. There may be more than 100; they are cut
/// into requests later. Members are those of `meditopia_enqueue`; an unknown or repeated member is
/// an error. A missing `event_value` is null, and one that is there goes out byte for byte; a
/// missing or null `received_at` is now.
///
/// `accepted` (may be NULL) gets the number of events queued; 0 after an error.
///
/// Cheaper than one call an event. Blocking, threads and fork as for `meditopia_enqueue`.
///
/// Errors: those of `meditopia_enqueue`, `MEDITOPIA_ERROR_INVALID_ARGUMENT` also for what is not
/// JSON. With `MEDITOPIA_ERROR_INVALID_EVENT`, `event_index` says which event it was, counted from 0.
///
/// Example:
///
///   const char *json = "[{\"token\":\"t-1\",\"partner_user_id\":\"u-1\",\"event\":\"signin\"}]";
///   size_t accepted = 0;
///   status = meditopia_enqueue_json(client, json, strlen(json), &accepted, &error);
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_enqueue_json(
    client: *mut meditopia_client,
    json: *const c_char,
    len: usize,
    accepted: *mut usize,
    error: *mut meditopia_error,
) -> meditopia_status {
    guard(error, || {
        // SAFETY: NULL or the caller's size_t, says the header.
        let accepted = unsafe { optional_out_param(accepted, 0) };
        if json.is_null() {
            return Err(null("json"));
        }
        // SAFETY: the header asks for a live client and for `len` bytes that outlive the call.
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
