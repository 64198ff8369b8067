//! A pause in words, and what ends it: a command of this program where there is one.

use std::path::Path;

use meditopia::PauseReason;
use meditopia::Stats;

use crate::times::{Zone, show_span};

/// Why, since when, and what comes next.
pub fn in_words(reason: PauseReason, stats: &Stats, now_ms: i64, zone: &Zone) -> String {
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

/// What to do about it.
pub fn advice(reason: PauseReason, spool: &Path) -> String {
    let spool = spool.display();
    match reason {
        PauseReason::Auth => format!(
            "put a good bearer token where the sender reads it; then it goes on, or: meditopia resume {spool}"
        ),
        PauseReason::Ip => format!(
            "have Meditopia allow this host's address; then it goes on, or: meditopia resume {spool}"
        ),
        PauseReason::Misrouted => format!(
            "check the endpoint and what stands between (proxy, firewall); then: meditopia resume {spool}"
        ),
        PauseReason::MassRejection => format!(
            "see why so many users are refused: meditopia rejected list {spool}; then: meditopia resume {spool}"
        ),
        PauseReason::ServerError => format!(
            "the API fails on one batch: meditopia in-doubt list {spool}; set aside what does it, then: meditopia resume {spool}"
        ),
        PauseReason::StoreDamaged => {
            format!("keep a copy of the spool, end its sender, then: meditopia recover {spool}")
        }
        PauseReason::Hold => format!("to send again: meditopia resume {spool}"),
    }
}
