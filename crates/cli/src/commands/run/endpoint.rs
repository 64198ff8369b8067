//! The HTTP endpoint of `meditopia run`, for Prometheus and a supervisor.
//!
//! Its answers hold no secret, but a partner's volume of business is confidential. So the endpoint
//! listens on loopback by default, answers by names of this host only, and no request changes anything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::uri::Authority;
use axum::http::{StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use meditopia_sandbox::limits::{LimitedListener, Limits};
use meditopia_sandbox::own_names::{OwnNames, refuse_other_names};
use tokio::net::TcpListener;

use super::gauges;
use super::health::Health;
use crate::failure::{Failure, USAGE};

/// Probes and scrapes are short, and there are few of them.
pub const LIMITS: Limits = Limits {
    connections: 16,
    head: Duration::from_secs(10),
    idle: Some(Duration::from_secs(10)),
};

pub const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether other hosts may reach the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    ThisHost,
    AnyHost,
}

/// What the endpoint answers from.
#[derive(Clone)]
pub struct EndpointState {
    pub health: Arc<Health>,
    /// The value of the metrics' `spool` label.
    pub spool: Arc<str>,
}

/// Listens on `address`. Refuses an address that other hosts can reach, unless `reach` allows it.
pub async fn listen(address: SocketAddr, reach: Reach) -> Result<TcpListener, Failure> {
    if reach == Reach::ThisHost && !address.ip().is_loopback() {
        return Err(Failure::new(
            USAGE,
            format!(
                "--listen {address}: other hosts can reach this address; listen on 127.0.0.1, or add --listen-anywhere"
            ),
        ));
    }
    let bound = TcpListener::bind(address).await;
    bound.map_err(|e| Failure::from(format!("--listen {address}: {e}; choose another port")))
}

/// The names that requests to `port` of this host may use, and `more`.
pub fn own_names(port: u16, more: &[Authority]) -> OwnNames {
    let host_name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    OwnNames::new(port, host_name.as_deref().map(str::trim), more)
}

/// Answers until the process ends.
pub async fn serve(tcp: TcpListener, names: OwnNames, state: EndpointState) -> std::io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .fallback(unknown)
        .layer(DefaultBodyLimit::max(0))
        .layer(from_fn_with_state(names, refuse_other_names))
        .with_state(state);
    axum::serve(LimitedListener::new(tcp, LIMITS), router).await
}

async fn healthz(State(state): State<EndpointState>) -> Response {
    let alive = state.health.check_alive();
    answer(alive.map(|()| "alive".to_owned()))
}

async fn readyz(State(state): State<EndpointState>) -> Response {
    answer(state.health.check_ready().await)
}

pub fn answer(outcome: Result<String, String>) -> Response {
    let (status, text) = match outcome {
        Ok(text) => (StatusCode::OK, text),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    };
    (status, format!("{text}\n")).into_response()
}

async fn metrics(State(state): State<EndpointState>) -> Response {
    let client = &state.health.client;
    let (spool, vitals) = match (client.spool_state().await, client.vitals()) {
        (Ok(spool), Ok(vitals)) => (spool, vitals),
        (Err(why), _) => return answer(Err(why)),
        (_, Err(why)) => return answer(Err(why.to_string())),
    };
    let mut text = spool.stats.to_prometheus_with(&[("spool", &state.spool)]);
    text.push_str(&gauges::text(
        &state.spool,
        &spool,
        &vitals,
        client.limit_bytes(),
    ));
    ([(CONTENT_TYPE, PROMETHEUS_TEXT)], text).into_response()
}

pub async fn unknown(uri: Uri) -> Response {
    let text = format!(
        "{} does not exist; there are /metrics, /healthz and /readyz\n",
        uri.path()
    );
    (StatusCode::NOT_FOUND, text).into_response()
}
