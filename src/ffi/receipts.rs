//! Receipts: which requests the API accepted, and which users had events in them.

use std::ffi::c_char;
use std::fmt::Write as _;

use crate::client::{Receipt, ReceiptFilter, Receipts};
use crate::event::EventKind;

use super::argument::optional;
use super::client::meditopia_client;
use super::error::meditopia_error;
use super::growing::{Growing, GrowingOutput};
use super::guard::{Step, guard};
use super::handle::{Exclusive, Handle, exclusive, free, give, shared};
use super::output::{Terminated, out_param};
use super::panic::guard_or;
use super::status::meditopia_status;

/// A position in a list of receipts. One thread at a time may use it; it may move between threads.
/// It holds no transaction, so it may stay open as long as you like.
pub struct meditopia_receipts {
    receipts: Receipts,
    /// The string that the last receipt given to C points into.
    users_json: Option<Terminated>,
}

impl Handle for meditopia_receipts {
    type Access = Exclusive;
}

/// One request that the API accepted. Its string belongs to the list and is valid until the next
/// call with the list. After `MEDITOPIA_OK` it is not NULL.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct meditopia_receipt {
    /// Set it to sizeof(meditopia_receipt) before the call.
    pub struct_size: u32,
    /// HTTP status of the answer.
    pub http_status: i32,
    /// Greater than 0, and increasing along the list.
    pub id: i64,
    /// When the answer came. Milliseconds since 1970-01-01T00:00:00Z.
    pub time_ms: i64,
    /// How many requests carried this batch; more than 1 if no answer settled an earlier one.
    pub attempts: u32,
    /// How many events the batch held.
    pub events: u32,
    /// How many of them were "register".
    pub register_events: u32,
    /// How many of them were "signin".
    pub signin_events: u32,
    /// How many of them were "audio".
    pub audio_events: u32,
    /// How many of them were "video".
    pub video_events: u32,
    /// How many of them were "content".
    pub content_events: u32,
    /// How many users the events belong to.
    pub users: u32,
    /// The users and their events, in the order of the users' first events:
    /// [{"partner_user_id":"u-1","events":{"video":2}},...]. NUL-terminated.
    pub users_json: *const c_char,
    /// The length of `users_json` in bytes, without the NUL.
    pub users_json_len: usize,
}

// SAFETY: repr(C), starts with `struct_size`, and has no padding. That holds for pointers of 8
// bytes and of 4: the numbers before them end on a multiple of 8.
unsafe impl Growing for meditopia_receipt {
    const NAME: &'static str = "meditopia_receipt";
    const FIRST_SIZE: usize = 56 + 2 * size_of::<usize>();
    const BLANK: Self = Self {
        struct_size: 0,
        http_status: 0,
        id: 0,
        time_ms: 0,
        attempts: 0,
        events: 0,
        register_events: 0,
        signin_events: 0,
        audio_events: 0,
        video_events: 0,
        content_events: 0,
        users: 0,
        users_json: std::ptr::null(),
        users_json_len: 0,
    };
}

/// The receipt for C. Its string stays in `held` until the next receipt replaces it.
pub(super) fn receipt_for_c(held: &mut Option<Terminated>, receipt: &Receipt) -> meditopia_receipt {
    let users_json = held.insert(Terminated::exact(users_json(receipt)));
    let [register, signin, audio, video, content] = receipt.kinds();
    meditopia_receipt {
        struct_size: 0,
        http_status: i32::from(receipt.http_status),
        id: receipt.id,
        time_ms: receipt.time_ms,
        attempts: receipt.attempts,
        events: receipt.events,
        register_events: register,
        signin_events: signin,
        audio_events: audio,
        video_events: video,
        content_events: content,
        users: receipt.users.len() as u32,
        users_json: users_json.as_ptr(),
        users_json_len: users_json.len(),
    }
}

