//! The lists of hosts, relays and lanes.

use std::process::ExitCode;

use meditopia::internals::clock::wall_ms;
use meditopia_fleet::members::{self, Host, Lane, Relay};
use meditopia_fleet::place::Place;
use serde_json::{Value, json};

use super::ListOptions;
use crate::failure::Failure;
use crate::output::{Output, Tone, byte_size, event_count, grouped, sanitize};
use crate::times::{Zone, show_span};

pub(super) fn hosts(options: &ListOptions) -> Result<ExitCode, Failure> {
    let mut connection = options.store.connect()?;
    Place::read(&mut connection)?;
    let hosts = members::hosts(&mut connection)?;
    print(options, &hosts, host_json, |host, zone, out| {
        host_line(host, wall_ms(), zone, out)
    })
}

pub(super) fn relays(options: &ListOptions) -> Result<ExitCode, Failure> {
    let mut connection = options.store.connect()?;
    Place::read(&mut connection)?;
    let relays = members::relays(&mut connection)?;
    print(options, &relays, relay_json, relay_line)
}

pub(super) fn lanes(options: &ListOptions) -> Result<ExitCode, Failure> {
    let mut connection = options.store.connect()?;
    Place::read(&mut connection)?;
    let lanes = members::lanes(&mut connection)?;
    print(options, &lanes, lane_json, lane_line)
}

fn print<T>(
    options: &ListOptions,
    rows: &[T],
    to_json: fn(&T) -> Value,
    line: impl Fn(&T, &Zone, &Output) -> String,
) -> Result<ExitCode, Failure> {
    let zone = Zone::new(options.output.utc);
    let mut out = options.output.open();
    for row in rows {
        match options.output.json {
            true => out.line(to_json(row).to_string())?,
            false => {
                let text = line(row, &zone, &out);
                out.line(text)?;
            }
        }
    }
    if rows.is_empty() && !options.output.json {
        out.line("none")?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn host_line(host: &Host, now_ms: i64, zone: &Zone, out: &Output) -> String {
    let behind = match (host.behind_bytes, host.behind_since_ms) {
        (0, _) => out.paint(Tone::Good, "nothing waits there"),
        (bytes, since) => {
            let since = since.map_or_else(String::new, |since| {
                format!(" for {}", show_span((now_ms - since).max(0)))
            });
            let text = format!("{} wait{since}", byte_size(bytes.unsigned_abs()));
            out.paint(Tone::Warning, &text)
        }
    };
    format!(
        "{}  seen {}  {} forwarded, {behind}{}  meditopia {}  spool {}",
        sanitize(&host.name),
        zone.show(host.seen_ms),
        event_count(host.events.unsigned_abs()),
        if host.closed { ", closed" } else { "" },
        sanitize(&host.version),
        host.spool,
    )
}

fn host_json(host: &Host) -> Value {
    json!({
        "spool": host.spool, "name": host.name, "version": host.version, "events": host.events,
        "behind_bytes": host.behind_bytes, "behind_since_ms": host.behind_since_ms,
        "closed": host.closed, "seen_ms": host.seen_ms,
    })
}

fn relay_line(relay: &Relay, zone: &Zone, out: &Output) -> String {
    let blocked = relay.blocked.as_deref().map_or_else(String::new, |why| {
        let until = relay.blocked_until_ms.map_or_else(String::new, |until| {
            format!(", tries again at {}", zone.show(until))
        });
        let why = format!("  blocked: {}{until}", sanitize(why));
        out.paint(Tone::Bad, &why)
    });
    format!(
        "{}  seen {}  {} lane{}{}{blocked}  meditopia {}",
        sanitize(&relay.name),
        zone.show(relay.seen_ms),
        relay.lanes,
        if relay.lanes == 1 { "" } else { "s" },
        if relay.sorts { ", sorts" } else { "" },
        sanitize(&relay.version),
    )
}

fn relay_json(relay: &Relay) -> Value {
    json!({
        "id": relay.id, "name": relay.name, "version": relay.version, "seen_ms": relay.seen_ms,
        "blocked": relay.blocked, "blocked_until_ms": relay.blocked_until_ms,
        "lanes": relay.lanes, "sorts": relay.sorts,
    })
}

fn lane_line(lane: &Lane, zone: &Zone, out: &Output) -> String {
    let owner = match (&lane.owner, lane.lease_ms) {
        (Some(owner), Some(left)) => {
            format!("{} for {} more", sanitize(owner), show_span(left.max(0)))
        }
        _ => out.paint(Tone::Warning, "no relay"),
    };
    let in_doubt = lane.in_doubt_since_ms.map_or_else(String::new, |since| {
        format!(", in doubt since {}", zone.show(since))
    });
    format!(
        "{:>3}  {owner}  {} pending, {} delivered, {} rejected{in_doubt}",
        lane.lane,
        grouped(lane.pending.unsigned_abs()),
        grouped(lane.delivered.unsigned_abs()),
        grouped(lane.rejected.unsigned_abs()),
    )
}

fn lane_json(lane: &Lane) -> Value {
    json!({
        "lane": lane.lane, "owner": lane.owner, "lease_ms": lane.lease_ms, "pending": lane.pending,
        "delivered": lane.delivered, "rejected": lane.rejected,
        "in_doubt_since_ms": lane.in_doubt_since_ms,
    })
}
