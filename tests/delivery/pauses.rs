//! Each pause: its cause, and every way that ends it. Delivery keeps all events, rejects none, and
//! says why it is paused, since when and until when - in the statistics, in the error of a flush and
//! in the log.
//!
//! Probes wait for half a minute and more. The programs here therefore run on clocks that the test
//! sets forward: the waits are those of the library, and the test does not wait.

use meditopia::PauseReason;
use meditopia_testkit::background_sender::BackgroundSender;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;
use serde_json::{Value, json};

const EVENTS: u64 = 6;
/// Documented in `docs/answers.md`: the first probe after half a minute, later ones up to a quarter of an
/// hour.
const PROBE_WAITS_S: [i64; 7] = [30, 60, 120, 240, 480, 900, 900];

/// What pauses delivery, and what removes the cause.
struct Cause {
    reason: &'static str,
    begin: fn(&Sandbox),
    remove: fn(&Sandbox),
}

const CAUSES: [Cause; 4] = [
    Cause {
        reason: "auth",
        begin: Sandbox::revoke_token,
        remove: |api| api.put("token", &json!({"token": api.token()})),
    },
    Cause {
        reason: "ip",
        begin: Sandbox::refuse_address,
        remove: Sandbox::allow_address,
    },
    Cause {
        reason: "misrouted",
        begin: |api| api.set_fault(json!({"fault": "redirect", "to": "/"})),
        remove: Sandbox::clear_faults,
    },
    Cause {
        // Events of two users are rejected, and those of the next two are not (see `brake.rs`).
        reason: "mass_rejection",
        begin: |api| api.set_unknown(json!([{"prefix": "u-"}])),
        remove: |api| api.set_unknown(json!([])),
    },
];

impl Cause {
    /// How many events are rejected before delivery pauses.
    fn rejected(&self) -> u64 {
        if self.reason == "mass_rejection" {
            2
        } else {
            0
        }
    }
}

/// A sender that is paused or will be, with the number of events that it must keep.
struct PausedSender {
    sender: BackgroundSender,
    kept: u64,
}

impl std::ops::Deref for PausedSender {
    type Target = BackgroundSender;

    fn deref(&self) -> &BackgroundSender {
        &self.sender
    }
}

impl std::ops::DerefMut for PausedSender {
    fn deref_mut(&mut self) -> &mut BackgroundSender {
        &mut self.sender
    }
}

impl PausedSender {
    fn paused_by(cause: &Cause) -> Self {
        let mut paused = Self::not_yet_paused();
        (cause.begin)(&paused.api);
        paused.kept -= cause.rejected();
        paused.enqueue_users(0..EVENTS);
        paused.assert_flush_is_refused();
        paused
    }

    fn not_yet_paused() -> Self {
        Self {
            sender: BackgroundSender::start(&[("brake_users", "2")]),
            kept: EVENTS,
        }
    }

    /// Checks that a flush fails because of the pause. By then the last answer has been committed.
    fn assert_flush_is_refused(&mut self) {
        let kept = self.kept;
        let answer = self.client.ask("flush 60000");
        assert!(answer.starts_with("MEDITOPIA_ERROR_PAUSED "), "{answer}");
        assert!(answer.ends_with(&format!(" {kept}")), "{answer}");
    }

    fn assert_all_arrive(mut self) {
        self.api.wait_for_events(self.kept);
        let stats = self.wait_for_stats("nothing pending", |stats| stats["pending"] == 0);
        assert_eq!(stats["paused"], Value::Null);
        assert_eq!(stats["delivered"], self.kept);
        assert_eq!(self.api.ledger().distinct_events, self.kept);
        self.sender.client.close();
    }
}

