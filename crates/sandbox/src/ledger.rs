//! What happened: every request, and every accepted event in the order of its acceptance.
//!
//! Tests judge a client by this ledger, so it is filled by the one place that settles a request and
//! never by what was answered: an event whose answer was lost on the way *is* in it. Sequence
//! numbers only grow, over a clearing too, so that "after N" always means the same. Nothing is ever
//! dropped from it but by a clearing; a million events of 180 bytes take about 220 MB.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::api::Accepted;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is still being received, delayed or judged.
    Open,
    /// Its events were accepted and the caller was told so.
    Accepted,
    /// The API refused it, and said why.
    Refused,
    /// A fault came before the API saw it: no event was accepted.
    Faulted,
    /// Its events were accepted, but a fault spoiled the answer.
    AcceptedUntold,
    /// The API refused it, but a fault spoiled the answer.
    RefusedUntold,
    /// Its body never arrived whole.
    Incomplete,
    /// Its method or path is not the API's.
    NotFound,
}

/// How a request ended, and what its caller was sent.
#[derive(Debug, Clone)]
pub struct Settled {
    pub outcome: Outcome,
    /// The HTTP status that was sent; `None` when no whole head was.
    pub status: Option<u16>,
    /// The API's error code for it, told or not.
    pub code: Option<Cow<'static, str>>,
    /// The name of the fault that replaced the answer.
    pub fault: Option<&'static str>,
}

/// One request, as listed.
#[derive(Debug, Clone, Serialize)]
pub struct Request {
    pub request: u64,
    /// Wall time of its arrival, in milliseconds since 1970-01-01T00:00:00Z.
    pub time_ms: u64,
    pub connection: u64,
    pub events: u32,
    pub bytes: u32,
    /// The 64-bit hash of the body, in hexadecimal.
    #[serde(serialize_with = "as_hexadecimal")]
    pub body_hash: u64,
    /// 1 for the first time that these bytes came, 2 for the second, ...
    pub attempt: u32,
    pub outcome: Outcome,
    pub status: Option<u16>,
    pub code: Option<Cow<'static, str>>,
    pub fault: Option<&'static str>,
    /// How long faults held it up, in milliseconds.
    pub delay_ms: u64,
    #[serde(serialize_with = "as_text")]
    pub user_agent: Arc<str>,
}

fn as_text<S: serde::Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

fn as_hexadecimal<S: serde::Serializer>(hash: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{hash:016x}"))
}

/// What is known of a request when it has arrived.
pub struct Arrival<'a> {
    pub connection: u64,
    pub events: usize,
    pub body: &'a [u8],
    pub user_agent: &'a str,
    pub delay_ms: u64,
}

/// The counts that most tests ask for.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Summary {
    /// Requests that arrived, whatever became of them.
    pub requests: u64,
    /// TCP connections.
    pub connections: u64,
    /// Requests whose events were accepted, whether the caller learnt it or not.
    pub accepted_requests: u64,
    /// Events accepted, each time that they were.
    pub accepted_events: u64,
    /// Accepted events that differ in at least one field.
    pub distinct_events: u64,
    /// Requests that the API refused.
    pub refused: u64,
    /// Requests whose answer a fault replaced.
    pub faults: u64,
    /// Requests that a fault held up.
    pub delayed: u64,
    /// Requests by how they ended.
    pub by_outcome: BTreeMap<Outcome, u64>,
    /// Requests by the HTTP status that was sent.
    pub by_status: BTreeMap<u16, u64>,
    /// Refused requests by the API's error code.
    pub by_code: BTreeMap<String, u64>,
    /// Requests by the fault that replaced their answer.
    pub by_fault: BTreeMap<&'static str, u64>,
}

impl Summary {
    fn open(&self) -> u64 {
        self.by_outcome
            .get(&Outcome::Open)
            .copied()
            .unwrap_or_default()
    }

