//! Every pause from its cause to each of its ends: it keeps all, blames nobody, and says why, since when
//! and until when in the figures, in the error of a flush and in the log.
//!
//! Probes wait for half a minute and more. The programs here run on clocks that the test steps, so
//! that the waits are the product's own and the test does not wait.

use meditopia::client::{Client, Repair, recover};
use meditopia::error::{ErrorKind, PauseReason};
use meditopia_testkit::background_sender::BackgroundSender;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;
use serde_json::{Value, json};

const EVENTS: u64 = 6;
/// Documented in the README: the first probe after half a minute, later ones up to a quarter of an hour.
const PROBE_WAITS_S: [i64; 7] = [30, 60, 120, 240, 480, 900, 900];

/// What makes all pause, and what mends it.
struct Cause {
    reason: &'static str,
    begin: fn(&Sandbox),
    mend: fn(&Sandbox),
}

const CAUSES: [Cause; 4] = [
    Cause {
        reason: "auth",
        begin: Sandbox::revoke_token,
        mend: |api| api.put("token", &json!({"token": api.token()})),
    },
    Cause {
        reason: "ip",
        begin: Sandbox::refuse_address,
        mend: Sandbox::allow_address,
    },
    Cause {
        reason: "misrouted",
        begin: |api| api.set_fault(json!({"fault": "redirect", "to": "/"})),
        mend: Sandbox::clear_faults,
    },
    Cause {
        // Two users may be judged, and the next two stand aside: see `brake.rs`.
        reason: "mass_rejection",
        begin: |api| api.set_unknown(json!([{"prefix": "u-"}])),
        mend: |api| api.set_unknown(json!([])),
    },
];

impl Cause {
    /// Events that are rejected before it pauses.
    fn rejected(&self) -> u64 {
        if self.reason == "mass_rejection" {
            2
        } else {
            0
        }
    }
}

/// A sender that is paused, or about to be.
struct Paused {
    stepped: BackgroundSender,
    kept: u64,
}

impl std::ops::Deref for Paused {
    type Target = BackgroundSender;

    fn deref(&self) -> &BackgroundSender {
        &self.stepped
    }
}

impl std::ops::DerefMut for Paused {
    fn deref_mut(&mut self) -> &mut BackgroundSender {
        &mut self.stepped
    }
}

impl Paused {
    fn by(cause: &Cause) -> Self {
        let mut paused = Self::about_to();
        (cause.begin)(&paused.api);
        paused.kept -= cause.rejected();
        paused.enqueue_users(0..EVENTS);
        paused.flush_is_refused();
        paused
    }

    fn about_to() -> Self {
        Self {
            stepped: BackgroundSender::start(&[("brake_users", "2")]),
            kept: EVENTS,
        }
    }

    /// A flush says that all pauses. By then the answer that led here, or the probe, is committed.
    fn flush_is_refused(&mut self) {
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
        self.stepped.client.close();
    }
}

#[test]
fn a_pause_says_why_since_when_and_until_when_and_blames_nobody() {
    for cause in &CAUSES {
        let reason = cause.reason;
        let before = jiff::Timestamp::now().as_millisecond();
        let mut paused = Paused::by(cause);
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

        let complaint = paused.client.ask("complaint");
        let since = jiff::Timestamp::from_millisecond(since).unwrap();
        let since = since.strftime("%Y-%m-%d %H:%M:%SZ");
        for part in [
            format!("paused since {since} ({reason}): "),
            "next probe in ".into(),
        ] {
            assert!(complaint.contains(&part), "{complaint} lacks {part:?}");
        }
        let tells = format!("paused ({reason}): ");
        let log = paused.client.read_log_until(&tells);
        let said: Vec<_> = log
            .iter()
            .filter(|record| record.contains(&tells))
            .collect();
        assert_eq!(said.len(), 1, "{reason}: {log:?}");
        let begins_as_an_error = said[0].starts_with("1 ");
        assert!(
            begins_as_an_error && said[0].contains("next probe in 30 s"),
            "{said:?}"
        );

        paused.api.clear_ledger();
        (cause.mend)(&paused.api);
        assert_eq!(paused.client.ask("resume"), "MEDITOPIA_OK");
        paused.assert_all_arrive();
    }
}

