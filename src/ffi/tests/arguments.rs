//! Every pointer of every function may be wrong, and the answer names it.
//!
//! Each function has a caller that asks [`Spoil`] for its arguments: one of them is spoilt, the
//! others are good. Which arguments there are to spoil comes from the header.

use std::cell::Cell;
use std::ffi::{CStr, c_char};
use std::ptr::null_mut;

use super::super::client::*;
use super::super::config::*;
use super::super::cursor::*;
use super::super::enqueue::*;
use super::super::error::meditopia_error;
use super::super::log::*;
use super::super::output::Growing;
use super::super::rejected::*;
use super::super::report::meditopia_report;
use super::super::stats::*;
use super::super::status::{meditopia_status, meditopia_status_code, meditopia_status_name};
use super::super::text::*;
use super::{INVALID_ARGUMENT, OK, Opened, dirty_error, header, text_of};

/// Where the header says that NULL is fine.
const MAY_BE_NULL: [(&str, &str); 16] = [
    ("meditopia_flush", "report"),
    ("meditopia_client_close", "report"),
    ("meditopia_enqueue", "event_value"),
    ("meditopia_enqueue", "received_at"),
    ("meditopia_enqueue_n", "event_value"),
    ("meditopia_enqueue_n", "received_at"),
    ("meditopia_enqueue_json", "accepted"),
    ("meditopia_set_log_callback", "user_data"),
    ("meditopia_rejected_open", "partner_user_id"),
    ("meditopia_rejected_open", "api_code"),
    ("meditopia_rejected_requeue", "changed"),
    ("meditopia_rejected_discard", "changed"),
    ("meditopia_rejected_requeue_matching", "changed"),
    ("meditopia_rejected_discard_matching", "changed"),
    ("meditopia_rejected_export", "written"),
    ("meditopia_in_doubt_set_aside", "changed"),
];

const NOT_UTF8: &CStr = c"caf\xe9";

#[derive(Clone, Copy, PartialEq)]
enum How {
    Null,
    NotUtf8,
}

/// Hands out good arguments, but for one.
struct Spoil {
    argument: String,
    how: How,
    done: Cell<bool>,
}

impl Spoil {
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
unsafe fn call(
    function: &str,
    opened: &Opened,
    spoil: &Spoil,
    error: *mut meditopia_error,
) -> Option<meditopia_status> {
    let config = || spoil.pointer("config", opened.config);
    let client = || spoil.pointer("client", opened.client);
    let mut text: *mut meditopia_text = null_mut();
    let mut cursor: *mut meditopia_cursor = null_mut();
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
        meditopia_client_free(another);
    }
    Some(status)
}

/// Calls each function that returns a status once for each of its arguments of this kind.
fn spoil_each(
    how: How,
    of_kind: impl Fn(&str) -> bool,
    check: impl Fn(&str, &str, meditopia_status, &meditopia_error),
) {
    let mut spoilt = 0;
    for function in header::functions(include_str!("../../../include/meditopia_ffi.h")) {
        if !function
            .parameters
            .iter()
            .any(|parameter| parameter.name == "error")
        {
            continue;
        }
        for parameter in &function.parameters {
            if parameter.name == "error" || !of_kind(&parameter.kind) {
                continue;
            }
            let (name, argument) = (&function.name, &parameter.name);
            let spoil = Spoil {
                argument: argument.clone(),
                how,
                done: Cell::new(false),
            };
            let opened = Opened::new();
            let mut error = dirty_error();
            // SAFETY: only one argument is spoilt, in a way that the header answers.
            let status = unsafe { call(name, &opened, &spoil, &mut error) };
            let status = status.unwrap_or_else(|| panic!("{name} has no caller here"));
            assert!(spoil.done.get(), "{name} is not called with {argument}");
            assert_eq!(error.status, status, "{name}");
            check(name, argument, status, &error);
            spoilt += 1;
        }
    }
    assert!(spoilt > 10, "only {spoilt} arguments");
}

#[test]
fn null_where_it_may_not_be_is_an_error_that_names_the_argument() {
    let is_pointer = |kind: &str| kind.ends_with('*');
    spoil_each(
        How::Null,
        is_pointer,
        |function, argument, status, error| {
            if MAY_BE_NULL.contains(&(function, argument)) {
                assert_ne!(status, INVALID_ARGUMENT, "{function}: {argument}");
            } else {
                assert_eq!(status, INVALID_ARGUMENT, "{function}: {argument}");
                assert_eq!(
                    text_of(&error.message),
                    format!("{argument} is NULL"),
                    "{function}"
                );
            }
        },
    );
}

