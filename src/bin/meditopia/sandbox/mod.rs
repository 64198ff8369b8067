//! `meditopia sandbox`: a local Partners API that keeps a ledger and misbehaves to order.
//!
//! It answers `POST /default/v1/events` as the API's text says (`api`), records what was asked and what
//! was accepted (`ledger`), spoils answers and connections as it is told to (`faults`, `connection`), and is
//! steered over HTTP on the same port while it runs (`control`), or by hand from a page that shows what comes
//! (`page`, `live`, `recent`). One process serves one test: it prints
//! where it listens as its first line, and ends when its standard input does, so that it never
//! outlives who started it. Given a command, it lives as long as that and tells what arrived (`command`). It is no load-test target with a tuned core, and it listens on loopback only.

mod actions;
mod answer;
mod api;
mod command;
mod connection;
mod control;
mod exchange;
mod faults;
mod ledger;
mod live;
mod page;
mod recent;
mod users;

use std::ffi::OsString;
use std::io::{IsTerminal, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::post;
use tokio::sync::{Notify, watch};

use api::Rules;
use connection::{CountingListener, Peer};
use faults::Faults;
use ledger::{Ledger, Settled};
use recent::{Recent, Told};
use users::UnknownUsers;

/// How to steer a running sandbox; printed by `--help`.
pub const CONTROL: &str = include_str!("control.md");

const EVENTS_PATH: &str = "/default/v1/events";

/// How long a stop waits for requests that are still being answered.
const PATIENCE: Duration = Duration::from_secs(1);

/// The arguments of `meditopia sandbox`.
#[derive(clap::Args)]
pub struct Options {
    /// Port on 127.0.0.1; 0 lets the kernel choose
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The one bearer token that is good
    #[arg(long, default_value = "sandbox-token")]
    token: String,
    /// A partner_user_id that the API does not know; may be given again
    #[arg(long = "unknown-user", value_name = "USER")]
    unknown_users: Vec<String>,
    /// How unknown partner_user_ids begin; may be given again
    #[arg(long = "unknown-prefix", value_name = "PREFIX")]
    unknown_prefixes: Vec<String>,
    /// Faults to start with, as PUT /sandbox/faults takes them
    #[arg(long, value_name = "JSON")]
    faults: Option<String>,
    /// Where chance starts from, so that a run can be repeated
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Go on when standard input ends
    #[arg(long)]
    stay: bool,
    /// Fail unless COMMAND got so many different events accepted
    #[arg(long, value_name = "N", requires = "command")]
    expect_events: Option<u64>,
    /// Run this with MEDITOPIA_ENDPOINT and MEDITOPIA_BEARER_TOKEN set, print what
    /// arrived, and end with its exit code
    #[arg(last = true, value_name = "COMMAND", conflicts_with = "stay")]
    command: Vec<OsString>,
}

/// What the whole sandbox shares.
struct Sandbox {
    endpoint: String,
    /// Tells this process from another one on the same port.
    run: String,
    state: Mutex<State>,
    changes: watch::Sender<()>,
    stopping: AtomicBool,
    stopped: Notify,
}

/// What changes while it runs.
struct State {
    rules: Arc<Rules>,
    /// The token that is good or was good last.
    last_token: String,
    faults: Faults,
    ledger: Ledger,
    recent: Recent,
}

impl State {
    fn give_token(&mut self, token: String) {
        self.last_token = token;
        self.restore_token();
    }

    fn restore_token(&mut self) {
        Arc::make_mut(&mut self.rules).token = Some(self.last_token.clone());
    }

    fn revoke_token(&mut self) {
        Arc::make_mut(&mut self.rules).token = None;
    }

    /// Closes the record of a request and remembers what the page shows of it.
    fn settle(&mut self, number: u64, settled: Settled, told: Told) {
        if let Some(request) = self.ledger.settle(number, settled) {
            self.recent.add(request.clone(), told);
        }
    }
}

impl Sandbox {
    fn new(options: &Options, faults: Faults, address: SocketAddr) -> Self {
        let unknown = UnknownUsers::not_found(
            options.unknown_users.clone(),
            options.unknown_prefixes.clone(),
        );
        Self {
            endpoint: url(address),
            run: format!("{}-{}", std::process::id(), ledger::wall_ms()),
            state: Mutex::new(State {
                rules: Arc::new(Rules {
                    token: Some(options.token.clone()),
                    allowed: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
                    unknown,
                }),
                last_token: options.token.clone(),
                faults,
                ledger: Ledger::default(),
                recent: Recent::default(),
            }),
            changes: watch::Sender::new(()),
            stopping: AtomicBool::new(false),
            stopped: Notify::new(),
        }
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changes.send_replace(());
        result
    }

    /// Returns when `reached` holds.
    async fn until(&self, reached: impl Fn(&State) -> bool) {
        let mut changes = self.changes.subscribe();
        // The sender lives as long as `self`, so waiting for it cannot fail.
        while !self.read(&reached) && changes.changed().await.is_ok() {}
    }

    fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.changes.send_replace(());
        self.stopped.notify_one();
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

/// Serves until it is stopped, or its command has ended; an error says why it could not.
pub fn run(options: Options) -> Result<ExitCode, String> {
    let mut faults = Faults::with_seed(options.seed);
    if let Some(text) = &options.faults {
        faults.replace(Faults::order_from_json(text.as_bytes())?);
    }

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|cause| format!("cannot start: {cause}"))?;
    runtime.block_on(async {
        let port = options.port;
        let bound = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let tcp = bound.map_err(|cause| format!("port {port}: {cause}"))?;
        let here = tcp.local_addr().map_err(|cause| cause.to_string())?;
        let sandbox = Arc::new(Sandbox::new(&options, faults, here));
        let server = serve(Arc::clone(&sandbox), tcp);
        if options.command.is_empty() {
            announce(here, &options.token).map_err(|cause| format!("standard output: {cause}"))?;
            if !options.stay && !std::io::stdin().is_terminal() {
                stop_with_standard_input(Arc::clone(&sandbox));
            }
            server.await.map_err(|cause| cause.to_string())?;
            return Ok(ExitCode::SUCCESS);
        }
        tokio::select! {
            ended = command::run(&options, &sandbox.endpoint) => {
                command::conclude(&sandbox, ended?, options.expect_events)
            }
            ended = server => Err(match ended {
                Ok(()) => "the sandbox was told to stop before its command had ended".into(),
                Err(cause) => cause.to_string(),
            }),
        }
    })
}

async fn serve(sandbox: Arc<Sandbox>, tcp: tokio::net::TcpListener) -> std::io::Result<()> {
    let service = router(Arc::clone(&sandbox)).into_make_service_with_connect_info::<Peer>();
    let stopping = Arc::new(Notify::new());
    let answered = Arc::clone(&stopping);
    let server = axum::serve(CountingListener::new(tcp), service)
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

fn url(address: SocketAddr) -> String {
    format!("http://{address}{EVENTS_PATH}")
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

/// The first line of standard output: where to find what, for whoever started the sandbox.
fn announce(address: SocketAddr, token: &str) -> std::io::Result<()> {
    let line = serde_json::json!({
        "url": url(address),
        "control": format!("http://{address}/sandbox"),
        "page": format!("http://{address}/"),
        "token": token,
    });
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}")?;
    output.flush()
}

/// Reads on a thread of its own: a read of standard input can be neither polled nor cancelled everywhere.
fn stop_with_standard_input(sandbox: Arc<Sandbox>) {
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut ignored = [0; 512];
        while matches!(input.read(&mut ignored), Ok(1..)) {}
        sandbox.stop();
    });
}
