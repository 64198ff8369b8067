//! The way of an event, over real HTTP: from `enqueue` to the ledger of the API.

use meditopia::client::{Client, RowReason};
use meditopia::config::Config;
use meditopia::error::{ErrorKind, PauseReason};
use meditopia::log::Level;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;
use serde_json::json;

#[test]
fn what_was_enqueued_arrives_in_order_and_byte_for_byte() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    for number in 0..250 {
        client.enqueue_for("u-1", number);
    }
    client.enqueue_json(br#"{"token":"t","partner_user_id":"u-1","event":"audio","event_value":{"a": [1, 2.50]},"received_at":"2024-08-06T17:04:05+02:00"}"#).unwrap();

    let report = client.flush_ok(secs(10));

    assert_eq!(
        (report.delivered, report.pending, report.in_doubt),
        (251, 0, 0)
    );
    let events = api.events();
    let values: Vec<_> = events
        .iter()
        .take(250)
        .map(|event| event.fields.event_value.clone())
        .collect();
    let expected: Vec<_> = (0..250).map(|number| json!(number.to_string())).collect();
    assert_eq!(values, expected);
    assert_eq!(
        events[250].text,
        r#"{"token":"t","partner_user_id":"u-1","event":"audio","event_value":{"a": [1, 2.50]},"received_at":"2024-08-06 15:04:05"}"#
    );
    assert_eq!(api.ledger().requests, 3);
}

#[test]
fn only_a_lone_event_is_judged_and_its_neighbours_arrive() {
    let api = Sandbox::builder()
        .unknown_user("u-17")
        .unknown_user("u-60")
        .start();
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_users(0..100);

    let report = client.flush_ok(secs(30));

    assert_eq!(
        (report.delivered, report.rejected, report.pending),
        (98, 2, 0)
    );
    assert_eq!(client.rejected_users(), ["u-17", "u-60"]);
    let row = &client.rejected_rows()[0];
    assert_eq!(row.http_status, Some(404));
    assert!(!row.api_code.is_empty() && !row.message.is_empty());
    assert_eq!(api.ledger().distinct_events, 98);
    assert_eq!(api.ledger().accepted_events, 98);
}

#[test]
fn a_refused_address_in_the_middle_of_isolation_blames_nobody() {
    let api = Sandbox::builder().unknown_user("u-17").start();
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_users(0..100);
    api.set_faults(json!({"faults": [
        {"fault": "status", "status": 401, "code": "A_1004", "message": "no", "after_requests": 3}
    ]}));

    let (report, outcome) = client.flush(secs(10));

    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Paused);
    assert_eq!(error.pause_reason(), Some(PauseReason::Ip));
    assert_eq!(report.pause, Some(PauseReason::Ip));
    assert!(client.rejected_rows().is_empty());

    api.clear_faults();
    client.resume().unwrap();
    client.flush_ok(secs(10));
    assert_eq!(client.rejected_users(), ["u-17"]);
    assert_eq!(api.ledger().accepted_events, 99);
}

#[test]
fn a_wrong_token_loses_nothing_and_the_right_one_goes_on_at_once() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api)
        .with("bearer_token", "wrong")
        .into_client();
    client.enqueue_users(0..50);

    let (report, outcome) = client.flush(secs(10));

    assert_eq!(outcome.unwrap_err().pause_reason(), Some(PauseReason::Auth));
    assert_eq!(
        (report.pending, report.delivered, report.rejected),
        (50, 0, 0)
    );
    assert!(client.in_doubt_rows().is_empty());

    client.set_bearer_token(api.token()).unwrap();
    assert_eq!(client.flush_ok(secs(10)).delivered, 50);
}

