//! Lists of events: those rejected, those in doubt, and all that wait.

use std::ffi::c_char;

use crate::client::{Cursor, PendingFilter, Row, RowReason};

use super::argument::optional;
use super::client::meditopia_client;
use super::error::meditopia_error;
use super::growing::{Growing, GrowingOutput};
use super::guard::{Step, guard};
use super::handle::{Exclusive, Handle, exclusive, free, give, shared};
use super::output::{Terminated, out_param};
use super::panic::guard_or;
use super::status::meditopia_status;

/// The values of `meditopia_row.reason`.
#[repr(C)]
pub enum meditopia_reason {
    /// The API refused the event alone in a request. The event was not delivered.
    MEDITOPIA_REASON_REFUSED = 1,
    /// The event was older than `event_ttl_s` before it could be sent.
    MEDITOPIA_REASON_EXPIRED = 2,
    /// The event was sent, but no answer settled whether it arrived. The sender repeats it.
    MEDITOPIA_REASON_IN_DOUBT = 3,
    /// The API refused the event alone in a request, but no answer settled an earlier request with
    /// it: that request may have delivered the event. Check before you requeue it.
    MEDITOPIA_REASON_REFUSED_MAY_BE_DELIVERED = 4,
    /// The event was in doubt, and an operator set it aside (`meditopia_in_doubt_set_aside`). It
    /// may have been delivered.
    MEDITOPIA_REASON_SET_ASIDE = 5,
    /// The event was older than `event_ttl_s`, but no answer settled an earlier request with it:
    /// that request may have delivered the event.
    MEDITOPIA_REASON_EXPIRED_MAY_BE_DELIVERED = 6,
    /// The event waits to be sent.
    MEDITOPIA_REASON_PENDING = 7,
    /// The event waits, and no sender has taken it over yet.
    MEDITOPIA_REASON_JOURNALLED = 8,
}

/// A position in a list of events. One thread at a time may use it; it may move between threads. It
/// holds no transaction, so it may stay open as long as you like.
pub struct meditopia_cursor {
    cursor: Cursor,
    /// The strings that the last row given to C points into.
    strings: Option<Strings>,
}

impl Handle for meditopia_cursor {
    type Access = Exclusive;
}

/// The strings of one row.
pub(super) struct Strings {
    event_json: Terminated,
    api_code: Terminated,
    message: Terminated,
}

/// One event of a list. Its strings belong to the cursor and are valid until the next call with the
/// cursor. After `MEDITOPIA_OK` none of them is NULL.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct meditopia_row {
    /// Set it to sizeof(meditopia_row) before the call.
    pub struct_size: u32,
    /// HTTP status of the answer, in doubt of the last one; 0: none.
    pub http_status: i32,
    /// Greater than 0, and increasing along a list. The functions that requeue, discard or set
    /// aside events take it. The id of an event that no sender has taken over yet is 2^62 or more,
    /// and only says where the event stands in this list.
    pub id: i64,
    /// When the event was enqueued; in a list of `meditopia_in_doubt_open`, when its first request
    /// was sent. Milliseconds since 1970-01-01T00:00:00Z.
    pub first_ms: i64,
    /// In doubt: when the last request was sent. Rejected: when the event was rejected. Otherwise
    /// 0. Milliseconds since 1970-01-01T00:00:00Z.
    pub last_ms: i64,
    /// How many requests carried the event. A list of `meditopia_pending_open` counts only those in
    /// doubt.
    pub attempts: u32,
    /// One of `meditopia_reason`.
    pub reason: i32,
    /// The event as it is sent to the API. NUL-terminated.
    pub event_json: *const c_char,
    /// The length of `event_json` in bytes, without the NUL.
    pub event_json_len: usize,
    /// The API's error code, such as "A_2001"; empty: none. NUL-terminated.
    pub api_code: *const c_char,
    /// The message of the API, or of the library. NUL-terminated.
    pub message: *const c_char,
}

// SAFETY: repr(C), starts with `struct_size`, and has no padding. That holds for pointers of 8
// bytes and of 4: the numbers before them end on a multiple of 8.
unsafe impl Growing for meditopia_row {
    const NAME: &'static str = "meditopia_row";
    const FIRST_SIZE: usize = 40 + 4 * size_of::<usize>();
    const BLANK: Self = Self {
        struct_size: 0,
        http_status: 0,
        id: 0,
        first_ms: 0,
        last_ms: 0,
        attempts: 0,
        reason: 0,
        event_json: std::ptr::null(),
        event_json_len: 0,
        api_code: std::ptr::null(),
        message: std::ptr::null(),
    };
}