#[test]
fn a_pause_says_why_since_when_and_until_when_and_blames_nobody() {
    for cause in &CAUSES {
        let reason = cause.reason;
        let before = jiff::Timestamp::now().as_millisecond();
        let mut paused = PausedSender::paused_by(cause);
        let after = paused.now_ms();

        let stats = paused.stats();
        assert_eq!(stats["paused"], reason);
        let since = stats["paused_since_ms"].as_i64().unwrap();
        assert!((before..=after).contains(&since), "{reason}: {stats}");
        let probe = stats["next_probe_ms"].as_i64().unwrap();
        assert_eq!(probe - since, PROBE_WAITS_S[0] * 1_000, "{reason}");
        assert_eq!(stats["pending"], paused.kept);
        assert_eq!(stats["rejected"], cause.rejected());
        assert_eq!(stats["in_doubt"], 0);

        let complaint = paused.client.ask("flush_error");
        let since = jiff::Timestamp::from_millisecond(since).unwrap();
        let since = since.strftime("%Y-%m-%d %H:%M:%SZ");
        for part in [
            format!("paused since {since} ({reason}): "),
            "next probe in ".into(),
        ] {
            assert!(complaint.contains(&part), "{complaint} lacks {part:?}");
        }
        let message = format!("paused ({reason}): ");
        let log = paused.client.read_log_until(&message);
        let records: Vec<_> = log
            .iter()
            .filter(|record| record.contains(&message))
            .collect();
        assert_eq!(records.len(), 1, "{reason}: {log:?}");
        assert!(records[0].starts_with("1 "), "{records:?}");
        // One thought a line.
        let kept = log
            .iter()
            .find(|record| record.contains("every event is kept"));
        assert!(kept.unwrap().contains("next probe in 30 s"), "{log:?}");

        paused.api.clear_ledger();
        (cause.remove)(&paused.api);
        assert_eq!(paused.client.ask("resume"), "MEDITOPIA_OK");
        paused.assert_all_arrive();
    }
}

#[test]
fn probes_are_sent_after_growing_waits_and_the_first_success_ends_the_pause() {
    for cause in &CAUSES {
        let reason = cause.reason;
        let mut paused = PausedSender::paused_by(cause);
        let since = paused.stats()["paused_since_ms"].clone();
        for waits in PROBE_WAITS_S.windows(2) {
            let requests = paused.api.ledger().requests;
            let due = paused.stats()["next_probe_ms"].clone();
            let before = paused.now_ms() + waits[0] * 1_000;
            paused.advance(waits[0]);
            paused.api.wait_for_requests(requests + 1);
            let stats =
                paused.wait_for_stats("the next probe", |stats| stats["next_probe_ms"] != due);
            let after = paused.now_ms();
            let probed = stats["next_probe_ms"].as_i64().unwrap() - waits[1] * 1_000;
            assert!((before..=after).contains(&probed), "{reason}: {stats}");
            assert_eq!(paused.api.ledger().requests, requests + 1, "{reason}");
            assert_eq!(stats["paused"], reason);
            assert_eq!(stats["paused_since_ms"], since);
            assert_eq!(stats["rejected"], cause.rejected());
            assert_eq!(stats["pending"], paused.kept);
        }
        let log = paused.client.read_log();
        let later = |record: &&String| record.contains("next probe in 900 s");
        assert_eq!(log.iter().filter(later).count(), 2, "{log:?}");

        paused.api.clear_ledger();
        (cause.remove)(&paused.api);
        paused.advance(PROBE_WAITS_S[6]);
        paused.wait_for_stats("the end", |stats| stats["paused"] == Value::Null);
        let over = format!("delivery goes on after the pause ({reason})");
        paused.client.read_log_until(&over);
        paused.assert_all_arrive();
    }
}

#[test]
fn a_pause_outlives_its_process_and_so_does_the_time_of_its_next_probe() {
    let mut paused = PausedSender::paused_by(&CAUSES[1]);
    let before = paused.stats();
    let requests = paused.api.ledger().requests;

    paused.kill_and_restart();
    paused.assert_flush_is_refused();

    let stats = paused.stats();
    for gauge in ["paused", "paused_since_ms", "next_probe_ms"] {
        assert_eq!(stats[gauge], before[gauge], "{gauge}");
    }
    assert_eq!(paused.api.ledger().requests, requests);
    paused.api.allow_address();
    paused.advance(PROBE_WAITS_S[0]);
    paused.assert_all_arrive();
}

