//! The control API below `/sandbox`; its text is `control.md`, which `meditopia sandbox --help`
//! prints.
//!
//! The handlers hold no rules of their own: each reads one document and replaces a part of the
//! state, or lists another part.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use http_body::Frame;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::faults::{Change, Order};
use super::json::double_option;
use super::ledger::Ledger;
use super::state::Sandbox;
use super::users::UnknownUsers;

const NO_SUCH_ROUTE: &str = "no such route; see meditopia sandbox --help\n";

/// The control API. Its routes are below `/sandbox`.
pub(crate) fn router() -> Router<Arc<Sandbox>> {
    Router::new()
        .route("/ledger", get(get_ledger).delete(delete_ledger))
        .route(
            "/ledger/events",
            get(|state: Shared, page: Query<Page>| list(state, page, Ledger::write_events)),
        )
        .route(
            "/ledger/requests",
            get(|state: Shared, page: Query<Page>| list(state, page, Ledger::write_requests)),
        )
        .route("/token", put(put_token).get(get_token))
        .route("/environment", get(get_environment))
        .route("/addresses", put(put_addresses).get(get_addresses))
        .route("/users", put(put_users).patch(patch_users).get(get_users))
        .route(
            "/faults",
            put(put_faults).patch(patch_faults).get(get_faults),
        )
        .route("/stop", post(post_stop))
        .fallback(|| async { (StatusCode::NOT_FOUND, NO_SUCH_ROUTE) })
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn(refuse_other_sites))
}

/// A web page of any site can make its user's browser post to this port. The browser then names
/// that site in `Origin`, so that such a request can be refused.
async fn refuse_other_sites(request: Request, next: Next) -> Response {
    match other_site(request.headers()) {
        Some(site) => {
            let refusal = format!("a web page of {site} may not use this control API\n");
            (StatusCode::FORBIDDEN, refusal).into_response()
        }
        None => next.run(request).await,
    }
}

fn other_site(headers: &HeaderMap) -> Option<String> {
    let host = headers
        .get(header::HOST)
        .and_then(|value| value.to_str().ok());
    let own = host.map(|host| format!("http://{host}"));
    let origin = headers.get(header::ORIGIN)?;
    let origin = String::from_utf8_lossy(origin.as_bytes()).into_owned();
    (own.as_ref() != Some(&origin)).then_some(origin)
}

type Shared = State<Arc<Sandbox>>;

/// A document that is not understood: 400, and a text that says what is wrong with the document.
struct BadDocument(String);

impl IntoResponse for BadDocument {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, self.0 + "\n").into_response()
    }
}

