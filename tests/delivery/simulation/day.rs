//! One day: rounds in which events are enqueued, lanes send, answers arrive and things go wrong,
//! until all events are settled.
//!
//! A day is bad first and then turns good: nothing goes wrong any more, the last events are
//! enqueued, and what is left must be settled in not many more requests than halving would take.

use super::api::{Api, Event};
use super::plan::Plan;
use super::store::Store;
use meditopia::PauseReason;
use meditopia::internals::clock::Moment;
use meditopia::internals::delivery::{
    Engine, Head, InDoubt, Policy, Queue, Restored, Step, Verdict, judge,
};
use meditopia::internals::exchange::BATCH_LIMIT;
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

const START: Moment = Moment {
    boot_ns: 1_000_000_000_000,
    wall_ms: 1_722_956_645_000,
};

/// A day turns good after this time at the latest, because pauses may last all day.
const BAD_AT_MOST: Duration = Duration::from_secs(3 * 86_400);

/// No day needs so many requests. One that does would never end.
const REQUESTS_AT_MOST: usize = 60_000;

/// A day with everything that takes part in it.
pub struct Day {
    pub events: Vec<Event>,
    pub api: Api,
    pub store: Store,
    pub crashes: usize,
    pub good: Option<Good>,
    pub policy: Policy,
    plan: Plan,
    rng: fastrand::Rng,
    engine: Engine,
    now: Moment,
    to_enqueue: VecDeque<Event>,
    /// For each lane, the batch whose last request ended without settling it.
    unsettled: Vec<Option<BTreeSet<usize>>>,
    in_flight: Vec<Option<Vec<Event>>>,
}

/// The state of the day when it turned good.
#[derive(Clone, Copy)]
pub struct Good {
    pub requests_before: usize,
    /// The requests that halving takes for all events that were left.
    pub halving: usize,
}

impl Day {
    pub fn new(plan: &Plan) -> Self {
        let events: Vec<Event> = plan
            .events
            .iter()
            .enumerate()
            .map(|(id, planned)| Event {
                id,
                user: planned.user,
                bytes: planned.bytes,
                bad: plan.is_bad(planned),
                enqueued_ms: 0,
            })
            .collect();
        let policy = plan.policy();
        let engine = Engine::new(policy.clone(), Restored::default(), START);
        let lanes = engine.lanes();
        Self {
            to_enqueue: events.iter().copied().collect(),
            events,
            api: Api::new(plan),
            store: Store::new(lanes),
            crashes: 0,
            good: None,
            policy,
            rng: fastrand::Rng::with_seed(plan.luck),
            engine,
            now: START,
            unsettled: vec![None; lanes],
            in_flight: vec![None; lanes],
            plan: plan.clone(),
        }
    }

    /// Simulates the day until nothing is left to do.
    pub fn run(&mut self) {
        let mut idle_rounds = 0;
        while !self.is_over() {
            if self.is_bad_day() {
                self.go_wrong();
                self.enqueue_some();
            } else {
                self.turn_good();
                self.operator_resumes();
            }
            let requests_before = self.api.requests;
            let mut soonest: Option<Moment> = None;
            for lane in 0..self.engine.lanes() {
                let wake = self.step_lane(lane);
                soonest = [soonest, wake].into_iter().flatten().min();
            }
            self.receive_some();
            if self.api.requests == requests_before && self.in_flight.iter().all(Option::is_none) {
                idle_rounds += 1;
                let pause = self.engine.pause_state();
                assert!(idle_rounds < 2_000, "stalled: {pause:?}");
                let wait = soonest.map_or(Duration::from_secs(1), |at| self.now.until(at));
                self.now = self.now.after(wait);
            } else {
                idle_rounds = 0;
            }
            assert!(self.api.requests < REQUESTS_AT_MOST, "the day does not end");
        }
    }

    fn batch_max(&self) -> usize {
        self.policy.batch_max.min(BATCH_LIMIT)
    }

    fn is_bad_day(&self) -> bool {
        self.good.is_none()
            && self.api.requests < self.plan.weather.bad_until
            && START.until(self.now) < BAD_AT_MOST
    }

    fn is_over(&self) -> bool {
        self.to_enqueue.is_empty()
            && self.in_flight.iter().all(Option::is_none)
            && self.store.is_empty()
    }

    /// Enqueues the last events. Nothing goes wrong from here on.
    fn turn_good(&mut self) {
        if self.good.is_some() {
            return;
        }
        while let Some(event) = self.to_enqueue.pop_front() {
            self.enqueue(event);
        }
        self.api.delete_user();
        let queues = self.store.queues.iter().flatten();
        let halving = queues.map(|queue| {
            let events: Vec<Event> = queue.iter().copied().collect();
            self.api.requests_of_halving(&events, self.batch_max())
        });
        self.good = Some(Good {
            requests_before: self.api.requests,
            halving: halving.sum(),
        });
    }

    /// An operator resumes where no probe would end the pause.
    fn operator_resumes(&mut self) {
        let reason = self.engine.pause_state().map(|pause| pause.reason);
        if matches!(reason, Some(PauseReason::Hold | PauseReason::MassRejection)) {
            self.engine.resume();
            self.store.commit_pause(&self.engine);
        }
    }

    fn enqueue_some(&mut self) {
        for _ in 0..self.rng.usize(0..60) {
            let Some(event) = self.to_enqueue.pop_front() else {
                return;
            };
            self.enqueue(event);
        }
    }

    fn enqueue(&mut self, event: Event) {
        self.store.enqueue(Event {
            enqueued_ms: self.now.wall_ms,
            ..event
        });
    }

