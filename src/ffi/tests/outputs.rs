//! What C reads after a call: the right number in each field, whole characters, nothing left over.

use std::ffi::{CStr, c_void};
use std::ptr::null_mut;
use std::sync::Mutex;

use crate::client::{Receipt, Row, RowReason, UserShare};
use crate::error::{Error, ErrorKind, PauseReason};
use crate::log::{Level, Record};
use crate::stats::Stats;
use crate::stats::histogram::{BUCKETS, Histogram};

use super::super::client::*;
use super::super::config::*;
use super::super::cursor::{lend, meditopia_row};
use super::super::enqueue::*;
use super::super::error::{ErrorSlot, meditopia_error};
use super::super::log::{UserData, meditopia_log_record, meditopia_set_log_callback, telling};
use super::super::output::{Growing, fitted};
use super::super::receipts::lend as lend_receipt;
use super::super::report::meditopia_report;
use super::super::stats::*;
use super::super::status::{meditopia_status, meditopia_status_code, pause_number, status_of};
use super::super::text::*;
use super::super::version::{meditopia_abi_version, meditopia_version};
use super::{INVALID_ARGUMENT, OK, Opened, dirty_error, text_of};

#[test]
fn an_error_arrives_with_all_that_is_known() {
    let known = Error::new(ErrorKind::Paused, "paused: the API refused this address")
        .paused_for(PauseReason::Ip)
        .answered(Some(401), Some("A_1004".into()))
        .at_event(17);
    let mut error = dirty_error();
    // SAFETY: a meditopia_error.
    unsafe { ErrorSlot::at(&mut error) }.put(&known);
    assert_eq!(error.status, -8);
    assert_eq!(error.http_status, 401);
    assert_eq!(error.retryable, 1);
    assert_eq!(error.pause_reason, 2);
    assert_eq!(error.event_index, 17);
    assert_eq!(text_of(&error.api_code), "A_1004");
    assert_eq!(
        text_of(&error.message),
        "paused: the API refused this address"
    );
    assert_eq!(error.reserved, [0; 9]);
}

#[test]
fn a_success_leaves_nothing_of_an_earlier_error() {
    let mut error = dirty_error();
    let opened = Opened::new();
    // SAFETY: live handles and texts.
    let status = unsafe {
        let (key, value) = (c"account".as_ptr(), c"a".as_ptr());
        meditopia_config_set(opened.config, key, value, &mut error)
    };
    assert_eq!((status, error.status), (OK, OK));
    assert_eq!(
        (error.http_status, error.retryable, error.pause_reason),
        (0, 0, 0)
    );
    assert_eq!(error.event_index, -1);
    assert_eq!(text_of(&error.api_code), "");
    assert_eq!(text_of(&error.message), "");
    assert_eq!(error.reserved, [0; 9]);
}

#[test]
fn a_long_message_is_cut_between_two_characters() {
    // Two bytes each after one: 511 bytes would end in the middle of one.
    let long = format!("a{}", "é".repeat(300));
    let message: [_; 512] = fitted(&long);
    assert_eq!(text_of(&message), format!("a{}", "é".repeat(255)));
    // Four bytes each: three of them have to go.
    let message: [_; 32] = fitted(&"🧘".repeat(9));
    assert_eq!(text_of(&message), "🧘".repeat(7));
    // What fits to the last byte is whole.
    let message: [_; 4] = fitted("abc");
    assert_eq!(text_of(&message), "abc");
    // A NUL would hide what follows.
    let message: [_; 8] = fitted("a\0b");
    assert_eq!(text_of(&message), "a?b");
}

#[test]
fn a_report_is_blank_even_where_the_call_goes_no_further() {
    let mut report = meditopia_report {
        struct_size: size_of::<meditopia_report>() as u32,
        pause_reason: 9,
        delivered: 9,
        rejected: 9,
        expired: 9,
        pending: 9,
        in_doubt: 9,
        paused_since_ms: 9,
        next_probe_ms: 9,
    };
    // SAFETY: NULL is answered with a status.
    let status = unsafe { meditopia_flush(null_mut(), 0, &mut report, null_mut()) };
    assert_eq!(status, INVALID_ARGUMENT);
    assert_eq!(
        (report.pause_reason, report.delivered, report.in_doubt),
        (0, 0, 0)
    );
}

