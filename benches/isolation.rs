//! Requests per event with bad events among them: the table of the design, on the real isolation.
//!
//! Counted, not timed, so a shared machine cannot spoil it, and the same on every run: each figure
//! is a mean over seeds that start at 1. Users are independent, the backlog is full, the brake is
//! off, and the lone request that confirms an inferred bad event is counted. *Halving* is what
//! people write by hand: send the two halves of a refused batch. The *entropy floor* is what no
//! procedure can beat that learns one bit a request. The last row, on the real engine with its
//! suspects, is a multiple of what it must cost at least: full batches and one request for each
//! rejected event. Exits with 1 if a row is over its limit.

use meditopia::clock::Moment;
use meditopia::delivery::{
    Effect, Engine, Head, Isolation, Policy, Queue, Refusal, Restored, Step, Verdict,
};
use std::collections::{BTreeMap, VecDeque};

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
    let suspects = bad_users();
    println!("| bad events | requests, at most | this | halving | entropy floor |");
    println!("|---|---|---|---|---|");
    for row in &rows {
        println!("{row}");
    }
    println!("| 1 % of 10,000 users, Zipf | 1.15 | {suspects:.3} | | |");
    let over: Vec<_> = rows
        .iter()
        .filter(|row| row.this > row.at_most)
        .map(|row| row.name)
        .collect();
    if !over.is_empty() || suspects > 1.15 {
        eprintln!(
            "over their limit: {} (Zipf: {suspects:.3})",
            over.join("; ")
        );
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

/// Requests as a multiple of `1/100 + rejected events per event`, where every event of one user in a
/// hundred is bad and some users have many more events than others.
fn bad_users() -> f64 {
    const EVENTS: usize = 1_000_000;
    const SEEDS: u64 = 3;
    let worst = (1..=SEEDS).map(|seed| {
        let (requests, rejected) = Backlog::with_seed(seed, EVENTS).drain();
        requests as f64 / (EVENTS as f64 / BATCH as f64 + rejected as f64)
    });
    worst.fold(0.0, f64::max)
}

/// A million events of 10,000 users by Zipf's law, that nobody holds: they are drawn when needed.
struct Backlog {
    rng: fastrand::Rng,
    left: usize,
    /// The chance that an event is of this user or an earlier one.
    up_to: Vec<f64>,
    bad: Vec<bool>,
    /// How many events of each suspect stand in the suspects queue.
    suspects: BTreeMap<usize, usize>,
    queues: [VecDeque<usize>; 2],
}

impl Backlog {
    fn with_seed(seed: u64, events: usize) -> Self {
        const USERS: usize = 10_000;
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut sum = 0.0;
        let mut up_to: Vec<f64> = (1..=USERS)
            .map(|rank| {
                sum += 1.0 / rank as f64;
                sum
            })
            .collect();
        up_to.iter_mut().for_each(|share| *share /= sum);
        Self {
            bad: (0..USERS).map(|_| rng.f64() < 0.01).collect(),
            rng,
            left: events,
            up_to,
            suspects: BTreeMap::new(),
            queues: Default::default(),
        }
    }

    fn fill(&mut self) {
        while self.left > 0 && self.queues[0].len() < BATCH {
            self.left -= 1;
            let chance = self.rng.f64();
            let user = self
                .up_to
                .partition_point(|share| *share < chance)
                .min(self.bad.len() - 1);
            match self.suspects.get_mut(&user) {
                Some(events) => {
                    *events += 1;
                    self.queues[1].push_back(user);
                }
                None => self.queues[0].push_back(user),
            }
        }
    }

    fn suspect(&mut self, user: usize) {
        let before = self.queues[0].len();
        self.queues[0].retain(|other| *other != user);
        let theirs = before - self.queues[0].len();
        *self.suspects.entry(user).or_default() += theirs;
        self.queues[1].extend(std::iter::repeat_n(user, theirs));
    }

    /// Takes the first event of a queue out.
    fn leave(&mut self, queue: Queue, delivered: bool) -> Option<usize> {
        let user = self.queues[queue.index()].pop_front()?;
        if queue == Queue::Suspects
            && let Some(events) = self.suspects.get_mut(&user)
        {
            *events -= 1;
            if delivered && *events == 0 {
                self.suspects.remove(&user);
            }
        }
        Some(user)
    }

    /// Requests and rejected events until nothing is left.
    fn drain(mut self) -> (usize, usize) {
        let now = Moment {
            boot_ns: 0,
            wall_ms: 0,
        };
        let policy = Policy {
            brake_users: 0,
            ..Policy::default()
        };
        let mut engine = Engine::new(policy, Restored::default(), now);
        let mut rng = fastrand::Rng::with_seed(0);
        let (mut requests, mut rejected) = (0, 0);
        loop {
            self.fill();
            let heads = [0, 1].map(|queue| Head {
                sizes: &[150; BATCH][..self.queues[queue].len().min(BATCH)],
                oldest_ms: 0,
                more: self.queues[queue].len() > BATCH,
            });
            let Step::Send { queue, events, .. } = engine.next(0, heads, true, now) else {
                return (requests, rejected);
            };
            requests += 1;
            engine.sending(0, queue, events, now);
            let refused = self.queues[queue.index()]
                .iter()
                .take(events)
                .any(|user| self.bad[*user]);
            let verdict = if refused {
                Verdict::Refused(refusal())
            } else {
                Verdict::Delivered
            };
            match engine.answered(0, None, &verdict, now, &mut rng).effect {
                Effect::Delivered { events, .. } => {
                    for _ in 0..events {
                        self.leave(queue, true);
                    }
                }
                Effect::Rejected { suspect, .. } => {
                    rejected += 1;
                    if let Some(user) = self.leave(queue, false)
                        && suspect
                    {
                        self.suspect(user);
                    }
                }
                // The brake is off.
                Effect::Unjudged | Effect::Kept => {}
            }
        }
    }
}

fn refusal() -> Refusal {
    Refusal {
        code: "U_404".to_owned(),
        message: String::new(),
        status: 404,
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
