//! Cases of one answer of the API, and what the library must do with three events because of it.
//!
//! A case enqueues an event each of `u-0`, `u-1` and `u-2`, has the sandbox give the answer to every
//! request that contains the event of `u-1`, and flushes. If such an answer can mean that the API has
//! accepted the events, the sandbox accepts them before it answers: the worst case for a sender that
//! repeats the request. Then the sandbox answers correctly again, and the events that were kept must arrive.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use meditopia::{Client, RowReason};
use meditopia::{ErrorKind, PauseReason};
use serde_json::{Value, json};

use crate::sandbox::Sandbox;
use crate::spool::{ClientExt, SpoolClient, TestSpool};
use crate::wait::WAIT_LIMIT;

/// How many cases run at a time. They wait most of the time.
const AT_A_TIME: usize = 8;
/// On a busy machine, this many retries may become due before the test has stopped the sender.
const LATE_RETRIES: u64 = 2;
/// More requests than isolation needs to find one event of three.
const ISOLATION_AT_MOST: u64 = 5;

/// What the library must do with the three events.
#[derive(Debug, Clone, Copy)]
pub enum Expected {
    /// Delivered, all in one request.
    Delivered,
    /// The event of `u-1` is refused alone, once, and rejected with this answer; the others arrive.
    Rejected { status: u16, code: &'static str },
    /// All are kept, and the same request waits before it is sent again, after `requests` requests.
    Retried { doubt: Doubt, requests: u64 },
    /// All are kept, and no second request is sent.
    Paused { reason: PauseReason, doubt: Doubt },
}

/// Whether the API may have accepted the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    None,
    InDoubt,
}

pub const DELIVERED: Expected = Expected::Delivered;
pub const RETRIED: Expected = retried(Doubt::None, 1);
pub const IN_DOUBT: Expected = retried(Doubt::InDoubt, 1);
/// In doubt and repeated at once, because the cause is mostly that a connection was too old; then the
/// request waits.
pub const REPEATED_IN_DOUBT: Expected = retried(Doubt::InDoubt, 2);
pub const AUTH: Expected = paused(PauseReason::Auth, Doubt::None);
pub const AUTH_IN_DOUBT: Expected = paused(PauseReason::Auth, Doubt::InDoubt);
pub const IP: Expected = paused(PauseReason::Ip, Doubt::None);
pub const IP_IN_DOUBT: Expected = paused(PauseReason::Ip, Doubt::InDoubt);
pub const MISROUTED: Expected = paused(PauseReason::Misrouted, Doubt::None);
pub const MISROUTED_IN_DOUBT: Expected = paused(PauseReason::Misrouted, Doubt::InDoubt);

const fn retried(doubt: Doubt, requests: u64) -> Expected {
    Expected::Retried { doubt, requests }
}

const fn paused(reason: PauseReason, doubt: Doubt) -> Expected {
    Expected::Paused { reason, doubt }
}

pub const fn rejected(status: u16, code: &'static str) -> Expected {
    Expected::Rejected { status, code }
}

/// The message of every API error body that a case orders.
pub const MESSAGE: &str = "It is not so.";

/// A named case: what the sandbox answers, and what the library must do.
pub struct Case {
    name: &'static str,
    answer: Value,
    expected: Expected,
    options: &'static [(&'static str, &'static str)],
}

pub fn case(name: &'static str, answer: Value, expected: Expected) -> Case {
    Case {
        name,
        answer,
        expected,
        options: &[],
    }
}

impl Case {
    pub fn with_options(mut self, options: &'static [(&'static str, &'static str)]) -> Self {
        self.options = options;
        self
    }

