//! One request from arrival to answer: faults, judgement, ledger.
//!
//! Each request is handled on a task of its own, which continues when the caller hangs up: the real
//! API also finishes what it has begun. That is how events are accepted although the caller never
//! received the answer.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::answer::Answer;
use super::api::{Accepted, EventTexts, Refused, judge};
use super::connection::Peer;
use super::faults::{Fault, Plan, When};
use super::ledger::{Arrival, Ending, Outcome};
use super::recent::Details;
use super::state::Sandbox;

/// Where the API takes events.
pub(crate) const EVENTS_PATH: &str = "/default/v1/events";

/// The longest body that is read, in bytes. A request of 100 events needs far less.
const LONGEST_BODY: usize = 64 << 20;

/// `POST /default/v1/events`.
pub(crate) async fn events(
    State(sandbox): State<Arc<Sandbox>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    if let Some(fault) = sandbox.change(|state| state.faults.plan_before_body()) {
        let ending = Ending {
            outcome: Outcome::Faulted,
            status: None,
            code: None,
            fault: Some(fault.name),
        };
        record_unread(&sandbox, &peer, &head.headers, ending, Details::default());
        return fault.answer.into_response_for(&peer);
    }
    let Ok(body) = to_bytes(body, LONGEST_BODY).await else {
        return answer_unread(
            &sandbox,
            &peer,
            &head.headers,
            Outcome::Incomplete,
            StatusCode::PAYLOAD_TOO_LARGE,
            Details::default(),
        );
    };
    let handling = tokio::spawn(handle(sandbox, peer.clone(), head.headers, body));
    match handling.await {
        Ok(answer) => answer.into_response_for(&peer),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Any other method or path.
pub(crate) async fn not_found(
    State(sandbox): State<Arc<Sandbox>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    answer_unread(
        &sandbox,
        &peer,
        &headers,
        Outcome::NotFound,
        StatusCode::NOT_FOUND,
        Details::with_reason(&format!("{method} {}", uri.path())),
    )
}

/// Answers a request whose body was not read, and records it.
fn answer_unread(
    sandbox: &Sandbox,
    peer: &Peer,
    headers: &HeaderMap,
    outcome: Outcome,
    status: StatusCode,
    details: Details,
) -> Response {
    let ending = Ending {
        outcome,
        status: Some(status.as_u16()),
        code: None,
        fault: None,
    };
    record_unread(sandbox, peer, headers, ending, details);
    Answer::html_page(status).into_response_for(peer)
}

fn record_unread(
    sandbox: &Sandbox,
    peer: &Peer,
    headers: &HeaderMap,
    ending: Ending,
    details: Details,
) {
    sandbox.change(|state| {
        let arrival = Arrival {
            connection: peer.connection,
            events: 0,
            body: &[],
            user_agent: user_agent(headers),
            delay_ms: 0,
        };
        let number = state.ledger.record_arrival(&arrival);
        state.record_ending(number, ending, details);
    });
}

/// Handles a request whose body has been read, and returns its answer.
async fn handle(sandbox: Arc<Sandbox>, peer: Peer, headers: HeaderMap, body: Bytes) -> Answer {
    let events = EventTexts::parse(&body);
    let (number, plan) = sandbox.change(|state| {
        let plan = state.faults.plan(&body);
        let arrival = Arrival {
            connection: peer.connection,
            events: events.as_slice().len(),
            body: &body,
            user_agent: user_agent(&headers),
            delay_ms: plan.delay_ms(),
        };
        (state.ledger.record_arrival(&arrival), plan)
    });

    wait(plan.delay_before).await;
    let answer = match &plan.fault {
        Some(fault) if fault.when == When::Before => {
            record_fault_before(&sandbox, number, fault, &events, &body)
        }
        _ => judge_and_record(
            &sandbox,
            number,
            &plan,
            peer.address.ip(),
            &headers,
            &events,
            &body,
        ),
    };
    wait(plan.delay_after).await;
    answer
}

/// Records a request that the API never saw because of `fault`.
fn record_fault_before(
    sandbox: &Sandbox,
    number: u64,
    fault: &Fault,
    events: &EventTexts<'_>,
    body: &Bytes,
) -> Answer {
    let ending = Ending {
        outcome: Outcome::Faulted,
        status: fault.answer.status(),
        code: None,
        fault: Some(fault.name),
    };
    let details = Details::of_events(events.as_slice(), None).with_body(body);
    sandbox.change(|state| state.record_ending(number, ending, details));
    fault.answer.clone()
}

fn judge_and_record(
    sandbox: &Sandbox,
    number: u64,
    plan: &Plan,
    caller: IpAddr,
    headers: &HeaderMap,
    events: &EventTexts<'_>,
    body: &Bytes,
) -> Answer {
    let rules = sandbox.read(|state| Arc::clone(&state.rules));
    let judged = judge(&rules, caller, headers, events);
    let answer = match (&plan.fault, &judged) {
        (Some(fault), _) => fault.answer.clone(),
        (None, Ok(_)) => Answer::no_content(),
        (None, Err(refused)) => Answer::refusal(&refused.refusal),
    };
    let ending = Ending {
        outcome: outcome(&judged, plan.fault.as_ref()),
        status: answer.status(),
        code: judged
            .as_ref()
            .err()
            .map(|refused| refused.refusal.code.clone()),
        fault: plan.fault.as_ref().map(|fault| fault.name),
    };
    let mut details = Details::of_events(events.as_slice(), judged.as_ref().err());
    if judged.is_err() {
        details = details.with_body(body);
    }
    sandbox.change(|state| {
        if let Ok(accepted) = &judged {
            state.ledger.record_accepted(number, accepted);
        }
        state.record_ending(number, ending, details);
    });
    answer
}

fn outcome(judged: &Result<Vec<Accepted<'_>>, Refused>, fault: Option<&Fault>) -> Outcome {
    // If a fault's answer means success, the API must have accepted the events.
    let answer_is_true = fault.is_none_or(|fault| fault.means_success && judged.is_ok());
    match (judged, answer_is_true) {
        (Ok(_), true) => Outcome::Accepted,
        (Ok(_), false) => Outcome::AcceptedUntold,
        (Err(_), true) => Outcome::Refused,
        (Err(_), false) => Outcome::RefusedUntold,
    }
}

fn user_agent(headers: &HeaderMap) -> &str {
    headers
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

async fn wait(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}
