//! Renders a fleet for an operator: as a table that ends with what to do next, or as one line.

use meditopia::PauseReason;

use super::snapshot::FleetSnapshot;
use crate::commands::status::table::{each_once, rejected};
use crate::fleet_alarms;
use crate::options::typed::Typed;
use crate::output::fleet::{held, lane_count, pause};
use crate::output::{Output, Tone, byte_size, event_count, grouped, sanitize};
use crate::times::{Zone, show_span};

/// Names that a line shows.
const SHOWN: usize = 5;

/// The lines of the table.
pub fn lines(snapshot: &FleetSnapshot, typed: &Typed, zone: &Zone, out: &Output) -> Vec<String> {
    let figures = &snapshot.figures;
    let mut rows = vec![("store", sanitize(&snapshot.shown))];
    rows.push(("endpoint", sanitize(&snapshot.place.endpoint)));
    if !snapshot.place.account.is_empty() {
        rows.push(("account", sanitize(&snapshot.place.account)));
    }
    let (tone, state) = state(snapshot, zone);
    rows.push(("state", out.paint(tone, &state)));
    for (lane, pause) in figures.pauses.iter().take(SHOWN) {
        let error = pause.error(figures.pending(), figures.now_ms);
        rows.push(("", format!("lane {lane}: {}", sanitize(error.message()))));
    }
    rows.push(("relays", relays(snapshot)));
    rows.push(("lanes", lanes(snapshot)));
    rows.push(("hosts", hosts(snapshot, zone)));
    rows.push(("pending", pending(snapshot)));
    rows.push((
        "in doubt",
        match (figures.in_doubt, figures.in_doubt_since_ms) {
            (0, _) => "none".to_owned(),
            (events, Some(since)) => format!(
                "{} of the pending events, the first since {}",
                grouped(events),
                zone.show(since)
            ),
            (events, None) => format!("{} of the pending events", grouped(events)),
        },
    ));
    let kept = rejected(&snapshot.rejected);
    rows.push((
        "rejected",
        match snapshot.rejected_kept() {
            0 => kept,
            _ => out.paint(Tone::Warning, &kept),
        },
    ));
    if figures.allowed_rejections > 0 {
        let events = event_count(figures.allowed_rejections);
        rows.push(("", format!("{events} more may be rejected without a pause")));
    }
    rows.push((
        "rate",
        match snapshot.rate {
            Some(rate) => format!("{rate:.1} events delivered per second"),
            None => "not measured: nothing is being sent".to_owned(),
        },
    ));
    let totals = &figures.totals;
    rows.push((
        "in all",
        format!(
            "{} delivered, {} rejected, {} expired, in {} requests",
            grouped(totals.delivered),
            grouped(totals.rejected),
            grouped(totals.expired),
            grouped(totals.requests)
        ),
    ));
    for advice in advice(snapshot, typed) {
        rows.push(("next", advice));
    }
    let line = |(name, text): (&str, String)| {
        format!("{}  {text}", out.paint(Tone::Label, &format!("{name:<8}")))
    };
    rows.into_iter().map(line).collect()
}

/// The most important figures in one line, for `--watch` into a file or a pipe.
pub fn line(snapshot: &FleetSnapshot, zone: &Zone) -> String {
    let figures = &snapshot.figures;
    format!(
        "{}  pending {}  oldest {}  in doubt {}  rejected {}  delivered {}  rate {:.1}/s  relays {}  paused {}",
        zone.show(figures.now_ms),
        figures.pending(),
        snapshot
            .oldest_age_ms()
            .map_or_else(|| "-".to_owned(), show_span),
        figures.in_doubt,
        snapshot.rejected_kept(),
        figures.totals.delivered,
        snapshot.rate.unwrap_or(0.0),
        snapshot.living_relays(),
        pause(figures).map_or("no", PauseReason::name),
    )
}

