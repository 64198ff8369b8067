//! A panic in any export does not reach the caller.

use std::cell::Cell;
use std::ptr::{null, null_mut};

use super::super::client::*;
use super::super::config::*;
use super::super::cursor::*;
use super::super::enqueue::*;
use super::super::erasure::*;
use super::super::error::meditopia_error;
use super::super::log::*;
use super::super::receipts::*;
use super::super::rejected::*;
use super::super::stats::*;
use super::super::status::{meditopia_status, meditopia_status_name};
use super::super::text::*;
use super::super::version::*;
use super::{INTERNAL, dirty_error, header, text_of};

thread_local! {
    static ARMED: Cell<bool> = const { Cell::new(false) };
}

/// Panics once after a test has armed it. The guard calls this function before the body of each
/// export.
pub(crate) fn panic_if_armed() {
    if ARMED.replace(false) {
        panic!("a panic on purpose");
    }
}

/// What an export returned.
#[derive(Debug, PartialEq)]
enum Returned {
    Status(meditopia_status),
    Null,
    Zero,
    Nothing,
}

fn pointer<T>(pointer: *const T) -> Returned {
    assert!(pointer.is_null());
    Returned::Null
}

type Export = (&'static str, unsafe fn(*mut meditopia_error) -> Returned);

// SAFETY of the whole table: the header allows NULL, or promises an error for it.
#[allow(clippy::undocumented_unsafe_blocks)]
/// Every export, called with NULL for every pointer: the panic comes before any of them is read.
const EXPORTS: [Export; 43] = {
    use Returned::{Nothing, Status, Zero};
    fn number(value: usize) -> Returned {
        assert_eq!(value, 0);
        Zero
    }
    [
        ("meditopia_abi_version", |_| {
            number(meditopia_abi_version() as usize)
        }),
        ("meditopia_version", |_| pointer(meditopia_version())),
        ("meditopia_status_name", |_| {
            pointer(meditopia_status_name(0))
        }),
        ("meditopia_text_data", |_| unsafe {
            pointer(meditopia_text_data(null()))
        }),
        ("meditopia_text_len", |_| unsafe {
            number(meditopia_text_len(null()))
        }),
        ("meditopia_text_free", |_| {
            unsafe { meditopia_text_free(null_mut()) };
            Nothing
        }),
        ("meditopia_config_new", |_| pointer(meditopia_config_new())),
        ("meditopia_config_set", |e| unsafe {
            Status(meditopia_config_set(null_mut(), null(), null(), e))
        }),
        ("meditopia_config_get", |e| unsafe {
            Status(meditopia_config_get(null(), null(), null_mut(), e))
        }),
        ("meditopia_config_load_env", |e| unsafe {
            Status(meditopia_config_load_env(null_mut(), e))
        }),
        ("meditopia_config_load_file", |e| unsafe {
            Status(meditopia_config_load_file(null_mut(), null(), e))
        }),
        ("meditopia_config_free", |_| {
            unsafe { meditopia_config_free(null_mut()) };
            Nothing
        }),
        ("meditopia_client_open", |e| unsafe {
            Status(meditopia_client_open(null(), null_mut(), e))
        }),
        ("meditopia_flush", |e| unsafe {
            Status(meditopia_flush(null_mut(), 0, null_mut(), e))
        }),
        ("meditopia_client_close", |e| unsafe {
            Status(meditopia_client_close(null_mut(), 0, null_mut(), e))
        }),
        ("meditopia_client_free", |_| {
            unsafe { meditopia_client_free(null_mut()) };
            Nothing
        }),
        ("meditopia_set_bearer_token", |e| unsafe {
            Status(meditopia_set_bearer_token(null_mut(), null(), e))
        }),
        ("meditopia_hold", |e| unsafe {
            Status(meditopia_hold(null_mut(), e))
        }),
        ("meditopia_resume", |e| unsafe {
            Status(meditopia_resume(null_mut(), e))
        }),
        ("meditopia_forget_user", |e| unsafe {
            Status(meditopia_forget_user(null_mut(), null(), 0, null_mut(), e))
        }),
        ("meditopia_enqueue", |e| unsafe {
            Status(meditopia_enqueue(
                null_mut(),
                null(),
                null(),
                null(),
                null(),
                null(),
                e,
            ))
        }),
        ("meditopia_enqueue_n", |e| unsafe {
            let no = null();
            Status(meditopia_enqueue_n(
                null_mut(),
                no,
                0,
                no,
                0,
                no,
                0,
                no,
                0,
                no,
                0,
                e,
            ))
        }),
        ("meditopia_enqueue_json", |e| unsafe {
            Status(meditopia_enqueue_json(null_mut(), null(), 0, null_mut(), e))
        }),
        ("meditopia_get_stats", |e| unsafe {
            Status(meditopia_get_stats(null_mut(), null_mut(), e))
        }),
        ("meditopia_sender_seen", |e| unsafe {
            Status(meditopia_sender_seen(null_mut(), null_mut(), null_mut(), e))
        }),
        ("meditopia_stats_text", |e| unsafe {
            Status(meditopia_stats_text(null_mut(), 0, null_mut(), e))
        }),
        ("meditopia_set_log_callback", |e| unsafe {
            Status(meditopia_set_log_callback(null_mut(), None, null_mut(), e))
        }),
        ("meditopia_log_next", |e| unsafe {
            Status(meditopia_log_next(null_mut(), null_mut(), e))
        }),
        ("meditopia_rejected_open", |e| unsafe {
            Status(meditopia_rejected_open(
                null_mut(),
                null(),
                null(),
                0,
                null_mut(),
                e,
            ))
        }),
        ("meditopia_in_doubt_open", |e| unsafe {
            Status(meditopia_in_doubt_open(null_mut(), 0, null_mut(), e))
        }),
        ("meditopia_pending_open", |e| unsafe {
            Status(meditopia_pending_open(null_mut(), null(), 0, null_mut(), e))
        }),
        ("meditopia_receipts_open", |e| unsafe {
            Status(meditopia_receipts_open(
                null_mut(),
                null(),
                0,
                0,
                0,
                null_mut(),
                e,
            ))
        }),
        ("meditopia_receipts_next", |e| unsafe {
            Status(meditopia_receipts_next(null_mut(), null_mut(), e))
        }),
        ("meditopia_receipts_free", |_| {
            unsafe { meditopia_receipts_free(null_mut()) };
            Nothing
        }),
        ("meditopia_cursor_next", |e| unsafe {
            Status(meditopia_cursor_next(null_mut(), null_mut(), e))
        }),
        ("meditopia_cursor_free", |_| {
            unsafe { meditopia_cursor_free(null_mut()) };
            Nothing
        }),
        ("meditopia_rejected_requeue", |e| unsafe {
            Status(meditopia_rejected_requeue(
                null_mut(),
                null(),
                0,
                null_mut(),
                e,
            ))
        }),
        ("meditopia_rejected_discard", |e| unsafe {
            Status(meditopia_rejected_discard(
                null_mut(),
                null(),
                0,
                null_mut(),
                e,
            ))
        }),
        ("meditopia_rejected_find", |e| unsafe {
            Status(meditopia_rejected_find(null_mut(), null(), null_mut(), e))
        }),
        ("meditopia_rejected_requeue_matching", |e| unsafe {
            Status(meditopia_rejected_requeue_matching(
                null_mut(),
                null(),
                null_mut(),
                e,
            ))
        }),
        ("meditopia_rejected_discard_matching", |e| unsafe {
            Status(meditopia_rejected_discard_matching(
                null_mut(),
                null(),
                null_mut(),
                e,
            ))
        }),
        ("meditopia_rejected_export", |e| unsafe {
            Status(meditopia_rejected_export(
                null_mut(),
                null(),
                null(),
                null_mut(),
                e,
            ))
        }),
        ("meditopia_in_doubt_set_aside", |e| unsafe {
            Status(meditopia_in_doubt_set_aside(
                null_mut(),
                null(),
                0,
                null_mut(),
                e,
            ))
        }),
    ]
};

#[test]
fn a_panic_in_any_export_becomes_an_error_or_an_empty_value() {
    for (name, call) in EXPORTS {
        let mut error = dirty_error();
        ARMED.set(true);
        // SAFETY: see the table.
        let returned = unsafe { call(&mut error) };
        assert!(!ARMED.replace(false), "{name} does not run under the guard");
        if let Returned::Status(status) = returned {
            assert_eq!(status, INTERNAL, "{name}");
            assert_eq!(error.status, INTERNAL, "{name}");
            assert_eq!(error.retryable, 0, "{name}");
            let message = text_of(&error.message);
            assert!(message.contains("a panic on purpose"), "{name}: {message}");
        }
    }
}

#[test]
fn a_panic_in_a_call_without_an_error_struct_still_returns_a_status() {
    ARMED.set(true);
    // SAFETY: the header promises an error for NULL.
    let status = unsafe { meditopia_hold(null_mut(), null_mut()) };
    assert_eq!(status, INTERNAL);
}

#[test]
fn the_panic_test_covers_every_function_of_the_header() {
    let mut tried: Vec<String> = EXPORTS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut declared: Vec<String> =
        header::functions(include_str!("../../../include/meditopia_ffi.h"))
            .into_iter()
            .map(|function| function.name)
            .collect();
    tried.sort();
    declared.sort();
    assert_eq!(tried, declared);
}
