//! What the API's ledger tells about order and duplicates, where each event of a user has a number.
//!
//! A duplicate is an event that was accepted in more than one request. The library may cause one
//! only by repeating a request that no answer has settled, so all its requests must have one body.

// Each test crate uses its own part of this.
#![allow(dead_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::sandbox::{Fields, Request, Sandbox};

/// The number that a test gave to an event.
pub fn number(event: &Fields) -> u64 {
    let value = event.event_value.as_str().expect("a number as text");
    value.parse().expect("a number as text")
}

/// One accepted event.
struct Arrival {
    user: String,
    number: u64,
    request: u64,
}

/// Everything that was accepted, in its order.
pub struct Arrivals {
    arrivals: Vec<Arrival>,
    requests: HashMap<u64, Request>,
}

impl Arrivals {
    pub fn of(api: &Sandbox) -> Self {
        let requests = api.requests().into_iter();
        let arrivals = api.events().into_iter().map(|event| Arrival {
            number: number(&event.fields),
            user: event.fields.partner_user_id,
            request: event.request,
        });
        Self {
            arrivals: arrivals.collect(),
            requests: requests.map(|request| (request.request, request)).collect(),
        }
    }

    /// The numbers of each user's events, in the order in which they came for the first time.
    pub fn first_appearances(&self) -> BTreeMap<String, Vec<u64>> {
        let mut seen = BTreeSet::new();
        let mut users: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for arrival in &self.arrivals {
            if seen.insert((&arrival.user, arrival.number)) {
                let numbers = users.entry(arrival.user.clone()).or_default();
                numbers.push(arrival.number);
            }
        }
        users
    }

    /// How many requests were accepted again.
    pub fn repeats(&self) -> usize {
        let bodies: BTreeSet<&str> = self.accepted().map(|r| r.body_hash.as_str()).collect();
        self.accepted().count() - bodies.len()
    }

    /// How many events were accepted again.
    pub fn duplicates(&self) -> usize {
        let events: BTreeSet<_> = self.arrivals.iter().map(|a| (&a.user, a.number)).collect();
        self.arrivals.len() - events.len()
    }

    /// Checks that an event came twice only where its whole request did, byte for byte.
    pub fn assert_only_whole_requests_came_twice(&self) {
        let mut bodies: HashMap<(&str, u64), (&str, u64)> = HashMap::new();
        for arrival in &self.arrivals {
            let body = self.requests[&arrival.request].body_hash.as_str();
            let (first, request) = *bodies
                .entry((&arrival.user, arrival.number))
                .or_insert((body, arrival.request));
            assert_eq!(
                first, body,
                "event {} of {} came in request {request} and in {}, which differ",
                arrival.number, arrival.user, arrival.request
            );
        }
    }

    fn accepted(&self) -> impl Iterator<Item = &Request> {
        let numbers: BTreeSet<u64> = self.arrivals.iter().map(|a| a.request).collect();
        numbers.into_iter().map(|number| &self.requests[&number])
    }
}
