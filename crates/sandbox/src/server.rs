//! A sandbox that listens, and the HTTP service in front of it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::connection::{CountingListener, Peer};
use super::faults::Faults;
use super::ledger::Ledger;
use super::{EVENTS_PATH, Options, Sandbox, control, exchange, live, page, url};

/// How long a stop waits for requests that are still being answered.
const PATIENCE: Duration = Duration::from_secs(1);

/// A sandbox that listens and does not answer yet.
pub struct Server {
    sandbox: Arc<Sandbox>,
    listener: TcpListener,
    address: SocketAddr,
    token: String,
}

impl Server {
    /// Listens on 127.0.0.1. Needs a tokio runtime with I/O and time.
    ///
    /// Errors: the faults cannot be read, or the port cannot be used; the text says which.
    pub async fn bind(options: &Options) -> Result<Self, String> {
        let mut faults = Faults::with_seed(options.seed);
        if let Some(text) = &options.faults {
            faults.replace(Faults::order_from_json(text.as_bytes())?);
        }
        let port = options.port;
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let listener = bound.map_err(|cause| format!("port {port}: {cause}"))?;
        let address = listener.local_addr().map_err(|cause| cause.to_string())?;
        Ok(Self {
            sandbox: Arc::new(Sandbox::new(options, faults, address)),
            listener,
            address,
            token: options.token.clone(),
        })
    }

    /// The full URL that events are posted to.
    pub fn endpoint(&self) -> String {
        url(self.address)
    }

    /// The URL that all routes of the control API begin with.
    pub fn control(&self) -> String {
        format!("http://{}/sandbox", self.address)
    }

    /// The URL of the page for a browser.
    pub fn page(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The bearer token that is good at the start.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// A handle that stops the server and reads its ledger while it serves.
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.sandbox))
    }

    /// Serves until something stops it: a [`Handle`] or `POST /sandbox/stop`.
    ///
    /// Errors: the listener failed.
    pub async fn serve(self) -> std::io::Result<()> {
        let sandbox = self.sandbox;
        let service = router(Arc::clone(&sandbox)).into_make_service_with_connect_info::<Peer>();
        let stopping = Arc::new(Notify::new());
        let answered = Arc::clone(&stopping);
        let server = axum::serve(CountingListener::new(self.listener), service)
            .with_graceful_shutdown(async move { answered.notified().await });
        tokio::select! {
            ended = server => ended,
            () = async {
                sandbox.stopped.notified().await;
                stopping.notify_one();
                tokio::time::sleep(PATIENCE).await;
            } => Ok(()),
        }
    }
}

/// A handle on a sandbox that serves.
#[derive(Clone)]
pub struct Handle(Arc<Sandbox>);

impl Handle {
    /// Has the server stop; requests that are being answered get one second more.
    pub fn stop(&self) {
        self.0.stop();
    }

    /// Reads the ledger; no request is settled meanwhile.
    pub fn ledger<T>(&self, read: impl FnOnce(&Ledger) -> T) -> T {
        self.0.read(|state| read(&state.ledger))
    }
}

fn router(sandbox: Arc<Sandbox>) -> Router {
    Router::new()
        .route(
            EVENTS_PATH,
            post(exchange::events).fallback(exchange::not_found),
        )
        .merge(page::router())
        .nest("/sandbox", control::router().merge(live::router()))
        .fallback(exchange::not_found)
        .layer(DefaultBodyLimit::disable())
        .with_state(sandbox)
}
