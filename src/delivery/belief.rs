//! How likely a bad event is, as a belief over a small grid of rates.
//!
//! Nobody tells a sender how many of its events the API will refuse, and the best length of a
//! request depends on just that. So every queue holds a weight for each of 17 rates from 1 in
//! 10,000 to 98 in 100, learns from each settled event by Bayes' rule, and answers every question
//! as the mean over the weights.
//!
//! Before anything is known, the weight of a rate falls with its power 0.7: most partners send clean
//! events, so half of it lies on 1 in 10,000 and nine tenths on 2 in 1,000 and below, yet every rate keeps enough to be found out
//! after a handful of rejections. With each settled event the belief forgets: 2 in 10,000 of the
//! weight go back to that beginning, so that 5,000 events later the past counts for about a third. A bad
//! hour is believed when it comes and is not held against the clean events after it. Neither
//! figure is delicate; `benches/isolation.rs` shows what they cost.
//!
//! This is not a statistic for people; `stats` counts events.

/// How many rates the grid has.
pub const RATES: usize = 17;

/// The grid: chances that one event is bad.
const RATE: [f64; RATES] = [
    0.0001, 0.0003, 0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.05, 0.08, 0.12, 0.2, 0.3, 0.45,
    0.65, 0.85, 0.98,
];

/// The weight of each rate before anything is known: its power -0.7, scaled to a sum of 1.
const AT_FIRST: [f64; RATES] = normalised([
    631.0, 292.4, 125.9, 77.5, 47.7, 29.4, 18.9, 11.6, 8.14, 5.86, 4.41, 3.09, 2.32, 1.75, 1.35,
    1.12, 1.01,
]);

/// The share of the weight that goes back to its beginning with each settled event.
const FORGOTTEN_PER_EVENT: f64 = 0.0002;

/// A weight for each rate of bad events; the weights sum to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Belief {
    weights: [f64; RATES],
}

impl Default for Belief {
    fn default() -> Self {
        Self { weights: AT_FIRST }
    }
}

impl Belief {
    /// The weights, for the store. [`from_weights`](Self::from_weights) gives back the same belief, bit for bit.
    pub fn weights(&self) -> [f64; RATES] {
        self.weights
    }

    /// The belief with these weights; the first belief if they could not have come from
    /// [`weights`](Self::weights), since a wrong belief costs requests and a NaN costs all of them.
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

    /// The chance that `events` unknown events are all good.
    pub fn all_good(&self, events: usize) -> f64 {
        self.weights
            .iter()
            .zip(RATE)
            .map(|(weight, rate)| weight * power(1.0 - rate, events))
            .sum()
    }

    /// The chance of being all good for 1, 2, 3, ... unknown events.
    pub fn all_good_by_length(&self) -> impl Iterator<Item = f64> {
        let mut each = self.weights;
        std::iter::repeat_with(move || {
            for (weight, rate) in each.iter_mut().zip(RATE) {
                *weight *= 1.0 - rate;
            }
            each.iter().sum()
        })
    }

    /// Learns that `events` events were accepted.
    pub fn saw_good(&mut self, events: usize) {
        if events > 0 {
            self.learn(events, |rate| power(1.0 - rate, events));
        }
    }

    /// Learns that one event was refused alone.
    pub fn saw_bad(&mut self) {
        self.learn(1, |rate| rate);
    }

    fn learn(&mut self, events: usize, likelihood: impl Fn(f64) -> f64) {
        let mut sum = 0.0;
        for (weight, rate) in self.weights.iter_mut().zip(RATE) {
            *weight *= likelihood(rate);
            sum += *weight;
        }
        let kept = power(1.0 - FORGOTTEN_PER_EVENT, events);
        for (weight, at_first) in self.weights.iter_mut().zip(AT_FIRST) {
            *weight = kept * (*weight / sum) + (1.0 - kept) * at_first;
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
