//! A fleet at one moment, gathered by a few short statements.

use std::time::{Duration, Instant};

use meditopia::internals::client::RejectedCount;
use meditopia::internals::store::PauseState;
use meditopia_fleet::look::Look;
use meditopia_fleet::look::figures::Figures;
use meditopia_fleet::look::server::{OLD_SNAPSHOT, OldSnapshot};
use meditopia_fleet::members::{self, Host, Lane, Relay};
use meditopia_fleet::place::Place;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::fleet::pause;

/// A fleet.
pub struct FleetSnapshot {
    /// Where its database is.
    pub shown: String,
    pub place: Place,
    pub figures: Figures,
    pub rejected: Vec<RejectedCount>,
    pub hosts: Vec<Host>,
    pub relays: Vec<Relay>,
    pub lanes: Vec<Lane>,
    pub old_snapshots: Vec<OldSnapshot>,
    /// Events delivered per second; `None` if that was not measured.
    pub rate: Option<f64>,
    taken: Instant,
}

impl FleetSnapshot {
    /// Reads the fleet.
    pub fn take(look: &mut Look, shown: &str) -> Result<Self, Failure> {
        Ok(Self {
            shown: shown.to_owned(),
            place: look.place.clone(),
            figures: look.figures()?,
            rejected: look.rejected_by_code()?,
            hosts: members::hosts(&mut look.connection)?,
            relays: members::relays(&mut look.connection)?,
            lanes: members::lanes(&mut look.connection)?,
            old_snapshots: look.old_snapshots(OLD_SNAPSHOT)?,
            rate: None,
            taken: Instant::now(),
        })
    }

    /// The same twice, a second apart, to measure the rate, unless nothing is being sent.
    pub fn with_rate(look: &mut Look, shown: &str) -> Result<Self, Failure> {
        const INTERVAL: Duration = Duration::from_secs(1);
        let first = Self::take(look, shown)?;
        if first.figures.pending() == 0
            || first.living_relays() == 0
            || first.figures.hold.is_some()
        {
            return Ok(first);
        }
        std::thread::sleep(INTERVAL);
        Ok(Self::take(look, shown)?.with_rate_since(&first))
    }

    /// Adds the rate since an earlier snapshot.
    pub fn with_rate_since(mut self, earlier: &Self) -> Self {
        let seconds = self.taken.duration_since(earlier.taken).as_secs_f64();
        let delivered = self.figures.totals.delivered;
        let delivered = delivered.saturating_sub(earlier.figures.totals.delivered);
        self.rate = (seconds > 0.0).then(|| delivered as f64 / seconds);
        self
    }

    /// The age of the oldest pending event in milliseconds.
    pub fn oldest_age_ms(&self) -> Option<i64> {
        let oldest = self.figures.oldest_pending_ms?;
        Some((self.figures.now_ms - oldest).max(0))
    }

    /// The number of rejected events that are kept.
    pub fn rejected_kept(&self) -> u64 {
        self.rejected.iter().map(|count| count.events).sum()
    }

    pub fn living_relays(&self) -> usize {
        self.relays.iter().filter(|relay| relay.is_alive).count()
    }

    /// The living relays that the API refuses.
    pub fn blocked_relays(&self) -> impl Iterator<Item = &Relay> {
        let alive = self.relays.iter().filter(|relay| relay.is_alive);
        alive.filter(|relay| relay.blocked.is_some())
    }

    /// How long no relay was seen, in milliseconds; `None`: there never was one.
    pub fn relays_unseen_ms(&self) -> Option<i64> {
        self.relays.iter().map(|relay| relay.unseen_ms).min()
    }

    /// The hosts that are behind, and since when. A host that is away is behind since it was seen.
    pub fn hosts_behind(&self) -> impl Iterator<Item = (&Host, i64)> {
        let behind = self.hosts.iter().filter(|host| host.behind_bytes > 0);
        behind.map(|host| (host, host.behind_since_ms.unwrap_or(host.seen_ms)))
    }

    /// Lanes in which something waits.
    pub fn waiting_lanes(&self) -> usize {
        self.lanes.iter().filter(|lane| lane.pending > 0).count()
    }

    /// The whole snapshot as one object. What a spool has as well is called as there.
    pub fn to_json(&self) -> Value {
        let figures = &self.figures;
        let totals = &figures.totals;
        let kept = |count: &RejectedCount| json!({ "reason": count.reason, "api_code": count.api_code, "events": count.events });
        let paused = |(lane, pause): &(i16, PauseState)| {
            json!({
                "lane": lane, "reason": pause.reason.name(), "since_ms": pause.since_ms, "next_probe_ms": pause.probe_ms,
                "http_status": pause.http_status, "api_code": pause.api_code, "message": pause.message,
            })
        };
        let behind = |(host, since): (&Host, i64)| {
            json!({
                "name": host.name, "spool": host.spool, "behind_bytes": host.behind_bytes, "behind_since_ms": since,
                "seen_ms": host.seen_ms,
            })
        };
        let relay = |relay: &Relay| {
            json!({
                "name": relay.name, "alive": relay.is_alive, "seen_ms": relay.seen_ms, "lanes": relay.lanes,
                "sorts": relay.sorts, "blocked": relay.blocked, "blocked_until_ms": relay.blocked_until_ms,
            })
        };
        let snapshots = self.old_snapshots.iter();
        let snapshots = snapshots
            .map(|old| json!({ "what": old.what, "age_s": old.age.map(|age| age.as_secs()) }));
        json!({
            "time_ms": figures.now_ms,
            "store": self.shown,
            "endpoint": self.place.endpoint,
            "account": self.place.account,
            "is_elsewhere": !self.place.is_at_home,
            "pending": figures.pending(),
            "not_sorted": figures.in_parcels,
            "oldest_pending_ms": figures.oldest_pending_ms,
            "oldest_age_ms": self.oldest_age_ms(),
            "in_doubt": figures.in_doubt,
            "in_doubt_since_ms": figures.in_doubt_since_ms,
            "delivered": totals.delivered,
            "rejected": totals.rejected,
            "expired": totals.expired,
            "requests": totals.requests,
            "retried_requests": totals.retried_requests,
            "refused_requests": totals.refused_requests,
            "isolation_requests": totals.isolation_requests,
            "paused": pause(figures).map(meditopia::PauseReason::name),
            "hold": figures.hold,
            "pauses": figures.pauses.iter().map(paused).collect::<Vec<_>>(),
            "accepted_rejections_left": figures.allowed_rejections,
            "rejected_kept": self.rejected.iter().map(kept).collect::<Vec<_>>(),
            "delivered_per_s": self.rate,
            "lanes": self.lanes.len(),
            "lanes_without_owner": figures.without_owner,
            "lanes_resting": figures.resting.len(),
            "relays": self.relays.iter().map(relay).collect::<Vec<_>>(),
            "hosts": self.hosts.len(),
            "hosts_behind": self.hosts_behind().map(behind).collect::<Vec<_>>(),
            "old_snapshots": snapshots.collect::<Vec<_>>(),
        })
    }
}
