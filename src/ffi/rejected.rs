//! What an operator does with single events: look for rejected ones, send them again, forget them,
//! write them to a file, and set one in doubt aside.

use std::ffi::c_char;
use std::fs::OpenOptions;
use std::io::BufWriter;
use std::os::unix::fs::OpenOptionsExt;

use crate::client::{Client, RejectedFilter, RejectedReason};
use crate::error::{Error, Result};

use super::argument::{array, invalid, optional, required};
use super::client::meditopia_client;
use super::cursor::{meditopia_cursor, meditopia_reason};
use super::error::meditopia_error;
use super::growing::{Growing, read_growing};
use super::guard::guard;
use super::handle::shared;
use super::output::{optional_out_param, out_param};
use super::status::meditopia_status;

/// Which rejected events a call is about. A field of 0 or NULL asks for nothing; with
/// `{ .struct_size = sizeof(meditopia_filter) }` all events are taken. Several fields: all must hold.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct meditopia_filter {
    /// Set it to sizeof(meditopia_filter).
    pub struct_size: u32,
    /// One of `meditopia_reason`, but not `MEDITOPIA_REASON_IN_DOUBT`; 0: any.
    pub reason: i32,
    /// Only this user's; NULL: any. UTF-8, borrowed for the call.
    pub partner_user_id: *const c_char,
    /// Only those that the API refused with this code; NULL: any. UTF-8, borrowed for the call.
    pub api_code: *const c_char,
    /// Only those rejected at this time or later, milliseconds since 1970-01-01T00:00:00Z; 0: any.
    pub from_ms: i64,
    /// Only those rejected before this time; 0: any.
    pub until_ms: i64,
    /// Only those with a greater id; 0: from the first.
    pub after_id: i64,
}

// SAFETY: repr(C), starts with `struct_size`, and its fields leave no padding, with pointers of 8
// bytes and of 4 (two of them fill 8).
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

/// The caller's filter, as Rust says it.
///
/// # Safety
/// `filter` is NULL or starts with a `struct_size` that says how many bytes may be read, and its
/// strings are NULL or NUL-terminated.
unsafe fn filter_at(filter: *const meditopia_filter) -> Result<RejectedFilter> {
    // SAFETY: the contract above.
    let filter = unsafe { read_growing::<meditopia_filter>("filter", filter) }?;
    let number = |number: i64| (number != 0).then_some(number);
    // SAFETY: NULL or NUL-terminated, says the contract above.
    let (user, api_code) = unsafe {
        (
            optional("filter.partner_user_id", filter.partner_user_id)?,
            optional("filter.api_code", filter.api_code)?,
        )
    };
    let (reason, may_be_delivered) = reason_of(filter.reason)?;
    Ok(RejectedFilter {
        user: user.map(ToOwned::to_owned),
        api_code: api_code.map(ToOwned::to_owned),
        reason,
        may_be_delivered,
        from_ms: number(filter.from_ms),
        until_ms: number(filter.until_ms),
        after_id: filter.after_id,
    })
}

fn reason_of(number: i32) -> Result<(Option<RejectedReason>, Option<bool>)> {
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
        other => Err(invalid(format!(
            "filter.reason is {other}; no rejected event has that one (0: any)"
        ))),
    }
}

/// Lists the rejected events that `filter` takes, oldest first. They stay until an operator requeues
/// or discards them.
///
///   filter  which; it is read during the call only
///   out     gets the cursor for `meditopia_cursor_free`; NULL after an error
///
/// Reads the store, by page, beside the sender and without waiting for it. Callable from any
/// thread.
///
/// Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT` (NULL, `struct_size` not set, a reason that no rejected
/// event has, or a field that this version does not know), `MEDITOPIA_ERROR_IO`,
/// `MEDITOPIA_ERROR_STORE`, `MEDITOPIA_ERROR_FORKED`, `MEDITOPIA_ERROR_CLOSED`.
///
/// Example: what was rejected in the last hour.
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
        // SAFETY: NULL or the caller's pointer, says the header.
        let out = unsafe { out_param("out", out, std::ptr::null_mut()) }?;
        // SAFETY: the header asks for a live client and a filter that says its size.
        let (client, filter) = unsafe { (shared("client", client)?, filter_at(filter)?) };
        *out = meditopia_cursor::give(client.client.rejected_matching(&filter)?);
        Ok(())
    })
}

/// Sends rejected or expired events again, as if they were enqueued now: they go to the end.
///
/// `ids` are `count` ids of rows, borrowed for the call; NULL with `count` 0 is nothing to do. An
/// id that is not in the list any more is skipped. `changed` (may be NULL) gets how many were
/// there; 0 after an error. All of them change together or none does.
///
/// Waits until the spool's sender has taken the order, normally less than a second and at most
/// five. Callable from any thread.
///
/// Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT`, `MEDITOPIA_ERROR_TIMEOUT` (it may still take
/// effect), `MEDITOPIA_ERROR_SPOOL_FULL`, `MEDITOPIA_ERROR_IO`, `MEDITOPIA_ERROR_STORE`,
/// `MEDITOPIA_ERROR_FORKED`, `MEDITOPIA_ERROR_CLOSED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_rejected_requeue(
    client: *mut meditopia_client,
    ids: *const i64,
    count: usize,
    changed: *mut usize,
    error: *mut meditopia_error,
) -> meditopia_status {
    // SAFETY: the header asks of the caller what `change_by_id` does.
    unsafe { change_by_id(client, ids, count, changed, error, Client::requeue_rejected) }
}

