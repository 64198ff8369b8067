//! A sandbox for one test: a server on a thread of the test, driven over its control API.

pub mod raw_http;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use meditopia_sandbox::{Background, Options};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// How long a test waits for something that must happen before it fails.
const WAIT_LIMIT: Duration = Duration::from_secs(30);

/// A running sandbox; ends when it is dropped.
pub struct Sandbox {
    server: Background,
    token: String,
    agent: ureq::Agent,
}

/// The settings that a sandbox starts with.
#[derive(Default)]
pub struct Builder {
    options: Options,
}

impl Builder {
    /// The only valid bearer token; `sandbox-token` unless set.
    pub fn token(mut self, token: &str) -> Self {
        self.options.token = token.to_owned();
        self
    }

    /// Adds a user that the API does not know.
    pub fn unknown_user(mut self, user: &str) -> Self {
        self.options.unknown_users.push(user.to_owned());
        self
    }

    /// Orders faults from the first request on, as for [`Sandbox::set_faults`].
    pub fn faults(mut self, order: &Value) -> Self {
        self.options.faults = Some(order.to_string());
        self
    }

    /// The port to listen on; the kernel chooses one unless set.
    pub fn port(mut self, port: u16) -> Self {
        self.options.port = port;
        self
    }

    /// The seed of the sandbox's random numbers.
    pub fn seed(mut self, seed: u64) -> Self {
        self.options.seed = seed;
        self
    }

    /// Starts it; returns when it listens.
    pub fn start(self) -> Sandbox {
        let begun = Instant::now();
        let server = loop {
            match Background::start(&self.options) {
                Ok(server) => break server,
                // Until it has become its program, a child that another test has forked holds a
                // copy of the socket that listened at this port before.
                Err(_) if self.options.port != 0 && begun.elapsed() < WAIT_LIMIT => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(cause) => panic!("the sandbox does not start: {cause}"),
            }
        };
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_recv_response(Some(2 * WAIT_LIMIT))
            .build()
            .into();
        Sandbox {
            token: server.handle().token().to_owned(),
            server,
            agent,
        }
    }
}

impl Sandbox {
    /// A sandbox that knows every user and has no faults.
    pub fn start() -> Self {
        Builder::default().start()
    }

    /// A sandbox with other settings.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The full URL that events are posted to.
    pub fn endpoint(&self) -> &str {
        self.server.handle().endpoint()
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        let authority = self
            .endpoint()
            .trim_start_matches("http://")
            .split('/')
            .next()
            .unwrap();
        authority.parse().expect("an address of 127.0.0.1")
    }

    /// The URL that the control API begins with.
    pub fn control(&self) -> &str {
        self.server.handle().control_url()
    }

    /// The bearer token that was set last, or the one from the start.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Replaces all faults: `{"max_body_bytes": N, "faults": [...]}`, see `meditopia sandbox
    /// --help`.
    pub fn set_faults(&self, order: Value) {
        self.put("faults", &order);
    }

    /// Replaces all faults by one.
    pub fn set_fault(&self, fault: Value) {
        self.set_faults(json!({ "faults": [fault] }));
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.set_faults(json!({}));
    }

    /// Replaces the users that the API does not know; each is refused with 404 and `A_1104`.
    pub fn set_unknown_users(&self, users: impl IntoIterator<Item = impl Into<String>>) {
        let users: Vec<String> = users.into_iter().map(Into::into).collect();
        self.put("users", &json!({ "unknown": users }));
    }

    /// The same with entries of all shapes, see `meditopia sandbox --help`.
    pub fn set_unknown(&self, entries: Value) {
        self.put("users", &json!({ "unknown": entries }));
    }

    /// From now on no bearer token is valid.
    pub fn revoke_token(&self) {
        self.put("token", &json!({ "token": null }));
    }

    /// From now on only this bearer token is valid.
    pub fn set_token(&mut self, token: &str) {
        self.put("token", &json!({ "token": token }));
        self.token = token.to_owned();
    }

    /// From now on 127.0.0.1 may not call.
    pub fn refuse_address(&self) {
        self.put("addresses", &json!({ "allowed": [] }));
    }

    /// From now on 127.0.0.1 may call again.
    pub fn allow_address(&self) {
        self.put("addresses", &json!({ "allowed": ["127.0.0.1"] }));
    }

    /// The counts of the ledger.
    pub fn ledger(&self) -> Summary {
        self.get("ledger")
    }

    /// Empties the ledger. Its sequence numbers go on.
    pub fn clear_ledger(&self) {
        let answer = self
            .agent
            .delete(self.at("ledger"))
            .call()
            .expect("the sandbox answers");
        assert_eq!(answer.status(), 204);
    }

    /// Waits until at least this many events are accepted, and returns the counts.
    pub fn wait_for_events(&self, events: u64) -> Summary {
        let summary: Summary = self.get(&format!(
            "ledger?events={events}&within_ms={}",
            WAIT_LIMIT.as_millis()
        ));
        assert!(
            summary.accepted_events >= events,
            "waited {WAIT_LIMIT:?} for {events} events: {summary:#?}"
        );
        summary
    }

