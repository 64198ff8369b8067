//! The erasure of a user.

use std::ffi::c_char;
use std::time::Duration;

use crate::client::Erasure;

use super::argument::required;
use super::client::meditopia_client;
use super::error::meditopia_error;
use super::growing::{Growing, GrowingOutput};
use super::guard::guard;
use super::handle::shared;
use super::status::meditopia_status;

/// What `meditopia_forget_user` has done. It is all zero after an error.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct meditopia_erasure {
    /// Set it to sizeof(meditopia_erasure) before the call.
    pub struct_size: u32,
    /// 1: nothing of the user is left in the spool; 0: `in_flight` or `files_left` is not 0.
    pub is_complete: u32,
    /// Events that waited to be sent, and are erased.
    pub pending: u64,
    /// Rejected events that are erased.
    pub rejected: u64,
    /// Receipts that named the user, and do not any more.
    pub receipts: u64,
    /// Events that cannot be taken back: a request with them is under way, or none has been answered.
    pub in_flight: u64,
    /// Files of the spool in which the user still stands: because of events in flight, of events that
    /// were enqueued meanwhile, of damage that was set aside or of an import that did not end. The
    /// command `meditopia forget` names them. Not more than 100 are counted.
    pub files_left: u64,
}

// SAFETY: repr(C), starts with `struct_size`, and 4 + 4 + 5 * 8 leaves no padding.
unsafe impl Growing for meditopia_erasure {
    const NAME: &'static str = "meditopia_erasure";
    const FIRST_SIZE: usize = 48;
    const BLANK: Self = Self {
        struct_size: 0,
        is_complete: 0,
        pending: 0,
        rejected: 0,
        receipts: 0,
        in_flight: 0,
        files_left: 0,
    };
}

impl From<&Erasure> for meditopia_erasure {
    fn from(erasure: &Erasure) -> Self {
        Self {
            struct_size: 0,
            is_complete: u32::from(erasure.is_complete()),
            pending: erasure.pending,
            rejected: erasure.rejected,
            receipts: erasure.receipts,
            in_flight: erasure.in_flight,
            files_left: erasure.files.len() as u64,
        }
    }
}

/// Erases the events of a user that were enqueued before the call and are not delivered, rejected
/// ones included, and the user's receipts, for good. An event that is enqueued during the call may be
/// erased or stay. When it returns, the bytes of what is erased are in no file of the spool, but for
/// what `erasure` says. What was delivered is at Meditopia, and stays there.
///
///   partner_user_id  which user; UTF-8, borrowed for the call
///   timeout_ms       the longest time that it waits for the spool's sender, 0 to 4294967295
///                    milliseconds; a sender with much to do needs some seconds; with 0 it
///                    erases only if no sender runs, else it is MEDITOPIA_ERROR_TIMEOUT
///   erasure          what was done and what is left; may be NULL, otherwise set its `struct_size`
///
/// An event of a request that is under way, or that no answer has settled, cannot be taken back. The
/// call waits for that request until `timeout_ms` is over, and then counts the event as `in_flight`: call
/// it again later. Events of other users keep their order.
///
/// Blocks for as long as the disk takes, with many events for seconds. Callable from any thread.
///
/// Errors: `MEDITOPIA_ERROR_INVALID_ARGUMENT`, `MEDITOPIA_ERROR_TIMEOUT` (the call may still take
/// effect), `MEDITOPIA_ERROR_SPOOL_FULL`, `MEDITOPIA_ERROR_IO`, `MEDITOPIA_ERROR_STORE`,
/// `MEDITOPIA_ERROR_CLOSED`. After any of them the same call goes on where this one ended.
///
/// Example:
///
///   meditopia_erasure erasure = { .struct_size = sizeof erasure };
///   status = meditopia_forget_user(client, "user-17", 30000, &erasure, &error);
///   if (status == MEDITOPIA_OK && !erasure.is_complete) ask_again_later();
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meditopia_forget_user(
    client: *mut meditopia_client,
    partner_user_id: *const c_char,
    timeout_ms: u32,
    erasure: *mut meditopia_erasure,
    error: *mut meditopia_error,
) -> meditopia_status {
    guard(error, || {
        // SAFETY: the header demands NULL or a struct that says its size.
        let mut erasure = unsafe { GrowingOutput::optional("erasure", erasure) }?;
        // SAFETY: the header demands a live client, and a string that outlives the call.
        let (client, user) = unsafe {
            (
                shared("client", client)?,
                required("partner_user_id", partner_user_id)?,
            )
        };
        let timeout = Duration::from_millis(timeout_ms.into());
        let done = client.client.forget_user(user, timeout)?;
        if let Some(erasure) = &mut erasure {
            erasure.fill(&meditopia_erasure::from(&done));
        }
        Ok(())
    })
}