    /// Counts a request that was open until now.
    fn settled(&mut self, request: &Request) {
        if self.open() > 1 {
            *self.by_outcome.entry(Outcome::Open).or_default() -= 1;
        } else {
            self.by_outcome.remove(&Outcome::Open);
        }
        *self.by_outcome.entry(request.outcome).or_default() += 1;
        match request.outcome {
            Outcome::Accepted | Outcome::AcceptedUntold => self.accepted_requests += 1,
            Outcome::Refused | Outcome::RefusedUntold => self.refused += 1,
            Outcome::Open | Outcome::Faulted | Outcome::Incomplete | Outcome::NotFound => {}
        }
        if let Some(status) = request.status {
            *self.by_status.entry(status).or_default() += 1;
        }
        if let Some(code) = &request.code {
            *self.by_code.entry(code.to_string()).or_default() += 1;
        }
        if let Some(fault) = request.fault {
            *self.by_fault.entry(fault).or_default() += 1;
            self.faults += 1;
        }
    }
}

struct Event {
    request: u64,
    text: Box<str>,
}

/// Every request and every accepted event since the last clearing.
#[derive(Default)]
pub struct Ledger {
    requests: Vec<Request>,
    requests_cleared: u64,
    /// Kept up to date, because it is asked for several times a second while a million requests come.
    counts: Summary,
    connections: HashSet<u64>,
    events: Vec<Event>,
    events_cleared: u64,
    identities: HashSet<u64>,
    attempts: HashMap<u64, u32>,
    last_user_agent: Arc<str>,
}

impl Ledger {
    /// Opens the record of a request, and numbers it.
    pub fn arrived(&mut self, arrival: &Arrival<'_>) -> u64 {
        let body_hash = hash(arrival.body);
        let attempt = self.attempts.entry(body_hash).or_default();
        *attempt += 1;
        // Nearly always the one before's: a million requests then share one copy.
        if *self.last_user_agent != *arrival.user_agent {
            self.last_user_agent = arrival.user_agent.into();
        }
        self.connections.insert(arrival.connection);
        let counts = &mut self.counts;
        counts.requests += 1;
        counts.connections = self.connections.len() as u64;
        counts.delayed += u64::from(arrival.delay_ms > 0);
        *counts.by_outcome.entry(Outcome::Open).or_default() += 1;
        let number = self.requests_cleared + self.requests.len() as u64 + 1;
        self.requests.push(Request {
            request: number,
            time_ms: wall_ms(),
            connection: arrival.connection,
            events: arrival.events.try_into().unwrap_or(u32::MAX),
            bytes: arrival.body.len().try_into().unwrap_or(u32::MAX),
            body_hash,
            attempt: *attempt,
            outcome: Outcome::Open,
            status: None,
            code: None,
            fault: None,
            delay_ms: arrival.delay_ms,
            user_agent: Arc::clone(&self.last_user_agent),
        });
        number
    }