#[test]
fn what_does_not_look_like_the_api_pauses_and_rejects_nothing() {
    for fault in [
        json!({"fault": "status", "status": 404, "body": "<html>not here</html>", "content_type": "text/html"}),
        json!({"fault": "status", "status": 302, "headers": {"Location": "https://login.example/"}}),
        json!({"fault": "status", "status": 200, "body": "<html>log in</html>", "content_type": "text/html"}),
    ] {
        let api = Sandbox::start();
        let client = TestSpool::for_sandbox(&api).into_client();
        client.enqueue_users(0..10);
        api.set_fault(fault.clone());

        let (report, outcome) = client.flush(secs(10));

        let error = outcome.unwrap_err();
        assert_eq!(
            error.pause_reason(),
            Some(PauseReason::Misrouted),
            "{fault}: {error}"
        );
        assert_eq!((report.pending, report.rejected), (10, 0), "{fault}");
        api.clear_faults();
        client.resume().unwrap();
        assert_eq!(client.flush_ok(secs(10)).delivered, 10, "{fault}");
    }
}

#[test]
fn a_batch_without_an_answer_is_listed_in_doubt_and_repeated_byte_for_byte() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_users(0..30);
    api.set_fault(json!({"fault": "status", "status": 503, "when": "after"}));

    let (report, outcome) = client.flush(std::time::Duration::from_millis(700));

    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!((report.pending, report.in_doubt), (30, 30));
    let rows = client.in_doubt_rows();
    assert_eq!(rows.len(), 30);
    assert!(rows.iter().all(|row| row.attempts >= 1 && row.first_ms > 0));

    client.enqueue_users(30..60);
    api.clear_faults();
    client.flush_ok(secs(30));
    let requests = api.requests();
    let first = &requests[0];
    let repeated: Vec<_> = requests
        .iter()
        .filter(|r| r.body_hash == first.body_hash)
        .collect();
    assert!(repeated.len() >= 2);
    assert!(client.in_doubt_rows().is_empty());
    assert_eq!(api.ledger().distinct_events, 60);
}

#[test]
fn a_suspected_user_stays_in_order_when_events_come_while_a_batch_is_in_doubt() {
    let api = Sandbox::builder().unknown_user("u-x").start();
    let client = TestSpool::for_sandbox(&api).into_client();
    let of_suspect = |numbers: std::ops::Range<usize>| {
        numbers.for_each(|number| client.enqueue_for("u-x", number));
    };
    // So many acceptances that regular batches are long, and so many refusals that the suspects' are not.
    client.enqueue_users(0..500);
    of_suspect(0..10);
    client.flush_ok(secs(10));

    api.set_fault(json!({"fault": "status", "status": 503, "when": "after"}));
    client.enqueue_users(500..510);
    of_suspect(10..30);
    let (report, _) = client.flush(std::time::Duration::from_millis(500));
    assert!(report.in_doubt > 0);
    of_suspect(30..40);
    let (report, _) = client.flush(std::time::Duration::from_millis(500));
    assert_eq!(report.pending, 40);

    api.clear_faults();
    api.set_unknown_users(Vec::<String>::new());
    client.flush_ok(secs(30));
    let values: Vec<_> = api
        .events()
        .into_iter()
        .filter(|event| event.fields.partner_user_id == "u-x")
        .map(|event| event.fields.event_value)
        .collect();
    let expected: Vec<_> = (10..40).map(|number| json!(number.to_string())).collect();
    assert_eq!(values, expected);
}

#[test]
fn a_requeued_event_goes_to_the_end_and_arrives() {
    let api = Sandbox::builder().unknown_user("u-3").start();
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_users(0..10);
    client.flush_ok(secs(10));
    let rejected = client.rejected_rows();
    assert_eq!(rejected.len(), 1);

    api.set_unknown_users(Vec::<String>::new());
    client.enqueue_users(10..12);
    assert_eq!(client.requeue_rejected(&[rejected[0].id, 999]).unwrap(), 1);
    client.flush_ok(secs(10));

    assert!(client.rejected_rows().is_empty());
    let users: Vec<_> = api
        .events()
        .into_iter()
        .map(|event| event.fields.partner_user_id)
        .collect();
    assert_eq!(users.len(), 12);
    assert!(users.contains(&"u-3".to_owned()));
}

