//! The report of a flush or a close: what became of the events.

use std::time::Instant;

use super::core::Core;
use super::in_doubt::in_doubt_count;
use crate::error::{Error, PauseReason, Result};
use crate::journal::backlog;
use crate::journal::round::Offsets;
use crate::sender::Report;
use crate::spool::Heartbeat;
use crate::store::Reader;
use crate::store::{PauseState, Totals};

/// How often a report reads store and journal while events move from the journal to the store.
pub(super) const TRIES: u32 = 3;

/// What the store holds, and what the journal holds that the store has not taken over.
#[derive(Default)]
struct Snapshot {
    totals: Totals,
    pause: Option<PauseState>,
    in_doubt: u64,
    /// Events that are only in the journal.
    journalled: u64,
}

impl Core {
    /// The totals as they are now; all zero where the store cannot be read.
    pub(super) fn totals(&self, deadline: Instant) -> Totals {
        self.sender.sums(deadline).unwrap_or_else(|| {
            let read = || {
                let store = Reader::open(&self.spool)?;
                Ok::<_, Error>(store.map(|store| store.totals()))
            };
            read().ok().flatten().unwrap_or_default()
        })
    }

    /// What has changed since the totals were `before`, and what is pending, after a call that came to `outcome`.
    pub(super) fn report(&self, before: Totals, deadline: Instant, outcome: &Result<()>) -> Report {
        let (unreadable, now) = match self.snapshot() {
            Ok(now) => (None, now),
            Err(e) => {
                let totals = self.totals(deadline);
                (
                    e.pause_reason(),
                    Snapshot {
                        totals,
                        ..Snapshot::default()
                    },
                )
            }
        };
        let met = outcome.as_ref().err().and_then(Error::pause_reason);
        let damage = met.filter(|reason| *reason == PauseReason::StoreDamaged);
        let damage = damage
            .or_else(|| self.sender.found_damage(deadline))
            .or(unreadable);
        let pause = now.pause.filter(|_| damage.is_none());
        let since_ms = match damage {
            None => pause.as_ref().map(|pause| pause.since_ms),
            // A store that cannot be read does not say since when it is damaged; the heartbeat
            // does.
            Some(_) => Heartbeat::read(&self.spool)
                .unwrap_or_default()
                .and_then(|heartbeat| heartbeat.damaged_since_ms()),
        };
        let totals = now.totals;
        Report {
            pause: damage.or(pause.as_ref().map(|pause| pause.reason)),
            paused_since_ms: since_ms,
            next_probe_ms: pause.and_then(|pause| pause.probe_ms),
            delivered: totals.delivered.saturating_sub(before.delivered),
            rejected: totals.rejected.saturating_sub(before.rejected),
            expired: totals.expired.saturating_sub(before.expired),
            pending: totals.pending + now.journalled,
            in_doubt: now.in_doubt,
        }
    }

    /// Reads the store, then counts the journal behind it. If the sender took events over between
    /// the two, both are read again; the last try counts as it is.
    fn snapshot(&self) -> Result<Snapshot> {
        let Some(mut store) = Reader::open(&self.spool)? else {
            let journalled = backlog::count(&self.spool, &Offsets::new())?.events;
            return Ok(Snapshot {
                journalled,
                ..Snapshot::default()
            });
        };
        let mut tries = 0;
        loop {
            let offsets = store.offsets();
            let snapshot = Snapshot {
                totals: store.totals(),
                pause: store.pause().cloned(),
                in_doubt: in_doubt_count(&store),
                journalled: backlog::count(&self.spool, &offsets)?.events,
            };
            tries += 1;
            store.refresh()?;
            if tries == TRIES || store.offsets() == offsets {
                return Ok(snapshot);
            }
        }
    }
}