    /// The answer as a fault of every request that contains the event of `u-1`.
    fn fault(&self) -> Value {
        let mut fault = self.answer.clone();
        // This fault strikes before the sandbox has read the events.
        if fault["fault"] != "hang_up" {
            fault["containing"] = json!(r#""u-1""#);
            fault["when"] = match self.expected {
                Expected::Delivered => json!("after"),
                Expected::Retried { doubt, .. } | Expected::Paused { doubt, .. }
                    if doubt == Doubt::InDoubt =>
                {
                    json!("after")
                }
                _ => json!("before"),
            };
        }
        fault
    }

    fn check(&self) {
        let api = Sandbox::start();
        let mut spool = TestSpool::for_sandbox(&api);
        for (key, value) in self.options {
            spool = spool.with(key, value);
        }
        let client = spool.into_client();
        client.enqueue_users(0..3);
        api.set_fault(self.fault());
        match self.expected {
            Expected::Delivered => assert_delivered(&api, &client),
            Expected::Rejected { status, code } => assert_rejected(&api, &client, status, code),
            Expected::Retried { doubt, requests } => {
                assert_retried(&client, doubt, requests);
                let sent = api.ledger().requests;
                let bound = requests..=requests + LATE_RETRIES;
                assert!(bound.contains(&sent), "{sent} requests");
                assert_kept_events_arrive(&api, &client, doubt);
            }
            Expected::Paused { reason, doubt } => {
                assert_paused(&client, reason, doubt);
                assert_eq!(api.ledger().requests, 1);
                assert_kept_events_arrive(&api, &client, doubt);
            }
        }
    }
}

/// Checks all cases, some at a time, and names the ones that fail.
pub fn check_cases(cases: Vec<Case>) {
    let count = cases.len();
    let waiting = Mutex::new(cases.into_iter());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                let next = || waiting.lock().unwrap().next();
                while let Some(case) = next() {
                    if let Err(why) = catch_unwind(AssertUnwindSafe(|| case.check())) {
                        let why = why.downcast_ref::<String>().map_or("see above", |why| why);
                        let name = case.name;
                        failed.lock().unwrap().push(format!("{name}: {why}"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(
        failed.is_empty(),
        "{} of {count} cases:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

fn assert_delivered(api: &Sandbox, client: &Client) {
    let report = client.flush_ok(WAIT_LIMIT);
    assert_eq!(
        (report.delivered, report.rejected, report.pending),
        (3, 0, 0)
    );
    assert!(client.in_doubt_rows().is_empty());
    let ledger = api.ledger();
    assert_eq!((ledger.requests, ledger.accepted_events), (1, 3));
}

fn assert_rejected(api: &Sandbox, client: &Client, status: u16, code: &str) {
    let report = client.flush_ok(WAIT_LIMIT);
    assert_eq!(
        (report.delivered, report.rejected, report.pending),
        (2, 1, 0)
    );
    assert_eq!(client.rejected_users(), ["u-1"]);
    let row = client.rejected_rows().remove(0);
    assert_eq!(
        (row.http_status, row.api_code.as_str(), row.message.as_str()),
        (Some(status), code, MESSAGE)
    );
    let settled = RowReason::Refused {
        may_be_delivered: false,
    };
    assert_eq!(row.reason, settled);
    assert!(client.in_doubt_rows().is_empty());
    let requests = api.requests();
    let alone = |request: &&crate::sandbox::Request| request.events == 1 && request.fault.is_some();
    assert_eq!(requests.iter().filter(alone).count(), 1, "{requests:?}");
    assert!(requests.len() as u64 <= ISOLATION_AT_MOST, "{requests:?}");
    assert_eq!(api.ledger().accepted_events, 2);
}

/// Flushes until `requests` requests have failed, holds delivery, and checks that all events are kept.
pub fn assert_retried(client: &SpoolClient, doubt: Doubt, requests: u64) {
    let (report, outcome) = std::thread::scope(|scope| {
        let flush = scope.spawn(|| client.flush(WAIT_LIMIT));
        wait_for_retries(client, requests, || flush.is_finished());
        client.hold().unwrap();
        flush.join().unwrap()
    });
    assert_eq!(outcome.unwrap_err().pause_reason(), Some(PauseReason::Hold));
    assert_eq!((report.delivered, report.rejected), (0, 0));
    assert_kept(client, doubt, requests);
}

fn assert_paused(client: &Client, reason: PauseReason, doubt: Doubt) {
    let (report, outcome) = client.flush(WAIT_LIMIT);
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Paused, "{error}");
    assert_eq!(error.pause_reason(), Some(reason), "{error}");
    assert_eq!(report.pause, Some(reason));
    assert_eq!((report.delivered, report.rejected), (0, 0));
    assert_kept(client, doubt, 1);
}

fn assert_kept(client: &Client, doubt: Doubt, requests: u64) {
    let stats = client.stats().unwrap();
    let doubted = if doubt == Doubt::InDoubt { 3 } else { 0 };
    assert_eq!((stats.pending, stats.in_doubt), (3, doubted));
    assert!(client.rejected_rows().is_empty());
    let rows = client.in_doubt_rows();
    assert_eq!(rows.len() as u64, doubted);
    assert!(
        rows.iter().all(|row| u64::from(row.attempts) >= requests),
        "{rows:?}"
    );
}

/// Has the sandbox answer correctly: all events must arrive, and by the same bytes if they were in doubt.
fn assert_kept_events_arrive(api: &Sandbox, client: &Client, doubt: Doubt) {
    api.clear_faults();
    client.resume().unwrap();
    assert_eq!(client.flush_ok(WAIT_LIMIT).delivered, 3);
    assert!(client.in_doubt_rows().is_empty());
    let ledger = api.ledger();
    assert_eq!(ledger.distinct_events, 3);
    if doubt == Doubt::InDoubt {
        let requests = api.requests();
        let read = requests.iter().filter(|request| request.bytes > 0);
        let bodies: BTreeSet<_> = read.map(|request| &request.body_hash).collect();
        assert_eq!(bodies.len(), 1, "{requests:?}");
    } else {
        assert_eq!(ledger.accepted_events, 3, "one came twice");
    }
}

/// Waits until the log says that `requests` requests have failed and will be repeated.
fn wait_for_retries(client: &Client, mut requests: u64, is_finished: impl Fn() -> bool) {
    let begun = Instant::now();
    while requests > 0 {
        let goes_on = begun.elapsed() < WAIT_LIMIT && !is_finished();
        assert!(goes_on, "no retry after {requests} of the requests");
        match client.log_next().unwrap() {
            Some(record) if record.message.contains("wait for a retry") => requests -= 1,
            Some(_) => {}
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

// ---- answers

/// An API error body with this code.
pub fn api_error(status: u16, code: &str) -> Value {
    json!({"fault": "status", "status": status, "code": code, "message": MESSAGE})
}

/// A page of a proxy or another server, with this status.
pub fn plain_page(status: u16) -> Value {
    json!({"fault": "status", "status": status})
}

/// JSON of any shape.
pub fn json_body(status: u16, body: &str) -> Value {
    json!({"fault": "status", "status": status, "body": body, "content_type": "application/json"})
}

/// These bytes, and the end of the connection.
pub fn raw_bytes(text: impl Into<String>) -> Value {
    json!({"fault": "raw", "text": text.into()})
}