impl meditopia_cursor {
    pub(super) fn give(cursor: Cursor) -> *mut Self {
        give(Self {
            cursor,
            strings: None,
        })
    }
}

/// The row for C. Its strings stay in `held` until the next row replaces them.
pub(super) fn row_for_c(held: &mut Option<Strings>, row: &Row) -> meditopia_row {
    let strings = held.insert(Strings {
        event_json: Terminated::readable(&row.event_json),
        api_code: Terminated::readable(&row.api_code),
        message: Terminated::readable(&row.message),
    });
    meditopia_row {
        struct_size: 0,
        http_status: row.http_status.map_or(0, i32::from),
        id: row.id,
        first_ms: row.first_ms,
        last_ms: row.last_ms,
        attempts: row.attempts,
        reason: reason_number(row.reason),
        event_json: strings.event_json.as_ptr(),
        event_json_len: strings.event_json.len(),
        api_code: strings.api_code.as_ptr(),
        message: strings.message.as_ptr(),
    }
}

/// The number of the reason why an event is listed.
fn reason_number(reason: RowReason) -> i32 {
    use meditopia_reason::*;
    let number = match reason {
        RowReason::Refused {
            may_be_delivered: false,
        } => MEDITOPIA_REASON_REFUSED,
        RowReason::Refused {
            may_be_delivered: true,
        } => MEDITOPIA_REASON_REFUSED_MAY_BE_DELIVERED,
        RowReason::Expired {
            may_be_delivered: false,
        } => MEDITOPIA_REASON_EXPIRED,
        RowReason::Expired {
            may_be_delivered: true,
        } => MEDITOPIA_REASON_EXPIRED_MAY_BE_DELIVERED,
        RowReason::InDoubt => MEDITOPIA_REASON_IN_DOUBT,
        RowReason::SetAside => MEDITOPIA_REASON_SET_ASIDE,
        RowReason::Pending => MEDITOPIA_REASON_PENDING,
        RowReason::Journalled => MEDITOPIA_REASON_JOURNALLED,
    };
    number as i32
}

/// Lists the events that were rejected, that expired or that were set aside, oldest first. They
/// stay in the list until an operator requeues or discards them. `meditopia_rejected_find` filters
/// by more than user and code.
///
///   partner_user_id  only events of this user; NULL: all users. UTF-8, borrowed for the call
///   api_code         only events that the API refused with this code; NULL: all events
///   after_id         only events with a greater id; 0: from the first
///   out              receives the cursor, to be freed with `meditopia_cursor_free`; NULL after an
///                    error
///
/// Reads the store page by page while a sender may be at work, and never waits for the sender.
/// Callable from any thread.
///
/// Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT`, `MEDITOPIA_ERROR_IO`, `MEDITOPIA_ERROR_STORE`,
/// `MEDITOPIA_ERROR_CLOSED`.
///
/// Example:
///
///   meditopia_cursor *cursor = NULL;
///   meditopia_row row = { .struct_size = sizeof row };
///   status = meditopia_rejected_open(client, NULL, NULL, 0, &cursor, &error);
///   while (status == MEDITOPIA_OK) {
///       status = meditopia_cursor_next(cursor, &row, &error);
///       if (status == MEDITOPIA_OK)
///           printf("%lld %s: %s\n", (long long)row.id, row.api_code, row.event_json);
///   }
///   meditopia_cursor_free(cursor);
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_rejected_open(
    client: *mut meditopia_client,
    partner_user_id: *const c_char,
    api_code: *const c_char,
    after_id: i64,
    out: *mut *mut meditopia_cursor,
    error: *mut meditopia_error,
) -> meditopia_status {
    guard(error, || {
        // SAFETY: the header demands NULL or a writable pointer.
        let out = unsafe { out_param("out", out, std::ptr::null_mut()) }?;
        // SAFETY: the header demands a live client, and strings that outlive the call.
        let (client, user, api_code) = unsafe {
            (
                shared("client", client)?,
                optional("partner_user_id", partner_user_id)?,
                optional("api_code", api_code)?,
            )
        };
        *out = meditopia_cursor::give(client.client.rejected(user, api_code, after_id)?);
        Ok(())
    })
}