    /// Takes the events of a request in: from here on they are accepted, whatever its caller hears.
    pub fn accept(&mut self, request: u64, events: &[Accepted<'_>]) {
        for event in events {
            self.identities.insert(event.identity);
            self.events.push(Event {
                request,
                text: event.text.into(),
            });
        }
        self.counts.accepted_events = self.events.len() as u64;
        self.counts.distinct_events = self.identities.len() as u64;
    }

    /// Closes the record of a request, and shows it. One that was cleared away meanwhile stays so.
    pub fn settle(&mut self, number: u64, settled: Settled) -> Option<&Request> {
        let index = number.checked_sub(self.requests_cleared + 1)?;
        let request = self.requests.get_mut(index as usize)?;
        request.outcome = settled.outcome;
        request.status = settled.status;
        request.code = settled.code;
        request.fault = settled.fault;
        self.counts.settled(request);
        Some(request)
    }

    /// Forgets everything but the sequence numbers.
    pub fn clear(&mut self) {
        *self = Self {
            requests_cleared: self.requests_cleared + self.requests.len() as u64,
            events_cleared: self.events_cleared + self.events.len() as u64,
            ..Self::default()
        };
    }

    /// The number of accepted events since the last clearing.
    pub fn accepted_events(&self) -> u64 {
        self.events.len() as u64
    }

    /// The number of requests since the last clearing that have ended.
    pub fn settled_requests(&self) -> u64 {
        self.counts.requests - self.counts.open()
    }

    /// All counts.
    pub fn summary(&self) -> Summary {
        self.counts.clone()
    }

    /// Every accepted event as it was received, in the order of acceptance.
    pub fn event_texts(&self) -> impl Iterator<Item = &str> {
        self.events.iter().map(|event| &*event.text)
    }

    /// The first and the last accepted event.
    pub fn ends(&self) -> Option<(&str, &str)> {
        Some((&self.events.first()?.text, &self.events.last()?.text))
    }

    /// Writes up to `limit` accepted events after sequence number `after` as lines of JSON, and
    /// returns the sequence number of the last one; `None` when there is none left.
    pub fn write_events(&self, after: u64, limit: usize, lines: &mut String) -> Option<u64> {
        use std::fmt::Write;

        let skipped = after.saturating_sub(self.events_cleared) as usize;
        let mut last = None;
        for (index, event) in self.events.iter().enumerate().skip(skipped).take(limit) {
            let sequence = self.events_cleared + index as u64 + 1;
            let Event { request, text } = event;
            // JSON may be written over several lines; a bare line break can only be white space in it.
            let text = if text.as_bytes().contains(&b'\n') {
                text.replace('\n', " ").into()
            } else {
                Cow::Borrowed(&**text)
            };
            // Writing to a String cannot fail.
            let _ = writeln!(
                lines,
                r#"{{"sequence":{sequence},"request":{request},"event":{text}}}"#
            );
            last = Some(sequence);
        }
        last
    }

    /// Like [`write_events`](Self::write_events), for requests.
    pub fn write_requests(&self, after: u64, limit: usize, lines: &mut String) -> Option<u64> {
        let skipped = after.saturating_sub(self.requests_cleared) as usize;
        let mut last = None;
        for request in self.requests.iter().skip(skipped).take(limit) {
            lines.push_str(&serde_json::to_string(request).unwrap_or_default());
            lines.push('\n');
            last = Some(request.request);
        }
        last
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// The wall time in milliseconds since 1970-01-01T00:00:00Z.
pub fn wall_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    since.as_millis().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrive(ledger: &mut Ledger, body: &str) -> u64 {
        let body = body.as_bytes();
        ledger.arrived(&Arrival {
            connection: 1,
            events: 1,
            body,
            user_agent: "test",
            delay_ms: 0,
        })
    }

    const TAKEN: Settled = Settled {
        outcome: Outcome::Accepted,
        status: Some(204),
        code: None,
        fault: None,
    };

    #[test]
    fn the_same_bytes_again_are_another_attempt() {
        let mut ledger = Ledger::default();
        for body in ["a", "b", "a"] {
            arrive(&mut ledger, body);
        }
        let attempts: Vec<u32> = ledger
            .requests
            .iter()
            .map(|request| request.attempt)
            .collect();
        assert_eq!(attempts, [1, 1, 2]);
        assert_eq!(ledger.requests[0].body_hash, ledger.requests[2].body_hash);
    }

    #[test]
    fn numbers_grow_over_a_clearing_and_what_was_open_stays_forgotten() {
        let mut ledger = Ledger::default();
        let before = arrive(&mut ledger, "a");
        ledger.accept(
            before,
            &[Accepted {
                text: "{}",
                identity: 1,
            }],
        );
        ledger.clear();
        ledger.settle(before, TAKEN);
        assert_eq!(
            (ledger.summary().requests, ledger.settled_requests()),
            (0, 0)
        );

        let after = arrive(&mut ledger, "a");
        ledger.accept(
            after,
            &[Accepted {
                text: "{\n}",
                identity: 1,
            }],
        );
        ledger.settle(after, TAKEN);
        assert_eq!(after, 2);
        let mut lines = String::new();
        assert_eq!(ledger.write_events(0, 10, &mut lines), Some(2));
        assert_eq!(lines, "{\"sequence\":2,\"request\":2,\"event\":{ }}\n");
        assert_eq!(ledger.write_events(2, 10, &mut lines), None);
    }
}
