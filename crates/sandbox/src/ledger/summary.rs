//! The counts of a ledger.

use std::collections::BTreeMap;

use serde::Serialize;

use super::request::{Outcome, Request};

/// The counts of a ledger since it was last cleared. `GET /sandbox/ledger` answers with them as
/// JSON.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Summary {
    /// Requests that arrived, however they ended.
    pub requests: u64,
    /// TCP connections that carried at least one request.
    pub connections: u64,
    /// Requests whose events were accepted, whether or not the answer said so.
    pub accepted_requests: u64,
    /// Accepted events. An event that was accepted twice counts twice.
    pub accepted_events: u64,
    /// Accepted events that differ from each other in at least one field.
    ///
    /// The difference to `accepted_events` is no count of repetitions: an event has no id, and two
    /// events of a user in the same second may have the same five fields.
    pub distinct_events: u64,
    /// Accepted events of requests whose body had been accepted before, byte for byte.
    pub events_in_repeated_bodies: u64,
    /// Requests that the API refused, whether or not the answer said so.
    pub refused: u64,
    /// Requests whose answer a fault replaced.
    pub faults: u64,
    /// Requests that a fault delayed.
    pub delayed: u64,
    /// Requests by how they ended.
    pub by_outcome: BTreeMap<Outcome, u64>,
    /// Requests by the HTTP status that was sent.
    pub by_status: BTreeMap<u16, u64>,
    /// Refused requests by the API's error code.
    pub by_code: BTreeMap<String, u64>,
    /// Requests by the name of the fault that replaced their answer.
    pub by_fault: BTreeMap<&'static str, u64>,
}

impl Summary {
    pub(super) fn open_requests(&self) -> u64 {
        self.by_outcome
            .get(&Outcome::Open)
            .copied()
            .unwrap_or_default()
    }

    /// Counts the end of a request, which was counted as open until now.
    pub(super) fn count_ended(&mut self, request: &Request) {
        if self.open_requests() > 1 {
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
