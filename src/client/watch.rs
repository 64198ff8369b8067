//! Whether anybody sends what an enqueue-only process leaves: the commonest mistake must not be silent.
//!
//! Such a process has no thread to look, so an enqueue does, once in a while: it compares the time that it
//! has read anyway, and only when the time has come reads what the sender says of itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock;
use crate::error::Result;
use crate::journal::usage;
use crate::log::Log;
use crate::spool::{Heartbeat, Spool};

/// So many flush intervals without a sender are too many.
const INTERVALS: u32 = 10;
/// Having told, the log is not told again before.
const TELL_EVERY: Duration = Duration::from_secs(3_600);

/// Who was last seen sending, and whether there is anything to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderSeen {
    /// When a sender was last at work, wall time in milliseconds; `None`: never.
    pub seen_ms: Option<i64>,
    /// Its process.
    pub pid: Option<u32>,
    /// Whether events seem to wait: as of the sender's last word.
    pub waiting: bool,
}

impl SenderSeen {
    pub(super) fn look(spool: &Spool) -> Result<Self> {
        let heartbeat = Heartbeat::read(spool)?;
        Ok(Self {
            seen_ms: heartbeat.as_ref().map(|heartbeat| heartbeat.seen_ms),
            pid: heartbeat.as_ref().map(|heartbeat| heartbeat.pid),
            waiting: usage::pending_bytes(spool)? > 0,
        })
    }
}

/// Tells the log when nobody has sent for long.
#[derive(Debug)]
pub(super) struct Watch {
    patience: Duration,
    /// Time since boot of the next look; 0: nothing was enqueued yet.
    next_ns: AtomicU64,
}

impl Watch {
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
    pub(super) fn look(&self, spool: &Spool, log: &Log, now_ns: u64) {
        let first = self.next_ns.load(Ordering::Relaxed) == 0;
        let later = |wait: Duration| now_ns.saturating_add(wait.as_nanos() as u64);
        self.next_ns.store(later(self.patience), Ordering::Relaxed);
        // Since its first event nobody has had the time.
        if first {
            return;
        }
        // What cannot be read just now is no reason to fail an enqueue.
        let Ok(seen) = SenderSeen::look(spool) else {
            return;
        };
        let long_ago = clock::wall_ms().saturating_sub(self.patience.as_millis() as i64);
        if !seen.waiting || seen.seen_ms.is_some_and(|at| at >= long_ago) {
            return;
        }
        self.next_ns
            .store(later(self.patience.max(TELL_EVERY)), Ordering::Relaxed);
        let name = spool.name();
        let since = match seen.seen_ms {
            Some(at) => format!("for {} s", (clock::wall_ms() - at) / 1_000),
            None => "yet".to_owned(),
        };
        log.warn(format_args!(
            "{name}: events wait and nobody has sent {since}; run a sender: role = both, a flush from cron, or a daemon"
        ));
    }
}
