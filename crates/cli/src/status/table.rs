//! A snapshot for people: what is, in a column of names, and what to do next.

use std::path::Path;

use meditopia::PauseReason;
use meditopia::RejectedReason;
use meditopia::internals::client::RejectedCount;

use super::snapshot::Snapshot;
use crate::output::{Output, Tone, bytes, events, grouped, plain};
use crate::pauses;
use crate::times::{Zone, show_span};

/// The table's lines.
pub fn lines(seen: &Snapshot, dir: &Path, zone: &Zone, out: &Output) -> Vec<String> {
    let stats = &seen.stats;
    let mut rows = vec![("spool", dir.display().to_string())];
    rows.push(("endpoint", plain(&seen.known.endpoint)));
    if !seen.known.account.is_empty() {
        rows.push(("account", plain(&seen.known.account)));
    }
    let (tone, state) = state(seen, zone);
    rows.push(("state", out.paint(tone, &state)));
    if !seen.pause.is_empty() {
        rows.push(("", plain(&seen.pause)));
    }
    rows.push(("sender", sender(seen, zone)));
    rows.push(("pending", pending(seen)));
    rows.push(("in doubt", events(stats.in_doubt)));
    let kept = rejected(seen);
    rows.push((
        "rejected",
        match seen.rejected_kept() {
            0 => kept,
            _ => out.paint(Tone::Warning, &kept),
        },
    ));
    rows.push((
        "rate",
        match seen.rate {
            Some(rate) => format!("{rate:.1} events delivered in a second"),
            None => "not measured: nothing is on its way".to_owned(),
        },
    ));
    rows.push(("journal", journal(seen)));
    let free = format!("{} free", bytes(seen.room.free_bytes));
    rows.push((
        "disk",
        match seen.room.is_full {
            true => out.paint(Tone::Bad, &format!("full: enqueue is refused; {free}")),
            false => free,
        },
    ));
    rows.push(("in all", totals(seen)));
    for advice in advice(seen, dir) {
        rows.push(("next", advice));
    }
    let line = |(name, text): (&str, String)| {
        format!("{}  {text}", out.paint(Tone::Label, &format!("{name:<8}")))
    };
    rows.into_iter().map(line).collect()
}

/// The most important of it in a line, for a log.
pub fn line(seen: &Snapshot, zone: &Zone) -> String {
    let stats = &seen.stats;
    let oldest = seen
        .oldest_age_ms()
        .map_or_else(|| "-".to_owned(), show_span);
    let paused = stats.paused.map_or("no", PauseReason::name);
    let sender = match (stats.sender_pid, seen.is_sender_alive()) {
        (Some(pid), true) => pid.to_string(),
        _ => "none".to_owned(),
    };
    let retry = seen.retry().map_or_else(String::new, |retry| {
        format!("  {}", retry.in_words(seen.now_ms))
    });
    format!(
        "{}  pending {}  oldest {oldest}  in doubt {}  rejected {}  delivered {}  rate {:.1}/s  sender {sender}  paused {paused}{retry}",
        zone.show(seen.now_ms),
        stats.pending,
        stats.in_doubt,
        seen.rejected_kept(),
        stats.delivered,
        seen.rate.unwrap_or(0.0),
    )
}

fn state(seen: &Snapshot, zone: &Zone) -> (Tone, String) {
    let stats = &seen.stats;
    if seen.known.is_elsewhere {
        return (
            Tone::Bad,
            "copied or moved here, and opened by nobody until it is adopted".to_owned(),
        );
    }
    let Some(reason) = stats.paused else {
        return match (stats.pending, seen.is_sender_alive(), seen.retry()) {
            (0, ..) => (Tone::Good, "all is delivered".to_owned()),
            (_, false, _) => (Tone::Warning, "events wait, and nobody sends".to_owned()),
            (_, true, None) => (Tone::Good, "sending".to_owned()),
            (_, true, Some(retry)) => (
                Tone::Warning,
                format!("waiting for a retry: {}", retry.in_words(seen.now_ms)),
            ),
        };
    };
    let tone = match reason {
        PauseReason::Hold => Tone::Warning,
        _ => Tone::Bad,
    };
    (tone, pauses::in_words(reason, stats, seen.now_ms, zone))
}

