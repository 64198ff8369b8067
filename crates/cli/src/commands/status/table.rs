//! Renders a snapshot for an operator: as a table that ends with what to do next, or as one line.

use std::path::Path;

use meditopia::internals::client::RejectedCount;
use meditopia::{PauseReason, RejectedReason};

use super::sender_state::SenderState;
use super::snapshot::Snapshot;
use crate::alarms::{self, Patience};
use crate::options::typed::Typed;
use crate::output::{Output, Tone, byte_size, event_count, grouped, sanitize};
use crate::output::{failures, figures, forwarding, pauses};
use crate::times::{Zone, show_span};

/// The lines of the table.
pub fn lines(
    snapshot: &Snapshot,
    dir: &Path,
    typed: &Typed,
    zone: &Zone,
    out: &Output,
) -> Vec<String> {
    let stats = &snapshot.stats;
    let mut rows = vec![("spool", sanitize(&dir.display().to_string()))];
    rows.push(("endpoint", sanitize(&snapshot.known.endpoint)));
    if !snapshot.known.account.is_empty() {
        rows.push(("account", sanitize(&snapshot.known.account)));
    }
    if let Some(record) = &snapshot.forwarding {
        let forwarded = forwarding::describe(record, snapshot.now_ms);
        rows.push((
            "forward",
            match record.failing_since_ms {
                Some(_) => out.paint(Tone::Bad, &forwarded),
                None => forwarded,
            },
        ));
    }
    let (tone, state) = state(snapshot, zone);
    rows.push(("state", out.paint(tone, &state)));
    if !snapshot.pause.is_empty() {
        rows.push(("", sanitize(&snapshot.pause)));
    }
    if let Some(failed) = &snapshot.last_failure {
        rows.push(("failed", failures::describe(failed, snapshot.now_ms)));
    }
    rows.push(("sender", sender(snapshot, zone)));
    rows.push(("pending", pending(snapshot)));
    rows.push(("in doubt", figures::in_doubt(stats)));
    let kept = match &snapshot.rejected {
        Some(counts) => rejected(counts),
        None => figures::UNKNOWN.to_owned(),
    };
    rows.push((
        "rejected",
        match snapshot.rejected_kept() {
            0 => kept,
            _ => out.paint(Tone::Warning, &kept),
        },
    ));
    if snapshot.allowed_rejections > 0 {
        let events = event_count(snapshot.allowed_rejections);
        rows.push(("", format!("{events} more may be rejected without a pause")));
    }
    rows.push((
        "rate",
        match snapshot.rate {
            Some(rate) => format!("{rate:.1} events delivered per second"),
            None => "not measured: nothing is being sent".to_owned(),
        },
    ));
    rows.push(("journal", journal(snapshot)));
    let free = figures::free(&snapshot.disk);
    rows.push((
        "disk",
        match snapshot.disk.is_full {
            true => out.paint(Tone::Bad, &format!("full: enqueue is refused; {free}")),
            false => free,
        },
    ));
    rows.push(("in all", totals(snapshot)));
    for advice in advice(snapshot, typed) {
        rows.push(("next", advice));
    }
    let line = |(name, text): (&str, String)| {
        format!("{}  {text}", out.paint(Tone::Label, &format!("{name:<8}")))
    };
    rows.into_iter().map(line).collect()
}

/// The most important figures in one line, for `--watch` into a file or a pipe.
pub fn line(snapshot: &Snapshot, zone: &Zone) -> String {
    let stats = &snapshot.stats;
    let oldest = snapshot
        .oldest_age_ms()
        .map_or_else(|| "-".to_owned(), show_span);
    let paused = stats.paused.map_or("no", PauseReason::name);
    let sender = match (stats.sender_pid, snapshot.is_sender_alive()) {
        (Some(pid), true) => pid.to_string(),
        _ => snapshot.sender.name().to_owned(),
    };
    let pending = match stats.store_unreadable {
        true => "unknown".to_owned(),
        false => stats.pending.to_string(),
    };
    let retry = snapshot.retry().map_or_else(String::new, |retry| {
        format!("  {}", retry.in_words(snapshot.now_ms))
    });
    format!(
        "{}  pending {pending}  oldest {oldest}  in doubt {}  rejected {}  delivered {}  rate {:.1}/s  sender {sender}  paused {paused}{retry}",
        zone.show(snapshot.now_ms),
        stats.in_doubt,
        snapshot.rejected_kept(),
        stats.delivered,
        snapshot.rate.unwrap_or(0.0),
    )
}

