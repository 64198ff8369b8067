//! What is logged, and how an application receives it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use meditopia::{Client, ErrorKind, LogLevel, LogRecord};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;
use serde_json::json;

use crate::fixtures::read_log;

#[test]
fn an_enqueuing_process_logs_once_that_no_sender_has_run() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api)
        .with("flush_interval_ms", "10")
        .into_client();
    let warnings = |client: &Client| {
        let log = read_log(client);
        let warnings = log
            .iter()
            .filter(|record| record.message.contains("no sender has run"));
        warnings.count()
    };
    client.enqueue_users(0..10);
    let until = Instant::now() + secs(30);
    let mut count = 0;
    while count == 0 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
        client.enqueue_users(0..1);
        count += warnings(&client);
    }
    assert_eq!(count, 1);
    let again = Instant::now() + Duration::from_millis(300);
    while Instant::now() < again {
        client.enqueue_users(0..10);
    }
    assert_eq!(warnings(&client), 0, "the warning was repeated too soon");
}

#[test]
fn the_rejection_of_an_event_is_logged_as_a_warning() {
    let api = Sandbox::builder().unknown_user("u-1").start();
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_users(1..2);

    client.flush_ok(secs(10));

    let log = read_log(&client);
    let record = log
        .iter()
        .find(|record| record.message.contains("rejected"))
        .unwrap();
    assert_eq!(record.level, LogLevel::Warn);
    let row = &client.rejected_rows()[0];
    let line = format!(
        "rejected event {}, of user \"u-1\": {} {} (HTTP 404)",
        row.id, row.api_code, row.message
    );
    assert_eq!(record.message, line);
}

/// How many events the lines about refusals tell of, each by a line of its own and all others in sums.
fn told(log: &[LogRecord], named: &str, summed: &str) -> (u64, u64) {
    let names = log.iter().filter(|r| r.message.starts_with(named));
    let sums = log.iter().filter(|r| r.message.contains(summed));
    let sum = |record: &LogRecord| {
        let words = record.message.strip_prefix("besides, ").unwrap();
        words.split(' ').next().unwrap().parse::<u64>().unwrap()
    };
    (names.count() as u64, sums.map(sum).sum())
}

#[test]
fn of_hundreds_of_rejected_events_a_few_have_a_line_and_the_others_are_told_in_a_sum() {
    let api = Sandbox::start();
    api.set_unknown(json!([{"prefix": "u-"}]));
    let client = TestSpool::for_sandbox(&api)
        .with("brake_users", "0")
        .into_client();
    client.enqueue_users(0..400);

    assert_eq!(client.flush_ok(secs(60)).rejected, 400);

    let log = read_log(&client);
    let (named, summed) = told(&log, "rejected event ", " events were rejected;");
    assert!((1..=20).contains(&named), "{log:?}");
    assert_eq!(named + summed, 400, "{log:?}");
}

#[test]
fn events_refused_under_the_brake_are_told_as_pending_and_the_sums_are_those_of_the_report() {
    let api = Sandbox::start();
    api.set_unknown(json!([{"prefix": "u-"}]));
    let client = TestSpool::for_sandbox(&api)
        .with("brake_users", "10")
        .into_client();
    client.enqueue_users(0..40);

    let (report, outcome) = client.flush(secs(60));

    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Paused);
    let log = read_log(&client);
    let (named, summed) = told(&log, "rejected event ", " events were rejected;");
    assert_eq!((named + summed, report.rejected), (10, 10), "{log:?}");
    let kept = "an event was refused and stays pending";
    let (named, summed) = told(&log, kept, " were refused and stay pending");
    assert_eq!(named + summed, 10, "{log:?}");
}

#[test]
fn the_line_of_a_rejected_event_shows_a_hostile_user_escaped_and_cut() {
    let api = Sandbox::start();
    api.set_unknown(json!([{"prefix": "u-"}]));
    let client = TestSpool::for_sandbox(&api).into_client();
    let user = format!("u-\n1 ERROR \"paused\u{202e}\u{1b}[31m{}", "x".repeat(150));
    client.enqueue_for(&user, 1);

    client.flush_ok(secs(10));

    let log = read_log(&client);
    let line = log.iter().find(|r| r.message.contains("rejected event"));
    let line = &line.unwrap().message;
    let shown = r#"of user "u-\n1 ERROR \"paused\u{202e}\u{1b}[31m"#;
    assert!(line.contains(shown), "{line}");
    assert!(line.contains("xxx\"...: A_1104"), "{line}");
    assert!(!line.contains(&"x".repeat(40)), "{line}");
    assert!(
        !line.chars().any(|c| c.is_control() || c == '\u{202e}'),
        "{line:?}"
    );
}

#[test]
fn a_log_callback_may_call_the_library_without_blocking_a_flush() {
    let api = Sandbox::start();
    let client = Arc::new(
        TestSpool::for_sandbox(&api)
            .with("bearer_token", "wrong")
            .into_client(),
    );
    let (sender, logged) = std::sync::mpsc::channel();
    let for_callback = client.clone();
    client
        .set_log_callback(Some(Box::new(move |record| {
            let _ = for_callback.resume();
            let _ = sender.send(record.message.clone());
        })))
        .unwrap();
    client.enqueue_users(0..3);
    let (_, outcome) = client.flush(secs(1));
    outcome.unwrap_err();
    assert!(
        logged
            .recv_timeout(secs(10))
            .unwrap()
            .contains("paused (auth)")
    );
    client.set_log_callback(None).unwrap();
}

#[test]
fn a_log_callback_receives_what_a_close_logs() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api)
        .with("role", "both")
        .into_client();
    let messages = Arc::new(Mutex::new(Vec::new()));
    let for_callback = messages.clone();
    let callback =
        move |record: &LogRecord| for_callback.lock().unwrap().push(record.message.clone());
    client.set_log_callback(Some(Box::new(callback))).unwrap();
    api.refuse_address();
    client.enqueue_users(0..1);
    client.close(secs(30)).unwrap_err();
    let messages = messages.lock().unwrap();
    assert!(
        messages
            .iter()
            .any(|message| message.contains("paused (ip)")),
        "{messages:?}"
    );
}

#[test]
fn the_log_records_of_a_close_can_be_read_after_it() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api)
        .with("role", "both")
        .into_client();
    api.refuse_address();
    client.enqueue_users(0..1);
    client.close(secs(30)).unwrap_err();
    let mut messages = Vec::new();
    let error = loop {
        match client.log_next() {
            Ok(record) => messages.extend(record.map(|record| record.message)),
            Err(error) => break error,
        }
    };
    assert!(
        messages
            .iter()
            .any(|message| message.contains("paused (ip)")),
        "{messages:?}"
    );
    assert_eq!(error.kind(), ErrorKind::Closed);
}
