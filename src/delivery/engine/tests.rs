//! The promises of the engine, each held by a short story of one spool.

mod batches;
mod brake;
mod in_doubt;
mod pauses;
mod shared;

use super::answers::SERVER_ERRORS_MAX;
use super::*;
use crate::delivery::lane::InDoubt;
use crate::delivery::pause::{FIRST_PROBE, LONGEST_PROBE, PauseChange};
use crate::delivery::step::{Effect, Outcome};
use crate::delivery::verdict::{Refusal, Verdict};
use crate::delivery::{backoff, byte_limit};

/// The head of an empty queue.
const EMPTY: Head<'static> = Head {
    sizes: &[],
    oldest_ms: 0,
    more: false,
};

const REGULAR: usize = 0;
const SUSPECTS: usize = 1;

/// A spool with events that are only sizes, and a clock that stands still.
struct Spool {
    engine: Engine,
    /// The sizes of the events of each lane's queues.
    events: Vec<[Vec<u32>; 2]>,
    oldest_ms: i64,
    now: Moment,
    rng: fastrand::Rng,
    users: usize,
}

impl Spool {
    fn with(policy: Policy) -> Self {
        let now = Moment {
            boot_ns: 1_000_000_000_000,
            wall_ms: 1_722_956_645_000,
        };
        let engine = Engine::new(policy, Restored::default(), now);
        Self {
            events: vec![Default::default(); engine.lanes()],
            engine,
            oldest_ms: now.wall_ms,
            now,
            rng: fastrand::Rng::with_seed(7),
            users: 0,
        }
    }

    fn new() -> Self {
        Self::with(Policy::default())
    }

    /// A spool with one lane and `count` pending events of 100 bytes.
    fn with_events(count: usize) -> Self {
        let mut spool = Self::new();
        spool.events[0][REGULAR] = vec![100; count];
        spool
    }

    fn wait(&mut self, time: Duration) {
        self.now = self.now.after(time);
    }

    fn step(&mut self, lane: usize, urgent: bool) -> Step {
        let heads = [0, 1].map(|queue| {
            let events: &[u32] = &self.events[lane][queue];
            Head {
                sizes: &events[..events.len().min(100)],
                oldest_ms: self.oldest_ms,
                more: events.len() > 100,
            }
        });
        self.engine.next(lane, heads, urgent, self.now)
    }

    /// Sends the next batch of the lane: its queue, its events, and whether it probes.
    fn send_from(&mut self, lane: usize) -> (Queue, usize, bool) {
        match self.step(lane, true) {
            Step::Send {
                queue,
                events,
                probe,
            } => {
                self.engine.sending(lane, queue, events, self.now);
                (queue, events, probe)
            }
            other => panic!("nothing to send: {other:?}"),
        }
    }

    fn send(&mut self) -> usize {
        self.send_from(0).1
    }

    fn answer_to(&mut self, lane: usize, user: &str, verdict: Verdict) -> Outcome {
        let outcome = self
            .engine
            .answered(lane, Some(user), &verdict, self.now, &mut self.rng);
        match &outcome.effect {
            Effect::Delivered { queue, events } => {
                drop(self.events[lane][queue.index()].drain(..*events))
            }
            Effect::Rejected { queue, .. } => drop(self.events[lane][queue.index()].remove(0)),
            Effect::Unjudged => {
                let event = self.events[lane][REGULAR].remove(0);
                self.events[lane][SUSPECTS].push(event);
            }
            Effect::Kept => {}
        }
        outcome
    }

    fn answer(&mut self, verdict: Verdict) -> Outcome {
        self.answer_to(0, "u", verdict)
    }

    /// Waits for the probe and sends it.
    fn probe(&mut self) -> usize {
        self.wait_for_probe();
        let (_, events, probe) = self.send_from(0);
        assert!(probe);
        events
    }

    fn wait_for_probe(&mut self) {
        let at = self
            .engine
            .pause_state()
            .and_then(|pause| pause.probe_at)
            .expect("a pause that probes");
        self.wait(self.now.until(at));
    }

    fn wait_for_backoff(&mut self) {
        if let Step::Wait { until } = self.step(0, true) {
            self.wait(self.now.until(until));
        }
    }

    fn reason(&self) -> Option<PauseReason> {
        self.engine.pause_state().map(|pause| pause.reason)
    }

    fn in_doubt(&self) -> Option<InDoubt> {
        self.engine.lane_state(0).and_then(|state| state.in_doubt)
    }

    fn group(&self) -> usize {
        self.engine
            .lane_state(0)
            .map_or(0, |state| state.isolations[REGULAR].group)
    }

    /// The process dies, and another one goes on.
    fn crash(&mut self) {
        let restored = Restored {
            lanes: (0..self.engine.lanes())
                .filter_map(|lane| self.engine.lane_state(lane).copied())
                .collect(),
            pause: self.engine.pause_state().cloned(),
            refused_in_a_row: self.engine.refused_in_a_row().map(str::to_owned).collect(),
            allowed_rejections: self.engine.allowed_rejections(),
        };
        self.engine = Engine::new(Policy::default(), restored, self.now);
    }

    /// Refuses lone events, each of another user, until delivery pauses or `most` are rejected.
    fn refuse_alone(&mut self, most: usize) -> usize {
        let mut rejected = 0;
        while rejected < most && self.reason().is_none() {
            self.send();
            self.users += 1;
            let user = format!("u-{}", self.users);
            if let Effect::Rejected { .. } = self.answer_to(0, &user, refused()).effect {
                rejected += 1;
            }
        }
        rejected
    }
}

fn refusal() -> Refusal {
    Refusal {
        code: "U_404".into(),
        message: "User not found.".into(),
        status: 404,
    }
}

fn refused() -> Verdict {
    Verdict::Refused(refusal())
}

fn paused(reason: PauseReason) -> Verdict {
    Verdict::Pause {
        reason,
        status: 401,
        code: Some("A_1002".into()),
        message: "Bad request.".into(),
        in_doubt: false,
    }
}

const BUSY: Verdict = Verdict::Retry { after: None };
const LOST: Verdict = Verdict::InDoubt {
    after: None,
    server_error: None,
};
const BROKEN: Verdict = Verdict::InDoubt {
    after: None,
    server_error: Some(503),
};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
