//! Calls with live handles: counts, texts, options, log records, close.

use std::ffi::{CStr, c_void};
use std::ptr::null_mut;
use std::sync::Mutex;

use crate::log::{Level, Record};

use super::super::client::*;
use super::super::config::*;
use super::super::cursor::meditopia_cursor;
use super::super::enqueue::*;
use super::super::error::meditopia_error;
use super::super::growing::Growing;
use super::super::handle::{Exclusive, Handle, Shared};
use super::super::log::{UserData, forward_to, meditopia_log_record, meditopia_set_log_callback};
use super::super::receipts::meditopia_receipts;
use super::super::stats::*;
use super::super::status::{meditopia_status, meditopia_status_code};
use super::super::text::*;
use super::super::version::{meditopia_abi_version, meditopia_version};
use super::{INVALID_ARGUMENT, OK, Opened, dirty_error, text_of};

/// Compiles only if each handle has the access that the header promises, and if the structs that
/// the caller owns are no handles.
const _: () = {
    const fn any_number_of_threads<T: Handle<Access = Shared>>() {}
    const fn one_thread_at_a_time<T: Handle<Access = Exclusive>>() {}
    any_number_of_threads::<meditopia_client>();
    any_number_of_threads::<meditopia_text>();
    one_thread_at_a_time::<meditopia_config>();
    one_thread_at_a_time::<meditopia_cursor>();
    one_thread_at_a_time::<meditopia_receipts>();

    // A handle would implement this trait twice, and `_` below would be ambiguous.
    trait NoHandle<Marker> {
        fn check() {}
    }
    impl<T> NoHandle<()> for T {}
    enum Twice {}
    impl<T: Handle> NoHandle<Twice> for T {}
    let _ = <meditopia_error as NoHandle<_>>::check;
    let _ = <meditopia_stats as NoHandle<_>>::check;
};

#[test]
fn a_text_ends_with_a_nul_and_knows_its_length() {
    let text = meditopia_text::give("café".into());
    // SAFETY: a text of the library, freed once.
    unsafe {
        assert_eq!(
            CStr::from_ptr(meditopia_text_data(text)).to_str(),
            Ok("café")
        );
        assert_eq!(meditopia_text_len(text), 5);
        meditopia_text_free(text);
    }
}

#[test]
fn enqueued_events_are_counted_and_an_array_is_queued_whole_or_not_at_all() {
    let opened = Opened::new();
    let mut stats = meditopia_stats {
        struct_size: size_of::<meditopia_stats>() as u32,
        ..meditopia_stats::BLANK
    };
    let mut accepted = 99_usize;
    let mut error = dirty_error();
    let good = br#"{"token":"t","partner_user_id":"u","event":"video"}"#;
    let two = [b"[".as_slice(), good, b",", good, b"]"].concat();
    let with_a_bad_event = [b"[".as_slice(), good, b",7]"].concat();
    let (t, u, e) = (c"t".as_ptr(), c"u".as_ptr(), c"audio".as_ptr());
    let null = std::ptr::null();
    // SAFETY: live handles, and strings of these lengths.
    unsafe {
        let client = opened.client;
        assert_eq!(
            meditopia_enqueue(client, t, u, e, null, null, &mut error),
            OK
        );
        let enqueue_json = |json: &[u8], accepted: &mut usize, error: &mut meditopia_error| {
            meditopia_enqueue_json(client, json.as_ptr().cast(), json.len(), accepted, error)
        };
        assert_eq!(enqueue_json(&two, &mut accepted, &mut error), OK);
        assert_eq!(accepted, 2);
        let invalid = meditopia_status_code::MEDITOPIA_ERROR_INVALID_EVENT as meditopia_status;
        assert_eq!(
            enqueue_json(&with_a_bad_event, &mut accepted, &mut error),
            invalid
        );
        assert_eq!((accepted, error.event_index), (0, 1));
        assert_eq!(meditopia_get_stats(client, &mut stats, &mut error), OK);
        assert_eq!(stats.enqueued, 3, "{}", opened.spool.path().display());
    }
}