    fn go_wrong(&mut self) {
        let weather = &self.plan.weather;
        match self.rng.u32(..40) {
            0 if weather.crashes => self.crash(),
            1 if weather.operator => {
                self.engine.hold(self.now);
            }
            2 | 3 if weather.operator => {
                self.engine.resume();
            }
            4 if weather.operator => {
                self.engine.token_replaced();
            }
            // The wall clock is set.
            5 if weather.clocks => self.now.wall_ms += self.rng.i64(-100_000_000..100_000_000),
            6 if weather.clocks => {
                self.now = self.now.after(Duration::from_secs(self.rng.u64(..4_000)));
            }
            _ => {}
        }
        self.store.commit_pause(&self.engine);
    }

    /// The process dies and another one starts, perhaps after a reboot.
    fn crash(&mut self) {
        self.crashes += 1;
        for lane in 0..self.in_flight.len() {
            if let Some(batch) = self.in_flight[lane].take() {
                // The bytes may have left, and the API may have processed them.
                if self.rng.bool() {
                    self.api.process(&batch, self.attempts(lane));
                }
                self.unsettled[lane] = Some(ids(&batch));
            }
        }
        if self.rng.bool() {
            let booted = START.boot_ns * 2;
            self.now.boot_ns = self.now.boot_ns.max(booted) - self.rng.u64(..START.boot_ns / 2);
        }
        self.engine = Engine::new(self.policy.clone(), self.store.restored(), self.now);
    }

    fn attempts(&self, lane: usize) -> u32 {
        let doubt = self.store.lanes[lane].in_doubt;
        doubt.map_or(0, |doubt| doubt.attempts)
    }

    /// Lets one lane take its next step. Returns the time at which the lane has something to do
    /// again.
    fn step_lane(&mut self, lane: usize) -> Option<Moment> {
        let max = self.policy.batch_max;
        let queues = &self.store.queues[lane];
        let sizes = [0, 1].map(|queue| {
            let sizes = queues[queue].iter().take(max).map(|event| event.bytes);
            sizes.collect::<Vec<_>>()
        });
        let heads = [0, 1].map(|queue| Head {
            sizes: &sizes[queue],
            oldest_ms: queues[queue].front().map_or(0, |event| event.enqueued_ms),
            more: queues[queue].len() > max,
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
        let waiting = &self.store.queues[lane][queue.index()];
        let batch: Vec<Event> = waiting.iter().take(events).copied().collect();
        assert_eq!(batch.len(), events, "more events than the queue has");
        assert!(
            (1..=BATCH_LIMIT).contains(&events),
            "{events} events in a request"
        );
        if let Some(unsettled) = &self.unsettled[lane] {
            assert_eq!(
                &ids(&batch),
                unsettled,
                "a batch in doubt was not repeated as it was"
            );
        }
        self.store.commit_lane(lane, &self.engine);
        let doubt = self.store.lanes[lane].in_doubt;
        let InDoubt {
            events: recorded, ..
        } = doubt.expect("in doubt before the bytes leave");
        assert_eq!(recorded, events);
        self.api.requests += 1;
        self.in_flight[lane] = Some(batch);
    }

    /// Lets some of the answers arrive.
    fn receive_some(&mut self) {
        for lane in 0..self.in_flight.len() {
            if self.rng.u8(..4) > 0
                && let Some(batch) = self.in_flight[lane].take()
            {
                self.receive(lane, &batch);
            }
        }
    }

    fn receive(&mut self, lane: usize, batch: &[Event]) {
        let attempts = self.attempts(lane);
        let goes_wrong =
            self.is_bad_day() && self.rng.u8(..100) < self.plan.weather.trouble_percent;
        let exchange = if goes_wrong {
            self.api.fail(batch, attempts, &mut self.rng)
        } else {
            self.api.answer(batch, attempts)
        };
        let verdict = judge(&exchange, self.now);
        match verdict {
            Verdict::InDoubt { .. } | Verdict::Pause { in_doubt: true, .. } => {
                self.unsettled[lane] = Some(ids(batch));
            }
            Verdict::Delivered | Verdict::Refused(_) | Verdict::TooLarge { .. } => {
                self.unsettled[lane] = None;
            }
            Verdict::Retry { .. } | Verdict::Pause { .. } => {}
        }
        let user = batch[0].user.to_string();
        let outcome = self
            .engine
            .answered(lane, Some(&user), &verdict, self.now, &mut self.rng);
        // The process may die before the commit: then the answer is lost.
        if self.is_bad_day() && self.plan.weather.crashes && self.rng.u8(..50) == 0 {
            self.unsettled[lane] = Some(ids(batch));
            return self.crash();
        }
        self.store
            .commit_effect(lane, batch, &outcome.effect, &self.api);
        self.store.commit_lane(lane, &self.engine);
        self.store.commit_pause(&self.engine);
        if self.store.lanes[lane].in_doubt.is_none() {
            assert!(
                self.unsettled[lane].is_none(),
                "a batch in doubt was forgotten"
            );
        }
        self.assert_few_are_uncertain(lane);
    }

    /// Checks that the API has processed at most one batch of a lane without the store knowing it.
    fn assert_few_are_uncertain(&self, lane: usize) {
        let waiting = self.store.queues[lane].iter().flatten();
        let uncertain = waiting.filter(|event| self.api.has(event)).count();
        assert!(
            uncertain <= self.batch_max(),
            "{uncertain} events of lane {lane} may come twice"
        );
    }
}

fn ids(batch: &[Event]) -> BTreeSet<usize> {
    batch.iter().map(|event| event.id).collect()
}
