//! What an operator does with single events: find rejected ones, send them again, discard them or
//! write them to a file, and set aside one in doubt.

use std::ffi::c_char;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;

use crate::client::{Client, RejectedFilter, RejectedReason};
use crate::error::{Error, Result};

use super::argument::{array, invalid_argument, optional, required};
use super::client::meditopia_client;
use super::cursor::{meditopia_cursor, meditopia_reason};
use super::error::meditopia_error;
use super::growing::{Growing, read_growing};
use super::guard::guard;
use super::handle::shared;
use super::output::{optional_out_param, out_param};
use super::status::meditopia_status;

/// Selects rejected events. A field of 0 or NULL sets no condition:
/// `{ .struct_size = sizeof(meditopia_filter) }` selects all events. If several fields are set, an
/// event has to meet all of them.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct meditopia_filter {
    /// Set it to sizeof(meditopia_filter).
    pub struct_size: u32,
    /// One of `meditopia_reason`; 0: any. No rejected event has `MEDITOPIA_REASON_IN_DOUBT`,
    /// `MEDITOPIA_REASON_PENDING` or `MEDITOPIA_REASON_JOURNALLED`.
    pub reason: i32,
    /// Only events of this user; NULL: all users. UTF-8, borrowed for the call.
    pub partner_user_id: *const c_char,
    /// Only events that the API refused with this code; NULL: all events. UTF-8, borrowed for the
    /// call.
    pub api_code: *const c_char,
    /// Only events rejected at this time or later, milliseconds since 1970-01-01T00:00:00Z; 0: no
    /// limit.
    pub from_ms: i64,
    /// Only events rejected before this time; 0: no limit.
    pub until_ms: i64,
    /// Only events with a greater id; 0: from the first.
    pub after_id: i64,
}

// SAFETY: repr(C), starts with `struct_size`, and has no padding. That holds for pointers of 8
// bytes and of 4: two pointers of 4 bytes fill 8.
unsafe impl Growing for meditopia_filter {
    const NAME: &'static str = "meditopia_filter";
    const FIRST_SIZE: usize = 32 + 2 * size_of::<usize>();
    const BLANK: Self = Self {
        struct_size: 0,
        reason: 0,
        partner_user_id: std::ptr::null(),
        api_code: std::ptr::null(),
        from_ms: 0,
        until_ms: 0,
        after_id: 0,
    };
}

/// The caller's filter as the client takes it.
///
/// # Safety
/// `filter` is NULL or starts with a `struct_size` that says how many bytes may be read, and its
/// strings are NULL or NUL-terminated.
unsafe fn read_filter(filter: *const meditopia_filter) -> Result<RejectedFilter> {
    // SAFETY: passed on.
    let filter = unsafe { read_growing::<meditopia_filter>("filter", filter) }?;
    let time = |ms: i64| (ms != 0).then_some(ms);
    // SAFETY: NULL or NUL-terminated (contract above).
    let (user, api_code) = unsafe {
        (
            optional("filter.partner_user_id", filter.partner_user_id)?,
            optional("filter.api_code", filter.api_code)?,
        )
    };
    let (reason, may_be_delivered) = reason_from_number(filter.reason)?;
    Ok(RejectedFilter {
        user: user.map(ToOwned::to_owned),
        api_code: api_code.map(ToOwned::to_owned),
        reason,
        may_be_delivered,
        from_ms: time(filter.from_ms),
        until_ms: time(filter.until_ms),
        after_id: filter.after_id,
    })
}

fn reason_from_number(number: i32) -> Result<(Option<RejectedReason>, Option<bool>)> {
    use meditopia_reason::*;
    const REFUSED: i32 = MEDITOPIA_REASON_REFUSED as i32;
    const EXPIRED: i32 = MEDITOPIA_REASON_EXPIRED as i32;
    const MAY_BE_DELIVERED: i32 = MEDITOPIA_REASON_REFUSED_MAY_BE_DELIVERED as i32;
    const EXPIRED_MAY_BE_DELIVERED: i32 = MEDITOPIA_REASON_EXPIRED_MAY_BE_DELIVERED as i32;
    const SET_ASIDE: i32 = MEDITOPIA_REASON_SET_ASIDE as i32;
    match number {
        0 => Ok((None, None)),
        REFUSED => Ok((Some(RejectedReason::Refused), Some(false))),
        MAY_BE_DELIVERED => Ok((Some(RejectedReason::Refused), Some(true))),
        EXPIRED => Ok((Some(RejectedReason::Expired), Some(false))),
        EXPIRED_MAY_BE_DELIVERED => Ok((Some(RejectedReason::Expired), Some(true))),
        SET_ASIDE => Ok((Some(RejectedReason::SetAside), None)),
        other => Err(invalid_argument(format!(
            "filter.reason is {other}, which no rejected event has; set 0 for any reason"
        ))),
    }
}

