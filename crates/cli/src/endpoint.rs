//! The HTTP endpoint of a service, for Prometheus and a supervisor: /metrics, /healthz and /readyz.
//!
//! Its answers hold no secret, but a partner's volume of business is confidential. So the endpoint
//! listens on loopback by default, answers by names of this host only, and no request changes anything.

use std::net::SocketAddr;
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

use crate::failure::{Failure, USAGE};

/// Probes and scrapes are short, and there are few of them.
const LIMITS: Limits = Limits {
    connections: 16,
    head: Duration::from_secs(10),
    idle: Some(Duration::from_secs(10)),
};

const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The options of a service that say where its endpoint listens.
#[derive(Debug, Clone, clap::Args)]
pub struct EndpointOptions {
    /// Serve /metrics, /healthz and /readyz on 127.0.0.1:PORT; port 0 lets the kernel choose one
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Allow --listen an address that other hosts can reach; the endpoint asks for no password
    #[arg(long, requires = "listen")]
    listen_anywhere: bool,
    /// Answer requests to this name too; without a port, to any. Addresses, localhost and the name of
    /// this host are answered with the port of --listen. Can be given several times
    #[arg(long, requires = "listen", value_name = "NAME[:PORT]")]
    allow_host: Vec<Authority>,
}

/// What an endpoint answers from. An error is the reason of a 503.
pub trait Answers: Clone + Send + Sync + 'static {
    /// Whether the service is not stuck.
    fn alive(&self) -> impl Future<Output = Result<String, String>> + Send;
    /// Whether events go where they are to go.
    fn ready(&self) -> impl Future<Output = Result<String, String>> + Send;
    /// In Prometheus' text format.
    fn metrics(&self) -> impl Future<Output = Result<String, String>> + Send;
}

/// An endpoint that listens and does not answer yet.
pub struct Endpoint {
    tcp: TcpListener,
    address: SocketAddr,
    names: OwnNames,
}

impl EndpointOptions {
    /// Listens, if that is asked for. Refuses an address that other hosts can reach, unless it is allowed.
    pub async fn open(&self) -> Result<Option<Endpoint>, Failure> {
        let Some(address) = self.listen else {
            return Ok(None);
        };
        if !self.listen_anywhere && !address.ip().is_loopback() {
            return Err(Failure::new(
                USAGE,
                format!(
                    "--listen {address}: other hosts can reach this address; listen on 127.0.0.1, or add --listen-anywhere"
                ),
            ));
        }
        let bound = TcpListener::bind(address).await;
        let tcp = bound
            .map_err(|e| Failure::from(format!("--listen {address}: {e}; choose another port")))?;
        let address = tcp.local_addr().map_err(|e| Failure::from(e.to_string()))?;
        let host_name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let host_name = host_name.as_deref().map(str::trim);
        Ok(Some(Endpoint {
            tcp,
            address,
            names: OwnNames::new(address.port(), host_name, &self.allow_host),
        }))
    }
}

impl Endpoint {
    /// Where it listens, for the log.
    pub fn describe(&self) -> String {
        format!("listening on http://{}", self.address)
    }

    /// Answers until the process ends.
    pub async fn serve<A: Answers>(self, answers: A) -> std::io::Result<()> {
        let router = Router::new()
            .route("/metrics", get(metrics::<A>))
            .route("/healthz", get(healthz::<A>))
            .route("/readyz", get(readyz::<A>))
            .fallback(unknown)
            .layer(DefaultBodyLimit::max(0))
            .layer(from_fn_with_state(self.names, refuse_other_names))
            .with_state(answers);
        axum::serve(LimitedListener::new(self.tcp, LIMITS), router).await
    }
}

async fn healthz<A: Answers>(State(answers): State<A>) -> Response {
    answer(answers.alive().await)
}

async fn readyz<A: Answers>(State(answers): State<A>) -> Response {
    answer(answers.ready().await)
}

async fn metrics<A: Answers>(State(answers): State<A>) -> Response {
    match answers.metrics().await {
        Ok(text) => ([(CONTENT_TYPE, PROMETHEUS_TEXT)], text).into_response(),
        failed => answer(failed),
    }
}

fn answer(outcome: Result<String, String>) -> Response {
    let (status, text) = match outcome {
        Ok(text) => (StatusCode::OK, text),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    };
    (status, format!("{text}\n")).into_response()
}

async fn unknown(uri: Uri) -> Response {
    let text = format!(
        "{} does not exist; there are /metrics, /healthz and /readyz\n",
        uri.path()
    );
    (StatusCode::NOT_FOUND, text).into_response()
}
