//! How many requests settle events: with this library, with the policies that people write by hand,
//! and at least.
//!
//! *Halving* sends the two halves of a refused batch. *One by one* sends each event alone. No procedure
//! can beat the *floor*, which is the larger of two numbers: the entropy of which events are bad,
//! because an answer tells one bit at most, and one request for each bad event and for 100 good ones.

use meditopia::internals::delivery::Isolation;
use meditopia::internals::exchange::BATCH_LIMIT;
use std::collections::VecDeque;

/// Requests that the isolation of this library takes; `true` is a bad event.
pub fn isolating(events: &[bool]) -> usize {
    let mut queue: VecDeque<bool> = events.iter().copied().collect();
    let mut isolation = Isolation::default();
    let mut requests = 0;
    while !queue.is_empty() {
        let taken = isolation.next_len(queue.len(), BATCH_LIMIT);
        requests += 1;
        if queue.iter().take(taken).any(|bad| *bad) {
            isolation.refused(taken);
            queue.drain(..usize::from(taken == 1));
        } else {
            isolation.accepted(taken);
            queue.drain(..taken);
        }
    }
    requests
}

/// Requests that halving takes, batch after batch.
pub fn halving(events: &[bool]) -> usize {
    events.chunks(BATCH_LIMIT).map(halving_batch).sum()
}

fn halving_batch(batch: &[bool]) -> usize {
    if batch.len() == 1 || !batch.contains(&true) {
        return 1;
    }
    let (left, right) = batch.split_at(batch.len() / 2);
    1 + halving_batch(left) + halving_batch(right)
}

/// The floor for one event that is bad with chance `rate`.
pub fn floor_at(rate: f64) -> f64 {
    let bits = |p: f64| if p > 0.0 { -p * p.log2() } else { 0.0 };
    let entropy = bits(rate) + bits(1.0 - rate);
    entropy.max(one_each_or_full_batches(rate, 1.0 - rate))
}

/// The floor for a batch with `bad` bad events, if all positions are equally likely.
pub fn floor_of_batch(bad: usize) -> f64 {
    let good = BATCH_LIMIT - bad;
    let entropy: f64 = (0..bad)
        .map(|i| ((BATCH_LIMIT - i) as f64 / (bad - i) as f64).log2())
        .sum();
    entropy.max(bad as f64 + good.div_ceil(BATCH_LIMIT) as f64)
}

/// One request for each bad event, and one for each 100 good ones.
pub fn one_each_or_full_batches(bad: f64, good: f64) -> f64 {
    bad + good / BATCH_LIMIT as f64
}