#[test]
fn stats_that_are_not_known_are_minus_one_and_the_others_are_in_their_fields() {
    let nothing = meditopia_stats::from(&Stats::default());
    assert_eq!(nothing.pause_reason, 0);
    assert_eq!((nothing.paused_since_ms, nothing.next_probe_ms), (-1, -1));
    assert_eq!(
        (
            nothing.oldest_pending_ms,
            nothing.sender_seen_ms,
            nothing.sender_pid
        ),
        (-1, -1, -1)
    );

    let all = meditopia_stats::from(&Stats {
        enqueued: 1,
        delivered: 2,
        rejected: 3,
        expired: 4,
        pending: 5,
        in_doubt: 6,
        requests: 7,
        retried_requests: 8,
        refused_requests: 9,
        isolation_requests: 10,
        paused: Some(PauseReason::MassRejection),
        paused_since_ms: Some(11),
        next_probe_ms: Some(12),
        journal_bytes: 13,
        segments: 14,
        damaged_records: 15,
        oldest_pending_ms: Some(16),
        sender_seen_ms: Some(17),
        sender_pid: Some(18),
        torn_tails: 19,
        lost: 20,
        delivered_requests: 21,
        too_large_requests: 22,
        postponed_requests: 23,
        in_doubt_requests: 24,
        pausing_requests: 25,
        sent_bytes: 26,
        pauses: 27,
        enqueue_seconds: taking(28),
        request_seconds: taking(29),
        delivery_seconds: taking(30),
    });
    assert_eq!(all.pause_reason, 4);
    assert_eq!(
        [all.enqueued, all.delivered, all.rejected, all.expired],
        [1, 2, 3, 4]
    );
    assert_eq!(
        [
            all.pending,
            all.in_doubt,
            all.requests,
            all.retried_requests
        ],
        [5, 6, 7, 8]
    );
    assert_eq!([all.refused_requests, all.isolation_requests], [9, 10]);
    assert_eq!([all.paused_since_ms, all.next_probe_ms], [11, 12]);
    assert_eq!(
        [all.journal_bytes, all.segments, all.damaged_records],
        [13, 14, 15]
    );
    assert_eq!(
        [all.oldest_pending_ms, all.sender_seen_ms, all.sender_pid],
        [16, 17, 18]
    );
    assert_eq!([all.torn_tails, all.lost], [19, 20]);
    assert_eq!([all.delivered_requests, all.too_large_requests], [21, 22]);
    assert_eq!([all.postponed_requests, all.in_doubt_requests], [23, 24]);
    assert_eq!(
        [all.pausing_requests, all.sent_bytes, all.pauses],
        [25, 26, 27]
    );
    for (histogram, us) in [(all.enqueue, 28), (all.request, 29), (all.delivery, 30)] {
        assert_eq!((histogram.count, histogram.sum_us), (us + 1, us));
        assert_eq!((histogram.buckets[3], histogram.buckets[14]), (us, 1));
    }
}

fn taking(us: u64) -> Histogram {
    let mut counts = [0; BUCKETS];
    (counts[3], counts[14]) = (us, 1);
    Histogram { counts, sum_us: us }
}

