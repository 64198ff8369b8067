//! The HTTP endpoint of `meditopia run`: what Prometheus and a supervisor ask for.
//!
//! It tells nothing secret, but how much a partner sells is nobody else's business: so it listens on
//! loopback unless told otherwise, and it takes no request that changes anything.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use meditopia::internals::client::Standing;
use tokio::net::TcpListener;

use super::health::Health;
use super::listener::FewConnections;
use crate::failure::{Failure, USAGE};

const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether other hosts may reach the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    ThisHost,
    Anybody,
}

/// What the answers are made of.
#[derive(Clone)]
pub struct Told {
    pub health: Arc<Health>,
    /// For the label that tells spools apart.
    pub spool: Arc<str>,
}

/// Listens on `address`, which may be no other host's business.
pub async fn listen(address: SocketAddr, reach: Reach) -> Result<TcpListener, Failure> {
    if reach == Reach::ThisHost && !address.ip().is_loopback() {
        return Err(Failure::new(
            USAGE,
            format!(
                "--listen {address}: other hosts can reach that; listen on 127.0.0.1, or add --listen-anywhere"
            ),
        ));
    }
    let bound = TcpListener::bind(address).await;
    bound.map_err(|e| Failure::from(format!("--listen {address}: {e}; choose another port")))
}

/// Answers until the process ends.
pub async fn serve(tcp: TcpListener, told: Told) -> std::io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .fallback(unknown)
        .layer(DefaultBodyLimit::max(0))
        .with_state(told);
    axum::serve(FewConnections::new(tcp), router).await
}

async fn healthz(State(told): State<Told>) -> Response {
    let alive = told.health.alive();
    answer(alive.map(|()| "alive".to_owned()))
}

async fn readyz(State(told): State<Told>) -> Response {
    answer(told.health.ready().await)
}

fn answer(found: Result<String, String>) -> Response {
    let (status, what) = match found {
        Ok(what) => (StatusCode::OK, what),
        Err(what) => (StatusCode::SERVICE_UNAVAILABLE, what),
    };
    (status, format!("{what}\n")).into_response()
}

async fn metrics(State(told): State<Told>) -> Response {
    let current = &told.health.current;
    let (look, vitals) = match (current.look().await, current.vitals()) {
        (Ok(look), Ok(vitals)) => (look, vitals),
        (Err(why), _) => return answer(Err(why)),
        (_, Err(why)) => return answer(Err(why.to_string())),
    };
    let mut text = look.stats.to_prometheus_with(&[("spool", &told.spool)]);
    let labels = spool_label(&told.spool);
    let mut gauge = |name: &str, meaning: &str, value: String| {
        text.push_str(&format!(
            "# HELP {name} {meaning}\n# TYPE {name} gauge\n{name}{labels} {value}\n"
        ));
    };
    gauge(
        "meditopia_spool_bytes",
        "Bytes that wait for delivery, as they count against max_spool_bytes.",
        look.waiting_bytes.to_string(),
    );
    gauge(
        "meditopia_spool_limit_bytes",
        "The value of max_spool_bytes; 0 is no limit.",
        current.limit_bytes().to_string(),
    );
    gauge(
        "meditopia_run_elected",
        "Whether this process is the one that sends.",
        u8::from(vitals.standing == Standing::Elected).to_string(),
    );
    gauge(
        "meditopia_run_overdue_seconds",
        "How long ago a thread of this process should have been heard.",
        format!("{:.3}", vitals.overdue.as_secs_f64()),
    );
    ([(CONTENT_TYPE, PROMETHEUS_TEXT)], text).into_response()
}

fn spool_label(spool: &str) -> String {
    let escaped = spool
        .replace('\\', r"\\")
        .replace('"', r#"\""#)
        .replace('\n', r"\n");
    format!("{{spool=\"{escaped}\"}}")
}

async fn unknown(uri: Uri) -> Response {
    let what = format!(
        "{} is not here; there are /metrics, /healthz and /readyz\n",
        uri.path()
    );
    (StatusCode::NOT_FOUND, what).into_response()
}
