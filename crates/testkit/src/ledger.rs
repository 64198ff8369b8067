//! Order, losses and duplicates, read from the API's ledger. The test numbers the events of each
//! user.
//!
//! A duplicate is an event that the API accepted in more than one request. The library may cause
//! one only by repeating a request that no answer has settled, so all these requests must have the
//! same body.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use meditopia::Row;

use crate::fault_table::{Outcome, add_row};
use crate::sandbox::{Fields, Request, Sandbox};

/// An event: its user, and the number that the test gave to it.
pub type Event = (String, u64);

/// The numbers of each user's events, in the order that each function documents.
pub type NumbersByUser = BTreeMap<String, Vec<u64>>;

/// The number that a test gave to an event.
pub fn event_number(event: &Fields) -> u64 {
    let value = event.event_value.as_str().expect("a number as text");
    value.parse().expect("a number as text")
}

/// The events of rejected rows, or of rows in doubt.
pub fn events_of_rows(rows: &[Row]) -> Vec<Event> {
    rows.iter()
        .map(|row| {
            let event: Fields = serde_json::from_str(&row.event_json).unwrap();
            (event.partner_user_id.clone(), event_number(&event))
        })
        .collect()
}

/// The numbers of `events` by user, in the order of `events`.
pub fn numbers_by_user(events: impl IntoIterator<Item = Event>) -> NumbersByUser {
    let mut users = NumbersByUser::new();
    for (user, number) in events {
        users.entry(user).or_default().push(number);
    }
    users
}

/// The acknowledged events that are in none of `settled`.
pub fn lost_events<'a>(acknowledged: &'a [Event], settled: &[&NumbersByUser]) -> Vec<&'a Event> {
    let settled: BTreeSet<(&str, u64)> = settled
        .iter()
        .flat_map(|users| users.iter())
        .flat_map(|(user, numbers)| numbers.iter().map(|number| (user.as_str(), *number)))
        .collect();
    let is_settled = |(user, number): &Event| settled.contains(&(user.as_str(), *number));
    let missing = acknowledged.iter().filter(|event| !is_settled(event));
    missing.collect()
}

/// The first two neighbours that are not in ascending order; `None` if all are.
pub fn first_disorder(numbers: &[u64]) -> Option<&[u64]> {
    numbers.windows(2).find(|pair| pair[0] >= pair[1])
}

/// One accepted event.
struct Arrival {
    user: String,
    number: u64,
    request: u64,
}

/// Every event that the API accepted, in the order of acceptance.
pub struct Arrivals {
    arrivals: Vec<Arrival>,
    requests: HashMap<u64, Request>,
}

impl Arrivals {
    pub fn from_sandbox(api: &Sandbox) -> Self {
        let requests = api.requests().into_iter();
        let arrivals = api.events().into_iter().map(|event| Arrival {
            number: event_number(&event.fields),
            user: event.fields.partner_user_id,
            request: event.request,
        });
        Self {
            arrivals: arrivals.collect(),
            requests: requests.map(|request| (request.request, request)).collect(),
        }
    }

    /// The numbers of each user's events, in the order in which they first arrived.
    pub fn first_appearances(&self) -> NumbersByUser {
        let mut seen = BTreeSet::new();
        let mut users = NumbersByUser::new();
        for arrival in &self.arrivals {
            if seen.insert((&arrival.user, arrival.number)) {
                let numbers = users.entry(arrival.user.clone()).or_default();
                numbers.push(arrival.number);
            }
        }
        users
    }

    /// How many requests the API accepted again.
    pub fn repeats(&self) -> usize {
        let bodies: BTreeSet<&str> = self.accepted().map(|r| r.body_hash.as_str()).collect();
        self.accepted().count() - bodies.len()
    }

    /// How many events the API accepted again.
    pub fn duplicates(&self) -> usize {
        let events: BTreeSet<_> = self.arrivals.iter().map(|a| (&a.user, a.number)).collect();
        self.arrivals.len() - events.len()
    }

    /// Checks that every duplicate came in a repetition of its whole request, byte for byte.
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

    /// For each body that the API accepted more than once, its requests and its events.
    pub fn repeated_bodies(&self) -> Vec<(Vec<&Request>, BTreeSet<Event>)> {
        let mut bodies: BTreeMap<&str, Vec<&Request>> = BTreeMap::new();
        for request in self.accepted() {
            bodies.entry(&request.body_hash).or_default().push(request);
        }
        bodies.retain(|_, requests| requests.len() > 1);
        let events_of = |request: u64| {
            let arrivals = self.arrivals.iter().filter(move |a| a.request == request);
            arrivals.map(|a| (a.user.clone(), a.number)).collect()
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

    /// Checks that no connection was used after a request on a later one. With one lane this means
    /// that one process sent at a time, since processes do not share connections.
    pub fn assert_one_connection_at_a_time(&self) {
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

/// Adds a row to the fault table and checks the bounds for this many deaths: no event is lost, each
/// user's are in order, and each death repeats at most one request, as a whole.
pub fn assert_survived_deaths(
    fault: &str,
    api: &Sandbox,
    deaths: usize,
    acknowledged: &[Event],
) -> Arrivals {
    let arrivals = Arrivals::from_sandbox(api);
    let delivered = arrivals.first_appearances();
    let lost = lost_events(acknowledged, &[&delivered]);
    let repeats = arrivals.repeats();
    add_row(
        fault,
        Outcome {
            trials: deaths as u64,
            acknowledged: acknowledged.len() as u64,
            delivered: delivered.values().map(|n| n.len() as u64).sum(),
            lost: lost.len() as u64,
            duplicated: repeats as u64,
            ..Outcome::default()
        },
        format!("{deaths} requests"),
    );
    assert!(lost.is_empty(), "lost: {lost:?}");
    arrivals.assert_only_whole_requests_came_twice();
    assert!(repeats <= deaths, "{repeats} requests were repeated");
    for (user, numbers) in &delivered {
        assert_eq!(first_disorder(numbers), None, "{user}");
    }
    arrivals
}
