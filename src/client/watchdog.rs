//! A warning when events wait and no sender runs: the most common mistake of a setup in which
//! processes only enqueue.
//!
//! Such a process has no thread that could check, so an enqueue does it from time to time. It
//! compares the time, which it has read anyway, and reads the sender's heartbeat only when a check
//! is due.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock;
use crate::error::Result;
use crate::journal::usage;
use crate::log::Log;
use crate::spool::{Heartbeat, Spool};

/// A sender that was not seen for this many flush intervals is missing.
const INTERVALS: u32 = 10;
/// Minimum interval between two warnings.
const WARN_EVERY: Duration = Duration::from_secs(3_600);

/// When a sender was last at work, and whether there are events to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderSeen {
    /// When a sender was last at work, wall time in milliseconds; `None`: never.
    pub seen_ms: Option<i64>,
    /// The process of that sender.
    pub pid: Option<u32>,
    /// Whether events seem to be pending, as of the sender's last heartbeat.
    pub waiting: bool,
}

impl SenderSeen {
    pub(super) fn read(spool: &Spool) -> Result<Self> {
        let heartbeat = Heartbeat::read(spool)?;
        Ok(Self {
            seen_ms: heartbeat.as_ref().map(|heartbeat| heartbeat.seen_ms),
            pid: heartbeat.as_ref().map(|heartbeat| heartbeat.pid),
            waiting: usage::pending_bytes(spool)? > 0,
        })
    }
}

/// Warns in the log when no sender has run for a long time.
#[derive(Debug)]
pub(super) struct Watchdog {
    /// A sender that was not seen for so long is missing.
    patience: Duration,
    /// When the next check is due, as time since boot; 0: nothing was enqueued yet.
    next_ns: AtomicU64,
}

impl Watchdog {
    pub(super) fn new(flush_interval: Duration) -> Self {
        Self {
            patience: flush_interval * INTERVALS,
            next_ns: AtomicU64::new(0),
        }
    }

    pub(super) fn is_due(&self, now_ns: u64) -> bool {
        now_ns >= self.next_ns.load(Ordering::Relaxed)
    }

    #[cold]
    pub(super) fn check(&self, spool: &Spool, log: &Log, now_ns: u64) {
        let first = self.next_ns.load(Ordering::Relaxed) == 0;
        let later = |wait: Duration| now_ns.saturating_add(wait.as_nanos() as u64);
        self.next_ns.store(later(self.patience), Ordering::Relaxed);
        // First event: no sender has had time to start.
        if first {
            return;
        }
        // The enqueue has succeeded, even if the heartbeat cannot be read.
        let Ok(seen) = SenderSeen::read(spool) else {
            return;
        };
        let long_ago = clock::wall_ms().saturating_sub(self.patience.as_millis() as i64);
        if !seen.waiting || seen.seen_ms.is_some_and(|at| at >= long_ago) {
            return;
        }
        self.next_ns
            .store(later(self.patience.max(WARN_EVERY)), Ordering::Relaxed);
        let name = spool.name();
        let since = match seen.seen_ms {
            Some(at) => format!("for {} s", (clock::wall_ms() - at) / 1_000),
            None => "yet".to_owned(),
        };
        log.warn(format_args!(
            "{name}: events are waiting and no sender has run {since}; run one: role = both, a flush from cron, or a daemon"
        ));
    }
}
