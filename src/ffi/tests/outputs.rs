//! What C reads after a call: the right value in each field, whole characters, nothing of an
//! earlier call.

use std::ffi::CStr;
use std::ptr::null_mut;

use crate::client::{Receipt, Row, RowReason, UserShare};
use crate::error::{Error, ErrorKind, PauseReason};
use crate::log::{Level, Record};
use crate::stats::Stats;
use crate::stats::histogram::{BUCKETS, Histogram};

use super::super::client::*;
use super::super::config::*;
use super::super::cursor::{meditopia_row, row_for_c};
use super::super::error::ErrorSlot;
use super::super::log::meditopia_log_record;
use super::super::output::truncated;
use super::super::receipts::receipt_for_c;
use super::super::report::meditopia_report;
use super::super::stats::*;
use super::super::status::{pause_number, status_of};
use super::{INVALID_ARGUMENT, OK, Opened, dirty_error, text_of};

#[test]
fn an_error_fills_in_every_field_of_meditopia_error() {
    let known = Error::new(ErrorKind::Paused, "paused: the API refused this address")
        .paused_for(PauseReason::Ip)
        .answered(Some(401), Some("A_1004".into()))
        .at_event(17);
    let mut error = dirty_error();
    // SAFETY: a meditopia_error.
    unsafe { ErrorSlot::new(&mut error) }.put(&known);
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
fn a_successful_call_clears_the_error_struct_of_an_earlier_call() {
    let mut error = dirty_error();
    let opened = Opened::new();
    // SAFETY: live handles and strings.
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
    // One byte, then characters of two bytes each: byte 511 is in the middle of one.
    let long = format!("a{}", "é".repeat(300));
    let message: [_; 512] = truncated(&long);
    assert_eq!(text_of(&message), format!("a{}", "é".repeat(255)));
    // Characters of four bytes each: the last three bytes that fit are part of one.
    let message: [_; 32] = truncated(&"🧘".repeat(9));
    assert_eq!(text_of(&message), "🧘".repeat(7));
    // A text that fits exactly stays whole.
    let message: [_; 4] = truncated("abc");
    assert_eq!(text_of(&message), "abc");
    // A NUL would hide the characters after it.
    let message: [_; 8] = truncated("a\0b");
    assert_eq!(text_of(&message), "a?b");
}

#[test]
fn a_report_is_blank_even_if_the_client_is_null() {
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
    // SAFETY: the header promises an error for NULL.
    let status = unsafe { meditopia_flush(null_mut(), 0, &mut report, null_mut()) };
    assert_eq!(status, INVALID_ARGUMENT);
    assert_eq!(
        (report.pause_reason, report.delivered, report.in_doubt),
        (0, 0, 0)
    );
}

#[test]
fn unknown_times_in_the_statistics_are_minus_one_and_known_values_are_in_their_fields() {
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
        enqueue_seconds: histogram_of(28),
        request_seconds: histogram_of(29),
        delivery_seconds: histogram_of(30),
        answered_ms: Some(31),
        accepted_ms: Some(32),
        store_unreadable: true,
        damage_unacknowledged: 34,
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
    assert_eq!(all.damage_unacknowledged, 34);
    assert_eq!([all.delivered_requests, all.too_large_requests], [21, 22]);
    assert_eq!([all.postponed_requests, all.in_doubt_requests], [23, 24]);
    assert_eq!(
        [all.pausing_requests, all.sent_bytes, all.pauses],
        [25, 26, 27]
    );
    assert_eq!([all.answered_ms, all.accepted_ms], [31, 32]);
    assert_eq!((all.store_unreadable, nothing.store_unreadable), (1, 0));
    for (histogram, us) in [(all.enqueue, 28), (all.request, 29), (all.delivery, 30)] {
        assert_eq!((histogram.count, histogram.sum_us), (us + 1, us));
        assert_eq!((histogram.buckets[3], histogram.buckets[14]), (us, 1));
    }
}

fn histogram_of(us: u64) -> Histogram {
    let mut counts = [0; BUCKETS];
    (counts[3], counts[14]) = (us, 1);
    Histogram { counts, sum_us: us }
}

#[test]
fn a_receipt_has_its_users_as_json() {
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
    let seen = receipt_for_c(&mut held, &receipt);
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
fn a_row_of_a_list_has_the_strings_and_reason_of_its_event() {
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
    let seen = row_for_c(&mut held, &row);
    assert_eq!(
        (seen.id, seen.http_status, seen.first_ms, seen.last_ms),
        (7, 404, 1, 2)
    );
    assert_eq!((seen.attempts, seen.reason), (3, 1));
    assert_eq!(seen.event_json_len, row.event_json.len());
    let string_at = |from| {
        // SAFETY: `held` lives.
        let text = unsafe { CStr::from_ptr(from) };
        text.to_str().expect("UTF-8").to_owned()
    };
    assert_eq!(string_at(seen.event_json), row.event_json);
    assert_eq!(string_at(seen.api_code), "A_2001");
    assert_eq!(string_at(seen.message), "User? not found.");

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
        let seen: meditopia_row = row_for_c(&mut held, &row);
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
