//! Requests per event with bad events among them: the table of the design, on the real isolation.
//!
//! Counted, not timed, so a shared machine cannot spoil it, and the same on every run: each figure
//! is a mean over seeds that start at 1. Users are independent, the backlog is full, the brake is
//! off, and the lone request that confirms an inferred bad event is counted. *Halving* is what
//! people write by hand: send the two halves of a refused batch. The *entropy floor* is what no
//! procedure can beat that learns one bit a request. Exits with 1 if a row is over its limit.

use meditopia::delivery::Isolation;
use std::collections::VecDeque;

const BATCH: usize = 100;

fn main() {
    let rows = [
        steady("0", 0.0, 20_000, 0.0100),
        steady("0.1 %", 0.001, 100_000, 0.0215),
        steady("1 %", 0.01, 40_000, 0.0865),
        steady("5 %", 0.05, 10_000, 0.312),
        steady("10 %", 0.10, 10_000, 0.515),
        steady("20 %", 0.20, 10_000, 0.785),
        steady("50 %", 0.50, 10_000, 1.01),
        bursts("30 % in one block of 1,000 of ten, else 0.05 %", 0.120),
        first_batch("first batch of 100 after start, 1 bad", 1, 9.8),
        first_batch("5 bad", 5, 35.5),
        first_batch("20 bad", 20, 90.0),
        first_batch("all 100 bad", 100, 110.0),
    ];
    println!("| bad events | requests, at most | this | halving | entropy floor |");
    println!("|---|---|---|---|---|");
    for row in &rows {
        println!("{row}");
    }
    let over: Vec<_> = rows
        .iter()
        .filter(|row| row.this > row.at_most)
        .map(|row| row.name)
        .collect();
    if !over.is_empty() {
        eprintln!("over their limit: {}", over.join("; "));
        std::process::exit(1);
    }
}

struct Row {
    name: &'static str,
    at_most: f64,
    this: f64,
    halving: f64,
    floor: f64,
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            name,
            at_most,
            this,
            halving,
            floor,
        } = self;
        if *at_most > 2.0 {
            write!(
                f,
                "| {name} | {at_most} | {this:.1} | {halving:.1} | {floor:.1} |"
            )
        } else {
            write!(
                f,
                "| {name} | {at_most} | {this:.4} | {halving:.4} | {floor:.4} |"
            )
        }
    }
}

/// Requests per event where each event is bad with the same chance.
fn steady(name: &'static str, rate: f64, events: usize, at_most: f64) -> Row {
    per_event(
        name,
        at_most,
        40,
        entropy(rate).max(1.0 / BATCH as f64),
        |rng| (0..events).map(|_| rng.f64() < rate).collect(),
    )
}

/// Requests per event where the bad ones come in blocks.
fn bursts(name: &'static str, at_most: f64) -> Row {
    const BLOCK: usize = 1_000;
    const BLOCKS: usize = 10;
    let floor = 0.1 * entropy(0.3) + 0.9 / BATCH as f64;
    per_event(name, at_most, 100, floor, |rng| {
        let bad_block = rng.usize(..BLOCKS);
        (0..BLOCK * BLOCKS)
            .map(|event| {
                rng.f64()
                    < if event / BLOCK == bad_block {
                        0.3
                    } else {
                        0.0005
                    }
            })
            .collect()
    })
}

/// Requests to settle the first 100 events of a new spool, `bad` of them bad.
fn first_batch(name: &'static str, bad: usize, at_most: f64) -> Row {
    const SEEDS: u64 = 2_000;
    let mut this = 0;
    let mut halved = 0;
    for seed in 1..=SEEDS {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut events: Vec<bool> = (0..BATCH).map(|event| event < bad).collect();
        rng.shuffle(&mut events);
        this += isolating(&events);
        halved += halving(&events);
    }
    Row {
        name,
        at_most,
        this: this as f64 / SEEDS as f64,
        halving: halved as f64 / SEEDS as f64,
        floor: (0..bad)
            .map(|i| ((BATCH - i) as f64 / (bad - i) as f64).log2())
            .sum(),
    }
}

fn per_event(
    name: &'static str,
    at_most: f64,
    seeds: u64,
    floor: f64,
    events: impl Fn(&mut fastrand::Rng) -> Vec<bool>,
) -> Row {
    let mut settled = 0;
    let mut this = 0;
    let mut halved = 0;
    for seed in 1..=seeds {
        let events = events(&mut fastrand::Rng::with_seed(seed));
        settled += events.len();
        this += isolating(&events);
        halved += events.chunks(BATCH).map(halving).sum::<usize>();
    }
    Row {
        name,
        at_most,
        this: this as f64 / settled as f64,
        halving: halved as f64 / settled as f64,
        floor,
    }
}

/// Requests that the isolation of this library needs; `true` is a bad event.
fn isolating(events: &[bool]) -> usize {
    let mut queue: VecDeque<bool> = events.iter().copied().collect();
    let mut isolation = Isolation::default();
    let mut requests = 0;
    while !queue.is_empty() {
        let taken = isolation.next_len(queue.len(), BATCH);
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

/// Requests that sending both halves of a refused batch needs.
fn halving(batch: &[bool]) -> usize {
    if batch.len() == 1 || !batch.contains(&true) {
        return 1;
    }
    let (left, right) = batch.split_at(batch.len() / 2);
    1 + halving(left) + halving(right)
}

fn entropy(rate: f64) -> f64 {
    let bits = |p: f64| if p > 0.0 { -p * p.log2() } else { 0.0 };
    bits(rate) + bits(1.0 - rate)
}
