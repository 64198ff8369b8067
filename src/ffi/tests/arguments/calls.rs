//! A caller for each function that asks [`Spoil`] for its arguments: one of them is spoilt, the others
//! are good.

use std::cell::Cell;
use std::ffi::{CStr, c_char};
use std::ptr::null_mut;

use crate::ffi::client::*;
use crate::ffi::config::*;
use crate::ffi::cursor::*;
use crate::ffi::enqueue::*;
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
pub(super) enum How {
    Null,
    NotUtf8,
}

/// Hands out good arguments, but for one.
pub(super) struct Spoil {
    argument: String,
    how: How,
    done: Cell<bool>,
}

impl Spoil {
    pub(super) fn of(argument: &str, how: How) -> Self {
        Self {
            argument: argument.to_owned(),
            how,
            done: Cell::new(false),
        }
    }

    /// Whether the argument was asked for.
    pub(super) fn is_done(&self) -> bool {
        self.done.get()
    }

    fn hits(&self, argument: &str) -> bool {
        let hit = self.argument == argument;
        if hit {
            self.done.set(true);
        }
        hit
    }

    fn pointer<T>(&self, argument: &str, good: *mut T) -> *mut T {
        if self.hits(argument) {
            null_mut()
        } else {
            good
        }
    }

    fn text(&self, argument: &str, good: &'static CStr) -> *const c_char {
        match (self.hits(argument), self.how) {
            (false, _) => good.as_ptr(),
            (true, How::Null) => std::ptr::null(),
            (true, How::NotUtf8) => NOT_UTF8.as_ptr(),
        }
    }

    /// The text and its length; the length goes with a NULL only where 0 is not what is meant.
    fn measured(&self, argument: &str, good: &'static CStr) -> (*const c_char, usize) {
        let text = self.text(argument, good);
        if text.is_null() {
            return (text, 0);
        }
        // SAFETY: both are constants with a NUL.
        (text, unsafe { CStr::from_ptr(text) }.count_bytes())
    }
}

