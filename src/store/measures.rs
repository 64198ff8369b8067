//! What the store counts of requests beside the sums: their verdicts, their bytes and how long they took.
//!
//! The ledger names each sum by its place in one list of all of them ([`Totals::numbers`]).

use super::Totals;
use crate::stats::histogram::Histogram;

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
    /// How many rejections an operator still allows. No sum, but written as one: it changes with them.
    pub allowed_rejections: u64,
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

impl Measures {
    /// Every number, in the order of the list. New ones go to the end.
    fn numbers(&mut self) -> impl Iterator<Item = &mut u64> {
        let Self {
            verdicts,
            sent_bytes,
            pauses,
            requests,
            deliveries,
            allowed_rejections,
        } = self;
        let Verdicts {
            delivered,
            refused,
            too_large,
            retry,
            in_doubt,
            pause,
        } = verdicts;
        let verdicts = [delivered, refused, too_large, retry, in_doubt, pause];
        let histograms = [requests, deliveries]
            .into_iter()
            .flat_map(|Histogram { counts, sum_us }| counts.iter_mut().chain([sum_us]));
        verdicts
            .into_iter()
            .chain([sent_bytes, pauses])
            .chain(histograms)
            .chain([allowed_rejections])
    }
}

impl Totals {
    /// Damaged records of the journal, and events that a recovery could not read.
    pub(crate) fn damage(&self) -> u64 {
        self.damaged_records.saturating_add(self.lost)
    }

    /// Every sum that the ledger keeps, in the order of its numbers there. New ones go to the end. What is
    /// pending is not among them: the queues tell it.
    pub(super) fn numbers(&mut self) -> impl Iterator<Item = &mut u64> {
        let Self {
            pending: _,
            pending_bytes: _,
            delivered,
            rejected,
            expired,
            requests,
            retried_requests,
            refused_requests,
            isolation_requests,
            damaged_records,
            torn_tails,
            lost,
            damage_acknowledged,
            measures,
        } = self;
        let sums = [
            delivered,
            rejected,
            expired,
            requests,
            retried_requests,
            refused_requests,
            isolation_requests,
            damaged_records,
            torn_tails,
            lost,
        ];
        sums.into_iter()
            .chain(measures.numbers())
            .chain([damage_acknowledged])
    }
}
