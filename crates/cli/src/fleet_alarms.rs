//! What an operator has to be told about a fleet: the same findings for `status --check --store` and `doctor --store`.
//!
//! The name of a finding never changes.

use std::time::Duration;

use meditopia::PauseReason;
use meditopia_fleet::look::server::OldSnapshot;

use crate::alarms::{Alarm, Grade, reached};
use crate::commands::status::fleet::snapshot::FleetSnapshot;
use crate::options::typed::Typed;
use crate::output::fleet::lane_count;
use crate::output::{byte_size, event_count, grouped, pauses, sanitize};
use crate::times::show_span;

/// Relays are services: without one for so long, somebody has to look. A restart takes less.
const NO_RELAY_WARNS: Duration = Duration::from_secs(60);
const NO_RELAY_FAILS: Duration = Duration::from_secs(5 * 60);
/// So long a batch may be in doubt, or a host behind.
const LONG_MS: i64 = 15 * 60 * 1_000;
/// Names that a finding shows.
const SHOWN: usize = 3;

/// The limits of the command line for relays that are not seen: for a warning, and for a critical result.
pub type RelayLimits = (Option<Duration>, Option<Duration>);

/// Everything that is wrong with the fleet. Without limits, relays are missed only while events wait.
pub fn of_fleet(
    snapshot: &FleetSnapshot,
    typed: &Typed,
    limits: Option<RelayLimits>,
) -> Vec<Alarm> {
    let alarms = [
        copied(snapshot, typed),
        held(snapshot, typed),
        paused(snapshot, typed),
        no_relay(snapshot, limits),
        blocked(snapshot),
        api_away(snapshot),
        in_doubt(snapshot, typed),
        hosts_behind(snapshot, typed),
        snapshot
            .old_snapshots
            .first()
            .map(|old| old_snapshot(old, snapshot.old_snapshots.len())),
    ];
    alarms.into_iter().flatten().collect()
}

fn copied(snapshot: &FleetSnapshot, typed: &Typed) -> Option<Alarm> {
    let advice = format!(
        "if no other copy will ever be used: {}",
        typed.command("fleet adopt")
    );
    (!snapshot.place.is_at_home).then(|| {
        Alarm::new(
            "copied",
            Grade::Critical,
            "the database is a copy, or was moved".to_owned(),
            advice,
        )
    })
}

fn held(snapshot: &FleetSnapshot, typed: &Typed) -> Option<Alarm> {
    let hold = snapshot.figures.hold.as_ref()?;
    Some(Alarm::new(
        "held",
        Grade::Warning,
        format!("held by {}", sanitize(&hold.by)),
        pauses::advice(PauseReason::Hold, typed),
    ))
}

fn paused(snapshot: &FleetSnapshot, typed: &Typed) -> Option<Alarm> {
    let figures = &snapshot.figures;
    let reason = figures.pauses.first()?.1.reason;
    Some(Alarm::new(
        "paused",
        Grade::Critical,
        format!("paused: {reason}, {}", lane_count(figures.pauses.len())),
        pauses::advice(reason, typed),
    ))
}

fn no_relay(snapshot: &FleetSnapshot, limits: Option<RelayLimits>) -> Option<Alarm> {
    if snapshot.living_relays() > 0 || !snapshot.place.is_at_home {
        return None;
    }
    let unseen_ms = snapshot.relays_unseen_ms();
    let unseen = unseen_ms.map(|ms| Duration::from_millis(ms.max(0).unsigned_abs()));
    let (time, warn, critical) = match limits {
        Some((warn, critical)) => (unseen.unwrap_or(Duration::MAX), warn, critical),
        None => {
            let waiting = Duration::from_millis(snapshot.oldest_age_ms()?.unsigned_abs());
            let alone = unseen.map_or(waiting, |unseen| unseen.min(waiting));
            (alone, Some(NO_RELAY_WARNS), Some(NO_RELAY_FAILS))
        }
    };
    let grade = reached(time, warn, critical)?;
    let seen = match unseen_ms {
        Some(ago) => format!("no relay was seen for {}", show_span(ago)),
        None => "no relay was ever seen".to_owned(),
    };
    let finding = match snapshot.figures.pending() {
        0 => seen,
        pending => format!("{seen}, and {} pending", event_count(pending)),
    };
    let advice = "start a relay on a host whose address the API accepts";
    Some(Alarm::new("no_relay", grade, finding, advice.to_owned()))
}

