//! Each argument of each function may be bad, and the error names it.
//!
//! The list of arguments comes from the header, and `calls` knows how to call each function.

mod calls;

use std::ffi::CStr;
use std::ptr::null_mut;

use self::calls::{Arguments, Flaw, call};
use super::super::client::*;
use super::super::config::*;
use super::super::cursor::*;
use super::super::enqueue::*;
use super::super::error::meditopia_error;
use super::super::status::{meditopia_status, meditopia_status_code, meditopia_status_name};
use super::super::text::*;
use super::{INVALID_ARGUMENT, OK, Opened, dirty_error, header, text_of};

/// The arguments where the header allows NULL.
const MAY_BE_NULL: [(&str, &str); 19] = [
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
    ("meditopia_forget_user", "erasure"),
];

/// Calls each function that returns a status once for each of its arguments of this kind, with that
/// argument bad.
fn call_with_each_argument_bad(
    flaw: Flaw,
    of_kind: impl Fn(&str) -> bool,
    check: impl Fn(&str, &str, meditopia_status, &meditopia_error),
) {
    let mut tried = 0;
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
            let arguments = Arguments::new(argument, flaw);
            let opened = Opened::new();
            let mut error = dirty_error();
            // SAFETY: only one argument is bad, and the header promises an error for it.
            let status = unsafe { call(name, &opened, &arguments, &mut error) };
            let status = status.unwrap_or_else(|| panic!("{name} has no caller here"));
            assert!(
                arguments.bad_one_was_used(),
                "{name} is not called with {argument}"
            );
            assert_eq!(error.status, status, "{name}");
            check(name, argument, status, &error);
            tried += 1;
        }
    }
    assert!(tried > 10, "only {tried} arguments");
}

#[test]
fn a_null_where_none_is_allowed_is_an_error_that_names_the_argument() {
    let is_pointer = |kind: &str| kind.ends_with('*');
    call_with_each_argument_bad(
        Flaw::Null,
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
fn a_string_that_is_not_utf_8_is_an_error_that_names_the_argument_and_does_not_quote_it() {
    let is_text = |kind: &str| kind == "const char *";
    call_with_each_argument_bad(
        Flaw::NotUtf8,
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
fn every_function_accepts_null_for_its_error() {
    for function in header::functions(include_str!("../../../include/meditopia_ffi.h")) {
        let arguments = Arguments::new("client", Flaw::Null);
        let opened = Opened::new();
        // SAFETY: the header promises an error for a NULL client.
        let status = unsafe { call(&function.name, &opened, &arguments, null_mut()) };
        if arguments.bad_one_was_used() {
            assert_eq!(status, Some(INVALID_ARGUMENT), "{}", function.name);
        }
    }
}

#[test]
fn functions_without_a_status_accept_null() {
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
fn a_null_with_a_length_and_a_length_beyond_memory_are_errors() {
    let opened = Opened::new();
    let (t, n) = (c"video".as_ptr(), 5);
    let null = std::ptr::null();
    let mut error = dirty_error();
    let client = opened.client;
    // SAFETY: the library reads neither through a NULL nor a length that exceeds memory.
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
fn a_nul_byte_does_not_end_a_string_that_has_a_length() {
    let opened = Opened::new();
    let (event, len) = (c"video".as_ptr(), 5);
    let mut error = dirty_error();
    let null = std::ptr::null();
    let with_nul = b"video\0x";
    // SAFETY: strings of these lengths.
    let status = unsafe {
        meditopia_enqueue_n(
            opened.client,
            event,
            len,
            event,
            len,
            with_nul.as_ptr().cast(),
            with_nul.len(),
            null,
            0,
            null,
            0,
            &mut error,
        )
    };
    // If the string ended at the NUL, this would be a valid event.
    let invalid = meditopia_status_code::MEDITOPIA_ERROR_INVALID_EVENT as meditopia_status;
    assert_eq!(status, invalid, "{}", text_of(&error.message));
}

#[test]
fn meditopia_status_name_knows_every_status_of_the_header() {
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
        let found = unsafe { CStr::from_ptr(meditopia_status_name(number)) };
        assert_eq!(found.to_str(), Ok(name));
        seen += 1;
    }
    assert_eq!(seen, 15);
    // SAFETY: a constant of the library.
    let unknown = unsafe { CStr::from_ptr(meditopia_status_name(-99)) };
    assert_eq!(unknown, c"MEDITOPIA_ERROR_UNKNOWN");
}