fn users_json(receipt: &Receipt) -> String {
    let mut json = String::from("[");
    for (number, share) in receipt.users.iter().enumerate() {
        let comma = if number > 0 { "," } else { "" };
        let user = serde_json::Value::from(share.user.as_str());
        let kinds: Vec<String> = EventKind::ALL
            .into_iter()
            .zip(share.kinds)
            .filter(|(_, count)| *count > 0)
            .map(|(kind, count)| format!("\"{kind}\":{count}"))
            .collect();
        let kinds = kinds.join(",");
        // Writing to a `String` does not fail.
        let _ = write!(
            json,
            "{comma}{{\"partner_user_id\":{user},\"events\":{{{kinds}}}}}"
        );
    }
    json.push(']');
    json
}

/// Lists the requests that the API accepted within the last `receipts_days`, oldest first. It
/// answers "where are the events of this user?" A batch that was delivered while the disk was full
/// is not listed.
///
///   partner_user_id  only requests with an event of this user; NULL: all users. UTF-8, borrowed
///                    for the call
///   from_ms          only requests of this time or later, milliseconds since 1970-01-01T00:00:00Z;
///                    0: no limit
///   until_ms         only requests before this time; 0: no limit
///   after_id         only receipts with a greater id; 0: from the first
///   out              receives the list, to be freed with `meditopia_receipts_free`; NULL after an
///                    error
///
/// Reads the store page by page while a sender may be at work, and never waits for the sender. With
/// a user, every receipt of that time is read. Callable from any thread.
///
/// Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT`, `MEDITOPIA_ERROR_IO`, `MEDITOPIA_ERROR_STORE`,
/// `MEDITOPIA_ERROR_CLOSED`.
///
/// Example:
///
///   meditopia_receipts *receipts = NULL;
///   meditopia_receipt receipt = { .struct_size = sizeof receipt };
///   status = meditopia_receipts_open(client, "user-17", 0, 0, 0, &receipts, &error);
///   while (status == MEDITOPIA_OK) {
///       status = meditopia_receipts_next(receipts, &receipt, &error);
///       if (status == MEDITOPIA_OK)
///           printf("%lld: %u events\n", (long long)receipt.time_ms, (unsigned)receipt.events);
///   }
///   meditopia_receipts_free(receipts);
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_receipts_open(
    client: *mut meditopia_client,
    partner_user_id: *const c_char,
    from_ms: i64,
    until_ms: i64,
    after_id: i64,
    out: *mut *mut meditopia_receipts,
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
        let time = |ms: i64| (ms != 0).then_some(ms);
        let receipts = client.client.receipts(&ReceiptFilter {
            user: user.map(ToOwned::to_owned),
            from_ms: time(from_ms),
            until_ms: time(until_ms),
            after_id,
        })?;
        *out = give(meditopia_receipts {
            receipts,
            users_json: None,
        });
        Ok(())
    })
}

/// Goes to the next receipt: `MEDITOPIA_OK` with a receipt, or `MEDITOPIA_DONE` at the end of the
/// list.
///
/// `receipt` is the caller's; set its `struct_size` once. Its string is valid until the next call
/// with this list. After `MEDITOPIA_DONE` or an error, every field except `struct_size` is zero.
///
/// May read pages of the store; never waits for the sender. One thread at a time may use the list.
///
/// Errors: as for `meditopia_cursor_next`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_receipts_next(
    receipts: *mut meditopia_receipts,
    receipt: *mut meditopia_receipt,
    error: *mut meditopia_error,
) -> meditopia_status {
    guard(error, || {
        // SAFETY: the header demands a receipt that says its size, and a live list that no other
        // thread uses.
        let (mut receipt, receipts) = unsafe {
            (
                GrowingOutput::<meditopia_receipt>::new("receipt", receipt)?,
                exclusive("receipts", receipts)?,
            )
        };
        receipts.users_json = None;
        match receipts.receipts.next_receipt()? {
            Some(next) => {
                receipt.fill(&receipt_for_c(&mut receipts.users_json, &next));
                Ok(Step::Entry)
            }
            None => Ok(Step::Done),
        }
    })
}

/// Frees a list of receipts and the string of its last one. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_receipts_free(receipts: *mut meditopia_receipts) {
    guard_or((), || {
        // SAFETY: the header demands NULL or a list that no other call uses or has freed.
        unsafe { free(receipts) }
    });
}