#[test]
fn statistics_are_written_as_json_or_for_prometheus_and_in_no_other_format() {
    let opened = Opened::new();
    let mut text = null_mut();
    let mut error = dirty_error();
    // SAFETY: a live client and an out parameter.
    unsafe {
        for (format, starts) in [(0, "{"), (1, "")] {
            assert_eq!(
                meditopia_stats_text(opened.client, format, &mut text, &mut error),
                OK
            );
            let written = CStr::from_ptr(meditopia_text_data(text))
                .to_str()
                .expect("UTF-8");
            assert!(
                written.contains("enqueued") && written.starts_with(starts),
                "{written}"
            );
            meditopia_text_free(text);
        }
        let status = meditopia_stats_text(opened.client, 2, &mut text, &mut error);
        assert_eq!(status, INVALID_ARGUMENT);
        assert!(text.is_null());
        assert!(text_of(&error.message).starts_with("format: 2 is neither"));
    }
}

#[test]
fn a_config_reads_back_an_option_that_was_set_but_no_secret() {
    let opened = Opened::new();
    let mut text = null_mut();
    let mut error = dirty_error();
    // SAFETY: a live config and strings.
    unsafe {
        let config = opened.config;
        let set = |key: &CStr, value: &CStr| {
            meditopia_config_set(config, key.as_ptr(), value.as_ptr(), null_mut())
        };
        assert_eq!(set(c"account", c"acme"), OK);
        assert_eq!(set(c"bearer_token", c"hush-hush"), OK);
        assert_eq!(
            meditopia_config_get(config, c"account".as_ptr(), &mut text, &mut error),
            OK
        );
        assert_eq!(CStr::from_ptr(meditopia_text_data(text)), c"acme");
        meditopia_text_free(text);
        let key = c"bearer_token".as_ptr();
        assert!(meditopia_config_get(config, key, &mut text, &mut error) < 0);
        assert!(text.is_null());
        assert!(!text_of(&error.message).contains("hush"));
    }
}

#[test]
fn a_closed_client_refuses_calls_and_may_be_closed_again() {
    let opened = Opened::new();
    let closed = meditopia_status_code::MEDITOPIA_ERROR_CLOSED as meditopia_status;
    // SAFETY: a live client.
    unsafe {
        meditopia_client_close(opened.client, 0, null_mut(), null_mut());
        assert_eq!(meditopia_hold(opened.client, null_mut()), closed);
        assert_eq!(
            meditopia_client_close(opened.client, 0, null_mut(), null_mut()),
            OK
        );
    }
}

/// Collects the records; `user_data` is the list.
unsafe extern "C" fn collect(record: *const meditopia_log_record, user_data: *mut c_void) {
    // SAFETY: the library passes a record, and the list that the test set.
    let (record, list) = unsafe { (&*record, &*user_data.cast::<Mutex<Vec<(i32, String)>>>()) };
    assert_eq!(
        record.struct_size as usize,
        size_of::<meditopia_log_record>()
    );
    list.lock()
        .expect("no thread panicked")
        .push((record.level, text_of(&record.message)));
}

#[test]
fn a_log_callback_gets_the_record_and_its_user_data() {
    let list: Mutex<Vec<(i32, String)>> = Mutex::new(Vec::new());
    let callback = forward_to(collect, UserData((&raw const list).cast_mut().cast()));
    callback(&Record {
        level: Level::Warn,
        time_ms: 5,
        message: "no process sends".into(),
    });
    drop(callback);
    let records = list.into_inner().expect("no thread panicked");
    assert_eq!(records, [(2, "no process sends".to_owned())]);
}

#[test]
fn a_null_removes_the_log_callback() {
    let opened = Opened::new();
    let list: Mutex<Vec<(i32, String)>> = Mutex::new(Vec::new());
    // SAFETY: a live client; the list outlives the callback.
    unsafe {
        let user_data = (&raw const list).cast_mut().cast();
        let client = opened.client;
        assert_eq!(
            meditopia_set_log_callback(client, Some(collect), user_data, null_mut()),
            OK
        );
        assert_eq!(
            meditopia_set_log_callback(client, None, null_mut(), null_mut()),
            OK
        );
        let before = list.lock().expect("no thread panicked").len();
        assert_eq!(meditopia_hold(client, null_mut()), OK);
        assert_eq!(meditopia_resume(client, null_mut()), OK);
        assert_eq!(list.lock().expect("no thread panicked").len(), before);
    }
}

#[test]
fn the_library_reports_its_version_and_its_abi_version() {
    // SAFETY: a constant of the library.
    let version = unsafe { CStr::from_ptr(meditopia_version()) };
    assert_eq!(version.to_str(), Ok(env!("CARGO_PKG_VERSION")));
    assert_eq!(meditopia_abi_version(), 3, "0 << 16 | 3");
}