#[test]
fn a_background_sender_delivers_at_the_interval_and_at_a_full_batch() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api)
        .with("role", "both")
        .with("flush_interval_ms", "50")
        .into_client();
    client.enqueue_users(0..5);
    api.wait_for_events(5);

    let full = TestSpool::for_sandbox(&api)
        .with("role", "both")
        .with("flush_interval_ms", "3600000")
        .into_client();
    full.enqueue_users(0..100);
    api.wait_for_events(105);

    let (report, outcome) = client.close_with_report(secs(5));
    outcome.unwrap();
    assert_eq!(report.pending, 0);
    assert_eq!(
        std::fs::read_dir(client.spool.path().join("journal"))
            .unwrap()
            .count(),
        0,
        "litter"
    );
}

#[test]
fn a_held_spool_sends_nothing_until_it_is_resumed() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    client.hold().unwrap();
    client.enqueue_users(0..10);
    let (report, outcome) = client.flush(secs(5));
    assert_eq!(outcome.unwrap_err().pause_reason(), Some(PauseReason::Hold));
    assert_eq!(report.next_probe_ms, None, "only an operator ends it");
    assert_eq!(api.ledger().requests, 0);
    client.resume().unwrap();
    let report = client.flush_ok(secs(5));
    assert_eq!(report.delivered, 10);
    assert_eq!((report.pause, report.paused_since_ms), (None, None));
}

/// The numbers of each user's accepted events, in the order of their first acceptance.
fn accepted_by_user(api: &Sandbox) -> std::collections::BTreeMap<String, Vec<usize>> {
    let mut users = std::collections::BTreeMap::<String, Vec<usize>>::new();
    for event in api.events() {
        let number = event.fields.event_value.as_str().unwrap().parse().unwrap();
        let numbers = users.entry(event.fields.partner_user_id).or_default();
        if !numbers.contains(&number) {
            numbers.push(number);
        }
    }
    users
}

#[test]
fn every_users_events_keep_their_order_through_isolation_suspicion_and_lanes() {
    let api = Sandbox::builder().seed(7).start();
    // Refused for a while and then good again: their events wait among the suspects meanwhile.
    api.set_unknown(json!([{"prefix": "bad-"}]));
    api.set_faults(json!({"faults": [{"fault": "reset", "probability": 0.05, "when": "after"}]}));
    let client = TestSpool::for_sandbox(&api)
        .with("lanes", "4")
        .with("brake_users", "0")
        .into_client();
    for number in 0..3_000 {
        let user = if number % 37 == 0 {
            format!("bad-{}", number % 5)
        } else {
            format!("good-{}", number % 23)
        };
        client.enqueue_for(&user, number);
        if number == 1_500 {
            client.flush_ok(secs(60));
            api.set_unknown_users(Vec::<String>::new());
        }
    }
    client.flush_ok(secs(60));

    let accepted = accepted_by_user(&api);
    for (user, numbers) in &accepted {
        assert!(numbers.is_sorted(), "{user}: {numbers:?}");
    }
    let rejected = client.rejected_rows();
    assert!(
        rejected
            .iter()
            .all(|row| row.event_json.contains(r#""bad-"#))
    );
    let delivered: usize = accepted.values().map(Vec::len).sum();
    // What was refused after an attempt without an answer may stand on both sides, and says so.
    let doubtful = rejected
        .iter()
        .filter(|row| {
            row.reason
                == RowReason::Refused {
                    may_be_delivered: true,
                }
        })
        .count();
    assert!(delivered + rejected.len() >= 3_000);
    assert!(delivered + rejected.len() <= 3_000 + doubtful);
    assert!(accepted.keys().any(|user| user.starts_with("bad-")));
}

#[test]
fn an_event_that_waited_too_long_is_listed_as_expired_and_not_sent() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api)
        .with("event_ttl_s", "1")
        .into_client();
    client.enqueue_users(0..150);
    let enqueued = std::time::Instant::now();
    while enqueued.elapsed() <= secs(1) {
        std::thread::yield_now();
    }
    client.enqueue_users(150..153);

    let report = client.flush_ok(secs(10));

    assert_eq!(
        (report.delivered, report.expired, report.rejected),
        (3, 150, 0)
    );
    let rows = client.rejected_rows();
    assert_eq!(rows.len(), 150);
    let expired = RowReason::Expired {
        may_be_delivered: false,
    };
    assert!(rows.iter().all(|row| row.reason == expired));
}

