//! How many bytes fit into one request, learnt from a 413.
//!
//! The API does not say how large a request may be, so there is no limit until the API, or a proxy
//! on the way, says that one was too large. Then half of that request's bytes are the limit. Every
//! ten minutes the limit doubles, because proxies are reconfigured more often than senders restart.

use crate::clock::Moment;
use std::time::Duration;

/// How long a limit stands before it is doubled.
pub const DOUBLED_AFTER: Duration = Duration::from_secs(10 * 60);

/// The limit of one lane, if a request of it was too large.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ByteLimit(Option<Learnt>);

#[derive(Debug, Clone, Copy)]
struct Learnt {
    bytes: u64,
    doubled_at: Moment,
}

impl ByteLimit {
    /// A request with `bytes` bytes of events was too large.
    pub fn exceeded(&mut self, bytes: u64, now: Moment) {
        self.0 = Some(Learnt {
            bytes: bytes / 2,
            doubled_at: now.after(DOUBLED_AFTER),
        });
    }

    /// How many events of a prefix with these sizes fit; always at least one.
    pub fn fitting(&mut self, sizes: &[u32], now: Moment) -> usize {
        let Some(limit) = &mut self.0 else {
            return sizes.len();
        };
        if now.reached(limit.doubled_at) {
            limit.bytes = limit.bytes.saturating_mul(2);
            limit.doubled_at = now.after(DOUBLED_AFTER);
        }
        let mut bytes = 0;
        let fits = |size: &&u32| {
            bytes += u64::from(**size);
            bytes <= limit.bytes
        };
        sizes.iter().take_while(fits).count().max(1)
    }
}
