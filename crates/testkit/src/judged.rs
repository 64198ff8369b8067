//! What becomes of three events when requests with one of them are answered to order.
//!
//! A case enqueues an event each of `u-0`, `u-1` and `u-2`, lets the sandbox give an answer to every
//! request that holds `u-1`'s, and flushes. Where the answer may stand for accepted events the sandbox
//! has accepted them before it: the worst case for who repeats a request. In the end the answer is mended,
//! and what was kept has to arrive.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use meditopia::{Client, RowReason};
use meditopia::{ErrorKind, PauseReason};
use serde_json::{Value, json};

use crate::host::{Host, Opened, Story, secs};
use crate::sandbox::Sandbox;

/// How long a case waits for what has to come.
const PATIENCE: Duration = secs(60);
/// Cases at a time: most of their time they wait.
const AT_A_TIME: usize = 8;
/// A retry that should rest may have been due before a test on a busy machine has stopped it.
const LATE_RETRIES: u64 = 2;
/// More than any way to find one event of three takes.
const ISOLATION_AT_MOST: u64 = 5;

/// What becomes of the three events.
#[derive(Debug, Clone, Copy)]
pub enum Becomes {
    /// One request, and all have left.
    Delivered,
    /// `u-1`'s is refused alone, once, and rejected with these words; the others arrive.
    Rejected { status: u16, code: &'static str },
    /// All are kept, and the same request rests before it is sent again: so many requests until then.
    Retried { doubt: Doubt, requests: u64 },
    /// All are kept, and after one request no other is sent.
    Paused { reason: PauseReason, doubt: Doubt },
}

/// Whether the events may have been accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    None,
    InDoubt,
}

pub const DELIVERED: Becomes = Becomes::Delivered;
pub const RETRIED: Becomes = retried(Doubt::None, 1);
pub const IN_DOUBT: Becomes = retried(Doubt::InDoubt, 1);
/// In doubt, and repeated at once before it rests: most often a connection was only too old.
pub const LOST: Becomes = retried(Doubt::InDoubt, 2);
pub const AUTH: Becomes = paused(PauseReason::Auth, Doubt::None);
pub const AUTH_IN_DOUBT: Becomes = paused(PauseReason::Auth, Doubt::InDoubt);
pub const IP: Becomes = paused(PauseReason::Ip, Doubt::None);
pub const IP_IN_DOUBT: Becomes = paused(PauseReason::Ip, Doubt::InDoubt);
pub const MISROUTED: Becomes = paused(PauseReason::Misrouted, Doubt::None);
pub const MISROUTED_IN_DOUBT: Becomes = paused(PauseReason::Misrouted, Doubt::InDoubt);

const fn retried(doubt: Doubt, requests: u64) -> Becomes {
    Becomes::Retried { doubt, requests }
}

const fn paused(reason: PauseReason, doubt: Doubt) -> Becomes {
    Becomes::Paused { reason, doubt }
}

pub const fn rejected(status: u16, code: &'static str) -> Becomes {
    Becomes::Rejected { status, code }
}

/// The message of every API error body that a case orders.
pub const MESSAGE: &str = "It is not so.";

/// A named case: what the sandbox answers, and what becomes of the events.
pub struct Case {
    name: &'static str,
    answer: Value,
    becomes: Becomes,
    options: &'static [(&'static str, &'static str)],
}

pub fn case(name: &'static str, answer: Value, becomes: Becomes) -> Case {
    Case {
        name,
        answer,
        becomes,
        options: &[],
    }
}

impl Case {
    pub fn with(mut self, options: &'static [(&'static str, &'static str)]) -> Self {
        self.options = options;
        self
    }

