//! What the statistics count of real requests, what they say before anybody sends, and what the log does.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use meditopia::client::Client;
use meditopia::error::ErrorKind;
use meditopia::log::Record;
use meditopia::stats::Stats;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, SpoolClient, TestSpool};
use meditopia_testkit::wait::secs;
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

/// A story with every verdict in it, and its statistics.
fn eventful(api: &Sandbox) -> SpoolClient {
    let client = TestSpool::for_sandbox(api).into_client();
    let sent = |events: usize| {
        client.enqueue_users(0..events);
        client.flush_ok(secs(60));
    };
    sent(250);
    api.set_fault(json!({"fault": "status", "status": 413, "count": 1}));
    sent(4);
    api.set_fault(json!({"fault": "status", "status": 429, "retry_after": 0, "count": 1}));
    sent(1);
    api.set_fault(json!({"fault": "close", "when": "after", "count": 1}));
    sent(1);
    api.set_unknown(json!([{"user": "u-0"}]));
    sent(1);
    api.refuse_address();
    client.enqueue_users(1..2);
    client.flush(secs(60)).1.unwrap_err();
    api.allow_address();
    client.resume().unwrap();
    client.flush_ok(secs(60));
    client
}

#[test]
fn every_request_is_counted_by_its_verdict_and_all_outlasts_the_sender() {
    let api = Sandbox::start();
    let client = eventful(&api);
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
    // All but the one that was cut off had an answer.
    assert_eq!(stats.request_seconds.count(), stats.requests - 1);
    assert!(stats.request_seconds.sum_us > 0);
    let one = format!(
        "{{\"events\":[{}]}}",
        r#"{"token":"token","partner_user_id":"u-1","event":"video","event_value":"1","received_at":"2024-08-06 15:04:05"}"#
    );
    let least = stats.requests * one.len() as u64;
    assert!(stats.sent_bytes > least, "{stats:?}");

    client.close(secs(30)).unwrap();
    let again = client.spool.client();
    let kept = again.stats().unwrap();
    assert_eq!(by_verdict(&kept), by_verdict(&stats));
    assert_eq!(
        (kept.sent_bytes, kept.pauses),
        (stats.sent_bytes, stats.pauses)
    );
    assert_eq!(kept.request_seconds, stats.request_seconds);
    assert_eq!(kept.delivery_seconds, stats.delivery_seconds);
}

#[test]
fn the_bytes_sent_are_those_of_the_bodies() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_for("u", 7);
    client.flush_ok(secs(60));
    let body = r#"{"events":[{"token":"token","partner_user_id":"u","event":"video","event_value":"7","received_at":"2024-08-06 15:04:05"}]}"#;
    assert_eq!(client.stats().unwrap().sent_bytes, body.len() as u64);
}

#[test]
fn one_enqueue_in_64_is_measured() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_users(0..640);
    let stats = client.stats().unwrap();
    assert_eq!(stats.enqueue_seconds.count(), 10);
    assert!(stats.enqueue_seconds.sum_us > 0);
}

#[test]
fn promtool_finds_nothing_wrong_with_the_metrics() {
    let api = Sandbox::start();
    let text = eventful(&api).stats().unwrap().to_prometheus();
    meditopia_testkit::promtool::check_metrics(&text);
}

#[test]
fn what_waits_has_an_age_before_anybody_has_sent() {
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
fn what_waits_in_a_long_journal_is_told_about_without_reading_it_all() {
    const EVENTS: u64 = 120_000;
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_users(0..EVENTS as usize);
    let stats = client.stats().unwrap();
    assert!(stats.journal_bytes > 12 << 20, "{stats:?}");
    assert!(stats.pending.abs_diff(EVENTS) < EVENTS / 20, "{stats:?}");
    let read = read_bytes();
    for _ in 0..4 {
        client.stats().unwrap();
    }
    assert!(read_bytes() - read < 4 * (10 << 20));
}

/// What this thread has read.
fn read_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/io").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("rchar: "));
    line.unwrap().parse().unwrap()
}

#[test]
fn a_host_that_only_enqueues_learns_whether_somebody_sends_and_something_waits() {
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

fn messages(client: &Client) -> Vec<String> {
    std::iter::from_fn(|| client.log_next().unwrap())
        .map(|record| record.message)
        .collect()
}

#[test]
fn an_enqueuing_process_says_once_that_nobody_sends() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api)
        .with("flush_interval_ms", "10")
        .into_client();
    let told = |client: &Client| {
        let all = messages(client);
        let told = all.iter().filter(|said| said.contains("nobody has sent"));
        told.count()
    };
    client.enqueue_users(0..10);
    let until = Instant::now() + secs(30);
    let mut count = 0;
    while count == 0 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
        client.enqueue_users(0..1);
        count += told(&client);
    }
    assert_eq!(count, 1);
    let again = Instant::now() + Duration::from_millis(300);
    while Instant::now() < again {
        client.enqueue_users(0..10);
    }
    assert_eq!(told(&client), 0, "not again so soon");
}

#[test]
fn a_callback_hears_what_a_close_logs() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api)
        .with("role", "both")
        .into_client();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = heard.clone();
    let callback = move |record: &Record| hears.lock().unwrap().push(record.message.clone());
    client.set_log_callback(Some(Box::new(callback))).unwrap();
    api.refuse_address();
    client.enqueue_users(0..1);
    client.close(secs(30)).unwrap_err();
    let heard = heard.lock().unwrap();
    assert!(
        heard.iter().any(|said| said.contains("paused (ip)")),
        "{heard:?}"
    );
}

#[test]
fn what_a_close_logs_can_be_polled_after_it() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api)
        .with("role", "both")
        .into_client();
    api.refuse_address();
    client.enqueue_users(0..1);
    client.close(secs(30)).unwrap_err();
    let mut left = Vec::new();
    let error = loop {
        match client.log_next() {
            Ok(record) => left.extend(record.map(|record| record.message)),
            Err(error) => break error,
        }
    };
    assert!(
        left.iter().any(|said| said.contains("paused (ip)")),
        "{left:?}"
    );
    assert_eq!(error.kind(), ErrorKind::Closed);
}
