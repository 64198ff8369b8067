//! Lists of events: the rejected, those in doubt, and all that wait.

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
    /// The API refused the event alone in a request; it was not delivered.
    MEDITOPIA_REASON_REFUSED = 1,
    /// The event was older than `event_ttl_s` before it could be sent.
    MEDITOPIA_REASON_EXPIRED = 2,
    /// The event was sent, but no answer has settled whether it arrived. It is being repeated.
    MEDITOPIA_REASON_IN_DOUBT = 3,
    /// The API refused the event alone in a request, but an earlier request with it was never
    /// settled: it may have been delivered then. Look before you requeue.
    MEDITOPIA_REASON_REFUSED_MAY_BE_DELIVERED = 4,
    /// The event was in doubt, and an operator set it aside (`meditopia_in_doubt_set_aside`): it may
    /// have been delivered.
    MEDITOPIA_REASON_SET_ASIDE = 5,
    /// The event was older than `event_ttl_s`, and an earlier request with it was never settled: it may
    /// have been delivered then.
    MEDITOPIA_REASON_EXPIRED_MAY_BE_DELIVERED = 6,
    /// The event waits to be sent.
    MEDITOPIA_REASON_PENDING = 7,
    /// The event waits, and no sender has taken it over yet.
    MEDITOPIA_REASON_JOURNALLED = 8,
}

/// A position in a list of events. One thread at a time; it may move between threads. It holds no
/// transaction, so it may stay open as long as you like.
pub struct meditopia_cursor {
    cursor: Cursor,
    /// What the pointers of the row that C has last seen point into.
    strings: Option<Strings>,
}

impl Handle for meditopia_cursor {
    type Access = Exclusive;
}

/// The texts of one row.
pub(super) struct Strings {
    event_json: Terminated,
    api_code: Terminated,
    message: Terminated,
}

/// One event of a list. Its strings belong to the cursor and live until the next call on it; none
/// is NULL after `MEDITOPIA_OK`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct meditopia_row {
    /// Set it to sizeof(meditopia_row) before the call.
    pub struct_size: u32,
    /// HTTP status of the answer; 0: none.
    pub http_status: i32,
    /// Above 0; grows along a list. What requeue and discard take. Of an event that no sender has taken
    /// over yet it is 2^62 or more, and only tells where it stands in this list.
    pub id: i64,
    /// When it was enqueued; in the list of `meditopia_in_doubt_open`, when its first request left.
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub first_ms: i64,
    /// In doubt: its last request; rejected: its rejection; else 0. Milliseconds since
    /// 1970-01-01T00:00:00Z.
    pub last_ms: i64,
    /// How many requests carried the event; in the list of `meditopia_pending_open` those in doubt.
    pub attempts: u32,
    /// One of `meditopia_reason`.
    pub reason: i32,
    /// The event as it goes to the API. NUL-terminated.
    pub event_json: *const c_char,
    /// Its length in bytes, without the NUL.
    pub event_json_len: usize,
    /// The API's code, such as "A_2001"; empty: none. NUL-terminated.
    pub api_code: *const c_char,
    /// The API's message, or what the library has to say. NUL-terminated.
    pub message: *const c_char,
}

// SAFETY: repr(C), starts with `struct_size`, and its fields leave no padding, with pointers of 8
// bytes and of 4 (the numbers before them end on a multiple of 8).
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

/// `row` for C; its strings are kept in `held` until the next one.
pub(super) fn lend(held: &mut Option<Strings>, row: &Row) -> meditopia_row {
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

/// The stable number of the reason why an event is listed.
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

/// Lists the events that were rejected, have expired or were set aside, oldest first. They stay until
/// an operator requeues or discards them. For more than user and code see `meditopia_rejected_find`.
///
///   partner_user_id  only this user's; NULL: any. UTF-8, borrowed for the call
///   api_code         only those that the API refused with this code; NULL: any
///   after_id         only those with a greater id; 0: from the first
///   out              gets the cursor for `meditopia_cursor_free`; NULL after an error
///
/// Reads the store, by page, beside the sender and without waiting for it. Callable from any
/// thread.
///
/// Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT`, `MEDITOPIA_ERROR_IO`, `MEDITOPIA_ERROR_STORE`,
/// `MEDITOPIA_ERROR_FORKED`, `MEDITOPIA_ERROR_CLOSED`.
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
        // SAFETY: NULL or the caller's pointer, says the header.
        let out = unsafe { out_param("out", out, std::ptr::null_mut()) }?;
        // SAFETY: the header asks for a live client and for strings that outlive the call.
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

/// Lists the events that were sent while no answer has settled whether they arrived, with their
/// attempts, oldest first. They are repeated before anything else; nothing has to be done.
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
        // SAFETY: NULL or the caller's pointer, says the header.
        let out = unsafe { out_param("out", out, std::ptr::null_mut()) }?;
        // SAFETY: the header asks for a live client.
        let client = unsafe { shared("client", client) }?;
        *out = meditopia_cursor::give(client.client.in_doubt(after_id)?);
        Ok(())
    })
}

/// Lists the events that wait: first those that a sender has taken over (`MEDITOPIA_REASON_PENDING`, or
/// `MEDITOPIA_REASON_IN_DOUBT`), then those that none has (`MEDITOPIA_REASON_JOURNALLED`).
///
///   partner_user_id  only this user's; NULL: any. UTF-8, borrowed for the call
///   after_id         only those with a greater id; 0: from the first
///   out              gets the cursor for `meditopia_cursor_free`; NULL after an error
///
/// Each page is read by itself beside a running sender: what is delivered while you walk is not listed,
/// what is enqueued may be. One that is set behind its user's bad events meanwhile may come twice. With
/// a user, each page may go through all that waits.
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
        // SAFETY: NULL or the caller's pointer, says the header.
        let out = unsafe { out_param("out", out, std::ptr::null_mut()) }?;
        // SAFETY: the header asks for a live client and for a string that outlives the call.
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
/// `row` is the caller's; set its `struct_size` once. Its strings live until the next call on this
/// cursor. After `MEDITOPIA_DONE` or an error all of it but `struct_size` is zero.
///
/// May read a page of the store; never waits for the sender. One thread at a time.
///
/// Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT` (NULL, or `struct_size` not set),
/// `MEDITOPIA_ERROR_IO`, `MEDITOPIA_ERROR_STORE`, `MEDITOPIA_ERROR_FORKED`,
/// `MEDITOPIA_ERROR_CLOSED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_cursor_next(
    cursor: *mut meditopia_cursor,
    row: *mut meditopia_row,
    error: *mut meditopia_error,
) -> meditopia_status {
    guard(error, || {
        // SAFETY: the header asks for a row that says its size, and for a live cursor that no
        // other thread uses.
        let (mut row, cursor) = unsafe {
            (
                GrowingOutput::<meditopia_row>::new("row", row)?,
                exclusive("cursor", cursor)?,
            )
        };
        cursor.strings = None;
        match cursor.cursor.next_row()? {
            Some(next) => {
                row.fill(&lend(&mut cursor.strings, &next));
                Ok(Step::Given)
            }
            None => Ok(Step::Done),
        }
    })
}

/// Frees a cursor and the strings of its last row; NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_cursor_free(cursor: *mut meditopia_cursor) {
    guard_or((), || {
        // SAFETY: NULL or a cursor of the library that nobody uses any more, says the header.
        unsafe { free(cursor) }
    });
}