#[test]
fn a_receipt_arrives_with_its_users_as_json() {
    let receipt = Receipt {
        id: 1,
        time_ms: 2,
        http_status: 204,
        attempts: 3,
        events: 8,
        users: vec![
            UserShare {
                user: "a \"b\" é".into(),
                kinds: [1, 0, 2, 0, 0],
            },
            UserShare {
                user: "c".into(),
                kinds: [0, 3, 0, 1, 1],
            },
        ],
    };
    let mut held = None;
    let seen = lend_receipt(&mut held, &receipt);
    assert_eq!((seen.id, seen.time_ms, seen.http_status), (1, 2, 204));
    assert_eq!((seen.attempts, seen.events, seen.users), (3, 8, 2));
    assert_eq!([seen.register_events, seen.signin_events], [1, 3]);
    assert_eq!(
        [seen.audio_events, seen.video_events, seen.content_events],
        [2, 1, 1]
    );
    // SAFETY: `held` lives.
    let json = unsafe { CStr::from_ptr(seen.users_json) }
        .to_str()
        .expect("UTF-8");
    assert_eq!(json.len(), seen.users_json_len);
    let json: serde_json::Value = serde_json::from_str(json).expect("JSON");
    assert_eq!(
        json,
        serde_json::json!([
            {"partner_user_id": "a \"b\" é", "events": {"register": 1, "audio": 2}},
            {"partner_user_id": "c", "events": {"signin": 3, "video": 1, "content": 1}},
        ])
    );
}

#[test]
fn a_row_arrives_with_its_texts_and_its_reason() {
    let mut row = Row {
        id: 7,
        reason: RowReason::Refused {
            may_be_delivered: false,
        },
        http_status: Some(404),
        first_ms: 1,
        last_ms: 2,
        attempts: 3,
        event_json: "{\"event\":\"vidéo\"}".into(),
        api_code: "A_2001".into(),
        message: "User\0 not found.".into(),
    };
    let mut held = None;
    let seen = lend(&mut held, &row);
    assert_eq!(
        (seen.id, seen.http_status, seen.first_ms, seen.last_ms),
        (7, 404, 1, 2)
    );
    assert_eq!((seen.attempts, seen.reason), (3, 1));
    assert_eq!(seen.event_json_len, row.event_json.len());
    let text = |from| {
        // SAFETY: `held` lives.
        let text = unsafe { CStr::from_ptr(from) };
        text.to_str().expect("UTF-8").to_owned()
    };
    assert_eq!(text(seen.event_json), row.event_json);
    assert_eq!(text(seen.api_code), "A_2001");
    assert_eq!(text(seen.message), "User? not found.");

    row.http_status = None;
    let reasons = [
        (
            RowReason::Expired {
                may_be_delivered: false,
            },
            2,
        ),
        (
            RowReason::Expired {
                may_be_delivered: true,
            },
            6,
        ),
        (RowReason::SetAside, 5),
        (RowReason::InDoubt, 3),
        (RowReason::Pending, 7),
        (RowReason::Journalled, 8),
        (
            RowReason::Refused {
                may_be_delivered: true,
            },
            4,
        ),
    ];
    for (reason, number) in reasons {
        row.reason = reason;
        let seen: meditopia_row = lend(&mut held, &row);
        assert_eq!((seen.reason, seen.http_status), (number, 0));
    }
}

#[test]
fn the_numbers_of_statuses_pauses_and_levels_never_change() {
    let kinds = [
        (ErrorKind::InvalidArgument, -1),
        (ErrorKind::InvalidEvent, -2),
        (ErrorKind::Config, -3),
        (ErrorKind::Conflict, -4),
        (ErrorKind::SpoolMismatch, -5),
        (ErrorKind::SpoolFull, -6),
        (ErrorKind::Io, -7),
        (ErrorKind::Paused, -8),
        (ErrorKind::Timeout, -9),
        (ErrorKind::Closed, -10),
        (ErrorKind::Store, -11),
        (ErrorKind::Forked, -12),
        (ErrorKind::Internal, -13),
    ];
    for (kind, number) in kinds {
        assert_eq!(status_of(kind), number, "{kind:?}");
    }
    let pauses = [
        (None, 0),
        (Some(PauseReason::Auth), 1),
        (Some(PauseReason::Ip), 2),
        (Some(PauseReason::Misrouted), 3),
        (Some(PauseReason::MassRejection), 4),
        (Some(PauseReason::ServerError), 5),
        (Some(PauseReason::StoreDamaged), 6),
        (Some(PauseReason::Hold), 7),
    ];
    for (pause, number) in pauses {
        assert_eq!(pause_number(pause), number, "{pause:?}");
    }
    for (level, number) in [
        (Level::Error, 1),
        (Level::Warn, 2),
        (Level::Info, 3),
        (Level::Debug, 4),
    ] {
        let record = Record {
            level,
            time_ms: 5,
            message: "é".repeat(400),
        };
        let seen = meditopia_log_record::from(&record);
        assert_eq!(
            (seen.level, seen.time_ms, seen.struct_size),
            (number, 5, 528)
        );
        assert_eq!(text_of(&seen.message), "é".repeat(255));
    }
}

