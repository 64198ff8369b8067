//! When a queue that is not full is due.
//!
//! Enqueue times come from a wall clock that may have been set since. They may therefore shorten a
//! wait but never lengthen it: the wait itself is measured by the time since boot, from when the
//! event was first seen at the head of its queue.
//!
//! An event that was due once stays due. Isolation may send ten of a hundred due events; the ninety
//! behind them have waited long enough already.

use super::queue::Head;
use crate::clock::Moment;
use std::time::Duration;

/// When a queue that is not full is due.
#[derive(Debug, Clone, Copy)]
pub(super) enum Due {
    /// When its oldest event has waited this long.
    After(Duration),
    /// As soon as it has an event: a flush or a probe asks for it.
    Now,
}

/// How long one queue has waited.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Waiting {
    oldest_ms: i64,
    due_at: Option<Moment>,
    /// How many events from the head on were found due and are still in the queue.
    due_events: usize,
}

impl Waiting {
    /// When the queue with this head may send, at `now` or later.
    pub fn sends_at(&mut self, head: Head<'_>, batch_max: usize, due: Due, now: Moment) -> Moment {
        let full = head.sizes.len() >= batch_max || head.more;
        let sends_at = match due {
            Due::After(interval) if self.due_events == 0 && !full => {
                self.due_at(head.oldest_ms, interval, now)
            }
            Due::Now | Due::After(_) => now,
        };
        if now.reached(sends_at) {
            self.due_events = self.due_events.max(head.sizes.len().min(batch_max));
        }
        sends_at
    }

    /// The first `events` events left the queue.
    pub fn head_removed(&mut self, events: usize) {
        self.due_events = self.due_events.saturating_sub(events);
    }

    /// The event at `position` expired, or an operator set it aside.
    pub fn removed(&mut self, position: usize) {
        if position < self.due_events {
            self.due_events -= 1;
        }
    }

    fn due_at(&mut self, oldest_ms: i64, interval: Duration, now: Moment) -> Moment {
        if let Some(due_at) = self.due_at
            && self.oldest_ms == oldest_ms
        {
            return due_at;
        }
        let waited = now.wall_ms.saturating_sub(oldest_ms);
        let waited = Duration::from_millis(u64::try_from(waited).unwrap_or(0));
        let due_at = now.after(interval.saturating_sub(waited));
        self.oldest_ms = oldest_ms;
        self.due_at = Some(due_at);
        due_at
    }
}