fn state(snapshot: &FleetSnapshot, zone: &Zone) -> (Tone, String) {
    let figures = &snapshot.figures;
    if !snapshot.place.is_at_home {
        let what = "a copy, or moved here; no relay uses it until it is adopted";
        return (Tone::Bad, what.to_owned());
    }
    if let Some(hold) = &figures.hold {
        return (Tone::Warning, held(hold, zone));
    }
    let (living, blocked) = (snapshot.living_relays(), snapshot.blocked_relays().count());
    match pause(figures) {
        Some(reason) => {
            let paused = lane_count(figures.pauses.len());
            return (Tone::Bad, format!("paused: {reason}, {paused}"));
        }
        None if living > 0 && blocked == living => {
            let what = "the API refuses the address of every relay";
            return (Tone::Bad, what.to_owned());
        }
        None => {}
    }
    match (figures.pending(), living) {
        (0, _) => (Tone::Good, "nothing is pending".to_owned()),
        (_, 0) => (
            Tone::Bad,
            "events are pending, and no relay is alive".to_owned(),
        ),
        _ if figures.resting.len() >= snapshot.waiting_lanes().max(1) => {
            let until = figures.resting.iter().map(|(_, until)| *until).min();
            let left = show_span(until.unwrap_or(figures.now_ms) - figures.now_ms);
            (Tone::Warning, format!("waiting for a retry in {left}"))
        }
        _ => (Tone::Good, "sending".to_owned()),
    }
}

fn relays(snapshot: &FleetSnapshot) -> String {
    let alive = snapshot.relays.iter().filter(|relay| relay.is_alive);
    let named = alive.map(|relay| {
        format!(
            "{} ({}{}{})",
            sanitize(&relay.name),
            lane_count(usize::try_from(relay.lanes).unwrap_or(0)),
            if relay.sorts { ", sorts" } else { "" },
            relay
                .blocked
                .as_deref()
                .map_or_else(String::new, |why| format!(", blocked: {}", sanitize(why))),
        )
    });
    match (snapshot.living_relays(), snapshot.relays_unseen_ms()) {
        (0, None) => "no relay was ever seen".to_owned(),
        (0, Some(unseen)) => format!("none is alive; the last was seen {} ago", show_span(unseen)),
        (living, _) => {
            let more = match living.saturating_sub(SHOWN) {
                0 => String::new(),
                more => format!(" and {} more", grouped(more as u64)),
            };
            let named: Vec<_> = named.take(SHOWN).collect();
            format!(
                "{} alive: {}{more}",
                grouped(living as u64),
                named.join(", ")
            )
        }
    }
}

fn lanes(snapshot: &FleetSnapshot) -> String {
    let all = lane_count(snapshot.lanes.len());
    match snapshot.figures.without_owner {
        0 => format!("{all}, each with a relay"),
        without => format!("{all}, {} without a relay", grouped(without)),
    }
}

fn hosts(snapshot: &FleetSnapshot, zone: &Zone) -> String {
    let all = grouped(snapshot.hosts.len() as u64);
    let behind: Vec<_> = snapshot
        .hosts_behind()
        .map(|(host, since)| {
            format!(
                "{} ({} since {})",
                sanitize(&host.name),
                byte_size(host.behind_bytes.unsigned_abs()),
                zone.show(since)
            )
        })
        .collect();
    match behind.len() {
        0 => all,
        count => format!(
            "{all}, {} behind: {}{}",
            grouped(count as u64),
            behind[..count.min(SHOWN)].join(", "),
            if count > SHOWN { ", ..." } else { "" }
        ),
    }
}

fn pending(snapshot: &FleetSnapshot) -> String {
    let figures = &snapshot.figures;
    let mut text = event_count(figures.pending());
    if figures.in_parcels > 0 {
        text += &format!(", {} of them not sorted", grouped(figures.in_parcels));
    }
    if let Some(age) = snapshot.oldest_age_ms() {
        text += &format!(", the oldest for {}", show_span(age));
    }
    text
}

/// What to do next: one line for each finding, with the command to type.
fn advice(snapshot: &FleetSnapshot, typed: &Typed) -> Vec<String> {
    let alarms = fleet_alarms::of_fleet(snapshot, typed, None).into_iter();
    let mut advice: Vec<String> = alarms.map(|alarm| alarm.advice).collect();
    if snapshot.rejected_kept() > 0 {
        advice.push(format!(
            "see what was rejected: {}",
            typed.command("rejected list")
        ));
    }
    each_once(advice)
}
