//! How many bytes fit into one request, learnt from a 413.
//!
//! The API does not say how large a request may be, so nothing is assumed until it, or a proxy on
//! the way, says that one was too large. Then half of that request's bytes are the limit, and every
//! ten minutes twice as much is tried, because proxies are reconfigured more often than senders restart.

use crate::clock::Moment;
use std::time::Duration;

/// How long a limit holds before twice as much is tried.
pub const HOLDS: Duration = Duration::from_secs(10 * 60);

/// The limit of one lane, if it has met one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ByteLimit(Option<Learnt>);

#[derive(Debug, Clone, Copy)]
struct Learnt {
    bytes: u64,
    holds_until: Moment,
}

impl ByteLimit {
    /// A request with `bytes` bytes of events was too large.
    pub fn exceeded(&mut self, bytes: u64, now: Moment) {
        self.0 = Some(Learnt {
            bytes: bytes / 2,
            holds_until: now.after(HOLDS),
        });
    }

    /// How many events of a prefix with these sizes fit; always one at least.
    pub fn fitting(&mut self, sizes: &[u32], now: Moment) -> usize {
        let Some(limit) = &mut self.0 else {
            return sizes.len();
        };
        if now.reached(limit.holds_until) {
            limit.bytes = limit.bytes.saturating_mul(2);
            limit.holds_until = now.after(HOLDS);
        }
        let mut bytes = 0;
        let fits = |size: &&u32| {
            bytes += u64::from(**size);
            bytes <= limit.bytes
        };
        sizes.iter().take_while(fits).count().max(1)
    }
}
