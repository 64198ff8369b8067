//! A year of bad days for the delivery engine, told by a seed.
//!
//! Each run has events of several users, an API that refuses some of them, a network that loses
//! answers, an operator, a clock that is set back and forth, and a process that dies at every point
//! where a real one can. Time costs nothing here. When the bad days are over, the ledger of the API
//! and the rejected store are held against what was enqueued.
//!
//! The store is the obvious one: what is committed survives a crash, all else does not.
//! `SIMULATION_SEED=n cargo test --test simulation` runs one seed alone.

// Clippy's leave for tests ends at the functions that tests call.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use meditopia::clock::Moment;
use meditopia::delivery::{Answer, Outcome};
use meditopia::delivery::{
    Effect, Engine, Exchange, Head, InDoubt, LaneState, Pause, Policy, Queue, Restored, Step,
    Verdict, judge,
};
use meditopia::error::PauseReason;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;
use std::time::Duration;

const RUNS: u64 = 3_000;

/// More requests than any run may need; a run that needs more will not come to an end.
const REQUESTS_AT_MOST: usize = 60_000;

#[test]
fn nothing_is_lost_and_only_lone_events_are_judged_on_any_bad_day() {
    if let Ok(seed) = std::env::var("SIMULATION_SEED") {
        return Day::new(seed.parse().expect("a number")).live();
    }
    let mut crashes = 0;
    let mut repeated = 0;
    for seed in 0..RUNS {
        let run = std::panic::catch_unwind(|| {
            let mut day = Day::new(seed);
            day.run();
            (day.crashes, day.repeated_deliveries)
        });
        match run {
            Ok((died, twice)) => {
                crashes += died;
                repeated += twice;
            }
            Err(_) => {
                panic!("seed {seed} broke a promise; run it alone with SIMULATION_SEED={seed}")
            }
        }
    }
    assert!(
        crashes > RUNS as usize,
        "the days were not bad enough: {crashes} crashes"
    );
    assert!(repeated > 0, "no answer was ever lost after a delivery");
}

#[derive(Clone, Copy, Debug)]
struct Event {
    id: usize,
    user: usize,
    bytes: u32,
    bad: bool,
    enqueued_ms: i64,
}

/// What is committed: it survives a crash.
#[derive(Default)]
struct Store {
    queues: Vec<[VecDeque<Event>; 2]>,
    lanes: Vec<LaneState>,
    suspects: BTreeSet<usize>,
    rejected: Vec<(Event, bool)>,
    delivered: BTreeSet<usize>,
    pause: Option<Pause>,
    refused_in_a_row: Vec<String>,
}

/// The API as it really is: what it processed, and what it refused alone.
#[derive(Default)]
struct Ledger {
    processed: Vec<usize>,
    /// The members of the batch in which each event came.
    batch_of: BTreeMap<usize, Vec<usize>>,
    refused_alone: BTreeSet<usize>,
}

struct Day {
    rng: fastrand::Rng,
    policy: Policy,
    engine: Engine,
    store: Store,
    ledger: Ledger,
    now: Moment,
    events: Vec<Event>,
    to_enqueue: VecDeque<Event>,
    /// How likely a request, of those sent before the day turns good, goes wrong.
    trouble: f64,
    body_limit: u64,
    /// A user who is deleted at the API after so many requests: good events turn bad, those in doubt too.
    deleted: Option<(usize, usize)>,
    /// The batches whose request ended without an answer that settled it, by lane.
    unsettled: Vec<Option<BTreeSet<usize>>>,
    in_flight: Vec<Option<Vec<Event>>>,
    requests: usize,
    bad_until: usize,
    crashes: usize,
    repeated_deliveries: usize,
}

