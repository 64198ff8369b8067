//! Durations counted in fixed buckets, as Prometheus wants them.
//!
//! The bounds never change within a version of the store, because counts outlive the process that
//! made them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The number of buckets of a histogram. The last bucket has no upper bound.
pub const BUCKETS: usize = 15;

/// The upper bounds of all buckets except the last, in microseconds.
pub type Bounds = [f64; BUCKETS - 1];

/// Bounds for the duration of an enqueue.
pub const ENQUEUE_BOUNDS_US: Bounds = [
    0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1e3, 1e4, 1e5, 1e6,
];
/// Bounds for a request, from its first byte sent to its answer.
pub const REQUEST_BOUNDS_US: Bounds = [
    1e3, 2.5e3, 5e3, 1e4, 2.5e4, 5e4, 1e5, 2.5e5, 5e5, 1e6, 2.5e6, 5e6, 1e7, 3e7,
];
/// Bounds for the delivery of an event, from its enqueue until it was accepted.
pub const DELIVERY_BOUNDS_US: Bounds = [
    1e4, 1e5, 5e5, 1e6, 2.5e6, 5e6, 1e7, 1.5e7, 3e7, 6e7, 3e8, 1.8e9, 3.6e9, 8.64e10,
];

/// How long something took, counted in buckets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Histogram {
    /// For each bucket, how many durations were within its bound and beyond the bound before.
    pub counts: [u64; BUCKETS],
    /// The sum of all durations, in microseconds.
    pub sum_us: u64,
}

impl Histogram {
    /// Counts `times` durations of `us` microseconds.
    pub fn add(&mut self, bounds: &Bounds, us: u64, times: u64) {
        self.counts[bucket(bounds, us as f64)] += times;
        self.sum_us = self.sum_us.saturating_add(us.saturating_mul(times));
    }

    /// The number of durations in all buckets.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

fn bucket(bounds: &Bounds, us: f64) -> usize {
    bounds.partition_point(|bound| *bound < us)
}

/// A histogram that many threads add to at once.
#[derive(Debug, Default)]
pub(crate) struct SharedHistogram {
    counts: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

impl SharedHistogram {
    pub(crate) fn add(&self, bounds: &Bounds, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(bounds, ns as f64 / 1e3)].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Histogram {
        Histogram {
            counts: std::array::from_fn(|at| self.counts[at].load(Ordering::Relaxed)),
            sum_us: self.sum_ns.load(Ordering::Relaxed) / 1_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_in_the_first_bucket_whose_bound_it_does_not_exceed() {
        for bounds in [ENQUEUE_BOUNDS_US, REQUEST_BOUNDS_US, DELIVERY_BOUNDS_US] {
            assert!(bounds.is_sorted());
            for (at, bound) in bounds.into_iter().enumerate() {
                assert_eq!(bucket(&bounds, bound), at);
                assert_eq!(bucket(&bounds, bound * 1.01), at + 1);
            }
        }
        let mut one = Histogram::default();
        one.add(&REQUEST_BOUNDS_US, 2_000, 3);
        one.add(&REQUEST_BOUNDS_US, u64::MAX, 1);
        assert_eq!((one.counts[1], one.counts[14], one.count()), (3, 1, 4));
        let many = SharedHistogram::default();
        many.add(&ENQUEUE_BOUNDS_US, Duration::from_nanos(600));
        many.add(&ENQUEUE_BOUNDS_US, Duration::from_nanos(400));
        let read = many.read();
        assert_eq!((read.counts[0], read.counts[1], read.sum_us), (1, 1, 1));
    }
}