#[test]
fn a_text_that_is_not_utf_8_is_an_error_that_names_the_argument_and_repeats_nothing() {
    let is_text = |kind: &str| kind == "const char *";
    spoil_each(
        How::NotUtf8,
        is_text,
        |function, argument, status, error| {
            let message = text_of(&error.message);
            if argument == "json" {
                assert_ne!(status, OK, "{function}");
                return;
            }
            assert_eq!(status, INVALID_ARGUMENT, "{function}: {argument}");
            assert_eq!(
                message,
                format!("{argument} is not UTF-8 (at byte 3)"),
                "{function}"
            );
        },
    );
}

#[test]
fn nobody_has_to_ask_for_the_error() {
    for function in header::functions(include_str!("../../../include/meditopia_ffi.h")) {
        let spoil = Spoil {
            argument: "client".into(),
            how: How::Null,
            done: Cell::new(false),
        };
        let opened = Opened::new();
        // SAFETY: a NULL client is answered with a status.
        let status = unsafe { call(&function.name, &opened, &spoil, null_mut()) };
        if spoil.done.get() {
            assert_eq!(status, Some(INVALID_ARGUMENT), "{}", function.name);
        }
    }
}

#[test]
fn null_to_a_function_without_a_status_is_nothing_to_do() {
    // SAFETY: NULL, as the header allows.
    unsafe {
        assert!(meditopia_text_data(std::ptr::null()).is_null());
        assert_eq!(meditopia_text_len(std::ptr::null()), 0);
        meditopia_text_free(null_mut());
        meditopia_config_free(null_mut());
        meditopia_client_free(null_mut());
        meditopia_cursor_free(null_mut());
    }
}

#[test]
fn a_length_without_a_text_is_an_error_and_so_is_one_beyond_memory() {
    let opened = Opened::new();
    let (t, n) = (c"video".as_ptr(), 5);
    let null = std::ptr::null();
    let mut error = dirty_error();
    let client = opened.client;
    // SAFETY: a NULL is never read, and neither is a length that no memory holds.
    unsafe {
        let status = meditopia_enqueue_n(client, t, n, t, n, t, n, null, 3, null, 0, &mut error);
        assert_eq!(status, INVALID_ARGUMENT);
        assert_eq!(text_of(&error.message), "event_value is NULL");
        let status = meditopia_enqueue_n(
            client,
            t,
            usize::MAX,
            t,
            n,
            t,
            n,
            null,
            0,
            null,
            0,
            &mut error,
        );
        assert_eq!(status, INVALID_ARGUMENT);
        assert!(text_of(&error.message).starts_with("token: a length of"));
        let status = meditopia_enqueue_json(client, null, 0, null_mut(), &mut error);
        assert_eq!(status, INVALID_ARGUMENT);
    }
}

#[test]
fn a_nul_inside_a_measured_text_does_not_cut_it() {
    let opened = Opened::new();
    let (event, len) = (c"video".as_ptr(), 5);
    let mut error = dirty_error();
    let null = std::ptr::null();
    let cut = b"video\0x";
    // SAFETY: texts of these lengths.
    let status = unsafe {
        meditopia_enqueue_n(
            opened.client,
            event,
            len,
            event,
            len,
            cut.as_ptr().cast(),
            cut.len(),
            null,
            0,
            null,
            0,
            &mut error,
        )
    };
    // Cut at the NUL it would be an event.
    let invalid = meditopia_status_code::MEDITOPIA_ERROR_INVALID_EVENT as meditopia_status;
    assert_eq!(status, invalid, "{}", text_of(&error.message));
}

#[test]
fn every_status_has_its_name() {
    let header = include_str!("../../../include/meditopia_ffi.h");
    let (_, from) = header.split_once("MEDITOPIA_OK = 0").expect("the statuses");
    let (between, _) = from.split_once('}').expect("their end");
    let all = format!("MEDITOPIA_OK = 0{between}");
    let mut seen = 0;
    for line in all.lines().map(|line| line.trim().trim_end_matches(',')) {
        let Some((name, number)) = line.split_once(" = ") else {
            continue;
        };
        let number: meditopia_status = number.parse().expect("a number");
        // SAFETY: a constant of the library.
        let says = unsafe { CStr::from_ptr(meditopia_status_name(number)) };
        assert_eq!(says.to_str(), Ok(name));
        seen += 1;
    }
    assert_eq!(seen, 15);
    // SAFETY: a constant of the library.
    let unknown = unsafe { CStr::from_ptr(meditopia_status_name(-99)) };
    assert_eq!(unknown, c"MEDITOPIA_ERROR_UNKNOWN");
}
