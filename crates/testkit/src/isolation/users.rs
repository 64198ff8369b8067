//! The row in which bad events come from bad users: the real engine with its suspects, on a million
//! events.
//!
//! Every event of one user in a hundred is bad, and some users have many more events than others. A
//! bad user is found once and is a suspect from then on, so the floor is within reach: full batches,
//! and one request for each rejected event.

use super::policies::{halving, one_each_or_full_batches};
use super::rows::Row;
use super::zipf::Zipf;
use meditopia::internals::clock::Moment;
use meditopia::internals::delivery::{
    Effect, Engine, Head, Policy, Queue, Refusal, Restored, Step, Verdict,
};
use meditopia::internals::exchange::BATCH_LIMIT;
use std::collections::{BTreeMap, VecDeque};

const EVENTS: usize = 1_000_000;
const USERS: usize = 10_000;
const BAD_USERS: f64 = 0.01;
const SEEDS: u64 = 3;

/// The goal, as a multiple of full batches and one request for each rejected event.
const GOAL: f64 = 1.15;

/// The row of the worst seed.
pub fn row() -> Row {
    (1..=SEEDS)
        .map(row_of_seed)
        .max_by(|row, other| (row.this / row.floor).total_cmp(&(other.this / other.floor)))
        .expect("a seed")
}

fn row_of_seed(seed: u64) -> Row {
    let per_event = |requests: usize| requests as f64 / EVENTS as f64;
    let mut users = Users::with_seed(seed);
    let events: Vec<bool> = (0..EVENTS).map(|_| users.next_is_bad()).collect();
    let rejected = events.iter().filter(|bad| **bad).count();
    let floor = one_each_or_full_batches(per_event(rejected), per_event(EVENTS - rejected));
    Row {
        name: "every event of 1 % of 10,000 users, Zipf".to_owned(),
        goal: Some(GOAL * one_each_or_full_batches(per_event(rejected), 1.0)),
        this: per_event(Backlog::with_seed(seed).drain()),
        halving: per_event(halving(&events)),
        one_by_one: 1.0,
        rate_known: None,
        floor,
    }
}

/// Draws the user of the next event.
struct Users {
    rng: fastrand::Rng,
    zipf: Zipf,
    bad: Vec<bool>,
}

impl Users {
    fn with_seed(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        Self {
            bad: (0..USERS).map(|_| rng.f64() < BAD_USERS).collect(),
            rng,
            zipf: Zipf::new(USERS),
        }
    }

    fn next(&mut self) -> usize {
        self.zipf.draw(&mut self.rng)
    }

    fn next_is_bad(&mut self) -> bool {
        let user = self.next();
        self.bad[user]
    }
}

/// A million events, which are drawn when they are needed.
struct Backlog {
    users: Users,
    left: usize,
    /// How many events of each suspect are in the suspects' queue.
    suspects: BTreeMap<usize, usize>,
    queues: [VecDeque<usize>; 2],
}

impl Backlog {
    fn with_seed(seed: u64) -> Self {
        Self {
            users: Users::with_seed(seed),
            left: EVENTS,
            suspects: BTreeMap::new(),
            queues: Default::default(),
        }
    }

    fn fill(&mut self) {
        while self.left > 0 && self.queues[0].len() < BATCH_LIMIT {
            self.left -= 1;
            let user = self.users.next();
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
        let moved = before - self.queues[0].len();
        *self.suspects.entry(user).or_default() += moved;
        self.queues[1].extend(std::iter::repeat_n(user, moved));
    }

    /// Removes the first event of a queue.
    fn remove_first(&mut self, queue: Queue, delivered: bool) -> Option<usize> {
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

    /// Settles all events and returns the number of requests.
    fn drain(mut self) -> usize {
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
        let mut requests = 0;
        loop {
            self.fill();
            let heads = [0, 1].map(|queue| Head {
                sizes: &[150; BATCH_LIMIT][..self.queues[queue].len().min(BATCH_LIMIT)],
                oldest_ms: 0,
                more: self.queues[queue].len() > BATCH_LIMIT,
            });
            let Step::Send { queue, events, .. } = engine.next(0, heads, true, now) else {
                assert!(self.queues.iter().all(VecDeque::is_empty), "stalled");
                return requests;
            };
            requests += 1;
            engine.sending(0, queue, events, now);
            let refused = self.queues[queue.index()]
                .iter()
                .take(events)
                .any(|user| self.users.bad[*user]);
            let verdict = if refused {
                Verdict::Refused(refusal())
            } else {
                Verdict::Delivered
            };
            match engine.answered(0, None, &verdict, now, &mut rng).effect {
                Effect::Delivered { events, .. } => {
                    for _ in 0..events {
                        self.remove_first(queue, true);
                    }
                }
                Effect::Rejected { suspect, .. } => {
                    if let Some(user) = self.remove_first(queue, false)
                        && suspect
                    {
                        self.suspect(user);
                    }
                }
                // No other effect concerns an event while the brake is off.
                _ => {}
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
