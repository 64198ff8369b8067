//! How likely a bad event is, as a belief over a small grid of rates.
//!
//! A sender does not know how many of its events the API will refuse, yet the best length of a
//! request depends on that rate. So every queue has a weight for each of 17 rates, from 1 in 10,000
//! to 98 in 100. It updates the weights by Bayes' rule with each settled event, and takes the mean
//! over them wherever a rate is needed. The grid is dense where the best length changes, from 5 in
//! 1,000 to 36 in 100. Below that range full batches are best, and above it each event alone.
//!
//! In the prior, the weight of a rate falls about with the square root of the rate, because most
//! partners send clean events: half of the weight is on 1 in 10,000, and nine tenths are on 2 in
//! 1,000 and below. Even so, a handful of rejections is enough to find any rate.
//!
//! With each settled event the belief forgets: 2 in 10,000 of the weight go back to the prior, so
//! that after 5,000 events the past counts for about a third. The belief thus follows a burst of bad
//! events when it begins, and soon forgets it when clean events follow. Neither figure is delicate;
//! `benches/isolation.rs` shows what they cost.
//!
//! A belief is not a statistic for people; `stats` counts events.

/// How many rates the grid has.
pub const RATES: usize = 17;

/// The grid: chances that one event is bad.
pub const RATE: [f64; RATES] = [
    0.0001, 0.0005, 0.002, 0.005, 0.01, 0.017, 0.027, 0.04, 0.06, 0.085, 0.12, 0.16, 0.21, 0.28,
    0.36, 0.6, 0.98,
];

/// The weights before any event is settled: each rate to the power of -0.54, times the distance
/// between its neighbours on a logarithmic scale, normalised to a sum of 1.
const PRIOR: [f64; RATES] = normalised([
    542.9, 255.3, 92.8, 39.6, 20.7, 12.6, 8.46, 6.39, 4.84, 3.69, 2.79, 2.12, 1.83, 1.51, 1.86,
    1.86, 0.755,
]);

/// The share of the weight that goes back to the prior with each settled event.
const FORGOTTEN_PER_EVENT: f64 = 0.0002;

/// A weight for each rate of bad events; the weights sum to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Belief {
    weights: [f64; RATES],
}

impl Default for Belief {
    fn default() -> Self {
        Self { weights: PRIOR }
    }
}

impl Belief {
    /// The weights, for the store. [`from_weights`](Self::from_weights) restores the same belief, bit
    /// for bit.
    pub fn weights(&self) -> [f64; RATES] {
        self.weights
    }

    /// The belief with these weights, or the prior if they cannot have come from
    /// [`weights`](Self::weights): a wrong belief costs requests, and a NaN would spoil every decision.
    pub fn from_weights(weights: [f64; RATES]) -> Self {
        let sum: f64 = weights.iter().sum();
        let sound =
            weights.iter().all(|weight| (0.0..=1.0).contains(weight)) && (sum - 1.0).abs() < 1e-6;
        if sound {
            Self { weights }
        } else {
            Self::default()
        }
    }

    /// Learns that `events` events were accepted.
    pub fn learn_accepted(&mut self, events: usize) {
        if events > 0 {
            self.update(events, |rate| power(1.0 - rate, events));
        }
    }

    /// Learns that one event was refused alone.
    pub fn learn_refused(&mut self) {
        self.update(1, |rate| rate);
    }

    fn update(&mut self, events: usize, likelihood: impl Fn(f64) -> f64) {
        let mut sum = 0.0;
        for (weight, rate) in self.weights.iter_mut().zip(RATE) {
            *weight *= likelihood(rate);
            sum += *weight;
        }
        let kept = power(1.0 - FORGOTTEN_PER_EVENT, events);
        for (weight, prior) in self.weights.iter_mut().zip(PRIOR) {
            *weight = kept * (*weight / sum) + (1.0 - kept) * prior;
        }
    }
}

fn power(base: f64, exponent: usize) -> f64 {
    base.powi(i32::try_from(exponent).unwrap_or(i32::MAX))
}

const fn normalised(parts: [f64; RATES]) -> [f64; RATES] {
    let mut sum = 0.0;
    let mut i = 0;
    while i < RATES {
        sum += parts[i];
        i += 1;
    }
    let mut weights = [0.0; RATES];
    let mut i = 0;
    while i < RATES {
        weights[i] = parts[i] / sum;
        i += 1;
    }
    weights
}
