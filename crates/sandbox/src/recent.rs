//! The latest requests, with details that only the page shows: the reason in words, the first
//! events, and which event caused a refusal.
//!
//! Only a fixed number of requests is kept, so this costs the same few kilobytes under any load.
//! The ledger has all requests, and the events of those that were accepted. Of a request that was
//! not accepted the body is kept for a while, so that the page can show all of its events too.

use std::collections::VecDeque;

use axum::body::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::api::Refused;
use super::excerpt::{EventExcerpt, cut_short};
use super::ledger::Request;

/// The most requests that are kept.
const KEPT: usize = 64;

/// How many events of a request are shown, besides the one that caused a refusal.
const EVENTS_SHOWN: usize = 5;

/// How many characters of a text are shown; an ellipsis replaces the rest.
const CHARACTERS_SHOWN: usize = 160;

/// The most requests whose bodies are kept, and the most bytes that these bodies take together.
const BODIES_KEPT: usize = 200;
const BODY_BYTES_KEPT: usize = 16 << 20;

/// What the page shows of a request besides its record in the ledger.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Details {
    reason: Option<String>,
    refused_event: Option<usize>,
    shown: Vec<EventExcerpt>,
    /// Of a request that was not accepted.
    #[serde(skip)]
    body: Option<Bytes>,
}

impl Details {
    /// The first events of a request, and the reason of its refusal with the event that caused it.
    pub(crate) fn of_events(events: &[&RawValue], refused: Option<&Refused>) -> Self {
        let refused_event = refused.and_then(|refused| refused.event);
        let first = 0..events.len().min(EVENTS_SHOWN);
        let further = refused_event.filter(|index| !first.contains(index));
        let shown = first.chain(further);
        Self {
            reason: refused.map(|refused| cut_short(&refused.refusal.message, CHARACTERS_SHOWN)),
            refused_event,
            shown: shown
                .map(|index| EventExcerpt::new(index, events[index], CHARACTERS_SHOWN))
                .collect(),
            body: None,
        }
    }

    /// Keeps the body of a request that was not accepted: the ledger does not have its events.
    pub(crate) fn with_body(self, body: &Bytes) -> Self {
        Self {
            body: Some(body.clone()),
            ..self
        }
    }

    /// Details of a request whose events were not read.
    pub(crate) fn with_reason(reason: &str) -> Self {
        Self {
            reason: Some(cut_short(reason, CHARACTERS_SHOWN)),
            ..Self::default()
        }
    }
}

/// One request as the page receives it.
#[derive(Debug, Serialize)]
pub(crate) struct RecentRequest {
    #[serde(flatten)]
    request: Request,
    #[serde(flatten)]
    details: Details,
}

/// The latest requests that have ended, in the order in which they ended.
#[derive(Default)]
pub(crate) struct Recent {
    latest: VecDeque<RecentRequest>,
    /// The bodies of the latest requests that were not accepted, by the requests' numbers.
    bodies: VecDeque<(u64, Bytes)>,
    body_bytes: usize,
    total: u64,
    clearings: u64,
}

impl Recent {
    /// Adds a request, and drops the oldest one if there are too many.
    pub(crate) fn add(&mut self, request: Request, mut details: Details) {
        if let Some(body) = details.body.take() {
            self.keep_body(request.request, body);
        }
        if self.latest.len() == KEPT {
            self.latest.pop_front();
        }
        self.latest.push_back(RecentRequest { request, details });
        self.total += 1;
    }

    fn keep_body(&mut self, request: u64, body: Bytes) {
        self.body_bytes += body.len();
        self.bodies.push_back((request, body));
        while self.bodies.len() > BODIES_KEPT || self.body_bytes > BODY_BYTES_KEPT {
            let Some((_, oldest)) = self.bodies.pop_front() else {
                return;
            };
            self.body_bytes -= oldest.len();
        }
    }

    /// The body of a request that was not accepted, if it is still kept.
    pub(crate) fn body(&self, request: u64) -> Option<Bytes> {
        let mut bodies = self.bodies.iter();
        let (_, body) = bodies.find(|(number, _)| *number == request)?;
        Some(body.clone())
    }

    /// Drops all requests. The total is kept.
    pub(crate) fn clear(&mut self) {
        self.latest.clear();
        self.bodies.clear();
        self.body_bytes = 0;
        self.clearings += 1;
    }

    /// How many requests have been added since the sandbox started.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// How often the requests were cleared.
    pub(crate) fn clearings(&self) -> u64 {
        self.clearings
    }

    /// The requests that were added after the first `position`, as far as they are kept.
    pub(crate) fn after(&self, position: u64) -> Vec<&RecentRequest> {
        let new = self.total.saturating_sub(position);
        let skipped = (self.latest.len() as u64).saturating_sub(new);
        self.latest.iter().skip(skipped as usize).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_event_that_caused_a_refusal_is_shown_wherever_it_is_in_the_request() {
        let raw: &RawValue = serde_json::from_str("{}").expect("JSON");
        let refused = super::super::api::Refused {
            refusal: super::super::api::Refusal {
                status: 404,
                code: "A_1104".into(),
                message: "User not found.".into(),
            },
            event: Some(70),
        };
        let details = Details::of_events(&[raw; 100], Some(&refused));
        let indexes: Vec<usize> = details.shown.iter().map(|shown| shown.at).collect();
        assert_eq!(indexes, [0, 1, 2, 3, 4, 70]);
        assert_eq!(details.refused_event, Some(70));
    }

    #[test]
    fn bodies_are_kept_up_to_a_number_and_a_size_and_the_oldest_go_first() {
        let mut recent = Recent::default();
        for request in 1..=BODIES_KEPT as u64 + 1 {
            recent.keep_body(request, Bytes::from_static(b"{}"));
        }
        assert!(recent.body(1).is_none());
        assert!(recent.body(2).is_some());
        recent.keep_body(900, vec![b' '; BODY_BYTES_KEPT - 3].into());
        assert!(recent.body(201).is_some());
        assert_eq!((recent.bodies.len(), recent.body(200)), (2, None));
        recent.keep_body(901, vec![b' '; BODY_BYTES_KEPT + 1].into());
        assert_eq!((recent.bodies.len(), recent.body_bytes), (0, 0));
    }
}