fn blocked(snapshot: &FleetSnapshot) -> Option<Alarm> {
    let why = |relay: &meditopia_fleet::members::Relay| {
        let why = relay.blocked.as_deref().unwrap_or_default();
        format!("{} ({})", sanitize(&relay.name), sanitize(why))
    };
    let blocked: Vec<String> = snapshot.blocked_relays().map(why).collect();
    let grade = match blocked.len() {
        0 => return None,
        count if count == snapshot.living_relays() => Grade::Critical,
        _ => Grade::Warning,
    };
    let all = if grade == Grade::Critical {
        "every relay"
    } else {
        "relays"
    };
    let shown = blocked[..blocked.len().min(SHOWN)].join(", ");
    Some(Alarm::new(
        "relay_blocked",
        grade,
        format!("the API refuses the address of {all}: {shown}"),
        "ask Meditopia to allow their addresses; they try again by themselves".to_owned(),
    ))
}

fn api_away(snapshot: &FleetSnapshot) -> Option<Alarm> {
    let waiting = snapshot.waiting_lanes();
    let figures = &snapshot.figures;
    let rest = figures
        .resting
        .iter()
        .map(|(_, until)| until - figures.now_ms);
    (waiting > 0 && figures.resting.len() >= waiting && rest.min() >= Some(5_000)).then(|| {
        Alarm::new(
            "api_away",
            Grade::Warning,
            "every lane in which something waits rests after failed requests".to_owned(),
            "the relays try again by themselves; for the cause see their logs".to_owned(),
        )
    })
}

fn in_doubt(snapshot: &FleetSnapshot, typed: &Typed) -> Option<Alarm> {
    let figures = &snapshot.figures;
    let since = figures.now_ms - figures.in_doubt_since_ms?;
    (since >= LONG_MS).then(|| {
        Alarm::new(
            "in_doubt",
            Grade::Warning,
            format!("a batch is in doubt for {}", show_span(since)),
            format!("see which: {}", typed.command("in-doubt list")),
        )
    })
}

fn hosts_behind(snapshot: &FleetSnapshot, typed: &Typed) -> Option<Alarm> {
    let now_ms = snapshot.figures.now_ms;
    let long = snapshot
        .hosts_behind()
        .filter(|(_, since)| now_ms - since >= LONG_MS);
    let named: Vec<String> = long
        .map(|(host, since)| {
            let bytes = byte_size(host.behind_bytes.unsigned_abs());
            format!(
                "{} ({bytes} for {})",
                sanitize(&host.name),
                show_span(now_ms - since)
            )
        })
        .collect();
    (!named.is_empty()).then(|| {
        Alarm::new(
            "host_behind",
            Grade::Warning,
            format!(
                "{} behind: {}",
                match named.len() {
                    1 => "a host is".to_owned(),
                    count => format!("{} hosts are", grouped(count as u64)),
                },
                named[..named.len().min(SHOWN)].join(", ")
            ),
            format!(
                "see that meditopia forward runs there and reaches the database; all hosts: {}",
                typed.command("fleet hosts")
            ),
        )
    })
}

/// What keeps the server from cleaning up; `count`: how many there are.
pub fn old_snapshot(old: &OldSnapshot, count: usize) -> Alarm {
    let age = old.age.map_or_else(String::new, |age| {
        format!(
            ", for {}",
            show_span(i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
        )
    });
    let more = match count {
        0 | 1 => String::new(),
        count => format!(", and {} more", grouped(count as u64 - 1)),
    };
    Alarm::new(
        "old_snapshot",
        Grade::Warning,
        format!(
            "the server cannot clean up: {}{age}{more}",
            sanitize(&old.what)
        ),
        "end it if nobody needs it; delivery goes on, and tables grow meanwhile".to_owned(),
    )
}
