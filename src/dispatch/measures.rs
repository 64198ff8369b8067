//! What is counted of requests; it gets into the store with the sums, in the commit that settles them.

use std::time::Duration;

use super::Dispatcher;
use crate::clock::Moment;
use crate::delivery::Verdict;
use crate::error::PauseReason;
use crate::exchange::Exchange;
use crate::stats::histogram::{DELIVERY_BOUNDS_US, REQUEST_BOUNDS_US};
use crate::store::Store;

impl<S: Store + ?Sized> Dispatcher<S> {
    /// Counts a request that has come to its end, before it is settled.
    pub(crate) fn measure(&mut self, exchange: &Exchange, bytes: usize, took: Duration) {
        let measures = &mut self.totals.measures;
        match exchange {
            Exchange::NotSent { .. } => return,
            Exchange::Unsettled { .. } => {}
            Exchange::Answered(_) => {
                let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                measures.requests.add(&REQUEST_BOUNDS_US, us, 1);
            }
        }
        measures.sent_bytes += bytes as u64;
    }

    pub(super) fn count_verdict(&mut self, verdict: &Verdict) {
        let verdicts = &mut self.totals.measures.verdicts;
        let count = match verdict {
            Verdict::Delivered => &mut verdicts.delivered,
            Verdict::Refused(_) => {
                self.totals.refused_requests += 1;
                &mut verdicts.refused
            }
            Verdict::TooLarge { .. } => &mut verdicts.too_large,
            Verdict::Retry { .. } => &mut verdicts.retry,
            Verdict::InDoubt { .. } => &mut verdicts.in_doubt,
            Verdict::Pause { .. } => &mut verdicts.pause,
        };
        *count += 1;
    }

    /// Notes when the API last answered. A server error is no answer, nor is one of something else.
    pub(super) fn note_answer(&mut self, verdict: &Verdict, now: Moment) {
        let is_answer = match verdict {
            Verdict::Delivered => {
                self.accepted_ms = Some(now.wall_ms);
                true
            }
            Verdict::Refused(_) | Verdict::TooLarge { .. } => true,
            Verdict::Pause { reason, .. } => {
                matches!(reason, PauseReason::Auth | PauseReason::Ip)
            }
            Verdict::Retry { .. } | Verdict::InDoubt { .. } => false,
        };
        if is_answer {
            self.answered_ms = Some(now.wall_ms);
        }
    }

    /// Counts how long the first `events` events of a queue were on their way, now that they are accepted.
    pub(super) fn count_deliveries(
        &mut self,
        lane: usize,
        queue: crate::delivery::Queue,
        events: usize,
        now: Moment,
    ) {
        let deliveries = &mut self.totals.measures.deliveries;
        let mut add = |enqueued_ms: i64, times: u64| {
            let ms = now
                .wall_ms
                .saturating_sub(enqueued_ms)
                .max(0)
                .cast_unsigned();
            deliveries.add(&DELIVERY_BOUNDS_US, ms.saturating_mul(1_000), times);
        };
        // Events that stand together were often enqueued in the same millisecond.
        let mut alike: Option<(i64, u64)> = None;
        for event in self.lanes[lane].windows[queue.index()]
            .events()
            .take(events)
        {
            alike = match alike {
                Some((ms, times)) if ms == event.enqueued_ms => Some((ms, times + 1)),
                earlier => {
                    if let Some((ms, times)) = earlier {
                        add(ms, times);
                    }
                    Some((event.enqueued_ms, 1))
                }
            };
        }
        if let Some((ms, times)) = alike {
            add(ms, times);
        }
    }
}