#[test]
fn a_text_is_terminated_and_measured() {
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
fn what_is_enqueued_is_counted_and_all_or_none_of_an_array_is() {
    let opened = Opened::new();
    let mut stats = meditopia_stats {
        struct_size: size_of::<meditopia_stats>() as u32,
        ..meditopia_stats::BLANK
    };
    let mut accepted = 99_usize;
    let mut error = dirty_error();
    let good = br#"{"token":"t","partner_user_id":"u","event":"video"}"#;
    let two = [b"[".as_slice(), good, b",", good, b"]"].concat();
    let spoilt = [b"[".as_slice(), good, b",7]"].concat();
    let (t, u, e) = (c"t".as_ptr(), c"u".as_ptr(), c"audio".as_ptr());
    let null = std::ptr::null();
    // SAFETY: live handles and texts of these lengths.
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
        assert_eq!(enqueue_json(&spoilt, &mut accepted, &mut error), invalid);
        assert_eq!((accepted, error.event_index), (0, 1));
        assert_eq!(meditopia_get_stats(client, &mut stats, &mut error), OK);
        assert_eq!(stats.enqueued, 3, "{}", opened.spool.path().display());
    }
}

#[test]
fn stats_come_as_text_in_the_two_formats_and_in_no_other() {
    let opened = Opened::new();
    let mut text = null_mut();
    let mut error = dirty_error();
    // SAFETY: a live client and a place for a text.
    unsafe {
        for (format, starts) in [(0, "{"), (1, "")] {
            assert_eq!(
                meditopia_stats_text(opened.client, format, &mut text, &mut error),
                OK
            );
            let seen = CStr::from_ptr(meditopia_text_data(text))
                .to_str()
                .expect("UTF-8");
            assert!(
                seen.contains("enqueued") && seen.starts_with(starts),
                "{seen}"
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
fn a_config_reads_back_what_was_set_and_never_a_secret() {
    let opened = Opened::new();
    let mut text = null_mut();
    let mut error = dirty_error();
    // SAFETY: a live config and texts.
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
fn after_close_calls_say_so_and_closing_again_is_fine() {
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
    // SAFETY: the library gives a record, and the test gave this list.
    let (record, list) = unsafe { (&*record, &*user_data.cast::<Mutex<Vec<(i32, String)>>>()) };
    assert_eq!(
        record.struct_size as usize,
        size_of::<meditopia_log_record>()
    );
    list.lock()
        .expect("nobody panicked")
        .push((record.level, text_of(&record.message)));
}

#[test]
fn a_log_callback_gets_the_record_and_what_the_host_left_for_it() {
    let list: Mutex<Vec<(i32, String)>> = Mutex::new(Vec::new());
    let tell = telling(collect, UserData((&raw const list).cast_mut().cast()));
    tell(&Record {
        level: Level::Warn,
        time_ms: 5,
        message: "nobody sends".into(),
    });
    drop(tell);
    let told = list.into_inner().expect("nobody panicked");
    assert_eq!(told, [(2, "nobody sends".to_owned())]);
}

#[test]
fn a_log_callback_is_unset_by_null() {
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
        let told = list.lock().expect("nobody panicked").len();
        assert_eq!(meditopia_hold(client, null_mut()), OK);
        assert_eq!(meditopia_resume(client, null_mut()), OK);
        assert_eq!(list.lock().expect("nobody panicked").len(), told);
    }
}

#[test]
fn the_library_says_which_it_is() {
    // SAFETY: a constant of the library.
    let version = unsafe { CStr::from_ptr(meditopia_version()) };
    assert_eq!(version.to_str(), Ok(env!("CARGO_PKG_VERSION")));
    assert_eq!(meditopia_abi_version(), 2, "0 << 16 | 2");
}
