//! The state of a running sandbox, which all its connections share.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, watch};

use super::Options;
use super::api::Rules;
use super::exchange::EVENTS_PATH;
use super::faults::Faults;
use super::ledger::{Ending, Ledger, wall_ms};
use super::recent::{Details, Recent};
use super::users::UnknownUsers;

/// A running sandbox.
pub(crate) struct Sandbox {
    pub addresses: Addresses,
    /// The bearer token that was good at the start.
    pub first_token: String,
    /// Identifies this run, so that a page notices when another sandbox listens on the same port.
    pub run: String,
    state: Mutex<State>,
    /// Sent to after every change of the state.
    pub changes: watch::Sender<()>,
    /// How many pages read the live stream.
    pub readers: AtomicUsize,
    stopping: AtomicBool,
    pub stopped: Notify,
}

/// The URLs of a sandbox.
pub(crate) struct Addresses {
    pub endpoint: String,
    pub control: String,
    pub page: String,
}

impl From<SocketAddr> for Addresses {
    fn from(address: SocketAddr) -> Self {
        Self {
            endpoint: format!("http://{address}{EVENTS_PATH}"),
            control: format!("http://{address}/sandbox"),
            page: format!("http://{address}/"),
        }
    }
}

/// The part of a sandbox that changes while it runs.
pub(crate) struct State {
    pub rules: Arc<Rules>,
    /// The token that is good, or the last one that was, if it has been revoked.
    pub last_token: String,
    pub faults: Faults,
    pub ledger: Ledger,
    pub recent: Recent,
}

impl State {
    pub(crate) fn set_token(&mut self, token: String) {
        self.last_token = token;
        self.restore_token();
    }

    pub(crate) fn restore_token(&mut self) {
        Arc::make_mut(&mut self.rules).token = Some(self.last_token.clone());
    }

    pub(crate) fn revoke_token(&mut self) {
        Arc::make_mut(&mut self.rules).token = None;
    }

    /// Records the end of a request in the ledger, and keeps `details` of the request for the page.
    pub(crate) fn record_ending(&mut self, number: u64, ending: Ending, details: Details) {
        if let Some(request) = self.ledger.record_ending(number, ending) {
            self.recent.add(request.clone(), details);
        }
    }
}

impl Sandbox {
    pub(crate) fn new(options: &Options, faults: Faults, address: SocketAddr) -> Self {
        let unknown = UnknownUsers::not_found(
            options.unknown_users.clone(),
            options.unknown_prefixes.clone(),
        );
        Self {
            addresses: address.into(),
            first_token: options.token.clone(),
            run: format!("{}-{}", std::process::id(), wall_ms()),
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

    pub(crate) fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changes.send_replace(());
        result
    }

    /// Returns once `condition` holds.
    pub(crate) async fn wait_until(&self, condition: impl Fn(&State) -> bool) {
        let mut changes = self.changes.subscribe();
        // The sender of the changes lives as long as `self`, so waiting for a change cannot fail.
        while !self.read(&condition) && changes.changed().await.is_ok() {}
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.changes.send_replace(());
        self.stopped.notify_one();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}
