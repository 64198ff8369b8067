//! What the endpoint of a relay answers.

use std::sync::Arc;
use std::time::Duration;

use meditopia::internals::stats::text::seconds;
use meditopia_fleet::relay::{Figures, Relay};

use super::super::TOLERANCE;
use crate::endpoint::Answers;
use crate::output::event_count;
use crate::output::metrics::{self, flag, number};

/// A relay.
#[derive(Clone)]
pub struct RelayAnswers {
    pub relay: Arc<Relay>,
}

impl Answers for RelayAnswers {
    async fn alive(&self) -> Result<String, String> {
        check_alive(&self.relay, TOLERANCE).map(|()| "alive".to_owned())
    }

    async fn ready(&self) -> Result<String, String> {
        check_ready(&self.relay)
    }

    async fn metrics(&self) -> Result<String, String> {
        let relay = self.relay.clone();
        let pending = tokio::task::spawn_blocking(move || relay.pending()).await;
        // While the database is away, the other figures are what an operator wants to see.
        let pending = pending.ok().and_then(Result::ok);
        Ok(text(self.relay.name(), &self.relay.figures(), pending))
    }
}

/// Whether no thread is stuck.
pub fn check_alive(relay: &Relay, tolerance: Duration) -> Result<(), String> {
    let overdue = relay.figures().overdue;
    if overdue < tolerance {
        return Ok(());
    }
    Err(format!(
        "the relay is stuck: one of its threads is overdue by {} s",
        overdue.as_secs()
    ))
}

/// Whether it delivers, or would.
pub fn check_ready(relay: &Relay) -> Result<String, String> {
    let figures = relay.figures();
    if let Some(why) = &figures.hindered {
        return Err(why.clone());
    }
    let sorts = if figures.sorts { ", sorts" } else { "" };
    let delivered = event_count(figures.delivered);
    Ok(format!(
        "owns {} of {} lanes{sorts}; {delivered} delivered by this process",
        figures.lanes_owned, figures.lanes
    ))
}

fn text(name: &str, figures: &Figures, pending: Option<i64>) -> String {
    let labels = [("relay", name)];
    let counters = [
        (
            "meditopia_relay_delivered_total",
            "Events that the API has accepted from this process.",
            number(figures.delivered),
        ),
        (
            "meditopia_relay_rejected_total",
            "Events that the API has refused alone, and this process has set aside.",
            number(figures.rejected),
        ),
        (
            "meditopia_relay_expired_total",
            "Events that this process has not sent because they were older than event_ttl_s.",
            number(figures.expired),
        ),
        (
            "meditopia_relay_requests_total",
            "Requests that this process has sent.",
            number(figures.requests),
        ),
    ];
    let gauges = [
        (
            "meditopia_relay_lanes",
            "Lanes that this relay owns.",
            number(figures.lanes_owned),
        ),
        (
            "meditopia_relay_sorts",
            "Whether this relay takes parcels over into lanes.",
            flag(figures.sorts),
        ),
        (
            "meditopia_relay_database_away",
            "Whether the last attempt to reach the database has failed.",
            flag(figures.away_since_ms.is_some()),
        ),
        (
            "meditopia_relay_database_away_since_seconds",
            "Since when the database cannot be reached, as seconds since 1970.",
            figures.away_since_ms.map(seconds),
        ),
        (
            "meditopia_relay_blocked",
            "Whether the API refuses the address of this relay.",
            flag(figures.is_blocked),
        ),
        (
            "meditopia_relay_paused",
            "Whether delivery is paused or held.",
            flag(figures.is_paused),
        ),
        (
            "meditopia_relay_overdue_seconds",
            "By how much a thread of this relay is overdue.",
            Some(format!("{:.3}", figures.overdue.as_secs_f64())),
        ),
        (
            "meditopia_fleet_pending",
            "Events of the whole fleet that are in the database and still to be delivered.",
            pending.and_then(number),
        ),
    ];
    metrics::counters(&labels, &counters) + &metrics::gauges(&labels, &gauges)
}
