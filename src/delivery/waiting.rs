//! When a queue that is not full is due.
//!
//! Enqueue times come from a wall clock that may have been set since. So they may shorten a wait
//! but never lengthen it: the wait itself is counted by the clock that nobody can set, from when
//! the event was first seen at the head of its queue.
//!
//! What was once found due stays due. Isolation may send ten of a hundred due events; the ninety
//! behind them have waited long enough already.

use super::queue::Head;
use crate::clock::Moment;
use std::time::Duration;

/// When a queue that is not full is due.
#[derive(Debug, Clone, Copy)]
pub(super) enum Due {
    /// When its oldest event has waited this long.
    After(Duration),
    /// Whenever there is anything: a flush or a probe asks for it.
    Now,
}

/// Since when one queue waits.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Waiting {
    oldest_ms: i64,
    due_at: Option<Moment>,
    /// How many events from the head on were found due and have not left yet.
    released: usize,
}

impl Waiting {
    /// When the queue with this head may go, at `now` or later.
    pub fn until(&mut self, head: Head<'_>, batch_max: usize, due: Due, now: Moment) -> Moment {
        let full = head.sizes.len() >= batch_max || head.more;
        let until = match due {
            Due::After(interval) if self.released == 0 && !full => {
                self.due_at(head.oldest_ms, interval, now)
            }
            Due::Now | Due::After(_) => now,
        };
        if now.reached(until) {
            self.released = self.released.max(head.sizes.len().min(batch_max));
        }
        until
    }

    /// The first `events` events left the queue.
    pub fn left(&mut self, events: usize) {
        self.released = self.released.saturating_sub(events);
    }

    /// The event at `position` was taken out by somebody else.
    pub fn removed(&mut self, position: usize) {
        if position < self.released {
            self.released -= 1;
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