fn state(snapshot: &Snapshot, zone: &Zone) -> (Tone, String) {
    let stats = &snapshot.stats;
    if snapshot.known.is_elsewhere {
        return (
            Tone::Bad,
            "copied or moved here; nothing can open it until it is adopted".to_owned(),
        );
    }
    let Some(reason) = stats.paused else {
        return match (stats.pending, snapshot.sender, snapshot.retry()) {
            (_, SenderState::Stopped | SenderState::Silent, _) => (
                Tone::Bad,
                "nothing is sent: the elected process does not answer".to_owned(),
            ),
            (0, ..) => (Tone::Good, "nothing is pending".to_owned()),
            (_, SenderState::None, _) if snapshot.forwarding.is_some() => (
                Tone::Warning,
                "events are pending, and no forwarder is running".to_owned(),
            ),
            (_, SenderState::None, _) => (
                Tone::Warning,
                "events are pending, and no sender is running".to_owned(),
            ),
            (_, SenderState::Alive, _) if snapshot.is_store_away() => {
                (Tone::Bad, "the database cannot be reached".to_owned())
            }
            (_, SenderState::Alive, _) if snapshot.forwarding.is_some() => {
                (Tone::Good, "forwarding".to_owned())
            }
            (_, SenderState::Alive, None) => (Tone::Good, "sending".to_owned()),
            (_, SenderState::Alive, Some(retry)) => (
                Tone::Warning,
                format!("waiting for a retry: {}", retry.in_words(snapshot.now_ms)),
            ),
        };
    };
    let tone = match reason {
        PauseReason::Hold => Tone::Warning,
        _ => Tone::Bad,
    };
    (tone, pauses::describe(reason, stats, snapshot.now_ms, zone))
}

fn sender(snapshot: &Snapshot, zone: &Zone) -> String {
    let (Some(pid), Some(at)) = (snapshot.stats.sender_pid, snapshot.stats.sender_seen_ms) else {
        return "no sender was ever seen".to_owned();
    };
    if let Some(problem) = snapshot.sender.problem(&snapshot.stats, snapshot.now_ms) {
        return problem;
    }
    match snapshot.is_sender_alive() {
        true => format!("pid {pid} is alive"),
        false => format!(
            "none; the last was pid {pid}, seen {} ({} ago)",
            zone.show(at),
            show_span(snapshot.now_ms - at)
        ),
    }
}

fn pending(snapshot: &Snapshot) -> String {
    let pending = figures::pending(&snapshot.stats);
    match snapshot.oldest_age_ms() {
        Some(age) => format!("{pending}, the oldest for {}", show_span(age)),
        None => pending,
    }
}

/// How many rejected events are kept, and why.
pub fn rejected(counts: &[RejectedCount]) -> String {
    let part = |count: &RejectedCount| format!("{} {}", grouped(count.events), reason(count));
    let parts: Vec<_> = counts.iter().map(part).collect();
    match parts.as_slice() {
        [] => "none kept".to_owned(),
        parts => format!(
            "{} kept: {}",
            grouped(counts.iter().map(|count| count.events).sum()),
            parts.join(", ")
        ),
    }
}

fn reason(count: &RejectedCount) -> String {
    match (count.api_code.as_str(), count.reason) {
        ("", RejectedReason::Refused) => "refused without a code".to_owned(),
        ("", RejectedReason::Expired) => "expired".to_owned(),
        ("", RejectedReason::SetAside) => "set aside".to_owned(),
        (code, _) => sanitize(code),
    }
}

fn journal(snapshot: &Snapshot) -> String {
    let stats = &snapshot.stats;
    let s = if stats.segments == 1 { "" } else { "s" };
    let mut text = format!(
        "{} segment{s}, {} not taken over",
        grouped(stats.segments),
        byte_size(stats.journal_bytes)
    );
    if stats.damaged_records > 0 {
        text += &format!(", {} damaged records", grouped(stats.damaged_records));
    }
    if stats.lost > 0 {
        text += &format!(
            ", at most {} lost to a damaged store",
            event_count(stats.lost)
        );
    }
    text
}

fn totals(snapshot: &Snapshot) -> String {
    let stats = &snapshot.stats;
    if stats.store_unreadable {
        return figures::UNKNOWN.to_owned();
    }
    format!(
        "{} delivered, {} rejected, {} expired, in {} requests",
        grouped(stats.delivered),
        grouped(stats.rejected),
        grouped(stats.expired),
        grouped(stats.requests)
    )
}

/// What to do next: one line for each finding, with the command to type.
fn advice(snapshot: &Snapshot, typed: &Typed) -> Vec<String> {
    let stats = &snapshot.stats;
    let paused = stats.paused;
    let other_way = paused.and_then(|reason| pauses::other_way(reason, stats.pending, typed));
    let alarms = alarms::of_spool(snapshot, typed, Patience::WhileEventsWait).into_iter();
    let mut advice: Vec<String> = other_way
        .into_iter()
        .chain(alarms.map(|alarm| alarm.advice))
        .collect();
    let is_stuck = snapshot.sender.advice(stats).is_some();
    if stats.paused.is_none() && !is_stuck && stats.pending > 0 {
        if !snapshot.is_sender_alive() {
            // Sooner than it is an alarm.
            advice.push(alarms::start_process(snapshot, typed));
        } else if snapshot.retry().is_some() {
            advice.push(alarms::find_cause(typed));
        }
    }
    if snapshot.rejected_kept() > 0 {
        advice.push(format!(
            "see what was rejected: {}",
            typed.command("rejected list")
        ));
    }
    each_once(advice)
}

/// The lines without repetitions.
pub fn each_once(mut lines: Vec<String>) -> Vec<String> {
    let mut seen = Vec::new();
    lines.retain(|line| {
        let is_new = !seen.contains(line);
        seen.push(line.clone());
        is_new
    });
    lines
}
