//! The heartbeats of an elected sender: who it is, and how far it is.

use std::time::{Duration, Instant};

use super::Shared;
use super::election::pid_namespace;
use super::state::State;
use crate::clock;
use crate::error::Result;
use crate::mutex::lock;
use crate::process::pid;
use crate::spool::{FailedRequest, Heartbeat};

/// How often a heartbeat says that the sender is alive while it is busy.
const ALIVE_EVERY: Duration = Duration::from_secs(1);

/// Publishes what other processes are to know of the sender.
pub(super) struct Publisher {
    pid_namespace: Option<u64>,
    /// When the last heartbeat was written that says how far the sender is.
    told_progress: Option<Instant>,
    /// When the last heartbeat was written.
    told: Option<Instant>,
    /// When the API answered a sender before this one, and when it accepted events.
    answered_before_ms: Option<i64>,
    accepted_before_ms: Option<i64>,
    /// The last request that came to nothing before this sender began.
    failed_before: Option<FailedRequest>,
}

impl Publisher {
    pub(super) fn new() -> Self {
        Self {
            pid_namespace: pid_namespace(),
            told_progress: None,
            told: None,
            answered_before_ms: None,
            accepted_before_ms: None,
            failed_before: None,
        }
    }

    /// Whether it has told nothing of the sender's progress yet.
    pub(super) fn is_first(&self) -> bool {
        self.told_progress.is_none()
    }

    /// Whether the last heartbeat that says how far the sender is, is as old as this, or there was none.
    pub(super) fn is_progress_older_than(&self, time: Duration) -> bool {
        self.told_progress.is_none_or(|at| at.elapsed() >= time)
    }

    /// Tells other processes that the sender is alive, if the last heartbeat is a second old: for the steps
    /// of what may take minutes.
    pub(super) fn keep_alive(&mut self, shared: &Shared) -> Result<()> {
        if self.told.is_none_or(|at| at.elapsed() >= ALIVE_EVERY) {
            self.announce(shared)?;
        }
        Ok(())
    }

    /// Tells other processes who the sender is and that it is alive, before it sends or takes over and while
    /// it takes over: that may take minutes.
    pub(super) fn announce(&mut self, shared: &Shared) -> Result<()> {
        let spool = &shared.spool;
        self.told = Some(Instant::now());
        let _publishing = lock(&shared.publishing);
        // How far the last round was, of this sender or the one before, holds until this round has ended.
        let last = Heartbeat::read(spool).ok().flatten().unwrap_or_default();
        self.answered_before_ms = last.answered_ms;
        self.accepted_before_ms = last.accepted_ms;
        self.failed_before.clone_from(&last.last_failure);
        let heartbeat = shared.step(|state| Ok(self.heartbeat(state, last)))?;
        // A full disk must not keep the lanes from starting; the end of the look reports it.
        let _ = heartbeat.map(|heartbeat| heartbeat.write(spool));
        Ok(())
    }

    /// Tells other processes how far the sender is; `for_flush`: somebody waits for what is taken over by now.
    pub(super) fn publish(
        &mut self,
        shared: &Shared,
        taken_bytes: u64,
        for_flush: bool,
    ) -> Result<()> {
        self.told_progress = Some(Instant::now());
        self.told = self.told_progress;
        let _publishing = lock(&shared.publishing);
        let heartbeat = shared.step(|state| {
            if for_flush {
                let last = state.dispatcher.store.last_run();
                state.dispatcher.send_at_once_upto(last);
            }
            let progress = Heartbeat {
                boot_count: state.taken_upto.boot_count,
                taken_upto_boot_ns: state.taken_upto.boot_ns,
                take_over_is_limited: state.take_over_is_limited,
                pending_bytes: state.dispatcher.totals.pending_bytes,
                taken_bytes,
                ..Heartbeat::default()
            };
            Ok(self.heartbeat(state, progress))
        })?;
        heartbeat.map_or(Ok(()), |heartbeat| heartbeat.write(&shared.spool))
    }

    /// A heartbeat of now, with the progress of `progress`.
    fn heartbeat(&self, state: &State, progress: Heartbeat) -> Heartbeat {
        let pause = state.dispatcher.pause_state();
        Heartbeat {
            pid: pid().cast_unsigned(),
            pid_namespace: self.pid_namespace,
            seen_ms: clock::wall_ms(),
            paused: pause.as_ref().map(|pause| pause.reason.name().to_owned()),
            paused_since_ms: pause.as_ref().map(|pause| pause.since_ms),
            answered_ms: state.dispatcher.answered_ms.or(self.answered_before_ms),
            accepted_ms: state.dispatcher.accepted_ms.or(self.accepted_before_ms),
            last_failure: self.last_failure(state),
            ..progress
        }
    }

    fn last_failure(&self, state: &State) -> Option<FailedRequest> {
        let Some(failed) = state.dispatcher.failed.clone() else {
            return self.failed_before.clone();
        };
        Some(FailedRequest {
            at_ms: failed.at_ms,
            events: failed.events,
            http_status: failed.http_status,
            api_code: failed.api_code,
            message: failed.message,
        })
    }
}

#[cfg(test)]
impl Publisher {
    /// As if a heartbeat were written at `at`.
    pub(super) fn has_told_at(&mut self, at: Instant) {
        self.told = Some(at);
    }
}