/// Lists the events in doubt, oldest first. They were sent, but no answer settled whether they
/// arrived. Each row says how many requests carried its event. The sender repeats these events
/// before anything else; you need not do anything.
///
/// `after_id`, `out`, blocking, threads and errors as for `meditopia_rejected_open`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_in_doubt_open(
    client: *mut meditopia_client,
    after_id: i64,
    out: *mut *mut meditopia_cursor,
    error: *mut meditopia_error,
) -> meditopia_status {
    guard(error, || {
        // SAFETY: the header demands NULL or a writable pointer.
        let out = unsafe { out_param("out", out, std::ptr::null_mut()) }?;
        // SAFETY: the header demands a live client.
        let client = unsafe { shared("client", client) }?;
        *out = meditopia_cursor::give(client.client.in_doubt(after_id)?);
        Ok(())
    })
}

/// Lists the events that wait: first those that a sender has taken over (`MEDITOPIA_REASON_PENDING`
/// or `MEDITOPIA_REASON_IN_DOUBT`), then those that none has taken over yet
/// (`MEDITOPIA_REASON_JOURNALLED`).
///
///   partner_user_id  only events of this user; NULL: all users. UTF-8, borrowed for the call
///   after_id         only events with a greater id; 0: from the first
///   out              receives the cursor, to be freed with `meditopia_cursor_free`; NULL after an
///                    error
///
/// Each page is read on its own while a sender may be at work. Events that are delivered while you
/// walk the list are not listed, and events that are enqueued meanwhile may be. An event that the
/// sender moves to another queue meanwhile may be listed twice. With a user, reading one page may
/// read every event that waits.
///
/// Blocking, threads and errors as for `meditopia_rejected_open`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_pending_open(
    client: *mut meditopia_client,
    partner_user_id: *const c_char,
    after_id: i64,
    out: *mut *mut meditopia_cursor,
    error: *mut meditopia_error,
) -> meditopia_status {
    guard(error, || {
        // SAFETY: the header demands NULL or a writable pointer.
        let out = unsafe { out_param("out", out, std::ptr::null_mut()) }?;
        // SAFETY: the header demands a live client, and a string that outlives the call.
        let (client, user) = unsafe {
            (
                shared("client", client)?,
                optional("partner_user_id", partner_user_id)?,
            )
        };
        *out = meditopia_cursor::give(client.client.pending(&PendingFilter {
            user: user.map(ToOwned::to_owned),
            after_id,
            ..PendingFilter::default()
        })?);
        Ok(())
    })
}

/// Goes to the next event: `MEDITOPIA_OK` with a row, or `MEDITOPIA_DONE` at the end of the list.
///
/// `row` is the caller's; set its `struct_size` once. Its strings are valid until the next call
/// with this cursor. After `MEDITOPIA_DONE` or an error, every field except `struct_size` is zero.
///
/// May read a page of the store; never waits for the sender. One thread at a time may use the
/// cursor.
///
/// Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT` (an argument is NULL, or `struct_size` is not set),
/// `MEDITOPIA_ERROR_IO`, `MEDITOPIA_ERROR_STORE`, `MEDITOPIA_ERROR_CLOSED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_cursor_next(
    cursor: *mut meditopia_cursor,
    row: *mut meditopia_row,
    error: *mut meditopia_error,
) -> meditopia_status {
    guard(error, || {
        // SAFETY: the header demands a row that says its size, and a live cursor that no other
        // thread uses.
        let (mut row, cursor) = unsafe {
            (
                GrowingOutput::<meditopia_row>::new("row", row)?,
                exclusive("cursor", cursor)?,
            )
        };
        cursor.strings = None;
        match cursor.cursor.next_row()? {
            Some(next) => {
                row.fill(&row_for_c(&mut cursor.strings, &next));
                Ok(Step::Entry)
            }
            None => Ok(Step::Done),
        }
    })
}

/// Frees a cursor and the strings of its last row. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_cursor_free(cursor: *mut meditopia_cursor) {
    guard_or((), || {
        // SAFETY: the header demands NULL or a cursor that no other call uses or has freed.
        unsafe { free(cursor) }
    });
}
