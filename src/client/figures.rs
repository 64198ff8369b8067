//! What a client says of its spool: the report of a call, and the statistics.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::core::Core;
use super::listing;
use crate::error::{PauseReason, Result};
use crate::journal::round::Offsets;
use crate::journal::{backlog, usage};
use crate::sender::Report;
use crate::spool::Heartbeat;
use crate::stats::Stats;
use crate::store::sqlite::Reader;
use crate::store::{PauseState, Totals};

/// How often a report looks at store and journal while events move from the one to the other.
const LOOKS: u32 = 3;

/// A look into the store, and at what of the journal it has not.
#[derive(Default)]
struct Looked {
    totals: Totals,
    pause: Option<PauseState>,
    in_doubt: u64,
    waiting: u64,
}

impl Core {
    /// The sums as they are now; all zero where the store cannot be read.
    pub(super) fn sums(&self, deadline: Instant) -> Totals {
        self.sender.sums(deadline).unwrap_or_else(|| {
            let read = || {
                Reader::open(&self.spool)?
                    .map(|store| store.totals())
                    .transpose()
            };
            read().ok().flatten().unwrap_or_default()
        })
    }

    /// What has changed since `since`, and what waits: counted until `deadline`, and estimated beyond.
    pub(super) fn report(&self, since: Totals, deadline: Instant) -> Report {
        let (unreadable, looked) = match self.look(deadline) {
            Ok(looked) => (None, looked),
            Err(e) => {
                let totals = self.sums(deadline);
                (
                    e.pause_reason(),
                    Looked {
                        totals,
                        ..Looked::default()
                    },
                )
            }
        };
        let (now, pause) = (looked.totals, looked.pause);
        let damage = self.sender.found_damage().or(unreadable);
        let pause = pause.filter(|_| damage.is_none());
        let since_ms = match damage {
            None => pause.as_ref().map(|pause| pause.since_ms),
            // A store that cannot be read does not tell.
            Some(_) => Heartbeat::read(&self.spool)
                .unwrap_or_default()
                .and_then(|heartbeat| heartbeat.damaged_since_ms()),
        };
        Report {
            pause: damage.or(pause.as_ref().map(|pause| pause.reason)),
            paused_since_ms: since_ms,
            next_probe_ms: pause.and_then(|pause| pause.probe_ms),
            delivered: now.delivered.saturating_sub(since.delivered),
            rejected: now.rejected.saturating_sub(since.rejected),
            expired: now.expired.saturating_sub(since.expired),
            pending: now.pending + looked.waiting,
            in_doubt: looked.in_doubt,
        }
    }

    /// The store and the journal behind it, once nothing has moved from the one to the other between the
    /// two looks; after some that were disturbed, as the last one found them.
    fn look(&self, deadline: Instant) -> Result<Looked> {
        let Some(store) = Reader::open(&self.spool)? else {
            let waiting = backlog::count_events(&self.spool, &Offsets::new(), deadline)?;
            return Ok(Looked {
                waiting,
                ..Looked::default()
            });
        };
        let mut tries = 0;
        loop {
            let (offsets, mut looked) = store.at_one_moment(|store| {
                let looked = Looked {
                    totals: store.totals()?,
                    pause: store.pause()?,
                    in_doubt: listing::in_doubt_count(store)?,
                    waiting: 0,
                };
                Ok((store.offsets()?, looked))
            })?;
            looked.waiting = backlog::count_events(&self.spool, &offsets, deadline)?;
            tries += 1;
            if tries == LOOKS || store.offsets()? == offsets {
                return Ok(looked);
            }
        }
    }

    pub(super) fn stats(&self) -> Result<Stats> {
        let (segments, journal_bytes) = usage::journal_size(&self.spool)?;
        let mut stats = Stats {
            enqueued: self.enqueued.load(Ordering::Relaxed),
            enqueue_seconds: self.enqueue_took.read(),
            segments,
            journal_bytes,
            ..Stats::default()
        };
        // A row that its checksum does not fit stops the sender, who tells; a look at the others may not
        // come by it.
        let mut damage = self.sender.found_damage();
        let mut damaged_since_ms = None;
        if let Some(heartbeat) = Heartbeat::read(&self.spool)? {
            stats.sender_seen_ms = Some(heartbeat.seen_ms);
            stats.sender_pid = Some(heartbeat.pid);
            damaged_since_ms = heartbeat.damaged_since_ms();
            let told = heartbeat.pause_reason();
            damage = damage.or(told.filter(|reason| *reason == PauseReason::StoreDamaged));
        }
        match self.fill_from_store(&mut stats, journal_bytes) {
            // Of a damaged store, that it is damaged is what there is to say.
            Err(e) if e.pause_reason().is_some() => damage = e.pause_reason(),
            filled => filled?,
        }
        if let Some(reason) = damage {
            stats.paused = Some(reason);
            stats.paused_since_ms = damaged_since_ms;
            stats.next_probe_ms = None;
        }
        Ok(stats)
    }

    fn fill_from_store(&self, stats: &mut Stats, journal_bytes: u64) -> Result<()> {
        let Some(store) = Reader::open(&self.spool)? else {
            let waiting = backlog::estimate(&self.spool, &Offsets::new(), journal_bytes)?;
            stats.pending = waiting.events;
            stats.oldest_pending_ms = waiting.oldest_ms;
            return Ok(());
        };
        let totals = store.totals()?;
        let offsets = store.offsets()?;
        stats.journal_bytes = journal_bytes.saturating_sub(offsets.values().sum());
        let waiting = backlog::estimate(&self.spool, &offsets, stats.journal_bytes)?;
        stats.pending = totals.pending + waiting.events;
        stats.delivered = totals.delivered;
        stats.rejected = totals.rejected;
        stats.expired = totals.expired;
        stats.requests = totals.requests;
        stats.retried_requests = totals.retried_requests;
        stats.refused_requests = totals.refused_requests;
        stats.isolation_requests = totals.isolation_requests;
        stats.damaged_records = totals.damaged_records;
        stats.torn_tails = totals.torn_tails;
        stats.lost = totals.lost;
        let measures = totals.measures;
        stats.delivered_requests = measures.verdicts.delivered;
        stats.too_large_requests = measures.verdicts.too_large;
        stats.postponed_requests = measures.verdicts.retry;
        stats.in_doubt_requests = measures.verdicts.in_doubt;
        stats.pausing_requests = measures.verdicts.pause;
        stats.sent_bytes = measures.sent_bytes;
        stats.pauses = measures.pauses;
        stats.request_seconds = measures.requests;
        stats.delivery_seconds = measures.deliveries;
        stats.in_doubt = listing::in_doubt_count(&store)?;
        let oldest = [store.oldest_pending_ms()?, waiting.oldest_ms];
        stats.oldest_pending_ms = oldest.into_iter().flatten().min();
        if let Some(pause) = store.pause()? {
            stats.paused = Some(pause.reason);
            stats.paused_since_ms = Some(pause.since_ms);
            stats.next_probe_ms = pause.probe_ms;
        }
        Ok(())
    }
}