fn sender(seen: &Snapshot, zone: &Zone) -> String {
    let (Some(pid), Some(at)) = (seen.stats.sender_pid, seen.stats.sender_seen_ms) else {
        return "none was ever seen".to_owned();
    };
    match seen.is_sender_alive() {
        true => format!("pid {pid} is alive"),
        false => format!(
            "none; the last was pid {pid}, seen {} ({} ago)",
            zone.show(at),
            show_span(seen.now_ms - at)
        ),
    }
}

fn pending(seen: &Snapshot) -> String {
    let waiting = events(seen.stats.pending);
    match seen.oldest_age_ms() {
        Some(age) => format!("{waiting}, the oldest for {}", show_span(age)),
        None => waiting,
    }
}

fn rejected(seen: &Snapshot) -> String {
    let Some(counts) = &seen.rejected else {
        return "unknown: the store cannot be read".to_owned();
    };
    let shown = |count: &RejectedCount| format!("{} {}", grouped(count.events), name(count));
    let parts: Vec<_> = counts.iter().map(shown).collect();
    match parts.as_slice() {
        [] => "none kept".to_owned(),
        parts => format!(
            "{} kept: {}",
            grouped(seen.rejected_kept()),
            parts.join(", ")
        ),
    }
}

fn name(count: &RejectedCount) -> String {
    match (count.api_code.as_str(), count.reason) {
        ("", RejectedReason::Refused) => "refused without a code".to_owned(),
        ("", RejectedReason::Expired) => "expired".to_owned(),
        ("", RejectedReason::SetAside) => "set aside".to_owned(),
        (code, _) => plain(code),
    }
}

fn journal(seen: &Snapshot) -> String {
    let stats = &seen.stats;
    let s = if stats.segments == 1 { "" } else { "s" };
    let mut text = format!(
        "{} segment{s}, {} not taken over",
        grouped(stats.segments),
        bytes(stats.journal_bytes)
    );
    if stats.damaged_records > 0 {
        text += &format!(", {} damaged records", grouped(stats.damaged_records));
    }
    if stats.lost > 0 {
        text += &format!(", {} lost to a damaged store", events(stats.lost));
    }
    text
}

fn totals(seen: &Snapshot) -> String {
    let stats = &seen.stats;
    format!(
        "{} delivered, {} rejected, {} expired, in {} requests",
        grouped(stats.delivered),
        grouped(stats.rejected),
        grouped(stats.expired),
        grouped(stats.requests)
    )
}

/// What to do next: a command of this program where there is one.
fn advice(seen: &Snapshot, dir: &Path) -> Vec<String> {
    let spool = dir.display();
    let stats = &seen.stats;
    let mut advice = Vec::new();
    if seen.known.is_elsewhere {
        advice.push(format!(
            "if no other copy will ever send: meditopia adopt {spool}"
        ));
    }
    if let Some(reason) = stats.paused {
        advice.push(pauses::advice(reason, dir));
    } else if stats.pending > 0 && !seen.is_sender_alive() {
        advice.push("start the program that sends from this spool".to_owned());
    } else if stats.pending > 0 && seen.retry().is_some() {
        advice.push(format!(
            "it tries again by itself; why it fails, the sender's log says, or: meditopia doctor --spool {spool}"
        ));
    }
    if seen.room.is_full {
        advice
            .push("free some space on the spool's disk; what was acknowledged is kept".to_owned());
    }
    if seen.rejected_kept() > 0 && stats.paused != Some(PauseReason::MassRejection) {
        advice.push(format!(
            "see what is rejected: meditopia rejected list {spool}"
        ));
    }
    advice
}
