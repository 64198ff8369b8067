//! What the API's ledger tells about order and duplicates, where each event of a user has a number.
//!
//! A duplicate is an event that was accepted in more than one request. The library may cause one
//! only by repeating a request that no answer has settled, so all its requests must have one body.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use meditopia::Row;

use crate::sandbox::{Fields, Request, Sandbox};

/// An event: its user, and the number that the test gave to it.
pub type Event = (String, u64);

/// Events by user, each user's in the order in which something happened to them.
pub type Numbers = BTreeMap<String, Vec<u64>>;

/// The number that a test gave to an event.
pub fn number(event: &Fields) -> u64 {
    let value = event.event_value.as_str().expect("a number as text");
    value.parse().expect("a number as text")
}

/// The events of listed rows.
pub fn listed(rows: &[Row]) -> Vec<Event> {
    rows.iter()
        .map(|row| {
            let event: Fields = serde_json::from_str(&row.event_json).unwrap();
            (event.partner_user_id.clone(), number(&event))
        })
        .collect()
}

/// Events in order, by user.
pub fn by_user(events: impl IntoIterator<Item = Event>) -> Numbers {
    let mut users = Numbers::new();
    for (user, number) in events {
        users.entry(user).or_default().push(number);
    }
    users
}

/// The acknowledged events that are in none of `settled`.
pub fn lost<'a>(acknowledged: &'a [Event], settled: &[&Numbers]) -> Vec<&'a Event> {
    let settled: BTreeSet<(&str, u64)> = settled
        .iter()
        .flat_map(|users| users.iter())
        .flat_map(|(user, numbers)| numbers.iter().map(|number| (user.as_str(), *number)))
        .collect();
    let is_settled = |(user, number): &Event| settled.contains(&(user.as_str(), *number));
    let missing = acknowledged.iter().filter(|event| !is_settled(event));
    missing.collect()
}

/// The first event that comes twice, or before an earlier one.
pub fn out_of_order(numbers: &[u64]) -> Option<&[u64]> {
    numbers.windows(2).find(|pair| pair[0] >= pair[1])
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
    pub fn first_appearances(&self) -> Numbers {
        let mut seen = BTreeSet::new();
        let mut users = Numbers::new();
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

    /// The events of each body that was accepted more than once, with its requests.
    pub fn repeated(&self) -> Vec<(Vec<&Request>, BTreeSet<Event>)> {
        let mut bodies: BTreeMap<&str, Vec<&Request>> = BTreeMap::new();
        for request in self.accepted() {
            bodies.entry(&request.body_hash).or_default().push(request);
        }
        bodies.retain(|_, requests| requests.len() > 1);
        let events_of = |request: u64| {
            let of_it = self.arrivals.iter().filter(move |a| a.request == request);
            of_it.map(|a| (a.user.clone(), a.number)).collect()
        };
        bodies
            .into_values()
            .map(|requests| {
                let events = events_of(requests[0].request);
                (requests, events)
            })
            .collect()
    }

    fn accepted(&self) -> impl Iterator<Item = &Request> {
        let numbers: BTreeSet<u64> = self.arrivals.iter().map(|a| a.request).collect();
        numbers.into_iter().map(|number| &self.requests[&number])
    }

    /// Checks that no connection was used while another one was: with one lane, that one process sent
    /// at a time, since processes do not share connections.
    pub fn assert_connections_follow_each_other(&self) {
        let mut requests: Vec<&Request> = self.requests.values().collect();
        requests.sort_unstable_by_key(|request| request.request);
        let mut ended = BTreeSet::new();
        let mut current = None;
        for request in requests {
            if current != Some(request.connection) {
                let connection = request.connection;
                assert!(!ended.contains(&connection), "two at a time: {request:?}");
                ended.extend(current);
                current = Some(connection);
            }
        }
    }
}