/// Lists the rejected events that `filter` selects, oldest first. They stay in the list until an
/// operator requeues or discards them.
///
///   filter  which events; read during the call only
///   out     receives the cursor, to be freed with `meditopia_cursor_free`; NULL after an error
///
/// Reads the store page by page while a sender may be at work, and never waits for the sender.
/// Callable from any thread.
///
/// Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT` (an argument is NULL, `struct_size` is not set, no
/// rejected event can have that `reason`, or a field is set that this version does not know),
/// `MEDITOPIA_ERROR_IO`, `MEDITOPIA_ERROR_STORE`, `MEDITOPIA_ERROR_CLOSED`.
///
/// Example: the events rejected in the last hour.
///
///   meditopia_filter filter = { .struct_size = sizeof filter };
///   filter.from_ms = (int64_t)(time(NULL) - 3600) * 1000;
///   status = meditopia_rejected_find(client, &filter, &cursor, &error);
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_rejected_find(
    client: *mut meditopia_client,
    filter: *const meditopia_filter,
    out: *mut *mut meditopia_cursor,
    error: *mut meditopia_error,
) -> meditopia_status {
    guard(error, || {
        // SAFETY: the header demands NULL or a writable pointer.
        let out = unsafe { out_param("out", out, std::ptr::null_mut()) }?;
        // SAFETY: the header demands a live client, and a filter that says its size.
        let (client, filter) = unsafe { (shared("client", client)?, read_filter(filter)?) };
        *out = meditopia_cursor::give(client.client.rejected_matching(&filter)?);
        Ok(())
    })
}

/// Sends rejected or expired events again, as if they were enqueued now: they go to the end of
/// their queue.
///
/// `ids` are `count` ids of rows, borrowed for the call; NULL with `count` 0 does nothing. An id
/// that is not in the list any more is skipped. `changed` (may be NULL) receives the number of
/// events that were in the list; 0 after an error. All of them change together or none does.
///
/// Waits until the spool's sender has carried the command out, normally less than a second and at
/// most five seconds. Callable from any thread.
///
/// Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT`, `MEDITOPIA_ERROR_TIMEOUT` (the command may still
/// take effect), `MEDITOPIA_ERROR_SPOOL_FULL`, `MEDITOPIA_ERROR_IO`, `MEDITOPIA_ERROR_STORE`,
/// `MEDITOPIA_ERROR_CLOSED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_rejected_requeue(
    client: *mut meditopia_client,
    ids: *const i64,
    count: usize,
    changed: *mut usize,
    error: *mut meditopia_error,
) -> meditopia_status {
    // SAFETY: the header demands what `change_by_id` does.
    unsafe { change_by_id(client, ids, count, changed, error, Client::requeue_rejected) }
}

/// Sends all rejected events that `filter` selects again, as if they were enqueued now. They go to
/// the end of their queue in the order of their rejection, so the events of each user keep their
/// order.
///
/// Only events that are in the list when the call begins are sent again. They change in portions of
/// 1,000; each portion changes as a whole. `changed` (may be NULL) receives the number of events; 0
/// after an error.
///
/// Blocking, threads and errors as for `meditopia_rejected_requeue`; for the errors of `filter` see
/// `meditopia_rejected_find`. After `MEDITOPIA_ERROR_TIMEOUT` the sender may still be changing
/// events.
///
/// Example: the API did not know this user, and does now.
///
///   meditopia_filter filter = { .struct_size = sizeof filter, .partner_user_id = "user-17" };
///   status = meditopia_rejected_requeue_matching(client, &filter, &changed, &error);
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_rejected_requeue_matching(
    client: *mut meditopia_client,
    filter: *const meditopia_filter,
    changed: *mut usize,
    error: *mut meditopia_error,
) -> meditopia_status {
    // SAFETY: the header demands what `change_matching` does.
    unsafe { change_matching(client, filter, changed, error, Client::requeue_matching) }
}

/// Removes rejected or expired events for good. No other function but
/// `meditopia_rejected_discard_matching` removes an event that was not delivered.
///
/// Arguments, blocking, threads and errors as for `meditopia_rejected_requeue`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_rejected_discard(
    client: *mut meditopia_client,
    ids: *const i64,
    count: usize,
    changed: *mut usize,
    error: *mut meditopia_error,
) -> meditopia_status {
    // SAFETY: the header demands what `change_by_id` does.
    unsafe { change_by_id(client, ids, count, changed, error, Client::discard_rejected) }
}

/// Removes all rejected events that `filter` selects for good. If you may need them later, export
/// them first.
///
/// Arguments, blocking, threads and errors as for `meditopia_rejected_requeue_matching`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_rejected_discard_matching(
    client: *mut meditopia_client,
    filter: *const meditopia_filter,
    changed: *mut usize,
    error: *mut meditopia_error,
) -> meditopia_status {
    // SAFETY: the header demands what `change_matching` does.
    unsafe { change_matching(client, filter, changed, error, Client::discard_matching) }
}

