//! A sandbox that listens, and its HTTP service.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::connection::{CountingListener, Peer};
use super::exchange::EVENTS_PATH;
use super::faults::{Faults, Order};
use super::ledger::Ledger;
use super::own_names::{OwnNames, refuse_other_names};
use super::state::Sandbox;
use super::{Options, control, exchange, live, page, request_events};

/// After a stop, requests that are still being answered get this much time.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// A sandbox on a tokio runtime. It listens, and answers once [`serve`](Self::serve) is awaited.
pub struct Server {
    sandbox: Arc<Sandbox>,
    listener: TcpListener,
}

impl Server {
    /// Listens on 127.0.0.1. Call it on a tokio runtime that has I/O and time enabled.
    ///
    /// Errors: the faults of `options` are not understood, or the port cannot be used. The text
    /// says which.
    pub async fn bind(options: &Options) -> Result<Self, String> {
        let mut faults = Faults::with_seed(options.seed);
        if let Some(text) = &options.faults {
            faults.replace(Order::from_json(text.as_bytes())?);
        }
        let port = options.port;
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let listener = bound.map_err(|cause| format!("port {port}: {cause}"))?;
        let address = listener.local_addr().map_err(|cause| cause.to_string())?;
        Ok(Self {
            sandbox: Arc::new(Sandbox::new(options, faults, address)),
            listener,
        })
    }

    /// A handle, which stays usable while the server serves and afterwards.
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.sandbox))
    }

    /// Serves until [`Handle::stop`] or `POST /sandbox/stop` stops it.
    ///
    /// Errors: the listener failed.
    pub async fn serve(self) -> std::io::Result<()> {
        let sandbox = self.sandbox;
        let names = OwnNames::new(self.listener.local_addr()?.port(), None, &[]).without_more();
        let service =
            router(Arc::clone(&sandbox), names).into_make_service_with_connect_info::<Peer>();
        let shutdown = Arc::new(Notify::new());
        let shutdown_ordered = Arc::clone(&shutdown);
        let server = axum::serve(CountingListener::new(self.listener), service)
            .with_graceful_shutdown(async move { shutdown_ordered.notified().await });
        tokio::select! {
            ended = server => ended,
            () = async {
                sandbox.stopped.notified().await;
                shutdown.notify_one();
                tokio::time::sleep(STOP_TIMEOUT).await;
            } => Ok(()),
        }
    }
}

/// A handle of a sandbox: its addresses, its ledger, and a way to stop it. Clones are handles of
/// the same sandbox.
#[derive(Clone)]
pub struct Handle(Arc<Sandbox>);

impl Handle {
    /// The full URL that events are posted to.
    pub fn endpoint(&self) -> &str {
        &self.0.addresses.endpoint
    }

    /// The URL that the routes of the control API are below, without a slash at its end.
    pub fn control_url(&self) -> &str {
        &self.0.addresses.control
    }

    /// The URL of the page for a browser.
    pub fn page_url(&self) -> &str {
        &self.0.addresses.page
    }

    /// The bearer token that was good when the sandbox started.
    pub fn token(&self) -> &str {
        &self.0.first_token
    }

    /// Calls `read` with the ledger, and returns what `read` returns. No request is recorded
    /// meanwhile, so `read` should be short.
    pub fn ledger<T>(&self, read: impl FnOnce(&Ledger) -> T) -> T {
        self.0.read(|state| read(&state.ledger))
    }

    /// The latest requests that have ended, the earliest first, with the users of their events and the answers: the
    /// objects that the page reads.
    pub fn latest_requests(&self) -> Vec<serde_json::Value> {
        self.0.read(|state| {
            let requests = state.recent.after(0).into_iter();
            requests
                .filter_map(|request| serde_json::to_value(request).ok())
                .collect()
        })
    }

    /// Makes the server stop. Requests that are still being answered get one more second.
    pub fn stop(&self) {
        self.0.stop();
    }
}

fn router(sandbox: Arc<Sandbox>, names: OwnNames) -> Router {
    Router::new()
        .route(
            EVENTS_PATH,
            post(exchange::events).fallback(exchange::not_found),
        )
        .merge(page::router())
        .nest(
            "/sandbox",
            control::router()
                .merge(live::router())
                .merge(request_events::router()),
        )
        .fallback(exchange::not_found)
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(names, refuse_other_names))
        .with_state(sandbox)
}
