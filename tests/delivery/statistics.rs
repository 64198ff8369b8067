//! What the statistics count of real requests, and what they say before any sender has run.

use meditopia::{Client, Fields, Stats};
use meditopia_testkit::child::run_in_child;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, SpoolClient, TestSpool};
use meditopia_testkit::wait::secs;
use rustix::process::{Resource, Rlimit, setrlimit};
use serde_json::json;

fn by_verdict(stats: &Stats) -> [u64; 6] {
    [
        stats.delivered_requests,
        stats.refused_requests,
        stats.too_large_requests,
        stats.postponed_requests,
        stats.in_doubt_requests,
        stats.pausing_requests,
    ]
}

/// A client with requests of every verdict.
fn client_with_every_verdict(api: &Sandbox) -> SpoolClient {
    let client = TestSpool::for_sandbox(api).into_client();
    let send = |events: usize| {
        client.enqueue_users(0..events);
        client.flush_ok(secs(60));
    };
    send(250);
    api.set_fault(json!({"fault": "status", "status": 413, "count": 1}));
    send(4);
    api.set_fault(json!({"fault": "status", "status": 429, "retry_after": 0, "count": 1}));
    send(1);
    api.set_fault(json!({"fault": "close", "when": "after", "count": 1}));
    send(1);
    api.set_unknown(json!([{"user": "u-0"}]));
    send(1);
    api.refuse_address();
    client.enqueue_users(1..2);
    client.flush(secs(60)).1.unwrap_err();
    api.allow_address();
    client.resume().unwrap();
    client.flush_ok(secs(60));
    client
}

#[test]
fn every_request_is_counted_by_its_verdict_and_the_counters_outlive_the_sender() {
    let api = Sandbox::start();
    let client = client_with_every_verdict(&api);
    let stats = client.stats().unwrap();
    let [delivered, refused, too_large, postponed, in_doubt, pausing] = by_verdict(&stats);
    assert_eq!(
        [refused, too_large, postponed, in_doubt, pausing],
        [1; 5],
        "{stats:?}"
    );
    assert!(delivered > 7, "{stats:?}");
    assert_eq!(by_verdict(&stats).iter().sum::<u64>(), stats.requests);
    assert_eq!(stats.pauses, 1);
    assert_eq!(stats.delivery_seconds.count(), stats.delivered);
    // All requests but the one that was cut off had an answer.
    assert_eq!(stats.request_seconds.count(), stats.requests - 1);
    assert!(stats.request_seconds.sum_us > 0);
    let one = format!(
        "{{\"events\":[{}]}}",
        r#"{"token":"token","partner_user_id":"u-1","event":"video","event_value":"1","received_at":"2024-08-06 15:04:05"}"#
    );
    let least = stats.requests * one.len() as u64;
    assert!(stats.sent_bytes > least, "{stats:?}");

    client.close(secs(30)).unwrap();
    let later_client = client.spool.client();
    let kept = later_client.stats().unwrap();
    assert_eq!(by_verdict(&kept), by_verdict(&stats));
    assert_eq!(
        (kept.sent_bytes, kept.pauses),
        (stats.sent_bytes, stats.pauses)
    );
    assert_eq!(kept.request_seconds, stats.request_seconds);
    assert_eq!(kept.delivery_seconds, stats.delivery_seconds);
}

#[test]
fn the_counter_of_sent_bytes_counts_request_bodies() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_for("u", 7);
    client.flush_ok(secs(60));
    let body = r#"{"events":[{"token":"token","partner_user_id":"u","event":"video","event_value":"7","received_at":"2024-08-06 15:04:05"}]}"#;
    assert_eq!(client.stats().unwrap().sent_bytes, body.len() as u64);
}

#[test]
fn the_duration_of_one_enqueue_in_64_is_measured() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_users(0..640);
    let stats = client.stats().unwrap();
    assert_eq!(stats.enqueue_seconds.count(), 10);
    assert!(stats.enqueue_seconds.sum_us > 0);
}