/// Writes the rejected events that `filter` selects to a new file, one JSON object per line
/// (NDJSON):
///
///   {"id":1,"reason":"refused","may_be_delivered":false,"api_code":"U_404","message":"...",
///    "http_status":404,"attempts":3,"first_ms":...,"last_ms":...,"event":{...}}
///
/// In the file, each object is on one line. `reason` is "refused", "expired" or "set_aside";
/// `http_status` may be null; `event` is the event in the form that is sent to the API. The events
/// stay in the list.
///
///   path     the file must not exist; only its owner may read it (0600). After an error it may
///            hold a part of the events. UTF-8, borrowed for the call
///   written  (may be NULL) receives the number of events in the file; 0 after an error
///
/// Reads the store page by page while a sender may be at work, and never waits for the sender.
/// Blocks for as long as the disk takes. Callable from any thread.
///
/// Errors: as for `meditopia_rejected_find`; `MEDITOPIA_ERROR_IO` also for the file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_rejected_export(
    client: *mut meditopia_client,
    filter: *const meditopia_filter,
    path: *const c_char,
    written: *mut usize,
    error: *mut meditopia_error,
) -> meditopia_status {
    // SAFETY: the header demands a live client, a filter that says its size, and a string that
    // outlives the call.
    unsafe {
        counted(client, written, error, |client| {
            let (filter, path) = (read_filter(filter)?, required("path", path)?);
            let mut new = OpenOptions::new();
            let file = new
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
                .map_err(|e| Error::io(path, e))?;
            client.export_rejected_to(&filter, file)
        })
    }
}

/// Takes events in doubt out of their batch, so that the rest of the batch can be delivered. Use it
/// if an event makes the API answer with a server error again and again
/// (`MEDITOPIA_PAUSE_SERVER_ERROR`).
///
/// `ids` are ids of rows of `meditopia_in_doubt_open`. The events move to the list of rejected
/// events with `MEDITOPIA_REASON_SET_ASIDE`, because they may have been delivered. From there they
/// can be requeued.
///
/// An event whose request is in flight at that moment stays in its batch. After `meditopia_hold` no
/// further request is sent, but the call does not wait for one in flight: call it again if
/// `changed` is less than the number of ids. To find the event that fails, set aside half of the
/// batch, call `meditopia_resume`, and go on with the half that holds it.
///
/// Arguments, blocking, threads and errors as for `meditopia_rejected_requeue`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_in_doubt_set_aside(
    client: *mut meditopia_client,
    ids: *const i64,
    count: usize,
    changed: *mut usize,
    error: *mut meditopia_error,
) -> meditopia_status {
    // SAFETY: the header demands what `change_by_id` does.
    unsafe { change_by_id(client, ids, count, changed, error, Client::set_aside) }
}

/// The body of every function that takes ids.
///
/// # Safety
/// `client`, `changed` and `error` are NULL or live; `ids` are `count` ids that outlive the call.
unsafe fn change_by_id(
    client: *mut meditopia_client,
    ids: *const i64,
    count: usize,
    changed: *mut usize,
    error: *mut meditopia_error,
    change: fn(&Client, &[i64]) -> Result<usize>,
) -> meditopia_status {
    // SAFETY: the contract above.
    unsafe {
        counted(client, changed, error, |client| {
            // SAFETY: `count` ids that outlive the call (contract above).
            change(client, array("ids", ids, count)?)
        })
    }
}

/// The body of every function that takes a filter and changes events.
///
/// # Safety
/// `client`, `changed` and `error` are NULL or live; `filter` is NULL or says its size, and its
/// strings outlive the call.
unsafe fn change_matching(
    client: *mut meditopia_client,
    filter: *const meditopia_filter,
    changed: *mut usize,
    error: *mut meditopia_error,
    change: fn(&Client, &RejectedFilter) -> Result<usize>,
) -> meditopia_status {
    // SAFETY: the contract above.
    unsafe {
        counted(client, changed, error, |client| {
            // SAFETY: a filter that says its size (contract above).
            change(client, &read_filter(filter)?)
        })
    }
}

/// Calls `act` with the client, and writes the number of events that it returns to `count`.
///
/// # Safety
/// `client`, `count` and `error` are NULL or live.
unsafe fn counted(
    client: *mut meditopia_client,
    count: *mut usize,
    error: *mut meditopia_error,
    act: impl FnOnce(&Client) -> Result<usize>,
) -> meditopia_status {
    guard(error, || {
        // SAFETY: NULL or a writable size_t (contract above).
        let count = unsafe { optional_out_param(count, 0) };
        // SAFETY: NULL or a live client (contract above).
        let client = unsafe { shared("client", client) }?;
        let events = act(&client.client)?;
        if let Some(count) = count {
            *count = events;
        }
        Ok(())
    })
}
