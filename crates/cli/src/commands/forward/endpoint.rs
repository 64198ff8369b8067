//! The HTTP endpoint of `meditopia forward`: the figures of the spool, and how far behind it is.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::uri::Authority;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use meditopia::internals::clock::wall_ms;
use meditopia::{Client, Result as Outcome};
use meditopia_sandbox::limits::LimitedListener;
use meditopia_sandbox::own_names::refuse_other_names;
use tokio::net::TcpListener;

use crate::commands::run::endpoint::{LIMITS, PROMETHEUS_TEXT, answer, own_names, unknown};
use crate::output::forwarding;

/// A database that was away for less is no reason to send applications elsewhere.
const AWAY_MS: i64 = 5_000;
/// A forwarder says at least every second that it is alive.
const SILENT_MS: i64 = 4_000;

/// What the endpoint answers from.
#[derive(Clone)]
pub struct EndpointState {
    pub client: Arc<Client>,
    /// The value of the metrics' `spool` label.
    pub spool: Arc<str>,
    /// The value of `max_spool_bytes`; 0 means no limit.
    pub limit_bytes: u64,
}

/// Answers until the process ends.
pub async fn serve(
    tcp: TcpListener,
    address: SocketAddr,
    more: Vec<Authority>,
    state: EndpointState,
) -> std::io::Result<()> {
    let names = own_names(address.port(), &more);
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

/// Reads the disk on a thread that may hang there.
async fn read(
    state: &EndpointState,
    read: impl FnOnce(&Client) -> Outcome<String> + Send + 'static,
) -> Result<String, String> {
    let client = state.client.clone();
    let read = tokio::task::spawn_blocking(move || read(&client)).await;
    match read {
        Ok(read) => read.map_err(|e| e.to_string()),
        Err(e) => Err(e.to_string()),
    }
}

async fn healthz(State(state): State<EndpointState>) -> Response {
    let alive = |client: &Client| {
        let seen = client.sender_seen()?.seen_ms.unwrap_or(0);
        Ok((wall_ms() - seen).to_string())
    };
    let ago_ms = read(&state, alive).await;
    answer(ago_ms.and_then(|ago_ms| match ago_ms.parse() {
        Ok(..SILENT_MS) => Ok("alive".to_owned()),
        _ => Err(format!("no forwarder was seen for {ago_ms} ms")),
    }))
}

async fn readyz(State(state): State<EndpointState>) -> Response {
    let failing = |client: &Client| {
        let record = client.forwarded()?.map(|forwarded| forwarded.record);
        let record = record.filter(|record| {
            let since = record.failing_since_ms;
            since.is_some_and(|since| wall_ms() - since >= AWAY_MS)
        });
        Ok(record.map_or_else(String::new, |record| {
            forwarding::describe(&record, wall_ms())
        }))
    };
    answer(match read(&state, failing).await {
        Ok(none) if none.is_empty() => Ok("forwarding".to_owned()),
        Ok(failing) => Err(failing),
        unreadable => unreadable,
    })
}

async fn metrics(State(state): State<EndpointState>) -> Response {
    let (spool, limit) = (state.spool.clone(), state.limit_bytes);
    let text = read(&state, move |client| text(client, &spool, limit)).await;
    match text {
        Ok(text) => ([(CONTENT_TYPE, PROMETHEUS_TEXT)], text).into_response(),
        failed => answer(failed),
    }
}

fn text(client: &Client, spool: &str, limit_bytes: u64) -> Outcome<String> {
    let labels = [("spool", spool)];
    let mut text = client.stats()?.to_prometheus_with(&labels);
    let disk = client.disk()?;
    let forwarded = client.forwarded()?.map(|forwarded| forwarded.record);
    let record = forwarded.as_ref();
    let seconds = |ms: i64| format!("{:.3}", ms as f64 / 1_000.0);
    let gauges = [
        (
            "meditopia_spool_bytes",
            "About how many bytes of events wait, as counted against max_spool_bytes.",
            Some(client.waiting_bytes()?.to_string()),
        ),
        (
            "meditopia_spool_limit_bytes",
            "The value of max_spool_bytes; 0 means no limit.",
            Some(limit_bytes.to_string()),
        ),
        (
            "meditopia_spool_disk_free_bytes",
            "Bytes that are free on the disk of the spool.",
            Some(disk.free_bytes.to_string()),
        ),
        (
            "meditopia_forward_failing",
            "Whether the last attempt to hand events to the database has failed.",
            record.map(|record| u8::from(record.failing_since_ms.is_some()).to_string()),
        ),
        (
            "meditopia_forward_failing_since_seconds",
            "Since when every attempt has failed, as seconds since 1970.",
            record
                .and_then(|record| record.failing_since_ms)
                .map(seconds),
        ),
        (
            "meditopia_forward_last_seconds",
            "When the database last answered, as seconds since 1970.",
            record.and_then(|record| record.forwarded_ms).map(seconds),
        ),
        (
            "meditopia_forward_kept_bytes",
            "Bytes of the journal that were handed over and are kept for a database that is set back.",
            record.map(|record| record.kept_bytes.to_string()),
        ),
    ];
    let label = spool.replace('\\', r"\\").replace('"', r#"\""#);
    for (name, help, value) in gauges {
        let head = format!("# HELP {name} {help}\n# TYPE {name} gauge\n");
        text.extend(value.map(|value| format!("{head}{name}{{spool=\"{label}\"}} {value}\n")));
    }
    Ok(text)
}
