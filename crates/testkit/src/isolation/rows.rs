//! The situations in which requests are counted, and the goals of the design for them.
//!
//! Users are independent unless a row says otherwise, the backlog is full, and the brake is off. The
//! lone request that confirms an inferred bad event is counted.

use super::policies::{floor_at, floor_of_batch, halving, isolating};
use super::users;
use meditopia::internals::delivery::cost::Cost;
use meditopia::internals::exchange::BATCH_LIMIT;

/// No row may take more than this many times the requests of the better policy written by hand.
const MORE_THAN_BY_HAND: f64 = 1.1;

/// Requests in one situation, per event or for a batch.
pub struct Row {
    pub name: String,
    pub goal: Option<f64>,
    pub this: f64,
    pub halving: f64,
    pub one_by_one: f64,
    /// The fewest requests of any choice of prefixes that knows the rate from the start.
    pub rate_known: Option<f64>,
    pub floor: f64,
}

impl Row {
    pub fn is_over(&self) -> bool {
        let by_hand = self.halving.min(self.one_by_one);
        self.goal.is_some_and(|goal| self.this > goal) || self.this > MORE_THAN_BY_HAND * by_hand
    }
}

/// Requests per event at one rate, for the plot.
pub struct Point {
    pub rate: f64,
    pub this: f64,
    pub halving: f64,
    pub floor: f64,
}

/// The rows that count requests per event.
pub fn per_event() -> Vec<Row> {
    let mut rows: Vec<Row> = [
        (0.0, 20_000, Some(0.0100)),
        (0.0001, 200_000, None),
        (0.001, 100_000, Some(0.0215)),
        (0.01, 40_000, Some(0.0865)),
        (0.02, 20_000, None),
        (0.05, 10_000, Some(0.312)),
        (0.10, 10_000, Some(0.515)),
        (0.20, 10_000, Some(0.785)),
        (0.30, 10_000, None),
        (0.35, 10_000, None),
        (0.50, 10_000, Some(1.01)),
        (0.98, 10_000, None),
    ]
    .map(|(rate, events, goal)| steady(rate, events, goal))
    .into();
    rows.push(bursts());
    rows.push(users::row());
    rows
}

/// The rows that count requests for the first 100 events of a new spool.
pub fn first_batches() -> Vec<Row> {
    [
        (1, Some(9.8)),
        (2, None),
        (5, Some(35.5)),
        (10, None),
        (20, Some(90.0)),
        (50, None),
        (100, Some(110.0)),
    ]
    .map(|(bad, goal)| first_batch(bad, goal))
    .into()
}

/// The points of the plot, by rate.
pub fn curve() -> Vec<Point> {
    let decades = [0.0001, 0.001, 0.01];
    let in_decade = [1.0, 1.4, 2.0, 3.0, 4.0, 5.5, 7.5];
    let low = decades
        .iter()
        .flat_map(|decade| in_decade.map(|step| decade * step));
    let high = [
        0.1, 0.12, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.77, 0.85,
        0.98,
    ];
    low.chain(high).map(point).collect()
}

/// One point of the plot, from so many events that the noise is invisible.
pub fn point(rate: f64) -> Point {
    let events = (200.0 / rate).clamp(10_000.0, 200_000.0) as usize;
    let [this, halving] = mean(10, events, |rng| rng.f64() < rate);
    Point {
        rate,
        this,
        halving,
        floor: floor_at(rate),
    }
}

/// Each event is bad with the same probability.
fn steady(rate: f64, events: usize, goal: Option<f64>) -> Row {
    let [this, halving] = mean(40, events, |rng| rng.f64() < rate);
    Row {
        name: percent(rate),
        goal,
        this,
        halving,
        one_by_one: 1.0,
        rate_known: (rate > 0.0).then(|| Cost::at_rate(rate).per_event()),
        floor: floor_at(rate),
    }
}

/// The bad events come in blocks.
fn bursts() -> Row {
    const BLOCK: usize = 1_000;
    const BLOCKS: usize = 10;
    const RATES: [f64; 2] = [0.0005, 0.3];
    let mut bad_block = 0;
    let mut event = 0;
    let [this, halving] = mean(100, BLOCK * BLOCKS, |rng| {
        if event % (BLOCK * BLOCKS) == 0 {
            bad_block = rng.usize(..BLOCKS);
        }
        let block = event / BLOCK % BLOCKS;
        event += 1;
        rng.f64() < RATES[usize::from(block == bad_block)]
    });
    Row {
        name: "30 % in one block of 1,000 of ten, else 0.05 %".to_owned(),
        goal: Some(0.120),
        this,
        halving,
        one_by_one: 1.0,
        rate_known: None,
        floor: 0.9 * floor_at(RATES[0]) + 0.1 * floor_at(RATES[1]),
    }
}

/// The first 100 events of a new spool, `bad` of them bad.
fn first_batch(bad: usize, goal: Option<f64>) -> Row {
    const SEEDS: u64 = 2_000;
    let mut requests = [0, 0];
    for seed in 1..=SEEDS {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut events: Vec<bool> = (0..BATCH_LIMIT).map(|event| event < bad).collect();
        rng.shuffle(&mut events);
        requests[0] += isolating(&events);
        requests[1] += halving(&events);
    }
    let [this, halving] = requests.map(|requests| requests as f64 / SEEDS as f64);
    Row {
        name: bad.to_string(),
        goal,
        this,
        halving,
        one_by_one: BATCH_LIMIT as f64,
        rate_known: None,
        floor: floor_of_batch(bad),
    }
}

/// Requests per event of this library and of halving; each seed is a new spool.
fn mean(seeds: u64, events: usize, mut is_bad: impl FnMut(&mut fastrand::Rng) -> bool) -> [f64; 2] {
    let mut requests = [0, 0];
    for seed in 1..=seeds {
        let mut rng = fastrand::Rng::with_seed(seed);
        let events: Vec<bool> = (0..events).map(|_| is_bad(&mut rng)).collect();
        requests[0] += isolating(&events);
        requests[1] += halving(&events);
    }
    requests.map(|requests| requests as f64 / (seeds * events as u64) as f64)
}

/// A rate in percent, with as many digits as it needs.
pub fn percent(rate: f64) -> String {
    let text = format!("{:.4}", rate * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}