    /// The answer as a fault that strikes every request with an event of `u-1`.
    fn fault(&self) -> Value {
        let mut fault = self.answer.clone();
        // It comes before anybody has seen whose events there are.
        if fault["fault"] != "hang_up" {
            fault["containing"] = json!(r#""u-1""#);
            fault["when"] = match self.becomes {
                Becomes::Delivered => json!("after"),
                Becomes::Retried { doubt, .. } | Becomes::Paused { doubt, .. }
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
        let mut host = Host::of(&api);
        for (key, value) in self.options {
            host = host.with(key, value);
        }
        let client = host.open();
        client.enqueue_users(0..3);
        api.set_fault(self.fault());
        match self.becomes {
            Becomes::Delivered => check_delivered(&api, &client),
            Becomes::Rejected { status, code } => check_rejected(&api, &client, status, code),
            Becomes::Retried { doubt, requests } => {
                check_retried(&client, doubt, requests);
                let sent = api.ledger().requests;
                let bound = requests..=requests + LATE_RETRIES;
                assert!(bound.contains(&sent), "{sent} requests");
                check_kept_arrive(&api, &client, doubt);
            }
            Becomes::Paused { reason, doubt } => {
                check_paused(&client, reason, doubt);
                assert_eq!(api.ledger().requests, 1);
                check_kept_arrive(&api, &client, doubt);
            }
        }
    }
}

/// Checks all cases, some at a time, and names those that fail.
pub fn check(cases: Vec<Case>) {
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

fn check_delivered(api: &Sandbox, client: &Client) {
    let report = client.flushed(PATIENCE);
    assert_eq!(
        (report.delivered, report.rejected, report.pending),
        (3, 0, 0)
    );
    assert!(client.in_doubt_rows().is_empty());
    let ledger = api.ledger();
    assert_eq!((ledger.requests, ledger.accepted_events), (1, 3));
}

fn check_rejected(api: &Sandbox, client: &Client, status: u16, code: &str) {
    let report = client.flushed(PATIENCE);
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

/// Flushes until so many requests have failed, and holds what is left.
pub fn check_retried(client: &Opened, doubt: Doubt, requests: u64) {
    let (report, outcome) = std::thread::scope(|scope| {
        let flush = scope.spawn(|| client.flush(PATIENCE));
        wait_for_retries(client, requests, || flush.is_finished());
        client.hold().unwrap();
        flush.join().unwrap()
    });
    assert_eq!(outcome.unwrap_err().pause_reason(), Some(PauseReason::Hold));
    assert_eq!((report.delivered, report.rejected), (0, 0));
    check_kept(client, doubt, requests);
}

fn check_paused(client: &Client, reason: PauseReason, doubt: Doubt) {
    let (report, outcome) = client.flush(PATIENCE);
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Paused, "{error}");
    assert_eq!(error.pause_reason(), Some(reason), "{error}");
    assert_eq!(report.pause, Some(reason));
    assert_eq!((report.delivered, report.rejected), (0, 0));
    check_kept(client, doubt, 1);
}

fn check_kept(client: &Client, doubt: Doubt, requests: u64) {
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

/// Mends the answer: all arrive; and where they were in doubt, by the same bytes.
fn check_kept_arrive(api: &Sandbox, client: &Client, doubt: Doubt) {
    api.clear_faults();
    client.resume().unwrap();
    assert_eq!(client.flushed(PATIENCE).delivered, 3);
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

/// Waits until the log says that so many requests have failed and will be repeated.
fn wait_for_retries(client: &Client, mut requests: u64, is_over: impl Fn() -> bool) {
    let begun = Instant::now();
    while requests > 0 {
        let goes_on = begun.elapsed() < PATIENCE && !is_over();
        assert!(goes_on, "no retry after {requests} of the requests");
        match client.log_next().unwrap() {
            Some(record) if record.message.contains("wait for a retry") => requests -= 1,
            Some(_) => {}
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

// ---- answers

/// The API's error body with this code.
pub fn api(status: u16, code: &str) -> Value {
    json!({"fault": "status", "status": status, "code": code, "message": MESSAGE})
}

/// The page of a proxy or another server.
pub fn page(status: u16) -> Value {
    json!({"fault": "status", "status": status})
}

/// JSON of any shape.
pub fn said(status: u16, body: &str) -> Value {
    json!({"fault": "status", "status": status, "body": body, "content_type": "application/json"})
}

/// Bytes as they are, and the end of the connection.
pub fn raw(text: impl Into<String>) -> Value {
    json!({"fault": "raw", "text": text.into()})
}
