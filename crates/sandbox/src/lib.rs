//! A local Partners API that keeps a ledger and misbehaves to order, for tests and trials.
//!
//! It answers `POST /default/v1/events` as the API's text says (`api`), records what was asked and
//! what was accepted (`ledger`), and spoils answers and connections as it is ordered to (`faults`,
//! `connection`). A program steers it over HTTP on the same port while it runs (`control`); a person
//! uses a page that shows what arrives (`page`, `live`, `recent`). It is no load-test target with a
//! tuned core, and it listens on the loopback address only.
//!
//! The command serves one as a process of its own ([`Server`]); a test keeps one beside itself on a
//! thread ([`Background`]).
//!
//! ```
//! # fn main() -> Result<(), String> {
//! use meditopia_sandbox::{Background, Options};
//!
//! let api = Background::start(&Options::default())?;
//! println!("post events to {} with the bearer token {}", api.endpoint(), api.token());
//! # Ok(())
//! # }
//! ```

mod actions;
mod answer;
mod api;
mod background;
mod connection;
mod control;
mod exchange;
mod faults;
mod ledger;
mod live;
mod page;
mod recent;
mod server;
mod users;

pub use background::Background;
pub use ledger::{Ledger, Summary};
pub use server::{Handle, Server};

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, watch};

use api::Rules;
use faults::Faults;
use ledger::Settled;
use recent::{Recent, Told};
use users::UnknownUsers;

/// How to steer a running sandbox; `meditopia sandbox --help` prints it.
pub const CONTROL: &str = include_str!("control.md");

const EVENTS_PATH: &str = "/default/v1/events";

/// How a sandbox starts.
#[derive(Debug, Clone)]
pub struct Options {
    /// Port on 127.0.0.1; with 0 the kernel chooses one.
    pub port: u16,
    /// The one bearer token that is good.
    pub token: String,
    /// The values of `partner_user_id` that the API does not know.
    pub unknown_users: Vec<String>,
    /// Prefixes of further unknown values of `partner_user_id`.
    pub unknown_prefixes: Vec<String>,
    /// The faults to start with, as JSON that `PUT /sandbox/faults` accepts.
    pub faults: Option<String>,
    /// Seed of the random numbers, so that a run can be repeated.
    pub seed: u64,
}

impl Default for Options {
    /// A sandbox that knows every user, has no faults, and takes the token `sandbox-token`.
    fn default() -> Self {
        Self {
            port: 0,
            token: "sandbox-token".into(),
            unknown_users: Vec::new(),
            unknown_prefixes: Vec::new(),
            faults: None,
            seed: 0,
        }
    }
}

/// What the whole sandbox shares.
struct Sandbox {
    endpoint: String,
    /// Tells this process from another one on the same port.
    run: String,
    state: Mutex<State>,
    changes: watch::Sender<()>,
    /// Pages that are reading the live stream.
    readers: AtomicUsize,
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
            readers: AtomicUsize::new(0),
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

fn url(address: SocketAddr) -> String {
    format!("http://{address}{EVENTS_PATH}")
}
