//! Every request that arrived, and every accepted event in the order of acceptance.
//!
//! Tests judge a client by this ledger. It therefore records what the API accepted, not what the
//! answer said: an event whose answer was lost on the way *is* in the ledger. Sequence numbers keep
//! growing when the ledger is cleared, so that "after N" always means the same events. Only
//! clearing removes anything; a million events of 180 bytes take about 220 MB.

mod request;
mod summary;
#[cfg(test)]
mod tests;

pub use request::Outcome;
pub(crate) use request::{Arrival, Ending, Request};
pub use summary::Summary;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::api::Accepted;

struct Event {
    request: u64,
    text: Box<str>,
}

/// Every request and every accepted event since the ledger was last cleared.
#[derive(Default)]
pub struct Ledger {
    requests: Vec<Request>,
    requests_cleared: u64,
    /// Updated with each request: counting a million requests several times a second would take too
    /// long.
    counts: Summary,
    connections: HashSet<u64>,
    events: Vec<Event>,
    events_cleared: u64,
    identities: HashSet<u64>,
    attempts: HashMap<u64, u32>,
    accepted_bodies: HashSet<u64>,
    last_user_agent: Arc<str>,
}

impl Ledger {
    /// Opens the record of a request, and returns its number.
    pub(crate) fn record_arrival(&mut self, arrival: &Arrival<'_>) -> u64 {
        let body_hash = hash(arrival.body);
        let attempt = self.attempts.entry(body_hash).or_default();
        *attempt += 1;
        // Requests of one client share one copy of its name.
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
            first_event: None,
        });
        number
    }

    /// Records the events of a request as accepted, whatever answer its caller will get.
    pub(crate) fn record_accepted(&mut self, request: u64, events: &[Accepted<'_>]) {
        let first_event = self.events.len();
        if let Some(record) = self.request_mut(request) {
            let body_hash = record.body_hash;
            record.first_event = Some(first_event);
            if !self.accepted_bodies.insert(body_hash) {
                self.counts.events_in_repeated_bodies += events.len() as u64;
            }
        }
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

    /// Records the end of a request and returns its record, or `None` if the ledger was cleared
    /// meanwhile.
    pub(crate) fn record_ending(&mut self, number: u64, ending: Ending) -> Option<&Request> {
        let index = self.index_of(number)?;
        let request = self.requests.get_mut(index)?;
        request.outcome = ending.outcome;
        request.status = ending.status;
        request.code = ending.code;
        request.fault = ending.fault;
        self.counts.count_ended(request);
        Some(request)
    }

    /// Where the record of a request is, or would be.
    fn index_of(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.requests_cleared + 1)?).ok()
    }

    fn request_mut(&mut self, number: u64) -> Option<&mut Request> {
        let index = self.index_of(number)?;
        self.requests.get_mut(index)
    }

    /// The texts of the events of a request whose events were accepted.
    pub(crate) fn accepted_texts(
        &self,
        number: u64,
    ) -> Option<impl ExactSizeIterator<Item = &str>> {
        let request = self.requests.get(self.index_of(number)?)?;
        let first = request.first_event?;
        let events = self.events.get(first..first + request.events as usize)?;
        Some(events.iter().map(|event| &*event.text))
    }

    /// Removes everything. Sequence numbers continue where they were.
    pub(crate) fn clear(&mut self) {
        *self = Self {
            requests_cleared: self.requests_cleared + self.requests.len() as u64,
            events_cleared: self.events_cleared + self.events.len() as u64,
            ..Self::default()
        };
    }

    /// How many events were accepted. An event that was accepted twice counts twice.
    pub fn accepted_events(&self) -> u64 {
        self.events.len() as u64
    }

    /// How many requests have ended.
    pub fn ended_requests(&self) -> u64 {
        self.counts.requests - self.counts.open_requests()
    }

    /// All counts.
    pub fn summary(&self) -> Summary {
        self.counts.clone()
    }

    /// The JSON text of every accepted event, byte for byte as it was received, in the order of
    /// acceptance.
    pub fn event_texts(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.events.iter().map(|event| &*event.text)
    }

    /// Writes up to `limit` accepted events after sequence number `after`, one line of JSON each.
    /// Returns the sequence number of the last event written, or `None` if there was none.
    pub(crate) fn write_events(&self, after: u64, limit: usize, lines: &mut String) -> Option<u64> {
        use std::fmt::Write;

        let skipped = after.saturating_sub(self.events_cleared) as usize;
        let mut last = None;
        for (index, event) in self.events.iter().enumerate().skip(skipped).take(limit) {
            let sequence = self.events_cleared + index as u64 + 1;
            let Event { request, text } = event;
            // A bare line break in JSON is always white space between its parts.
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
    pub(crate) fn write_requests(
        &self,
        after: u64,
        limit: usize,
        lines: &mut String,
    ) -> Option<u64> {
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
pub(crate) fn wall_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    since.as_millis().try_into().unwrap_or(u64::MAX)
}
