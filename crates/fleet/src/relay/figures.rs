//! What a relay says of itself, for probes, metrics and the service manager.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use meditopia::internals::clock::wall_ms;
use meditopia::internals::store::Totals;

/// A failure of the database for less is no reason to call somebody.
const AWAY_AT: Duration = Duration::from_secs(5);

/// What a relay does and has done since it was started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// How many lanes the fleet has; 0 until the database was reached.
    pub lanes: usize,
    /// How many of them this relay owns.
    pub lanes_owned: usize,
    /// It takes parcels over into lanes.
    pub sorts: bool,
    /// Events that the API has accepted.
    pub delivered: u64,
    /// Events that the API has refused alone.
    pub rejected: u64,
    /// Events that were too old to be sent.
    pub expired: u64,
    /// Requests that have ended.
    pub requests: u64,
    /// Since when the database cannot be reached: wall time in milliseconds.
    pub away_since_ms: Option<i64>,
    /// The API refuses the address of this host.
    pub is_blocked: bool,
    /// Delivery is paused or held.
    pub is_paused: bool,
    /// Why nothing is delivered, if nothing is.
    pub hindered: Option<String>,
    /// By how much a thread is overdue.
    pub overdue: Duration,
}

/// What the lanes of a relay have done since it was started.
#[derive(Debug, Default)]
pub struct Done {
    pub(super) delivered: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) expired: AtomicU64,
    pub(super) requests: AtomicU64,
}

impl Done {
    /// A step has changed the sums of a lane, which are those of all of its owners.
    pub(super) fn add(&self, before: &Totals, after: &Totals) {
        let add = |counter: &AtomicU64, before: u64, after: u64| {
            counter.fetch_add(after.saturating_sub(before), Ordering::Relaxed);
        };
        add(&self.delivered, before.delivered, after.delivered);
        add(&self.rejected, before.rejected, after.rejected);
        add(&self.expired, before.expired, after.expired);
        add(&self.requests, before.requests, after.requests);
    }
}

/// Since when the database is away, and why.
#[derive(Debug)]
pub(super) struct Away {
    since: Instant,
    pub(super) since_ms: i64,
    pub(super) why: String,
}

impl Away {
    /// From now on.
    pub(super) fn new(why: &str) -> Self {
        Self {
            since: Instant::now(),
            since_ms: wall_ms(),
            why: why.to_owned(),
        }
    }

    /// Whether it lasts.
    pub(super) fn is_lasting(&self) -> bool {
        self.since.elapsed() >= AWAY_AT
    }
}