#[test]
fn a_token_file_is_followed_and_a_refused_token_is_not_tried_again_by_the_next_flush() {
    let api = Sandbox::start();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "wrong\n").unwrap();
    let host =
        TestSpool::for_endpoint(api.endpoint()).with("bearer_token_file", file.to_str().unwrap());
    let client = host.into_client();
    client.enqueue_users(0..10);
    for _ in 0..3 {
        let (_, outcome) = client.flush(secs(10));
        assert_eq!(outcome.unwrap_err().pause_reason(), Some(PauseReason::Auth));
    }
    assert_eq!(api.ledger().requests, 1);

    std::fs::write(&file, api.token()).unwrap();
    assert_eq!(client.flush_ok(secs(10)).delivered, 10);
}

#[test]
fn a_conflicting_second_client_is_refused_and_an_equal_one_shares_the_spool() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    let mut other = client.spool.config().clone();
    let second = meditopia::client::Client::open(&other).unwrap();
    second.enqueue_users(0..3);
    client.enqueue_users(3..5);
    assert_eq!(client.stats().unwrap().enqueued, 5);

    other.set("lanes", "2").unwrap();
    let Err(error) = meditopia::client::Client::open(&other) else {
        panic!("opened");
    };
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains("lanes"), "{error}");

    second.close(secs(1)).unwrap();
    assert_eq!(
        second.flush(secs(1)).1.unwrap_err().kind(),
        ErrorKind::Closed
    );
    assert_eq!(client.flush_ok(secs(10)).delivered, 5);
}

#[test]
fn a_batch_is_in_doubt_in_the_store_before_its_answer_can_come() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_users(0..30);
    api.set_fault(json!({"fault": "delay", "ms": 500, "when": "before"}));
    std::thread::scope(|scope| {
        let flush = scope.spawn(|| client.flush(secs(10)));
        let mut seen = 0;
        while seen == 0 && !flush.is_finished() {
            seen = client.in_doubt_rows().len();
        }
        assert_eq!(seen, 30);
        assert_eq!(flush.join().unwrap().0.delivered, 30);
    });
    assert!(client.in_doubt_rows().is_empty());
}

#[test]
fn a_batch_in_doubt_is_repeated_whole_though_batch_max_was_lowered() {
    let api = Sandbox::start();
    let host = TestSpool::for_sandbox(&api);
    let client = host.client();
    // Taken over one by one: more rows than are read ahead.
    client.hold().unwrap();
    for number in 0..60 {
        client.enqueue_for("u", number);
        client.flush(secs(5)).1.unwrap_err();
    }
    client.resume().unwrap();
    api.set_fault(json!({"fault": "close", "when": "after"}));
    let (_, outcome) = client.flush(std::time::Duration::from_millis(500));
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Timeout);
    client.close(secs(1)).unwrap();

    api.clear_faults();
    let client = host.with("batch_max", "10").into_client();
    client.flush_ok(secs(20));
    let requests = api.requests();
    assert!(
        requests
            .iter()
            .all(|request| request.body_hash == requests[0].body_hash)
    );
    assert_eq!(api.ledger().distinct_events, 60);
}

#[test]
fn a_log_callback_may_be_slow_or_call_back_without_holding_anybody_up() {
    let api = Sandbox::start();
    let client = std::sync::Arc::new(
        TestSpool::for_sandbox(&api)
            .with("bearer_token", "wrong")
            .into_client(),
    );
    let (tell, told) = std::sync::mpsc::channel();
    let again = client.clone();
    client
        .set_log_callback(Some(Box::new(move |record| {
            let _ = again.resume();
            let _ = tell.send(record.message.clone());
        })))
        .unwrap();
    client.enqueue_users(0..3);
    let (_, outcome) = client.flush(secs(1));
    outcome.unwrap_err();
    assert!(
        told.recv_timeout(secs(10))
            .unwrap()
            .contains("paused (auth)")
    );
    client.set_log_callback(None).unwrap();
}

// ---- what a newcomer reads ----

