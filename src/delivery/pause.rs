//! Why all lanes stand still, and when one request may try again.
//!
//! A pause keeps every event and blames none. Most pauses probe: one request at a time, after 30
//! seconds first and then after twice as long each time, up to 15 minutes. `hold` and
//! `store_damaged` never probe, because their cause is not at the other end of the line.

use crate::clock::Moment;
use crate::error::PauseReason;
use std::time::Duration;

/// How long after its beginning a pause probes for the first time.
pub const FIRST_PROBE: Duration = Duration::from_secs(30);

/// The longest time between two probes.
pub const LONGEST_PROBE: Duration = Duration::from_secs(15 * 60);

/// A pause of the whole spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Why.
    pub reason: PauseReason,
    /// Since when, in milliseconds of wall time.
    pub since_ms: i64,
    /// When the next probe may go; `None` where only an operator ends the pause. A store keeps its
    /// `wall_ms`; [`Engine::new`](super::Engine::new) works out the rest.
    pub probe_at: Option<Moment>,
    /// The time before the next probe; the one after it waits twice as long.
    pub probe_wait: Duration,
    /// The HTTP status that led here.
    pub status: Option<u16>,
    /// The API's code that led here.
    pub code: Option<String>,
    /// The API's message that led here, or what was seen instead of one.
    pub message: String,
}

/// What an answer or an operator did to the pause, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseChange {
    /// A pause with this reason began, in place of another one if there was one.
    Begun(PauseReason),
    /// The pause with this reason ended; everything may go on.
    Ended(PauseReason),
}

impl Pause {
    /// A pause that begins now.
    pub fn begin(reason: PauseReason, message: impl Into<String>, now: Moment) -> Self {
        Self {
            reason,
            since_ms: now.wall_ms,
            probe_at: probes(reason).then(|| now.after(FIRST_PROBE)),
            probe_wait: FIRST_PROBE,
            status: None,
            code: None,
            message: message.into(),
        }
    }

    /// Adds the answer that led here.
    pub fn answered(mut self, status: Option<u16>, code: Option<String>) -> Self {
        self.status = status;
        self.code = code;
        self
    }

    /// The same pause after a restart. Only its wall times survived, and they may be from another
    /// wall: the probe comes now at the earliest, and after `probe_wait` at the latest.
    pub(super) fn restored(mut self, now: Moment) -> Self {
        self.since_ms = self.since_ms.min(now.wall_ms);
        self.probe_wait = self.probe_wait.clamp(FIRST_PROBE, LONGEST_PROBE);
        let probe_ms = self.probe_at.map_or(now.wall_ms, |at| at.wall_ms);
        self.probe_at = probes(self.reason).then(|| now.recall(probe_ms, self.probe_wait));
        self
    }

    /// A probe came back without an end to the pause.
    pub(super) fn probe_later(&mut self, asked: Option<Duration>, now: Moment) {
        self.probe_wait = (self.probe_wait * 2).min(LONGEST_PROBE);
        let wait = self.probe_wait.max(asked.unwrap_or_default());
        self.probe_at = probes(self.reason).then(|| now.after(wait));
    }

    /// A probe told nothing about the reason (it was too large): the next one goes at once.
    pub(super) fn probe_again(&mut self, now: Moment) {
        self.probe_at = probes(self.reason).then_some(now);
    }
}

/// Whether an answer of the API can end a pause with this reason.
pub(super) fn probes(reason: PauseReason) -> bool {
    !matches!(reason, PauseReason::Hold | PauseReason::StoreDamaged)
}
