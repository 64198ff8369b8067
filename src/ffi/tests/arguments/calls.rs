//! A call of each function with arguments from [`Arguments`]: one of them bad, the others good.

use std::cell::Cell;
use std::ffi::{CStr, c_char};
use std::ptr::null_mut;

use crate::ffi::client::*;
use crate::ffi::config::*;
use crate::ffi::cursor::*;
use crate::ffi::enqueue::*;
use crate::ffi::erasure::meditopia_erasure;
use crate::ffi::erasure::meditopia_forget_user;
use crate::ffi::error::meditopia_error;
use crate::ffi::growing::Growing;
use crate::ffi::log::*;
use crate::ffi::receipts::*;
use crate::ffi::rejected::*;
use crate::ffi::report::meditopia_report;
use crate::ffi::stats::*;
use crate::ffi::status::meditopia_status;
use crate::ffi::tests::Opened;
use crate::ffi::text::*;

const NOT_UTF8: &CStr = c"caf\xe9";

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Flaw {
    Null,
    NotUtf8,
}

/// Supplies the arguments of a call: one of them is bad, the others are good.
pub(super) struct Arguments {
    bad: String,
    flaw: Flaw,
    used: Cell<bool>,
}

impl Arguments {
    pub(super) fn new(bad: &str, flaw: Flaw) -> Self {
        Self {
            bad: bad.to_owned(),
            flaw,
            used: Cell::new(false),
        }
    }

    /// Whether the call took the bad argument.
    pub(super) fn bad_one_was_used(&self) -> bool {
        self.used.get()
    }

    fn is_bad(&self, argument: &str) -> bool {
        let bad = self.bad == argument;
        if bad {
            self.used.set(true);
        }
        bad
    }

    fn pointer<T>(&self, argument: &str, good: *mut T) -> *mut T {
        if self.is_bad(argument) {
            null_mut()
        } else {
            good
        }
    }

    fn string(&self, argument: &str, good: &'static CStr) -> *const c_char {
        match (self.is_bad(argument), self.flaw) {
            (false, _) => good.as_ptr(),
            (true, Flaw::Null) => std::ptr::null(),
            (true, Flaw::NotUtf8) => NOT_UTF8.as_ptr(),
        }
    }

    /// A string and its length; the length of a NULL is 0.
    fn string_n(&self, argument: &str, good: &'static CStr) -> (*const c_char, usize) {
        let string = self.string(argument, good);
        if string.is_null() {
            return (string, 0);
        }
        // SAFETY: both are constants with a NUL.
        (string, unsafe { CStr::from_ptr(string) }.count_bytes())
    }
}