/// Calls the function of this name with good arguments, but for the spoilt one. None: it has no
/// error to return.
///
/// # Safety
/// Only what the header answers with a status is spoilt.
pub(super) unsafe fn call(
    function: &str,
    opened: &Opened,
    spoil: &Spoil,
    error: *mut meditopia_error,
) -> Option<meditopia_status> {
    let config = || spoil.pointer("config", opened.config);
    let client = || spoil.pointer("client", opened.client);
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

    // SAFETY: everything is live, or spoilt as the contract allows.
    let status = unsafe {
        match function {
            "meditopia_config_set" => {
                let (key, value) = (spoil.text("key", c"account"), spoil.text("value", c"a"));
                meditopia_config_set(config(), key, value, error)
            }
            "meditopia_config_get" => {
                let out = spoil.pointer("out", &mut text);
                meditopia_config_get(config(), spoil.text("key", c"account"), out, error)
            }
            "meditopia_config_load_env" => meditopia_config_load_env(config(), error),
            "meditopia_config_load_file" => {
                let path = spoil.text("path", c"no/such/file.toml");
                meditopia_config_load_file(config(), path, error)
            }
            "meditopia_client_open" => {
                let out = spoil.pointer("out", &mut another);
                meditopia_client_open(config(), out, error)
            }
            "meditopia_flush" => {
                meditopia_flush(client(), 0, spoil.pointer("report", &mut report), error)
            }
            "meditopia_client_close" => {
                meditopia_client_close(client(), 0, spoil.pointer("report", &mut report), error)
            }
            "meditopia_set_bearer_token" => {
                let bearer_token = spoil.text("bearer_token", c"secret");
                meditopia_set_bearer_token(client(), bearer_token, error)
            }
            "meditopia_hold" => meditopia_hold(client(), error),
            "meditopia_resume" => meditopia_resume(client(), error),
            "meditopia_enqueue" => meditopia_enqueue(
                client(),
                spoil.text("token", c"t-1"),
                spoil.text("partner_user_id", c"u-1"),
                spoil.text("event", c"video"),
                spoil.text("event_value", c"v"),
                spoil.text("received_at", c"2024-08-06 15:04:05"),
                error,
            ),
            "meditopia_enqueue_n" => {
                let token = spoil.measured("token", c"t-1");
                let user = spoil.measured("partner_user_id", c"u-1");
                let event = spoil.measured("event", c"video");
                let value = spoil.measured("event_value", c"v");
                let at = spoil.measured("received_at", c"2024-08-06 15:04:05");
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
                let json = spoil.measured("json", c"[]");
                let accepted = spoil.pointer("accepted", &mut count);
                meditopia_enqueue_json(client(), json.0, json.1, accepted, error)
            }
            "meditopia_get_stats" => {
                meditopia_get_stats(client(), spoil.pointer("stats", &mut stats), error)
            }
            "meditopia_sender_seen" => {
                let seen_ms = spoil.pointer("seen_ms", &mut seen_ms);
                let waiting = spoil.pointer("waiting", &mut waiting);
                meditopia_sender_seen(client(), seen_ms, waiting, error)
            }
            "meditopia_stats_text" => {
                meditopia_stats_text(client(), 0, spoil.pointer("out", &mut text), error)
            }
            "meditopia_set_log_callback" => {
                let user_data = spoil.pointer("user_data", &raw mut count).cast();
                meditopia_set_log_callback(client(), Some(ignore), user_data, error)
            }
            "meditopia_log_next" => {
                meditopia_log_next(client(), spoil.pointer("record", &mut record), error)
            }
            "meditopia_rejected_open" => {
                let user = spoil.text("partner_user_id", c"u-1");
                let code = spoil.text("api_code", c"A_1");
                let out = spoil.pointer("out", &mut cursor);
                meditopia_rejected_open(client(), user, code, 0, out, error)
            }
            "meditopia_in_doubt_open" => {
                meditopia_in_doubt_open(client(), 0, spoil.pointer("out", &mut cursor), error)
            }
            "meditopia_pending_open" => {
                let user = spoil.text("partner_user_id", c"u-1");
                let out = spoil.pointer("out", &mut cursor);
                meditopia_pending_open(client(), user, 0, out, error)
            }
            "meditopia_receipts_open" => {
                let user = spoil.text("partner_user_id", c"u-1");
                let out = spoil.pointer("out", &mut receipts);
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
                let receipt = spoil.pointer("receipt", &mut receipt);
                meditopia_receipts_next(spoil.pointer("receipts", receipts), receipt, error)
            }
            "meditopia_cursor_next" => {
                // Where there is no store to list yet it stays NULL, which spoils nothing here.
                meditopia_rejected_open(
                    opened.client,
                    std::ptr::null(),
                    std::ptr::null(),
                    0,
                    &mut cursor,
                    null_mut(),
                );
                let row = spoil.pointer("row", &mut row);
                meditopia_cursor_next(spoil.pointer("cursor", cursor), row, error)
            }
            "meditopia_rejected_requeue"
            | "meditopia_rejected_discard"
            | "meditopia_in_doubt_set_aside" => {
                let ids = spoil.pointer("ids", ids.as_mut_ptr());
                let changed = spoil.pointer("changed", &mut count);
                let change = match function {
                    "meditopia_rejected_requeue" => meditopia_rejected_requeue,
                    "meditopia_rejected_discard" => meditopia_rejected_discard,
                    _ => meditopia_in_doubt_set_aside,
                };
                change(client(), ids, 1, changed, error)
            }
            "meditopia_rejected_find" => {
                let out = spoil.pointer("out", &mut cursor);
                let filter = spoil.pointer("filter", &mut filter);
                meditopia_rejected_find(client(), filter, out, error)
            }
            "meditopia_rejected_requeue_matching" | "meditopia_rejected_discard_matching" => {
                let filter = spoil.pointer("filter", &mut filter);
                let changed = spoil.pointer("changed", &mut count);
                let change = match function {
                    "meditopia_rejected_requeue_matching" => meditopia_rejected_requeue_matching,
                    _ => meditopia_rejected_discard_matching,
                };
                change(client(), filter, changed, error)
            }
            "meditopia_rejected_export" => {
                let filter = spoil.pointer("filter", &mut filter);
                let path = spoil.text("path", c"no/such/directory/export");
                let written = spoil.pointer("written", &mut count);
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