    /// Waits until at least this many requests have ended, and returns the counts.
    pub fn wait_for_requests(&self, requests: u64) -> Summary {
        let summary: Summary = self.get(&format!(
            "ledger?requests={requests}&within_ms={}",
            WAIT_LIMIT.as_millis()
        ));
        let ended = summary.requests - summary.outcome("open");
        assert!(
            ended >= requests,
            "waited {WAIT_LIMIT:?} for {requests} requests: {summary:#?}"
        );
        summary
    }

    /// Every accepted event, in the order of acceptance.
    pub fn events(&self) -> Vec<AcceptedEvent> {
        #[derive(Deserialize)]
        struct Line {
            sequence: u64,
            request: u64,
            event: Box<RawValue>,
        }
        let parse = |line: Line| AcceptedEvent {
            sequence: line.sequence,
            request: line.request,
            fields: serde_json::from_str(line.event.get())
                .expect("an accepted event has its five members"),
            text: line.event.get().to_owned(),
        };
        self.lines("ledger/events").into_iter().map(parse).collect()
    }

    /// Every request, in the order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.lines("ledger/requests")
    }

    /// Sends one document to the control API, which must accept it.
    pub fn put(&self, what: &str, document: &Value) {
        if let Err(message) = self.try_put(what, document) {
            panic!("PUT {what} {document}: {message}");
        }
    }

    /// Sends one document to the control API; the error is its answer.
    pub fn try_put(&self, what: &str, document: &Value) -> Result<(), String> {
        let request = self.agent.put(self.at(what));
        Self::send(request, document)
    }

    /// Changes a part of the settings over the control API; the error is its answer.
    pub fn try_patch(&self, what: &str, document: &Value) -> Result<(), String> {
        let request = self.agent.patch(self.at(what));
        Self::send(request, document)
    }

    fn send(
        request: ureq::RequestBuilder<ureq::typestate::WithBody>,
        document: &Value,
    ) -> Result<(), String> {
        let mut answer = request
            .send(document.to_string())
            .expect("the sandbox answers");
        let text = answer.body_mut().read_to_string().expect("a text");
        if answer.status() == 204 {
            Ok(())
        } else {
            Err(format!("{} {text}", answer.status()))
        }
    }

    /// Reads one document of the control API.
    pub fn get<T: DeserializeOwned>(&self, what: &str) -> T {
        let mut answer = self
            .agent
            .get(self.at(what))
            .call()
            .expect("the sandbox answers");
        let text = answer.body_mut().read_to_string().expect("a text");
        assert_eq!(answer.status(), 200, "GET {what}: {text}");
        serde_json::from_str(&text).unwrap_or_else(|cause| panic!("GET {what}: {cause} in {text}"))
    }

    fn lines<T: DeserializeOwned>(&self, what: &str) -> Vec<T> {
        let answer = self
            .agent
            .get(self.at(what))
            .call()
            .expect("the sandbox answers");
        assert_eq!(answer.status(), 200, "GET {what}");
        BufReader::with_capacity(1 << 16, answer.into_body().into_reader())
            .lines()
            .map(|line| serde_json::from_str(&line.expect("a line")).expect("a line of JSON"))
            .collect()
    }

    fn at(&self, what: &str) -> String {
        format!("{}/{what}", self.control())
    }
}

/// The counts of the ledger.
#[derive(Debug, Deserialize)]
pub struct Summary {
    pub requests: u64,
    pub connections: u64,
    pub accepted_requests: u64,
    pub accepted_events: u64,
    /// Accepted events that differ in at least one field.
    pub distinct_events: u64,
    /// Accepted events of requests whose body had been accepted before.
    pub events_in_repeated_bodies: u64,
    pub refused: u64,
    /// Requests whose answer a fault replaced.
    pub faults: u64,
    /// Requests that a fault delayed.
    pub delayed: u64,
    pub by_outcome: BTreeMap<String, u64>,
    pub by_status: BTreeMap<String, u64>,
    pub by_code: BTreeMap<String, u64>,
    pub by_fault: BTreeMap<String, u64>,
}

impl Summary {
    /// The number of requests with this outcome.
    pub fn outcome(&self, outcome: &str) -> u64 {
        self.by_outcome.get(outcome).copied().unwrap_or_default()
    }

    /// The number of requests that the API refused with this code.
    pub fn code(&self, code: &str) -> u64 {
        self.by_code.get(code).copied().unwrap_or_default()
    }
}

/// One event that the API accepted.
#[derive(Debug)]
pub struct AcceptedEvent {
    pub sequence: u64,
    /// The number of the request that contained it.
    pub request: u64,
    pub fields: Fields,
    /// The event as it was received, byte for byte.
    pub text: String,
}

/// The five members of an event.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Fields {
    pub token: String,
    pub partner_user_id: String,
    pub event: String,
    pub event_value: Value,
    pub received_at: String,
}

/// One request, as the ledger lists it.
#[derive(Debug, Clone, Deserialize)]
pub struct Request {
    pub request: u64,
    pub time_ms: u64,
    pub connection: u64,
    pub events: u32,
    pub bytes: u32,
    /// The same for requests with the same body.
    pub body_hash: String,
    /// 1 for the first request with this body.
    pub attempt: u32,
    /// `accepted`, `refused`, `faulted`, `accepted_untold`, `refused_untold`, `incomplete`,
    /// `not_found`, `open`.
    pub outcome: String,
    pub status: Option<u16>,
    pub code: Option<String>,
    pub fault: Option<String>,
    pub delay_ms: u64,
    pub user_agent: String,
}