#[test]
fn promtool_finds_nothing_wrong_with_the_metrics_of_a_client() {
    let api = Sandbox::start();
    let text = client_with_every_verdict(&api)
        .stats()
        .unwrap()
        .to_prometheus();
    meditopia_testkit::promtool::check_metrics(&text);
}

#[test]
fn the_oldest_pending_event_has_a_time_before_any_sender_has_run() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    assert_eq!(client.stats().unwrap().oldest_pending_ms, None);
    client.enqueue_users(0..3);
    let stats = client.stats().unwrap();
    let first = client
        .pending(&Default::default())
        .unwrap()
        .next_row()
        .unwrap()
        .unwrap();
    assert_eq!(stats.oldest_pending_ms, Some(first.first_ms));
    assert_eq!(stats.pending, 3);

    client.flush_ok(secs(60));
    assert_eq!(client.stats().unwrap().oldest_pending_ms, None);
    client.enqueue_users(0..1);
    assert!(client.stats().unwrap().oldest_pending_ms.is_some());
}

#[test]
fn the_pending_events_of_a_long_journal_are_counted_exactly_without_reading_it() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    let long = "x".repeat(60_000);
    let mut events = 0;
    for _ in 0..200 {
        client.enqueue_users(0..300);
        enqueue_value(&client, &long).unwrap();
        events += 301;
    }
    let stats = client.stats().unwrap();
    assert!(stats.journal_bytes > 20 << 20, "{stats:?}");
    assert_eq!(stats.pending, events);
    let read = read_bytes();
    for _ in 0..4 {
        client.stats().unwrap();
    }
    // The journal has three segments or four.
    assert!(read_bytes() - read < 4 * 4 * 110_000);
}

fn enqueue_value(client: &Client, value: &str) -> Result<(), meditopia::Error> {
    client.enqueue(&Fields {
        token: "token",
        partner_user_id: "u-long",
        event: "video",
        event_value: Some(value),
        received_at: Some("2024-08-06 15:04:05"),
    })
}

#[test]
fn after_a_write_that_failed_half_way_and_was_cut_back_the_count_is_exact() {
    run_in_child(|| {
        let api = Sandbox::start();
        let client = TestSpool::for_sandbox(&api)
            .with("role", "enqueue")
            .into_client();
        client.enqueue_users(0..3);
        let size = client.stats().unwrap().journal_bytes;
        // SAFETY: this only changes what the kernel does for a signal of this process.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
        let limit = |bytes| Rlimit {
            current: bytes,
            maximum: None,
        };
        setrlimit(Resource::Fsize, limit(Some(size + 50))).unwrap();
        enqueue_value(&client, "does not fit").unwrap_err();
        setrlimit(Resource::Fsize, limit(None)).unwrap();
        assert_eq!(client.stats().unwrap().journal_bytes, size);
        client.enqueue_users(3..5);
        let stats = client.stats().unwrap();
        assert_eq!((stats.pending, stats.segments), (5, 1), "{stats:?}");
    });
}

/// How many bytes this thread has read so far.
fn read_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/io").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("rchar: "));
    line.unwrap().parse().unwrap()
}

#[test]
fn a_process_that_only_enqueues_learns_whether_a_sender_runs_and_events_are_pending() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    let seen = |client: &Client| client.sender_seen().unwrap();
    assert_eq!(
        (seen(&client).seen_ms, seen(&client).waiting),
        (None, false)
    );
    client.enqueue_users(0..1);
    assert_eq!((seen(&client).seen_ms, seen(&client).waiting), (None, true));
    client.flush_ok(secs(60));
    let after = seen(&client);
    assert!(after.seen_ms.is_some() && !after.waiting, "{after:?}");
    assert_eq!(after.pid, Some(std::process::id()));
    client.enqueue_users(0..1);
    assert!(seen(&client).waiting);
}

#[test]
fn events_that_were_taken_over_no_longer_count_as_bytes_of_the_journal() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_users(0..3);
    assert!(client.stats().unwrap().journal_bytes > 0);

    client.flush_ok(secs(10));

    assert_eq!(client.stats().unwrap().journal_bytes, 0);
}