fn parse<'a, T: Deserialize<'a>>(what: &str, body: &'a [u8]) -> Result<T, BadDocument> {
    serde_json::from_slice(body).map_err(|cause| BadDocument(format!("{what}: {cause}")))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Awaited {
    #[serde(default)]
    events: u64,
    #[serde(default)]
    requests: u64,
    #[serde(default = "ten_seconds")]
    within_ms: u64,
}

fn ten_seconds() -> u64 {
    10_000
}

async fn get_ledger(State(sandbox): Shared, Query(awaited): Query<Awaited>) -> Response {
    let reached = sandbox.wait_until(|state| {
        state.ledger.accepted_events() >= awaited.events
            && state.ledger.ended_requests() >= awaited.requests
    });
    // The counts tell the caller whether the wait succeeded, so a timeout is not an error.
    let _ = tokio::time::timeout(Duration::from_millis(awaited.within_ms), reached).await;
    Json(sandbox.read(|state| state.ledger.summary())).into_response()
}

async fn delete_ledger(State(sandbox): Shared) -> StatusCode {
    sandbox.change(|state| {
        state.ledger.clear();
        state.recent.clear();
    });
    StatusCode::NO_CONTENT
}

#[derive(Serialize)]
struct Token {
    token: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenOrder {
    #[serde(default, deserialize_with = "double_option")]
    token: Option<Option<String>>,
    revoked: Option<bool>,
}

async fn put_token(State(sandbox): Shared, body: Bytes) -> Result<StatusCode, BadDocument> {
    let order: TokenOrder = parse("token", &body)?;
    sandbox.change(|state| {
        match (order.token, order.revoked) {
            (Some(Some(token)), None) => state.set_token(token),
            (Some(None), None) | (None, Some(true)) => state.revoke_token(),
            (None, Some(false)) => state.restore_token(),
            // An empty document must not revoke the token.
            (None, None) | (Some(_), Some(_)) => {
                let wanted = "needs either \"token\" or \"revoked\"";
                return Err(BadDocument(format!("token: {wanted}")));
            }
        }
        Ok(StatusCode::NO_CONTENT)
    })
}

async fn get_token(State(sandbox): Shared) -> Json<Token> {
    Json(Token {
        token: sandbox.read(|state| state.rules.token.clone()),
    })
}

/// Lines for a shell. They contain the last good token, even if it has been revoked.
async fn get_environment(State(sandbox): Shared) -> String {
    let quoted = |text: &str| text.replace('\'', r"'\''");
    let token = sandbox.read(|state| quoted(&state.last_token));
    format!(
        "export MEDITOPIA_ENDPOINT='{}'\nexport MEDITOPIA_BEARER_TOKEN='{token}'\n",
        quoted(&sandbox.addresses.endpoint)
    )
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Addresses {
    allowed: Vec<IpAddr>,
}

async fn put_addresses(State(sandbox): Shared, body: Bytes) -> Result<StatusCode, BadDocument> {
    let Addresses { allowed } = parse("addresses", &body)?;
    sandbox.change(|state| Arc::make_mut(&mut state.rules).allowed = allowed);
    Ok(StatusCode::NO_CONTENT)
}

async fn get_addresses(State(sandbox): Shared) -> Json<Addresses> {
    Json(Addresses {
        allowed: sandbox.read(|state| state.rules.allowed.clone()),
    })
}

async fn put_users(State(sandbox): Shared, body: Bytes) -> Result<StatusCode, BadDocument> {
    let unknown = UnknownUsers::from_json(&body).map_err(BadDocument)?;
    sandbox.change(|state| Arc::make_mut(&mut state.rules).unknown = unknown);
    Ok(StatusCode::NO_CONTENT)
}

async fn patch_users(State(sandbox): Shared, body: Bytes) -> Result<StatusCode, BadDocument> {
    sandbox.change(|state| {
        let unknown = state.rules.unknown.changed(&body).map_err(BadDocument)?;
        Arc::make_mut(&mut state.rules).unknown = unknown;
        Ok(StatusCode::NO_CONTENT)
    })
}

async fn get_users(State(sandbox): Shared) -> Json<Value> {
    Json(sandbox.read(|state| state.rules.unknown.to_json()))
}

async fn put_faults(State(sandbox): Shared, body: Bytes) -> Result<StatusCode, BadDocument> {
    let order = Order::from_json(&body).map_err(BadDocument)?;
    sandbox.change(|state| state.faults.replace(order));
    Ok(StatusCode::NO_CONTENT)
}

async fn patch_faults(State(sandbox): Shared, body: Bytes) -> Result<StatusCode, BadDocument> {
    let change = Change::from_json(&body).map_err(BadDocument)?;
    sandbox.change(|state| state.faults.change(change));
    Ok(StatusCode::NO_CONTENT)
}

async fn get_faults(State(sandbox): Shared) -> Json<Value> {
    Json(sandbox.read(|state| state.faults.to_json()))
}

async fn post_stop(State(sandbox): Shared) -> Json<Value> {
    sandbox.stop();
    Json(json!({ "stopping": true }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

type WriteLines = fn(&Ledger, u64, usize, &mut String) -> Option<u64>;

async fn list(State(sandbox): Shared, Query(page): Query<Page>, write: WriteLines) -> Response {
    let lines = Lines {
        sandbox,
        write,
        after: page.after,
        remaining: page.limit.unwrap_or(usize::MAX),
    };
    (
        [(header::CONTENT_TYPE, "application/x-ndjson")],
        Body::new(lines),
    )
        .into_response()
}

/// A list as a body. It is written in chunks, so that a million lines are never in memory at once.
struct Lines {
    sandbox: Arc<Sandbox>,
    write: WriteLines,
    after: u64,
    remaining: usize,
}

impl Lines {
    const PER_CHUNK: usize = 1_000;
}

impl HttpBody for Lines {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut chunk = String::new();
        let limit = self.remaining.min(Self::PER_CHUNK);
        let last = self
            .sandbox
            .read(|state| (self.write)(&state.ledger, self.after, limit, &mut chunk));
        Poll::Ready(last.map(|last| {
            self.after = last;
            self.remaining -= limit;
            Ok(Frame::data(Bytes::from(chunk)))
        }))
    }
}
