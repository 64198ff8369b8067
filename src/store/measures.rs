//! What the store counts of requests beside the sums: their verdicts, their bytes and how long they took.
//!
//! One blob in the row of the sums, so that a request pays for one row. A store of an earlier version has
//! an empty one, and what a later version adds stands at its end.

use crate::stats::histogram::{BUCKETS, Histogram};

/// Sums over the life of the spool, since its store had this version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Measures {
    /// Requests by what their end meant.
    pub verdicts: Verdicts,
    /// Bytes of the bodies of requests that were sent.
    pub sent_bytes: u64,
    /// How often delivery was paused.
    pub pauses: u64,
    /// From the first byte of a request to its answer.
    pub requests: Histogram,
    /// From the enqueue of an event until it was accepted.
    pub deliveries: Histogram,
}

/// Requests by verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// Its events are delivered.
    pub delivered: u64,
    /// At least one event is bad.
    pub refused: u64,
    /// The body was too large.
    pub too_large: u64,
    /// Not processed: to be sent again later.
    pub retry: u64,
    /// No answer settled it.
    pub in_doubt: u64,
    /// No event is to blame: delivery pauses.
    pub pause: u64,
}

const PLAIN: usize = 8;
const NUMBERS: usize = PLAIN + 2 * (BUCKETS + 1);

impl Measures {
    /// Empty while nothing is counted.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        if self == Self::default() {
            return Vec::new();
        }
        let verdicts = self.verdicts;
        let plain: [u64; PLAIN] = [
            verdicts.delivered,
            verdicts.refused,
            verdicts.too_large,
            verdicts.retry,
            verdicts.in_doubt,
            verdicts.pause,
            self.sent_bytes,
            self.pauses,
        ];
        let mut bytes = Vec::with_capacity(NUMBERS * size_of::<u64>());
        let histograms = [self.requests, self.deliveries]
            .into_iter()
            .flat_map(|histogram| histogram.counts.into_iter().chain([histogram.sum_us]));
        for number in plain.into_iter().chain(histograms) {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        let mut numbers = bytes.chunks_exact(size_of::<u64>()).map(|chunk| {
            let mut number = [0; size_of::<u64>()];
            number.copy_from_slice(chunk);
            u64::from_le_bytes(number)
        });
        let mut next = || numbers.next().unwrap_or_default();
        let verdicts = Verdicts {
            delivered: next(),
            refused: next(),
            too_large: next(),
            retry: next(),
            in_doubt: next(),
            pause: next(),
        };
        let (sent_bytes, pauses) = (next(), next());
        let mut histogram = || Histogram {
            counts: std::array::from_fn(|_| next()),
            sum_us: next(),
        };
        Self {
            verdicts,
            sent_bytes,
            pauses,
            requests: histogram(),
            deliveries: histogram(),
        }
    }
}
