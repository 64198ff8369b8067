//! How the state of a fleet is told: the same words in every command.

use meditopia::PauseReason;
use meditopia_fleet::hold::Hold;
use meditopia_fleet::look::figures::Figures;

use crate::output::{grouped, sanitize};
use crate::times::Zone;

/// Why delivery is paused, as far as one word says it: an operator's hold, then what may be all lanes' cause, then an API
/// that fails on one batch, for which only its lane pauses.
pub fn pause(figures: &Figures) -> Option<PauseReason> {
    if figures.hold.is_some() {
        return Some(PauseReason::Hold);
    }
    let reasons = || figures.pauses.iter().map(|(_, pause)| pause.reason);
    let other = reasons().find(|reason| *reason != PauseReason::ServerError);
    other.or_else(|| reasons().next())
}

/// `held since 2026-12-01 10:00:00 by ops@host-1: the account changes`.
pub fn held(hold: &Hold, zone: &Zone) -> String {
    let reason = hold
        .reason
        .as_deref()
        .map_or_else(String::new, |reason| format!(": {}", sanitize(reason)));
    format!(
        "held since {} by {}{reason}",
        zone.show(hold.since_ms),
        sanitize(&hold.by)
    )
}

/// `1 lane`, `16 lanes`.
pub fn lane_count(lanes: usize) -> String {
    let s = if lanes == 1 { "" } else { "s" };
    format!("{} lane{s}", grouped(lanes as u64))
}