#[test]
fn a_probe_goes_after_half_a_minute_and_ever_later_ones_and_the_first_good_one_ends_the_pause() {
    for cause in &CAUSES {
        let reason = cause.reason;
        let mut paused = Paused::by(cause);
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
        (cause.mend)(&paused.api);
        paused.advance(PROBE_WAITS_S[6]);
        paused.wait_for_stats("the end", |stats| stats["paused"] == Value::Null);
        let over = format!("delivery goes on after the pause ({reason})");
        paused.client.read_log_until(&over);
        paused.assert_all_arrive();
    }
}

#[test]
fn a_pause_outlives_its_process_and_so_does_the_time_of_its_next_probe() {
    let mut paused = Paused::by(&CAUSES[1]);
    let told = paused.stats();
    let requests = paused.api.ledger().requests;

    paused.kill_and_restart();
    paused.flush_is_refused();

    let stats = paused.stats();
    for figure in ["paused", "paused_since_ms", "next_probe_ms"] {
        assert_eq!(stats[figure], told[figure], "{figure}");
    }
    assert_eq!(paused.api.ledger().requests, requests);
    paused.api.allow_address();
    paused.advance(PROBE_WAITS_S[0]);
    paused.assert_all_arrive();
}

#[test]
fn server_errors_are_counted_over_processes_that_each_meet_one() {
    let mut paused = Paused::about_to();
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
fn ten_server_errors_for_one_batch_pause_and_nine_do_not() {
    let mut paused = Paused::about_to();
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
    paused.flush_is_refused();
    let complaint = paused.client.ask("complaint");
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
fn a_hold_lasts_until_somebody_resumes() {
    let mut paused = Paused::about_to();
    assert_eq!(paused.client.ask("hold"), "MEDITOPIA_OK");
    paused.enqueue_users(0..EVENTS);
    paused.flush_is_refused();
    paused.advance(24 * 3_600);
    assert_eq!(paused.client.ask("token other-token"), "MEDITOPIA_OK");
    paused.flush_is_refused();
    let stats = paused.stats();
    assert_eq!(stats["paused"], "hold");
    assert_eq!(stats["next_probe_ms"], Value::Null);
    let complaint = paused.client.ask("complaint");
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
fn another_token_ends_a_pause_for_the_old_one_at_once_and_no_other_pause() {
    let mut paused = Paused::by(&CAUSES[0]);
    assert_eq!(paused.client.ask("token sandbox-token"), "MEDITOPIA_OK");
    paused.flush_is_refused();
    assert_eq!(
        paused.api.ledger().requests,
        1,
        "the same token was tried again"
    );
    paused.stepped.api.set_token("renewed");
    assert_eq!(paused.client.ask("token renewed"), "MEDITOPIA_OK");
    paused.assert_all_arrive();

    for cause in &CAUSES[1..] {
        let mut paused = Paused::by(cause);
        let requests = paused.api.ledger().requests;
        assert_eq!(paused.client.ask("token renewed"), "MEDITOPIA_OK");
        paused.flush_is_refused();
        assert_eq!(paused.stats()["paused"], cause.reason);
        assert_eq!(paused.api.ledger().requests, requests);
    }
}

#[test]
fn a_token_file_that_changes_ends_the_pause_without_anybody_calling() {
    let mut api = Sandbox::start();
    let host = TestSpool::for_endpoint(api.endpoint()).with("role", "both");
    let file = host.path().with_extension("token");
    std::fs::write(&file, "stale\n").unwrap();
    let client = host
        .with("bearer_token_file", file.to_str().unwrap())
        .with("flush_interval_ms", "10")
        .into_client();
    client.enqueue_users(0..3);
    let error = client.flush(secs(60)).1.unwrap_err();
    assert_eq!(error.pause_reason(), Some(PauseReason::Auth));

    for token in ["first", "second"] {
        let accepted = api.ledger().accepted_events;
        api.set_token(token);
        std::fs::write(&file, format!("{token}\n")).unwrap();
        client.enqueue_users(0..1);
        api.wait_for_events(accepted + 1);
    }
    assert!(client.rejected_rows().is_empty());
}

#[test]
fn a_damaged_store_pauses_until_recover_and_resume_does_not_help() {
    let api = Sandbox::start();
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_users(0..3);
    let (tell, told) = std::sync::mpsc::channel();
    let callback = move |record: &meditopia::log::Record| {
        let _ = tell.send(record.message.clone());
    };
    client.set_log_callback(Some(Box::new(callback))).unwrap();
    let store = client.spool.path().join("store.db");
    std::fs::write(&store, "this is no database ".repeat(200)).unwrap();

    let mut since = Vec::new();
    for _ in 0..2 {
        let (report, outcome) = client.flush(secs(60));
        let error = outcome.unwrap_err();
        assert_eq!(error.pause_reason(), Some(PauseReason::StoreDamaged));
        assert!(error.message().contains("meditopia recover"), "{error}");
        let stats = client.stats().unwrap();
        assert_eq!(stats.paused, Some(PauseReason::StoreDamaged));
        assert_eq!(stats.next_probe_ms, None);
        assert_eq!(report.paused_since_ms, stats.paused_since_ms);
        since.push(stats.paused_since_ms.expect("since when"));
        assert!(client.resume().is_err());
    }
    assert_eq!(since[0], since[1]);
    assert!(told.recv_timeout(secs(60)).unwrap().contains("recover"));
    assert_eq!(api.ledger().requests, 0);
    client.enqueue_users(3..5);

    let found = recover(&client.spool.path(), Repair::Replace).unwrap();
    assert!(found.kept.is_some());
    assert_eq!(client.flush_ok(secs(60)).delivered, 5);
    assert_eq!(client.stats().unwrap().paused, None);
}

// ---- in the middle of an isolation ----

/// Users whose events are refused, of a hundred.
const BAD: [&str; 3] = ["u-17", "u-18", "u-60"];

fn isolating() -> (Sandbox, meditopia_testkit::spool::SpoolClient) {
    let api = Sandbox::start();
    api.set_unknown_users(BAD);
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_users(0..100);
    (api, client)
}

fn assert_isolated(api: &Sandbox, client: &Client) {
    assert_eq!(client.rejected_users(), BAD);
    let ledger = api.ledger();
    assert_eq!((ledger.accepted_events, ledger.distinct_events), (97, 97));
}

#[test]
fn an_auth_or_ip_error_anywhere_in_an_isolation_blames_nobody_and_costs_its_own_request_only() {
    let (api, client) = isolating();
    client.flush_ok(secs(60));
    assert_isolated(&api, &client);
    let undisturbed = api.ledger().requests;

    for (code, reason) in [("A_1002", PauseReason::Auth), ("A_1004", PauseReason::Ip)] {
        for after_requests in 0..undisturbed {
            let (api, client) = isolating();
            api.set_fault(json!({"fault": "status", "status": 401, "code": code,
                "after_requests": after_requests, "count": 1}));
            let error = client.flush(secs(60)).1.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Paused);
            assert_eq!(error.pause_reason(), Some(reason));
            let so_far = client.rejected_users();
            assert!(BAD.starts_with(&so_far.iter().map(String::as_str).collect::<Vec<_>>()));

            client.resume().unwrap();
            client.flush_ok(secs(60));
            assert_isolated(&api, &client);
            // It went on where it was, in a sender that has read its state from the store.
            assert_eq!(
                api.ledger().requests,
                undisturbed + 1,
                "after {after_requests}"
            );
        }
    }
}
