//! What an answer does to events: they leave as delivered, or one goes to the rejected store.

use std::collections::HashMap;

use super::window::Settled;
use super::{Dispatcher, Due};
use crate::clock::Moment;
use crate::delivery::{Queue, Refusal};
use crate::error::Result;
use crate::event;
use crate::store::{Change, Receipt, Rejected, RejectedReason, Shares, Store, Suspect};

/// Suspects of whom nothing waits are forgotten when there are more in all.
pub(super) const SUSPECTS_REMEMBERED: usize = 10_000;
/// So many of them go in one commit.
const FORGOTTEN_AT_ONCE: usize = 100;

impl<S: Store + ?Sized> Dispatcher<S> {
    pub(super) fn deliver(
        &mut self,
        lane: usize,
        due: Due,
        http_status: u16,
        attempts: u32,
        now: Moment,
    ) -> Result<()> {
        self.count_deliveries(lane, due.queue, due.events, now);
        let window = &mut self.lanes[lane].windows[due.queue.index()];
        let mut accepted: HashMap<Vec<u8>, u64> = HashMap::new();
        if due.queue == Queue::Suspects {
            for event in window.events().take(due.events) {
                let user = event::user_of(event.fragment).to_vec();
                *accepted.entry(user).or_default() += 1;
            }
        }
        let receipt = self.options.receipts_kept.map(|_| Receipt {
            time_ms: now.wall_ms,
            http_status,
            attempts,
            events: due.events as u32,
            shares: Shares::of(window.events().take(due.events).map(|event| event.fragment)),
        });
        let settled = window.settle(due.events);
        self.totals.delivered += settled.events;
        let mut changes = self.left(settled);

        let (mut kept, mut cleared) = (Vec::new(), Vec::new());
        for (user, events) in accepted {
            let Some(suspect) = self.suspects.get_mut(&user) else {
                continue;
            };
            suspect.waiting = suspect.waiting.saturating_sub(events);
            suspect.accepted = true;
            if suspect.waiting == 0 {
                self.suspects.remove(&user);
                cleared.push(user);
            } else {
                kept.push(suspect.clone());
            }
        }
        changes.extend(cleared.iter().map(|user| Change::Cleared { user }));
        let changes: Vec<Change<'_>> = changes
            .into_iter()
            .chain(kept.iter().map(Change::Suspect))
            .chain(receipt.iter().map(Change::Receipt))
            .collect();
        self.commit_lane(lane, &changes)
    }

    /// Counts what left a queue; the changes take it out of the store.
    pub(super) fn left(&mut self, settled: Settled) -> Vec<Change<'static>> {
        self.totals.pending = self.totals.pending.saturating_sub(settled.events);
        self.totals.pending_bytes = self.totals.pending_bytes.saturating_sub(settled.bytes);
        settled.changes
    }

    pub(super) fn reject(
        &mut self,
        lane: usize,
        due: Due,
        refusal: &Refusal,
        may_be_delivered: bool,
        suspect: bool,
        now: Moment,
    ) -> Result<()> {
        let window = &mut self.lanes[lane].windows[due.queue.index()];
        let attempts = window.carried();
        let Some(first) = window.first() else {
            return Ok(());
        };
        let escaped = event::user_of(first.fragment).to_vec();
        let rejected = Rejected {
            user: event::user_text(&escaped),
            event: first.fragment.to_vec(),
            reason: RejectedReason::Refused,
            may_be_delivered,
            api_code: refusal.code.clone(),
            message: refusal.message.clone(),
            http_status: Some(refusal.status),
            attempts,
            first_ms: first.enqueued_ms,
            last_ms: now.wall_ms,
        };
        let settled = window.settle(1);
        self.totals.rejected += settled.events;
        let mut changes = self.left(settled);
        changes.push(Change::Reject(&rejected));

        if suspect {
            self.suspect(lane, &escaped);
        }
        let known = self.suspects.get_mut(&escaped).map(|entry| {
            if due.queue == Queue::Suspects {
                entry.waiting = entry.waiting.saturating_sub(1);
            }
            entry.clone()
        });
        let forgotten = self.forget_idle_suspects(&escaped);
        let changes: Vec<Change<'_>> = changes
            .into_iter()
            .chain(known.iter().map(Change::Suspect))
            .chain(forgotten.iter().map(|user| Change::Cleared { user }))
            .collect();
        self.commit_lane(lane, &changes)?;
        // The next prefix must not hold an event of the new suspect.
        self.lanes[lane].unsifted |= suspect && due.queue == Queue::Regular;
        Ok(())
    }

    /// The head of the regular queue was refused and is not judged now: its user's events stand aside.
    pub(super) fn stand_aside(&mut self, lane: usize) -> Result<()> {
        let window = &self.lanes[lane].windows[Queue::Regular.index()];
        let Some(first) = window.first() else {
            return Ok(());
        };
        let escaped = event::user_of(first.fragment).to_vec();
        let known = self.suspect(lane, &escaped).clone();
        let forgotten = self.forget_idle_suspects(&escaped);
        let mut changes = vec![Change::Suspect(&known)];
        changes.extend(forgotten.iter().map(|user| Change::Cleared { user }));
        self.commit_lane(lane, &changes)?;
        self.lanes[lane].unsifted = true;
        Ok(())
    }

    fn suspect(&mut self, lane: usize, escaped: &[u8]) -> &mut Suspect {
        self.suspects
            .entry(escaped.to_vec())
            .or_insert_with(|| Suspect {
                user: escaped.to_vec(),
                lane: lane as u8,
                waiting: 0,
                accepted: false,
            })
    }

    /// Forgets suspects of whom nothing waits, other than `newest`, where there are more than a process's
    /// memory should hold: most of them never send again.
    fn forget_idle_suspects(&mut self, newest: &[u8]) -> Vec<Vec<u8>> {
        let over = self.suspects.len().saturating_sub(SUSPECTS_REMEMBERED);
        let idle = |suspect: &&Suspect| suspect.waiting == 0 && suspect.user != newest;
        let idle = self.suspects.values().filter(idle);
        let forgotten: Vec<Vec<u8>> = idle
            .take(over.min(FORGOTTEN_AT_ONCE))
            .map(|suspect| suspect.user.clone())
            .collect();
        for user in &forgotten {
            self.suspects.remove(user);
        }
        forgotten
    }
}