/// Sends all rejected events that `filter` takes again, as if they were enqueued now: they go to the
/// end, in the order of their rejection, so each user's stay in their order.
///
/// Only events that are in the list when the call begins. They change in portions of 1,000, each as
/// a whole. `changed` (may be NULL) gets how many there were; 0 after an error.
///
/// Blocking, threads and errors as for `meditopia_rejected_requeue`; of the errors for `filter` see
/// `meditopia_rejected_find`. After `MEDITOPIA_ERROR_TIMEOUT` the sender may be still at it.
///
/// Example: after a user was created at the partner's.
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
    // SAFETY: the header asks of the caller what `change_matching` does.
    unsafe { change_matching(client, filter, changed, error, Client::requeue_matching) }
}

/// Forgets rejected or expired events for ever. This and
/// `meditopia_rejected_discard_matching` are the only functions that remove an event which was not
/// delivered.
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
    // SAFETY: the header asks of the caller what `change_by_id` does.
    unsafe { change_by_id(client, ids, count, changed, error, Client::discard_rejected) }
}

/// Forgets all rejected events that `filter` takes for ever: export them first if in doubt.
///
/// Arguments, blocking, threads and errors as for `meditopia_rejected_requeue_matching`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_rejected_discard_matching(
    client: *mut meditopia_client,
    filter: *const meditopia_filter,
    changed: *mut usize,
    error: *mut meditopia_error,
) -> meditopia_status {
    // SAFETY: the header asks of the caller what `change_matching` does.
    unsafe { change_matching(client, filter, changed, error, Client::discard_matching) }
}

/// Writes the rejected events that `filter` takes to a new file, one JSON object a line (NDJSON):
///
///   {"id":1,"reason":"refused","may_be_delivered":false,"api_code":"U_404","message":"...",
///    "http_status":404,"attempts":3,"first_ms":...,"last_ms":...,"event":{...}}
///
/// on one line. `reason` is "refused", "expired" or "set_aside"; `http_status` may be null; `event` is
/// what went to the API. The events stay in the list.
///
///   path     must not exist; the file is its owner's alone (0600). After an error it may hold a
///            part. UTF-8, borrowed for the call
///   written  (may be NULL) gets how many events it holds; 0 after an error
///
/// Reads the store, by page, beside the sender and without waiting for it; takes as long as the disk
/// does. Callable from any thread.
///
/// Errors: as for `meditopia_rejected_find`, and `MEDITOPIA_ERROR_IO` for the file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_rejected_export(
    client: *mut meditopia_client,
    filter: *const meditopia_filter,
    path: *const c_char,
    written: *mut usize,
    error: *mut meditopia_error,
) -> meditopia_status {
    // SAFETY: the header asks for live handles, a filter that says its size, and a string that
    // outlives the call.
    unsafe {
        counted(client, written, error, |client| {
            let (filter, path) = (filter_at(filter)?, required("path", path)?);
            let mut new = OpenOptions::new();
            let file = new
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
                .map_err(|e| Error::io(path, e))?;
            client.export_rejected(&filter, &mut BufWriter::new(file))
        })
    }
}

/// Takes events that are in doubt out of their batch, so that the rest can go: for the one that the
/// API answers with a server error again and again (`MEDITOPIA_PAUSE_SERVER_ERROR`).
///
/// `ids` are ids of rows of `meditopia_in_doubt_open`. The events go to the list of the rejected as
/// `MEDITOPIA_REASON_SET_ASIDE`, since they may have been delivered, and can be requeued from there. An
/// event whose request is on its way at that moment stays: after `meditopia_hold` no further one leaves,
/// but the one on its way is not waited for, so call again when `changed` is less than asked for. Which
/// one of a batch it is, setting aside halves and `meditopia_resume` find out.
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
    // SAFETY: the header asks of the caller what `change_by_id` does.
    unsafe { change_by_id(client, ids, count, changed, error, Client::set_aside) }
}

/// What the functions share that take ids.
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
            // SAFETY: `count` ids that outlive the call, says the contract above.
            change(client, array("ids", ids, count)?)
        })
    }
}

/// What the functions share that take a filter.
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
            // SAFETY: a filter that says its size, says the contract above.
            change(client, &filter_at(filter)?)
        })
    }
}

/// Does something to events and says to how many.
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
        // SAFETY: NULL or the caller's size_t, says the contract above.
        let count = unsafe { optional_out_param(count, 0) };
        // SAFETY: NULL or a live client, says the contract above.
        let client = unsafe { shared("client", client) }?;
        let events = act(&client.client)?;
        if let Some(count) = count {
            *count = events;
        }
        Ok(())
    })
}
