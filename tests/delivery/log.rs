//! What is logged, and how an application receives it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use meditopia::Client;
use meditopia::ErrorKind;
use meditopia::{LogLevel as Level, LogRecord as Record};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;

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
        .find(|record| record.message.contains("refused alone"))
        .unwrap();
    assert_eq!(record.level, Level::Warn);
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
    let callback = move |record: &Record| for_callback.lock().unwrap().push(record.message.clone());
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