/// Has the pause probed in vain until the next probe is minutes away; returns the requests so far.
fn probe_in_vain(paused: &mut PausedSender) -> u64 {
    for wait in &PROBE_WAITS_S[..4] {
        let requests = paused.api.ledger().requests;
        let due = paused.stats()["next_probe_ms"].clone();
        paused.advance(*wait);
        paused.api.wait_for_requests(requests + 1);
        paused.wait_for_stats("the next probe", |stats| stats["next_probe_ms"] != due);
    }
    paused.api.ledger().requests
}

#[test]
fn a_flush_probes_a_pause_at_once_but_at_most_every_30_seconds() {
    for cause in &CAUSES {
        let mut paused = PausedSender::paused_by(cause);
        let requests = probe_in_vain(&mut paused);
        paused.assert_flush_is_refused();
        paused.assert_flush_is_refused();
        assert_eq!(paused.api.ledger().requests, requests, "{}", cause.reason);

        // The cause is still there.
        paused.advance(31);
        paused.assert_flush_is_refused();
        assert_eq!(paused.api.ledger().requests, requests + 1);
        let stats = paused.stats();
        assert_eq!(stats["pending"], paused.kept);
        assert_eq!(stats["rejected"], cause.rejected());

        paused.api.clear_ledger();
        (cause.remove)(&paused.api);
        paused.advance(31);
        let answer = paused.client.ask("flush 60000");
        assert_eq!(answer, format!("MEDITOPIA_OK {} 0 0", paused.kept));
        paused.assert_all_arrive();
    }
}

#[test]
fn a_new_process_probes_a_pause_at_once_but_at_most_every_30_seconds() {
    for cause in &CAUSES {
        let mut paused = PausedSender::paused_by(cause);
        let requests = probe_in_vain(&mut paused);
        for _ in 0..3 {
            paused.kill_and_restart();
            paused.assert_flush_is_refused();
        }
        assert_eq!(paused.api.ledger().requests, requests, "{}", cause.reason);

        paused.api.clear_ledger();
        (cause.remove)(&paused.api);
        paused.advance(31);
        paused.kill_and_restart();
        // With its first event a process begins to send.
        paused.enqueue_users(EVENTS..EVENTS + 1);
        paused.kept += 1;
        paused.assert_all_arrive();
    }
}

#[test]
fn an_event_that_probes_a_mass_rejection_stays_pending_however_often_a_flush_tries_again() {
    let mut paused = PausedSender::paused_by(&CAUSES[3]);
    for _ in 0..20 {
        let requests = paused.api.ledger().requests;
        paused.advance(31);
        paused.assert_flush_is_refused();
        assert!(paused.api.ledger().requests > requests);
        let stats = paused.stats();
        assert_eq!(
            (&stats["pending"], &stats["rejected"]),
            (&4.into(), &2.into())
        );
    }
    paused.api.clear_ledger();
    (CAUSES[3].remove)(&paused.api);
    paused.advance(31);
    assert_eq!(paused.client.ask("flush 60000"), "MEDITOPIA_OK 4 0 0");
    paused.assert_all_arrive();
}

#[test]
fn server_errors_are_counted_across_processes_that_each_get_one() {
    let mut paused = PausedSender::not_yet_paused();
    paused
        .api
        .set_fault(json!({"fault": "status", "status": 503, "retry_after": 600}));
    paused.enqueue_users(0..EVENTS);
    for errors in 1..=10 {
        let stats = paused.wait_for_answers(errors);
        assert_eq!(stats["paused"] == "server_error", errors == 10, "{stats}");
        paused.kill_and_restart();
        if errors < 10 {
            paused.advance(601);
            paused.client.ask("flush 300");
        }
    }
    paused.api.clear_faults();
    paused.advance(PROBE_WAITS_S[0]);
    paused.client.ask("flush 300");
    paused.assert_all_arrive();
}