/// Calls the function of this name with `arguments`; `None` if it returns no status.
///
/// # Safety
/// The header promises an error for the bad argument.
pub(super) unsafe fn call(
    function: &str,
    opened: &Opened,
    arguments: &Arguments,
    error: *mut meditopia_error,
) -> Option<meditopia_status> {
    let config = || arguments.pointer("config", opened.config);
    let client = || arguments.pointer("client", opened.client);
    let mut text: *mut meditopia_text = null_mut();
    let mut cursor: *mut meditopia_cursor = null_mut();
    let mut receipts: *mut meditopia_receipts = null_mut();
    let mut receipt = meditopia_receipt {
        struct_size: size_of::<meditopia_receipt>() as u32,
        ..meditopia_receipt::BLANK
    };
    let (mut seen_ms, mut waiting) = (0_i64, 0_i32);
    let mut another: *mut meditopia_client = null_mut();
    let mut count = 0_usize;
    let mut ids = [1_i64];
    let mut report = meditopia_report {
        struct_size: size_of::<meditopia_report>() as u32,
        ..meditopia_report::BLANK
    };
    let mut erasure = meditopia_erasure {
        struct_size: size_of::<meditopia_erasure>() as u32,
        ..meditopia_erasure::BLANK
    };
    let mut stats = meditopia_stats {
        struct_size: size_of::<meditopia_stats>() as u32,
        ..meditopia_stats::BLANK
    };
    let mut record = meditopia_log_record {
        struct_size: size_of::<meditopia_log_record>() as u32,
        ..meditopia_log_record::BLANK
    };
    let mut row = meditopia_row {
        struct_size: size_of::<meditopia_row>() as u32,
        ..meditopia_row::BLANK
    };
    let mut filter = meditopia_filter {
        struct_size: size_of::<meditopia_filter>() as u32,
        ..meditopia_filter::BLANK
    };
    unsafe extern "C" fn ignore(_: *const meditopia_log_record, _: *mut std::ffi::c_void) {}

    // SAFETY: every argument is live, or bad as the contract allows.
    let status = unsafe {
        match function {
            "meditopia_config_set" => {
                let (key, value) = (
                    arguments.string("key", c"account"),
                    arguments.string("value", c"a"),
                );
                meditopia_config_set(config(), key, value, error)
            }
            "meditopia_config_get" => {
                let out = arguments.pointer("out", &mut text);
                meditopia_config_get(config(), arguments.string("key", c"account"), out, error)
            }
            "meditopia_config_load_env" => meditopia_config_load_env(config(), error),
            "meditopia_config_load_file" => {
                let path = arguments.string("path", c"no/such/file.toml");
                meditopia_config_load_file(config(), path, error)
            }
            "meditopia_client_open" => {
                let out = arguments.pointer("out", &mut another);
                meditopia_client_open(config(), out, error)
            }
            "meditopia_flush" => {
                meditopia_flush(client(), 0, arguments.pointer("report", &mut report), error)
            }
            "meditopia_client_close" => {
                meditopia_client_close(client(), 0, arguments.pointer("report", &mut report), error)
            }
            "meditopia_set_bearer_token" => {
                let bearer_token = arguments.string("bearer_token", c"secret");
                meditopia_set_bearer_token(client(), bearer_token, error)
            }
            "meditopia_hold" => meditopia_hold(client(), error),
            "meditopia_forget_user" => {
                let user = arguments.string("partner_user_id", c"u-1");
                let erasure = arguments.pointer("erasure", &mut erasure);
                meditopia_forget_user(client(), user, 5_000, erasure, error)
            }
            "meditopia_resume" => meditopia_resume(client(), error),
            "meditopia_enqueue" => meditopia_enqueue(
                client(),
                arguments.string("token", c"t-1"),
                arguments.string("partner_user_id", c"u-1"),
                arguments.string("event", c"video"),
                arguments.string("event_value", c"v"),
                arguments.string("received_at", c"2024-08-06 15:04:05"),
                error,
            ),
            "meditopia_enqueue_n" => {
                let token = arguments.string_n("token", c"t-1");
                let user = arguments.string_n("partner_user_id", c"u-1");
                let event = arguments.string_n("event", c"video");
                let value = arguments.string_n("event_value", c"v");
                let at = arguments.string_n("received_at", c"2024-08-06 15:04:05");
                meditopia_enqueue_n(
                    client(),
                    token.0,
                    token.1,
                    user.0,
                    user.1,
                    event.0,
                    event.1,
                    value.0,
                    value.1,
                    at.0,
                    at.1,
                    error,
                )
            }
            "meditopia_enqueue_json" => {
                let json = arguments.string_n("json", c"[]");
                let accepted = arguments.pointer("accepted", &mut count);
                meditopia_enqueue_json(client(), json.0, json.1, accepted, error)
            }
            "meditopia_get_stats" => {
                meditopia_get_stats(client(), arguments.pointer("stats", &mut stats), error)
            }
            "meditopia_sender_seen" => {
                let seen_ms = arguments.pointer("seen_ms", &mut seen_ms);
                let waiting = arguments.pointer("waiting", &mut waiting);
                meditopia_sender_seen(client(), seen_ms, waiting, error)
            }
            "meditopia_stats_text" => {
                meditopia_stats_text(client(), 0, arguments.pointer("out", &mut text), error)
            }
            "meditopia_set_log_callback" => {
                let user_data = arguments.pointer("user_data", &raw mut count).cast();
                meditopia_set_log_callback(client(), Some(ignore), user_data, error)
            }
            "meditopia_log_next" => {
                meditopia_log_next(client(), arguments.pointer("record", &mut record), error)
            }
            "meditopia_rejected_open" => {
                let user = arguments.string("partner_user_id", c"u-1");
                let code = arguments.string("api_code", c"A_1");
                let out = arguments.pointer("out", &mut cursor);
                meditopia_rejected_open(client(), user, code, 0, out, error)
            }
            "meditopia_in_doubt_open" => {
                meditopia_in_doubt_open(client(), 0, arguments.pointer("out", &mut cursor), error)
            }
            "meditopia_pending_open" => {
                let user = arguments.string("partner_user_id", c"u-1");
                let out = arguments.pointer("out", &mut cursor);
                meditopia_pending_open(client(), user, 0, out, error)
            }
            "meditopia_receipts_open" => {
                let user = arguments.string("partner_user_id", c"u-1");
                let out = arguments.pointer("out", &mut receipts);
                meditopia_receipts_open(client(), user, 0, 0, 0, out, error)
            }
            "meditopia_receipts_next" => {
                meditopia_receipts_open(
                    opened.client,
                    std::ptr::null(),
                    0,
                    0,
                    0,
                    &mut receipts,
                    null_mut(),
                );
                let receipt = arguments.pointer("receipt", &mut receipt);
                meditopia_receipts_next(arguments.pointer("receipts", receipts), receipt, error)
            }
            "meditopia_cursor_next" => {
                meditopia_rejected_open(
                    opened.client,
                    std::ptr::null(),
                    std::ptr::null(),
                    0,
                    &mut cursor,
                    null_mut(),
                );
                let row = arguments.pointer("row", &mut row);
                meditopia_cursor_next(arguments.pointer("cursor", cursor), row, error)
            }
            "meditopia_rejected_requeue"
            | "meditopia_rejected_discard"
            | "meditopia_in_doubt_set_aside" => {
                let ids = arguments.pointer("ids", ids.as_mut_ptr());
                let changed = arguments.pointer("changed", &mut count);
                let change = match function {
                    "meditopia_rejected_requeue" => meditopia_rejected_requeue,
                    "meditopia_rejected_discard" => meditopia_rejected_discard,
                    _ => meditopia_in_doubt_set_aside,
                };
                change(client(), ids, 1, changed, error)
            }
            "meditopia_rejected_find" => {
                let out = arguments.pointer("out", &mut cursor);
                let filter = arguments.pointer("filter", &mut filter);
                meditopia_rejected_find(client(), filter, out, error)
            }
            "meditopia_rejected_requeue_matching" | "meditopia_rejected_discard_matching" => {
                let filter = arguments.pointer("filter", &mut filter);
                let changed = arguments.pointer("changed", &mut count);
                let change = match function {
                    "meditopia_rejected_requeue_matching" => meditopia_rejected_requeue_matching,
                    _ => meditopia_rejected_discard_matching,
                };
                change(client(), filter, changed, error)
            }
            "meditopia_rejected_export" => {
                let filter = arguments.pointer("filter", &mut filter);
                let path = arguments.string("path", c"no/such/directory/export");
                let written = arguments.pointer("written", &mut count);
                meditopia_rejected_export(client(), filter, path, written, error)
            }
            _ => return None,
        }
    };
    // SAFETY: NULL or made by the library just now.
    unsafe {
        meditopia_text_free(text);
        meditopia_cursor_free(cursor);
        meditopia_receipts_free(receipts);
        meditopia_client_free(another);
    }
    Some(status)
}