#[test]
fn a_token_file_that_is_not_there_is_named_by_the_pause_and_taken_once_it_is() {
    let api = Sandbox::start();
    let host = TestSpool::for_sandbox(&api)
        .with("role", "both")
        .with("flush_interval_ms", "10");
    let file = host.path().with_extension("token");
    let client = host
        .with("bearer_token_file", file.to_str().unwrap())
        .into_client();
    client.enqueue_users(0..3);

    let error = client.flush(secs(10)).1.unwrap_err();

    assert_eq!(error.pause_reason(), Some(PauseReason::Auth));
    let named = format!("bearer_token_file {}: No such file", file.display());
    assert!(error.message().contains(&named), "{error}");

    std::fs::write(&file, api.token()).unwrap();
    api.wait_for_events(3);
}

#[test]
fn a_flush_in_vain_says_what_came_of_the_last_request() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_users(0..3);
    api.set_fault(json!({"fault": "status", "status": 503}));

    let error = client.flush(secs(3)).1.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(
        error.message().contains("the last request: HTTP 503"),
        "{error}"
    );
}

#[test]
fn a_pause_says_what_to_do() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_users(0..3);
    api.refuse_address();

    let (report, outcome) = client.flush(secs(10));
    let stats = client.stats().unwrap();
    assert!(report.paused_since_ms.is_some() && report.next_probe_ms > report.paused_since_ms);
    assert_eq!(report.paused_since_ms, stats.paused_since_ms);
    assert_eq!(report.next_probe_ms, stats.next_probe_ms);

    let error = outcome.unwrap_err();
    let words = "(A_1004, HTTP 401); ask Meditopia to allow this host's address; 3 events are kept";
    assert!(error.message().contains(words), "{error}");
}

#[test]
fn the_report_of_a_temporary_spools_close_tells_what_goes_with_it() {
    let mut config = Config::new();
    config.set("durability", "memory").unwrap();
    config.set("role", "enqueue").unwrap();
    let client = Client::open(&config).unwrap();
    client.enqueue_users(0..3);

    let (report, outcome) = client.close_with_report(secs(10));

    outcome.unwrap();
    assert_eq!(report.pending, 3);
}

#[test]
fn what_was_taken_over_counts_no_more_as_bytes_of_the_journal() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_users(0..3);
    assert!(client.stats().unwrap().journal_bytes > 0);

    client.flush_ok(secs(10));

    assert_eq!(client.stats().unwrap().journal_bytes, 0);
}

#[test]
fn a_lone_refusal_is_logged_as_a_warning() {
    let api = Sandbox::builder().unknown_user("u-1").start();
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_users(1..2);

    client.flush_ok(secs(10));

    let record = std::iter::from_fn(|| client.log_next().unwrap())
        .find(|record| record.message.contains("refused alone"))
        .unwrap();
    assert_eq!(record.level, Level::Warn);
}

#[test]
fn a_damaged_store_pauses_sending_and_lets_enqueue_go_on() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_users(0..3);
    let store = client.spool.path().join("store.db");
    let garbage = "this is no database, by far ".repeat(200);
    std::fs::write(&store, &garbage).unwrap();

    let (report, outcome) = client.flush(secs(10));

    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Paused, "{error}");
    assert_eq!(error.pause_reason(), Some(PauseReason::StoreDamaged));
    assert_eq!(report.pause, Some(PauseReason::StoreDamaged));
    let stats = client.stats().unwrap();
    assert_eq!(stats.paused, Some(PauseReason::StoreDamaged));
    client.enqueue_users(3..5);
    assert_eq!(std::fs::read_to_string(&store).unwrap(), garbage);

    std::fs::remove_file(&store).unwrap();
    assert_eq!(client.flush_ok(secs(10)).delivered, 5);
}

#[test]
fn a_program_that_holds_the_store_makes_no_flush_miss_its_deadline() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_users(0..3);
    client.flush_ok(secs(10));
    let holder = rusqlite::Connection::open(client.spool.path().join("store.db")).unwrap();
    holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
    client.enqueue_users(3..5);

    let (_, outcome) = client.flush(std::time::Duration::from_millis(300));

    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Timeout);
    holder.execute_batch("ROLLBACK").unwrap();
    assert_eq!(client.flush_ok(secs(10)).delivered, 2);
}