#[test]
fn ten_server_errors_for_one_batch_pause_delivery_and_nine_do_not() {
    let mut paused = PausedSender::not_yet_paused();
    paused
        .api
        .set_fault(json!({"fault": "status", "status": 503, "when": "after", "retry_after": 600}));
    paused.enqueue_users(0..EVENTS);
    for errors in 1..=10 {
        let stats = paused.wait_for_answers(errors);
        assert_eq!(stats["paused"] == "server_error", errors == 10, "{stats}");
        assert_eq!(stats["in_doubt"], EVENTS, "{stats}");
        if errors < 10 {
            paused.advance(601);
        }
    }
    paused.assert_flush_is_refused();
    let complaint = paused.client.ask("flush_error");
    assert!(
        complaint.contains("answered HTTP 503 10 times in a row"),
        "{complaint}"
    );
    let requests = paused.api.requests();
    assert!(
        requests
            .iter()
            .all(|r| r.body_hash == requests[0].body_hash)
    );
    assert!(
        paused
            .client
            .ask_json("rejected")
            .as_array()
            .unwrap()
            .is_empty()
    );

    paused.api.clear_faults();
    paused.advance(PROBE_WAITS_S[0]);
    paused.assert_all_arrive();
}

#[test]
fn a_hold_lasts_until_an_operator_resumes() {
    let mut paused = PausedSender::not_yet_paused();
    assert_eq!(paused.client.ask("hold"), "MEDITOPIA_OK");
    paused.enqueue_users(0..EVENTS);
    paused.assert_flush_is_refused();
    paused.advance(24 * 3_600);
    assert_eq!(paused.client.ask("token other-token"), "MEDITOPIA_OK");
    paused.assert_flush_is_refused();
    let stats = paused.stats();
    assert_eq!(stats["paused"], "hold");
    assert_eq!(stats["next_probe_ms"], Value::Null);
    let complaint = paused.client.ask("flush_error");
    assert!(
        complaint.contains("it ends when an operator resumes"),
        "{complaint}"
    );
    assert_eq!(paused.api.ledger().requests, 0);

    let token = format!("token {}", paused.api.token());
    assert_eq!(paused.client.ask(&token), "MEDITOPIA_OK");
    assert_eq!(paused.client.ask("resume"), "MEDITOPIA_OK");
    paused.assert_all_arrive();
}

#[test]
fn a_new_token_ends_a_pause_caused_by_the_old_one_at_once_and_no_other_pause() {
    let mut paused = PausedSender::paused_by(&CAUSES[0]);
    assert_eq!(paused.client.ask("token sandbox-token"), "MEDITOPIA_OK");
    paused.assert_flush_is_refused();
    assert_eq!(
        paused.api.ledger().requests,
        1,
        "the same token was tried again"
    );
    paused.sender.api.set_token("renewed");
    assert_eq!(paused.client.ask("token renewed"), "MEDITOPIA_OK");
    paused.assert_all_arrive();

    for cause in &CAUSES[1..] {
        let mut paused = PausedSender::paused_by(cause);
        let requests = paused.api.ledger().requests;
        assert_eq!(paused.client.ask("token renewed"), "MEDITOPIA_OK");
        paused.assert_flush_is_refused();
        assert_eq!(paused.stats()["paused"], cause.reason);
        assert_eq!(paused.api.ledger().requests, requests);
    }
}

#[test]
fn an_answer_that_does_not_look_like_the_apis_pauses_delivery_and_rejects_nothing() {
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

#[test]
fn the_error_of_a_pause_says_what_the_operator_can_do() {
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
