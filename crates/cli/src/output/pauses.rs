//! What operators are told about a pause: the reason, and what ends it.

use meditopia::{PauseReason, Stats};

use crate::options::typed::Typed;
use crate::times::{Zone, show_span};

/// The reason of the pause, its beginning, and the next probe.
pub fn describe(reason: PauseReason, stats: &Stats, now_ms: i64, zone: &Zone) -> String {
    let mut text = format!("paused: {reason}");
    if let Some(since) = stats.paused_since_ms {
        text += &format!(", since {}", zone.show(since));
    }
    match (stats.next_probe_ms, reason) {
        (Some(at), _) if at <= now_ms => text += ", the next probe is due",
        (Some(at), _) => text += &format!(", next probe in {}", show_span(at - now_ms)),
        (None, PauseReason::StoreDamaged) => {}
        (None, _) => text += ", until it is resumed",
    }
    text
}

/// What the operator can do to end the pause.
pub fn advice(reason: PauseReason, typed: &Typed) -> String {
    let spool = typed.words();
    match reason {
        PauseReason::Auth => format!(
            "put a valid bearer token where the sender reads it; delivery then continues by itself, or at once with: meditopia resume {spool}"
        ),
        PauseReason::Ip => format!(
            "ask Meditopia to allow this host's address; delivery then continues by itself, or at once with: meditopia resume {spool}"
        ),
        PauseReason::Misrouted => format!(
            "check the endpoint and what is in between (proxy, firewall); then: meditopia resume {spool}"
        ),
        PauseReason::MassRejection => format!(
            "if something else is wrong, such as the account or the endpoint, put it right, then: meditopia resume {spool}"
        ),
        PauseReason::ServerError => format!(
            "the API fails on one batch: find the event that causes it with: meditopia in-doubt bisect {spool}"
        ),
        PauseReason::StoreDamaged => {
            format!("copy the spool, stop its sender, then: meditopia recover {spool}")
        }
        PauseReason::Hold => format!("to send again: meditopia resume {spool}"),
    }
}

/// Another way to end the pause. It depends on what the operator knows which one is right.
pub fn other_way(reason: PauseReason, pending: u64, typed: &Typed) -> Option<String> {
    let spool = typed.words();
    (reason == PauseReason::MassRejection).then(|| {
        format!(
            "if the API rightly refuses these users, let it reject up to {pending} more events: meditopia resume {spool} --accept-rejections {pending}"
        )
    })
}
