//! One request and its answer: arrival, faults, judgement, ledger, answer.
//!
//! A request is carried through on a task of its own. A caller that hangs up does not undo what the
//! API has begun; the real one goes on working, too, and that is how events come to be accepted
//! without anybody having been told.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::Sandbox;
use super::answer::Answer;
use super::api::{Events, judge};
use super::connection::Peer;
use super::faults::{Plan, When};
use super::ledger::{Arrival, Outcome, Settled};
use super::recent::Told;

/// The longest body that is read at all, in bytes; 100 events need far less.
const LONGEST_BODY: usize = 64 << 20;

/// `POST /default/v1/events`.
pub async fn events(
    State(sandbox): State<Arc<Sandbox>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    if let Some(fault) = sandbox.change(|state| state.faults.before_the_body()) {
        let settled = Settled {
            outcome: Outcome::Faulted,
            status: None,
            code: None,
            fault: Some(fault.name),
        };
        record(&sandbox, &peer, &head.headers, settled, Told::default());
        return fault.answer.send_to(&peer);
    }
    let Ok(body) = to_bytes(body, LONGEST_BODY).await else {
        return without_judgement(
            &sandbox,
            &peer,
            &head.headers,
            Outcome::Incomplete,
            StatusCode::PAYLOAD_TOO_LARGE,
            Told::default(),
        );
    };
    let exchange = tokio::spawn(carry_through(sandbox, peer.clone(), head.headers, body));
    match exchange.await {
        Ok(answer) => answer.send_to(&peer),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Every other method and path.
pub async fn not_found(
    State(sandbox): State<Arc<Sandbox>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    without_judgement(
        &sandbox,
        &peer,
        &headers,
        Outcome::NotFound,
        StatusCode::NOT_FOUND,
        Told::because(&format!("{method} {}", uri.path())),
    )
}

fn without_judgement(
    sandbox: &Sandbox,
    peer: &Peer,
    headers: &HeaderMap,
    outcome: Outcome,
    status: StatusCode,
    told: Told,
) -> Response {
    let settled = Settled {
        outcome,
        status: Some(status.as_u16()),
        code: None,
        fault: None,
    };
    record(sandbox, peer, headers, settled, told);
    Answer::page(status).send_to(peer)
}

/// A request whose body nobody looked at.
fn record(sandbox: &Sandbox, peer: &Peer, headers: &HeaderMap, settled: Settled, told: Told) {
    sandbox.change(|state| {
        let arrival = Arrival {
            connection: peer.connection,
            events: 0,
            body: &[],
            user_agent: user_agent(headers),
            delay_ms: 0,
        };
        let number = state.ledger.arrived(&arrival);
        state.settle(number, settled, told);
    });
}

async fn carry_through(
    sandbox: Arc<Sandbox>,
    peer: Peer,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let events = Events::of(&body);
    let (number, plan) = sandbox.change(|state| {
        let plan = state.faults.plan(&body);
        let arrival = Arrival {
            connection: peer.connection,
            events: events.count(),
            body: &body,
            user_agent: user_agent(&headers),
            delay_ms: plan.delay_ms(),
        };
        (state.ledger.arrived(&arrival), plan)
    });

    wait(plan.delay_before).await;
    let answer = settle(
        &sandbox,
        number,
        &plan,
        peer.address.ip(),
        &headers,
        &events,
    );
    wait(plan.delay_after).await;
    answer
}

fn settle(
    sandbox: &Sandbox,
    number: u64,
    plan: &Plan,
    caller: IpAddr,
    headers: &HeaderMap,
    events: &Events<'_>,
) -> Answer {
    if let Some(fault) = &plan.fault
        && fault.when == When::Before
    {
        let settled = Settled {
            outcome: Outcome::Faulted,
            status: fault.answer.status(),
            code: None,
            fault: Some(fault.name),
        };
        let told = Told::of(events.texts(), None);
        sandbox.change(|state| state.settle(number, settled, told));
        return fault.answer.clone();
    }

    let rules = sandbox.read(|state| Arc::clone(&state.rules));
    let judged = judge(&rules, caller, headers, events);
    let (answer, fault) = match &plan.fault {
        Some(fault) => (fault.answer.clone(), Some(fault.name)),
        None => (
            match &judged {
                Ok(_) => Answer::no_content(),
                Err(refused) => Answer::refusal(&refused.refusal),
            },
            None,
        ),
    };
    let told = match &plan.fault {
        // A refused request that is told "success" was told wrong as well.
        Some(fault) => fault.tells_success && judged.is_ok(),
        None => true,
    };
    let settled = Settled {
        outcome: outcome(&judged, told),
        status: answer.status(),
        code: judged.as_ref().err().map(|no| no.refusal.code.clone()),
        fault,
    };
    let told = Told::of(events.texts(), judged.as_ref().err());
    sandbox.change(|state| {
        if let Ok(accepted) = &judged {
            state.ledger.accept(number, accepted);
        }
        state.settle(number, settled, told);
    });
    answer
}

fn outcome<T, E>(judged: &Result<T, E>, told: bool) -> Outcome {
    match (judged, told) {
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