impl Day {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let now = Moment {
            boot_ns: 1_000_000_000_000,
            wall_ms: 1_722_956_645_000,
        };
        let policy = Policy {
            batch_max: if rng.bool() { 100 } else { rng.usize(1..=100) },
            flush_interval: Duration::from_millis(rng.u64(0..20_000)),
            lanes: if rng.bool() { 1 } else { rng.usize(1..=4) },
            brake_users: if rng.bool() { 0 } else { rng.u32(1..=20) },
            max_requests_per_s: if rng.bool() {
                None
            } else {
                NonZeroU32::new(rng.u32(1..=50))
            },
        };
        let users = rng.usize(1..=40);
        let bad_rate = [0.0, 0.01, 0.1, 0.5, 1.0][rng.usize(..5)];
        let bad_users: Vec<bool> = (0..users).map(|_| rng.f64() < bad_rate).collect();
        let by_user = rng.bool();
        let events: Vec<Event> = (0..rng.usize(0..400))
            .map(|id| {
                let user = rng.usize(..users);
                Event {
                    id,
                    user,
                    bytes: rng.u32(100..2_000),
                    bad: if by_user {
                        bad_users[user]
                    } else {
                        rng.f64() < bad_rate
                    },
                    enqueued_ms: 0,
                }
            })
            .collect();
        let engine = Engine::new(policy.clone(), Restored::default(), now);
        let lanes = engine.lanes();
        Self {
            trouble: [0.0, 0.05, 0.3, 0.9][rng.usize(..4)],
            body_limit: if rng.u8(..4) == 0 {
                rng.u64(2_000..60_000)
            } else {
                u64::MAX
            },
            deleted: (rng.u8(..4) == 0).then(|| (rng.usize(..users), rng.usize(..200))),
            bad_until: rng.usize(0..400),
            policy,
            engine,
            store: Store {
                queues: vec![Default::default(); lanes],
                lanes: vec![LaneState::default(); lanes],
                ..Store::default()
            },
            ledger: Ledger::default(),
            now,
            to_enqueue: events.iter().copied().collect(),
            events,
            unsettled: vec![None; lanes],
            in_flight: vec![None; lanes],
            requests: 0,
            crashes: 0,
            repeated_deliveries: 0,
            rng,
        }
    }

    fn live(&mut self) {
        self.run();
        println!(
            "{} requests, {} crashes, {} rejected",
            self.requests,
            self.crashes,
            self.store.rejected.len()
        );
    }

    fn run(&mut self) {
        let mut idle_rounds = 0;
        loop {
            if self.is_bad_day() {
                self.misfortune();
            } else if let Some(pause) = self.engine.pause_state() {
                // The operator who reads the log in the morning. Probes end the others by themselves.
                if matches!(pause.reason, PauseReason::Hold | PauseReason::MassRejection) {
                    self.engine.resume();
                    self.commit_pause();
                }
            }
            self.enqueue_some();
            let was = self.requests;
            let mut soonest: Option<Moment> = None;
            for lane in 0..self.engine.lanes() {
                let wake = self.turn(lane);
                soonest = [soonest, wake].into_iter().flatten().min();
            }
            self.land_some();
            if self.is_over() {
                break;
            }
            if self.requests == was && self.in_flight.iter().all(Option::is_none) {
                idle_rounds += 1;
                assert!(
                    idle_rounds < 2_000,
                    "stalled: {:?}",
                    self.engine.pause_state()
                );
                match soonest {
                    Some(at) => self.now = self.now.after(self.now.until(at)),
                    None => self.now = self.now.after(Duration::from_secs(1)),
                }
            } else {
                idle_rounds = 0;
            }
            assert!(self.requests < REQUESTS_AT_MOST, "does not come to an end");
        }
        self.reckon();
    }

    /// Bad days end after so many requests, or after so much time that pauses ate.
    fn is_bad_day(&self) -> bool {
        self.requests < self.bad_until
            && self.now.boot_ns < 1_000_000_000_000 + 86_400_000_000_000 * 3
    }

    fn is_over(&self) -> bool {
        self.to_enqueue.is_empty()
            && self.in_flight.iter().all(Option::is_none)
            && self.store.queues.iter().flatten().all(VecDeque::is_empty)
    }

    fn enqueue_some(&mut self) {
        for _ in 0..self.rng.usize(0..60) {
            let Some(mut event) = self.to_enqueue.pop_front() else {
                return;
            };
            event.enqueued_ms = self.now.wall_ms;
            let lane = event.user % self.engine.lanes();
            let queue = usize::from(self.store.suspects.contains(&event.user));
            self.store.queues[lane][queue].push_back(event);
        }
    }

    fn misfortune(&mut self) {
        match self.rng.u32(..40) {
            0 => self.crash(),
            1 => {
                self.engine.hold(self.now);
                self.commit_pause();
            }
            2 | 3 => {
                self.engine.resume();
                self.commit_pause();
            }
            4 => {
                self.engine.token_replaced();
                self.commit_pause();
            }
            // Somebody sets the wall clock.
            5 => self.now.wall_ms += self.rng.i64(-100_000_000..100_000_000),
            6 => self.now = self.now.after(Duration::from_secs(self.rng.u64(..4_000))),
            _ => {}
        }
    }

    /// The process dies and another one starts, perhaps after a reboot.
    fn crash(&mut self) {
        self.crashes += 1;
        for lane in 0..self.in_flight.len() {
            if let Some(batch) = self.in_flight[lane].take() {
                // The bytes may have left, and the API may have processed them.
                if self.rng.bool() && self.accepts(&batch) {
                    self.process(lane, &batch);
                }
                self.unsettled[lane] = Some(batch.iter().map(|event| event.id).collect());
            }
        }
        if self.rng.bool() {
            self.now.boot_ns =
                self.now.boot_ns.max(2_000_000_000_000) - self.rng.u64(..500_000_000_000);
        }
        let restored = Restored {
            lanes: self.store.lanes.clone(),
            pause: self.store.pause.clone(),
            refused_in_a_row: self.store.refused_in_a_row.clone(),
        };
        self.engine = Engine::new(self.policy.clone(), restored, self.now);
    }

    /// Asks one lane what to do, and does it. Returns when the lane wants to be asked again.
    fn turn(&mut self, lane: usize) -> Option<Moment> {
        let max = self.policy.batch_max;
        let sizes = [0, 1].map(|queue| {
            self.store.queues[lane][queue]
                .iter()
                .take(max)
                .map(|event| event.bytes)
                .collect::<Vec<_>>()
        });
        let heads = [0, 1].map(|queue| {
            let events = &self.store.queues[lane][queue];
            Head {
                sizes: &sizes[queue],
                oldest_ms: events.front().map_or(0, |event| event.enqueued_ms),
                more: events.len() > max,
            }
        });
        let urgent = self.rng.u8(..4) == 0;
        match self.engine.next(lane, heads, urgent, self.now) {
            Step::Send {
                queue,
                events,
                probe,
            } => {
                assert!(
                    self.in_flight[lane].is_none(),
                    "two requests in flight in one lane"
                );
                assert_eq!(probe, self.engine.pause_state().is_some());
                self.engine.sending(lane, queue, events, self.now);
                self.send(lane, queue, events);
                None
            }
            Step::Wait { until } => {
                let busy = self.policy.flush_interval.max(Duration::from_secs(3_600));
                assert!(self.now.until(until) <= busy, "waits too long");
                Some(until)
            }
            Step::Idle => None,
            Step::Paused { probe_at, .. } => probe_at,
        }
    }

    fn send(&mut self, lane: usize, queue: Queue, events: usize) {
        let batch: Vec<Event> = self.store.queues[lane][queue.index()]
            .iter()
            .take(events)
            .copied()
            .collect();
        assert_eq!(batch.len(), events, "more events than the queue has");
        assert!(events > 0);
        let members: BTreeSet<usize> = batch.iter().map(|event| event.id).collect();
        if let Some(unsettled) = &self.unsettled[lane] {
            assert_eq!(
                &members, unsettled,
                "a batch in doubt was not repeated as it was"
            );
        }
        self.store.lanes[lane] = *self.engine.lane_state(lane).unwrap();
        let InDoubt {
            events: journalled, ..
        } = self.store.lanes[lane]
            .in_doubt
            .expect("in doubt before the bytes leave");
        assert_eq!(journalled, events);
        self.requests += 1;
        self.in_flight[lane] = Some(batch);
    }

    /// Answers come when they come.
    fn land_some(&mut self) {
        for lane in 0..self.in_flight.len() {
            if self.rng.u8(..4) > 0
                && let Some(batch) = self.in_flight[lane].take()
            {
                self.answer(lane, &batch);
            }
        }
    }

    fn answer(&mut self, lane: usize, batch: &[Event]) {
        let exchange = self.exchange(lane, batch);
        let verdict = judge(&exchange, self.now);
        match verdict {
            Verdict::InDoubt { .. } | Verdict::Pause { in_doubt: true, .. } => {
                self.unsettled[lane] = Some(batch.iter().map(|event| event.id).collect());
            }
            Verdict::Delivered | Verdict::Refused(_) | Verdict::TooLarge { .. } => {
                self.unsettled[lane] = None
            }
            Verdict::Retry { .. } | Verdict::Pause { .. } => {}
        }
        if let Verdict::TooLarge { refusal: None } = verdict
            && batch.len() == 1
        {
            panic!("the simulated API always gives a reason");
        }
        let user = batch[0].user.to_string();
        let outcome = self
            .engine
            .answered(lane, Some(&user), &verdict, self.now, &mut self.rng);
        // The process may die before the commit: the answer is as good as lost.
        if self.is_bad_day() && self.rng.u8(..50) == 0 {
            self.unsettled[lane] = Some(batch.iter().map(|event| event.id).collect());
            return self.crash();
        }
        self.commit(lane, batch, &outcome);
    }

    fn commit(&mut self, lane: usize, batch: &[Event], outcome: &Outcome) {
        match &outcome.effect {
            Effect::Delivered { queue, events } => {
                for event in self.store.queues[lane][queue.index()].drain(..*events) {
                    assert!(
                        self.ledger.batch_of.contains_key(&event.id),
                        "{event:?} was never delivered"
                    );
                    self.store.delivered.insert(event.id);
                }
                let suspects = &self.store.queues[lane][1];
                for event in batch {
                    if suspects.iter().all(|other| other.user != event.user) {
                        self.store.suspects.remove(&event.user);
                    }
                }
            }
            Effect::Rejected {
                queue,
                may_be_delivered,
                suspect,
                ..
            } => {
                let event = self.store.queues[lane][queue.index()]
                    .pop_front()
                    .expect("an event to reject");
                assert!(
                    self.ledger.refused_alone.contains(&event.id),
                    "{event:?} was not refused alone"
                );
                assert!(
                    self.is_bad(&event) || u64::from(event.bytes) > self.body_limit,
                    "{event:?} is not bad"
                );
                assert!(
                    *may_be_delivered || !self.ledger.batch_of.contains_key(&event.id),
                    "{event:?} was delivered, unsaid"
                );
                self.store.rejected.push((event, *may_be_delivered));
                if *suspect {
                    self.suspect(lane, event.user);
                }
            }
            Effect::Unjudged => self.suspect(lane, batch[0].user),
            Effect::Kept => {}
        }
        self.store.lanes[lane] = *self.engine.lane_state(lane).unwrap();
        self.commit_pause();
        if self.store.lanes[lane].in_doubt.is_none() {
            assert!(self.unsettled[lane].is_none(), "a doubt was forgotten");
        }
    }

    fn commit_pause(&mut self) {
        self.store.pause = self.engine.pause_state().cloned();
        self.store.refused_in_a_row = self.engine.refused_in_a_row().map(str::to_owned).collect();
    }

    fn suspect(&mut self, lane: usize, user: usize) {
        self.store.suspects.insert(user);
        let [regular, suspects] = &mut self.store.queues[lane];
        let (theirs, others) = regular
            .drain(..)
            .partition(|event: &Event| event.user == user);
        *regular = others;
        suspects.extend::<VecDeque<Event>>(theirs);
    }

    fn is_bad(&self, event: &Event) -> bool {
        event.bad
            || self
                .deleted
                .is_some_and(|(user, after)| event.user == user && self.requests > after)
    }

    fn accepts(&self, batch: &[Event]) -> bool {
        !batch.iter().any(|event| self.is_bad(event)) && self.fits(batch)
    }

    fn fits(&self, batch: &[Event]) -> bool {
        batch
            .iter()
            .map(|event| u64::from(event.bytes))
            .sum::<u64>()
            <= self.body_limit
    }

    /// The API takes a batch. What it has already may only come again in the same batch, listed as
    /// in doubt before it left.
    fn process(&mut self, lane: usize, batch: &[Event]) {
        let members: Vec<usize> = batch.iter().map(|event| event.id).collect();
        let attempts = self.store.lanes[lane]
            .in_doubt
            .map_or(0, |doubt| doubt.attempts);
        for id in &members {
            if let Some(earlier) = self.ledger.batch_of.insert(*id, members.clone()) {
                self.repeated_deliveries += 1;
                // A batch that is refused after its doubt must be split, and may come again in parts.
                if self.deleted.is_none() {
                    assert_eq!(earlier, members, "event {id} came again in another batch");
                    assert!(attempts > 1, "event {id} came again without a doubt");
                }
            } else {
                self.ledger.processed.push(*id);
            }
        }
    }

    fn exchange(&mut self, lane: usize, batch: &[Event]) -> Exchange {
        if self.is_bad_day() && self.rng.f64() < self.trouble {
            return match self.rng.u32(..12) {
                0 => Exchange::NotSent {
                    why: "refused".into(),
                },
                1 => answered(429, ""),
                2 => answered(401, &error("A_1002")),
                3 => answered(403, &error("A_1004")),
                4 => answered(302, "<html>"),
                kind => {
                    // The request arrived, and only the answer went wrong.
                    if self.rng.bool() && self.accepts(batch) {
                        self.process(lane, batch);
                    }
                    match kind {
                        5 => answered(200, "<html>"),
                        6 | 7 => answered(503, ""),
                        8 => answered(408, ""),
                        9 => cut(422),
                        _ => Exchange::Unsettled {
                            why: "reset".into(),
                        },
                    }
                }
            };
        }
        if !self.fits(batch) {
            if let [event] = batch {
                self.ledger.refused_alone.insert(event.id);
            }
            return answered(413, &error("L_1"));
        }
        if !self.accepts(batch) {
            if let [event] = batch {
                self.ledger.refused_alone.insert(event.id);
            }
            return answered(404, &error("U_404"));
        }
        self.process(lane, batch);
        answered(204, "")
    }

    /// The day is over: what was enqueued against what became of it.
    fn reckon(&self) {
        let mut rejected = BTreeSet::new();
        for (event, _) in &self.store.rejected {
            assert!(rejected.insert(event.id), "{event:?} was rejected twice");
        }
        for event in &self.events {
            let (delivered, rejected) = (
                self.store.delivered.contains(&event.id),
                rejected.contains(&event.id),
            );
            assert!(
                delivered ^ rejected,
                "{event:?}: delivered {delivered}, rejected {rejected}"
            );
            assert!(
                !delivered || self.ledger.batch_of.contains_key(&event.id),
                "{event:?} never arrived"
            );
        }
        let mut last: BTreeMap<usize, usize> = BTreeMap::new();
        for id in &self.ledger.processed {
            let user = self.events[*id].user;
            let before = last.insert(user, *id);
            assert!(
                before.is_none_or(|before| before < *id),
                "user {user}: event {id} arrived after {before:?}"
            );
        }
    }
}

fn answered(status: u16, body: &str) -> Exchange {
    Exchange::Answered(Answer {
        status,
        retry_after: None,
        body: body.as_bytes().to_vec(),
        whole: true,
    })
}

fn cut(status: u16) -> Exchange {
    Exchange::Answered(Answer {
        status,
        retry_after: None,
        body: b"{\"succ".to_vec(),
        whole: false,
    })
}

fn error(code: &str) -> String {
    format!(r#"{{"success":false,"errors":[{{"code":"{code}","message":"as simulated"}}]}}"#)
}
