//! The statistics of a process and its spool, read from where each figure stands.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::core::Core;
use super::in_doubt::in_doubt_count;
use super::report::TRIES;
use crate::error::{PauseReason, Result};
use crate::journal::round::Offsets;
use crate::journal::{backlog, usage};
use crate::sender::LOOK_WAIT;
use crate::spool::Heartbeat;
use crate::stats::{Stats, for_each_figure};
use crate::store::Reader;
use crate::store::Totals;

macro_rules! define_copy_totals {
    ($(
        $(#[doc = $meaning:literal])*
        $field:ident: $type:ty = $kind:ident $(($argument:expr))?, $metric:expr,
            c.$c_field:ident $(, totals.$($total:ident).+)?;
    )*) => {
        /// Copies the figures that are totals of the store.
        fn copy_totals(totals: &Totals, stats: &mut Stats) {
            $($(stats.$field = totals.$($total).+;)?)*
        }
    };
}

for_each_figure!(define_copy_totals);

impl Core {
    pub(super) fn stats(&self) -> Result<Stats> {
        let (segments, journal_bytes) = usage::journal_size(&self.spool)?;
        let mut stats = Stats {
            enqueued: self.enqueued.load(Ordering::Relaxed),
            enqueue_seconds: self.enqueue_durations.read(),
            segments,
            journal_bytes,
            ..Stats::default()
        };
        // Only reading a damaged row reveals its bad checksum, and the reads below may not touch
        // that row. So ask the sender, which stops at it.
        let mut damage = self.sender.found_damage(Instant::now() + LOOK_WAIT);
        let mut damaged_since_ms = None;
        if let Some(heartbeat) = Heartbeat::read(&self.spool)? {
            stats.sender_seen_ms = Some(heartbeat.seen_ms);
            stats.sender_pid = Some(heartbeat.pid);
            stats.answered_ms = heartbeat.answered_ms;
            stats.accepted_ms = heartbeat.accepted_ms;
            damaged_since_ms = heartbeat.damaged_since_ms();
            let published = heartbeat.pause_reason();
            damage = damage.or(published.filter(|reason| *reason == PauseReason::StoreDamaged));
        }
        match self.read_store(&mut stats, journal_bytes) {
            // If the store is damaged, the figures read so far and the damage are the answer.
            Err(e) if e.pause_reason().is_some() => damage = e.pause_reason(),
            read => read?,
        }
        if let Some(reason) = damage {
            stats.paused = Some(reason);
            stats.paused_since_ms = damaged_since_ms;
            stats.next_probe_ms = None;
        }
        Ok(stats)
    }

    fn read_store(&self, stats: &mut Stats, journal_bytes: u64) -> Result<()> {
        // Until its sums are read.
        stats.store_unreadable = true;
        let Some(mut store) = Reader::open(&self.spool)? else {
            let journalled = backlog::count(&self.spool, &Offsets::new())?;
            stats.pending = journalled.events;
            stats.oldest_pending_ms = journalled.oldest_ms;
            stats.store_unreadable = false;
            return Ok(());
        };
        // What the sender takes over between the two reads is in neither: both are read again.
        let mut tries = 0;
        let (totals, journalled) = loop {
            let (totals, offsets) = (store.totals(), store.offsets());
            let journalled = backlog::count(&self.spool, &offsets)?;
            tries += 1;
            store.refresh()?;
            if tries == TRIES || store.offsets() == offsets {
                stats.journal_bytes = journal_bytes.saturating_sub(offsets.values().sum());
                break (totals, journalled);
            }
        };
        stats.pending = totals.pending + journalled.events;
        copy_totals(&totals, stats);
        stats.damage_unacknowledged = totals.damage().saturating_sub(totals.damage_acknowledged);
        stats.in_doubt = in_doubt_count(&store);
        stats.store_unreadable = false;
        let oldest = [store.oldest_pending_ms()?, journalled.oldest_ms];
        stats.oldest_pending_ms = oldest.into_iter().flatten().min();
        if let Some(pause) = store.pause() {
            stats.paused = Some(pause.reason);
            stats.paused_since_ms = Some(pause.since_ms);
            stats.next_probe_ms = pause.probe_ms;
        }
        Ok(())
    }
}
