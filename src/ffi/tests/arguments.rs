//! Every pointer of every function may be wrong, and the answer names it.
//!
//! Which arguments there are to spoil comes from the header; how each function is called, from `calls`.

mod calls;

use std::ffi::CStr;
use std::ptr::null_mut;

use self::calls::{How, Spoil, call};
use super::super::client::*;
use super::super::config::*;
use super::super::cursor::*;
use super::super::enqueue::*;
use super::super::error::meditopia_error;
use super::super::status::{meditopia_status, meditopia_status_code, meditopia_status_name};
use super::super::text::*;
use super::{INVALID_ARGUMENT, OK, Opened, dirty_error, header, text_of};

/// Where the header says that NULL is fine.
const MAY_BE_NULL: [(&str, &str); 18] = [
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
    ("meditopia_pending_open", "partner_user_id"),
    ("meditopia_receipts_open", "partner_user_id"),
    ("meditopia_rejected_requeue", "changed"),
    ("meditopia_rejected_discard", "changed"),
    ("meditopia_rejected_requeue_matching", "changed"),
    ("meditopia_rejected_discard_matching", "changed"),
    ("meditopia_rejected_export", "written"),
    ("meditopia_in_doubt_set_aside", "changed"),
];

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
            let spoil = Spoil::of(argument, how);
            let opened = Opened::new();
            let mut error = dirty_error();
            // SAFETY: only one argument is spoilt, in a way that the header answers.
            let status = unsafe { call(name, &opened, &spoil, &mut error) };
            let status = status.unwrap_or_else(|| panic!("{name} has no caller here"));
            assert!(spoil.is_done(), "{name} is not called with {argument}");
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
        let spoil = Spoil::of("client", How::Null);
        let opened = Opened::new();
        // SAFETY: a NULL client is answered with a status.
        let status = unsafe { call(&function.name, &opened, &spoil, null_mut()) };
        if spoil.is_done() {
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
