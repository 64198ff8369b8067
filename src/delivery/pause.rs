//! Why delivery is paused, and when the next probe may go.
//!
//! A pause keeps every event and blames none. Most pauses probe: one request at a time, first after
//! 30 seconds and then after twice as long each time, up to 15 minutes. A new process and a `flush` try
//! again at once, if the last probe was [`FIRST_PROBE`] ago: somebody may have removed the cause. A `hold`
//! never probes, because only an operator ends it. `store_damaged` is no pause of the engine: without a store there is none.

use crate::clock::Moment;
use crate::error::PauseReason;
use std::time::Duration;

/// The time from the beginning of a pause to its first probe, and the shortest time between two probes.
pub const FIRST_PROBE: Duration = Duration::from_secs(30);

/// The longest time between two probes.
pub const LONGEST_PROBE: Duration = Duration::from_secs(15 * 60);

/// A pause of the whole spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// What delivery waits for.
    pub reason: PauseReason,
    /// Since when, in milliseconds of wall time.
    pub since_ms: i64,
    /// When the next probe may go; `None` if only an operator ends the pause. A store keeps its
    /// `wall_ms`, from which [`Engine::new`](super::Engine::new) restores the rest.
    pub probe_at: Option<Moment>,
    /// The time before the next probe; the one after it waits twice as long.
    pub probe_wait: Duration,
    /// The HTTP status of the answer that caused the pause.
    pub status: Option<u16>,
    /// The API's code in that answer.
    pub code: Option<String>,
    /// The API's message in that answer, or what was observed instead.
    pub message: String,
}

/// What an answer or an operator did to the pause, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseChange {
    /// A pause with this reason began, and replaced an earlier one if there was one.
    Begun(PauseReason),
    /// The pause with this reason ended, and delivery goes on.
    Ended(PauseReason),
}

impl Pause {
    /// A pause that begins now.
    pub fn new(reason: PauseReason, message: impl Into<String>, now: Moment) -> Self {
        Self {
            reason,
            since_ms: now.wall_ms,
            probe_at: ends_by_probe(reason).then(|| now.after(FIRST_PROBE)),
            probe_wait: FIRST_PROBE,
            status: None,
            code: None,
            message: message.into(),
        }
    }

    /// The same pause, with the answer that caused it.
    pub fn with_answer(mut self, status: Option<u16>, code: Option<String>) -> Self {
        self.status = status;
        self.code = code;
        self
    }

    /// The same pause in a new process, which tries again as [`probe_soon`](Self::probe_soon) does.
    /// `sent_ms`: when the last request left that nobody knows the answer to; it may have been a probe.
    ///
    /// Only wall times survived, and the wall clock may have been set since: the probe goes now at the
    /// earliest, and after [`FIRST_PROBE`] at the latest; after [`LONGEST_PROBE`] if the API asked for a wait.
    pub(super) fn restored(mut self, sent_ms: Option<i64>, now: Moment) -> Self {
        let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        self.since_ms = self.since_ms.min(now.wall_ms);
        self.probe_wait = self.probe_wait.clamp(FIRST_PROBE, LONGEST_PROBE);
        let probe_ms = self.probe_at.map_or(now.wall_ms, |at| at.wall_ms);
        let last_ms = probe_ms.saturating_sub(ms(self.probe_wait));
        let last_ms = sent_ms.map_or(last_ms, |sent_ms| last_ms.max(sent_ms));
        let earliest_ms = last_ms.saturating_add(ms(FIRST_PROBE));
        // Where the API asked for a longer wait, the time of the last probe seems to come.
        let longest = match last_ms > now.wall_ms {
            true => self.probe_wait,
            false => FIRST_PROBE,
        };
        let probe_at = now.restore_deadline(earliest_ms, longest);
        let waited = probe_at
            .wall_ms
            .saturating_sub(last_ms)
            .max(0)
            .unsigned_abs();
        self.probe_wait = Duration::from_millis(waited).clamp(FIRST_PROBE, self.probe_wait);
        self.probe_at = ends_by_probe(self.reason).then_some(probe_at);
        self
    }

    /// Whether a probe would go now if somebody asked.
    pub fn may_probe(&self, now: Moment) -> bool {
        let left = self.probe_at.map(|at| now.until(at));
        left.is_some_and(|left| left.is_zero() || left + FIRST_PROBE <= self.probe_wait)
    }

    /// Somebody asks to try again: the next probe goes as soon as [`FIRST_PROBE`] has passed since the last
    /// one, and since the time that the API asked for. Says whether it goes earlier than it would have.
    ///
    /// `probe_wait` is what lies between the last probe and the next one, so that all who ask, and the next
    /// process, know when the last one was.
    pub(super) fn probe_soon(&mut self, now: Moment) -> bool {
        let Some(probe_at) = self.probe_at else {
            return false;
        };
        let left = now.until(probe_at);
        let wait = (left + FIRST_PROBE).saturating_sub(self.probe_wait);
        if wait >= left {
            return false;
        }
        self.probe_wait -= left - wait;
        self.probe_at = Some(now.after(wait));
        true
    }

    /// A probe did not end the pause: the next one waits longer, and for `asked` at least.
    pub(super) fn probe_later(&mut self, asked: Option<Duration>, now: Moment) {
        self.probe_wait = (self.probe_wait * 2).min(LONGEST_PROBE);
        let wait = self.probe_wait.max(asked.unwrap_or_default());
        self.probe_at = ends_by_probe(self.reason).then(|| now.after(wait));
    }

    /// A probe was too large to say anything about the pause: the next one goes at once.
    pub(super) fn probe_now(&mut self, now: Moment) {
        self.probe_at = ends_by_probe(self.reason).then_some(now);
    }
}

/// Whether a pause with this reason stops all lanes of a place also where each has an engine of its own.
pub fn is_shared(reason: PauseReason) -> bool {
    reason != PauseReason::ServerError
}

/// Whether an answer of the API can end a pause with this reason.
pub(super) fn ends_by_probe(reason: PauseReason) -> bool {
    !matches!(reason, PauseReason::Hold | PauseReason::StoreDamaged)
}
