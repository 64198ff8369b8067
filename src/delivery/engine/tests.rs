//! What the engine promises, told as stories of one spool.

use super::*;
use crate::delivery::lane::InDoubt;
use crate::delivery::pause::{FIRST_PROBE, LONGEST_PROBE};
use crate::delivery::{backoff, byte_limit};

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

    /// A spool of one lane in which `count` events of 100 bytes wait.
    fn holding(count: usize) -> Self {
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

    /// Sends what the lane wants to send, and tells what that was.
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

    fn rest(&mut self) {
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
        };
        self.engine = Engine::new(Policy::default(), restored, self.now);
    }

    /// Refuses lone events, each of another user, until the brake pauses or `most` are gone.
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

// ---- when a batch goes

#[test]
fn a_full_batch_goes_at_once_and_a_small_one_after_the_interval() {
    let mut spool = Spool::holding(100);
    assert!(matches!(
        spool.step(0, false),
        Step::Send { events: 100, .. }
    ));

    let mut spool = Spool::holding(3);
    let Step::Wait { until } = spool.step(0, false) else {
        panic!("sent too early")
    };
    assert_eq!(spool.now.until(until), secs(10));
    spool.wait(secs(10));
    assert!(matches!(spool.step(0, false), Step::Send { events: 3, .. }));
}

#[test]
fn a_flush_sends_what_there_is_and_an_empty_lane_is_idle() {
    let mut spool = Spool::holding(3);
    assert!(matches!(spool.step(0, true), Step::Send { events: 3, .. }));
    spool.events[0][REGULAR].clear();
    assert_eq!(spool.step(0, true), Step::Idle);
    assert_eq!(
        spool.engine.next(99, [Head::EMPTY; 2], true, spool.now),
        Step::Idle
    );
}

#[test]
fn time_waited_before_the_sender_came_counts() {
    let mut spool = Spool::holding(3);
    spool.oldest_ms -= 7_000;
    let Step::Wait { until } = spool.step(0, false) else {
        panic!("sent too early")
    };
    assert_eq!(spool.now.until(until), secs(3));
    spool.oldest_ms -= 60_000;
    assert!(matches!(spool.step(0, false), Step::Send { .. }));
}

#[test]
fn an_enqueue_time_in_the_future_waits_no_longer_than_the_interval() {
    for future in [1, 3_600_000, i64::MAX / 2] {
        let mut spool = Spool::holding(3);
        spool.oldest_ms += future;
        assert!(matches!(spool.step(0, false), Step::Wait { .. }));
        spool.wait(secs(5));
        // The wall clock is set back in the middle of it.
        spool.now.wall_ms -= 86_400_000;
        let Step::Wait { until } = spool.step(0, false) else {
            panic!("sent too early")
        };
        assert_eq!(spool.now.until(until), secs(5));
        spool.wait(secs(5));
        assert!(matches!(spool.step(0, false), Step::Send { .. }));
    }
}

#[test]
fn what_was_due_once_does_not_wait_again_behind_a_shorter_prefix() {
    let mut spool = Spool::holding(150);
    spool.refuse_alone(10);
    spool.events[0][REGULAR].clear();
    assert_eq!(spool.step(0, true), Step::Idle);
    spool.events[0][REGULAR] = vec![100; 60];
    spool.oldest_ms = spool.now.wall_ms;
    assert!(matches!(spool.step(0, false), Step::Wait { .. }));
    spool.wait(secs(10));
    let mut requests = 0;
    while let Step::Send { queue, events, .. } = spool.step(0, false) {
        assert!(requests > 0 || events < 60, "isolation sent all at once");
        spool.engine.sending(0, queue, events, spool.now);
        spool.answer(Verdict::Delivered);
        spool.oldest_ms = spool.now.wall_ms;
        requests += 1;
    }
    assert!(spool.events[0][REGULAR].is_empty());
}

#[test]
fn an_isolation_goes_on_at_once_also_after_a_restart() {
    let mut spool = Spool::holding(50);
    spool.send();
    spool.answer(refused());
    spool.crash();
    assert!(matches!(spool.step(0, false), Step::Send { .. }));
}

#[test]
fn both_queues_take_turns_when_both_are_due() {
    let mut spool = Spool::new();
    spool.events[0] = [vec![100; 500], vec![100; 500]];
    let mut turns = [0, 0];
    for _ in 0..8 {
        let (queue, ..) = spool.send_from(0);
        turns[queue.index()] += 1;
        spool.answer(Verdict::Delivered);
    }
    assert_eq!(turns, [4, 4]);
}

#[test]
fn one_request_at_a_time_is_in_flight_in_a_lane() {
    let mut spool = Spool::holding(500);
    spool.send();
    assert_eq!(spool.step(0, true), Step::Idle);
    spool.answer(Verdict::Delivered);
    assert!(matches!(spool.step(0, true), Step::Send { .. }));
}

#[test]
fn pacing_holds_over_all_lanes() {
    let mut spool = Spool::with(Policy {
        lanes: 4,
        max_requests_per_s: std::num::NonZeroU32::new(5),
        ..Policy::default()
    });
    for lane in &mut spool.events {
        lane[REGULAR] = vec![100; 1_000];
    }
    let start = spool.now;
    for request in 0..20 {
        let lane = request % 4;
        if let Step::Wait { until } = spool.step(lane, true) {
            spool.wait(spool.now.until(until));
        }
        spool.send_from(lane);
        spool.answer_to(lane, "u", Verdict::Delivered);
    }
    assert_eq!(start.until(spool.now), Duration::from_millis(200) * 19);
}

// ---- in doubt

#[test]
fn a_batch_in_doubt_is_repeated_before_anything_else() {
    let mut spool = Spool::holding(3);
    spool.send();
    spool.answer(LOST);
    spool.events[0] = [vec![100; 100], vec![100; 100]];
    for attempt in 2..6 {
        spool.rest();
        assert_eq!(spool.send_from(0), (Queue::Regular, 3, false));
        assert_eq!(spool.in_doubt().unwrap().attempts, attempt);
        spool.answer(LOST);
    }
    spool.rest();
    assert_eq!(spool.send(), 3);
    assert_eq!(
        spool.answer(Verdict::Delivered).effect,
        Effect::Delivered {
            queue: Queue::Regular,
            events: 3
        }
    );
    assert_eq!(spool.in_doubt(), None);
}

#[test]
fn a_crash_repeats_what_may_have_left() {
    let mut spool = Spool::holding(3);
    spool.send();
    spool.crash();
    spool.events[0][REGULAR] = vec![100; 1_000];
    assert_eq!(spool.send(), 3);
    assert_eq!(spool.in_doubt().unwrap().attempts, 2);
    spool.answer(BUSY);
    // Busy settles its own request, but not the one before the crash.
    assert_eq!(spool.in_doubt().unwrap().attempts, 1);
    spool.rest();
    assert_eq!(spool.send(), 3);
}

#[test]
fn a_batch_in_doubt_is_repeated_whole_also_with_a_smaller_batch_max() {
    let mut spool = Spool::holding(100);
    spool.send();
    let state = *spool.engine.lane_state(0).unwrap();
    let policy = Policy {
        batch_max: 10,
        ..Policy::default()
    };
    let restored = Restored {
        lanes: vec![state],
        ..Restored::default()
    };
    let mut engine = Engine::new(policy, restored, spool.now);
    let head = Head {
        sizes: &[100; 10],
        oldest_ms: 0,
        more: true,
    };
    assert!(matches!(
        engine.next(0, [head, Head::EMPTY], false, spool.now),
        Step::Send { events: 100, .. }
    ));
}

#[test]
fn a_request_that_had_no_effect_leaves_no_doubt() {
    for verdict in [BUSY, paused(PauseReason::Auth), paused(PauseReason::Ip)] {
        let mut spool = Spool::holding(3);
        spool.send();
        assert!(spool.in_doubt().is_some());
        spool.answer(verdict);
        assert_eq!(spool.in_doubt(), None);
    }
}

#[test]
fn a_misrouted_2xx_stays_in_doubt() {
    let mut spool = Spool::holding(3);
    spool.send();
    spool.answer(Verdict::Pause {
        reason: PauseReason::Misrouted,
        status: 200,
        code: None,
        message: "HTTP 200".into(),
        in_doubt: true,
    });
    assert_eq!(spool.in_doubt().map(|doubt| doubt.events), Some(3));
    assert_eq!(spool.probe(), 3);
}

#[test]
fn a_refusal_after_a_doubt_says_that_the_event_may_be_delivered() {
    let mut spool = Spool::holding(1);
    spool.send();
    spool.answer(LOST);
    spool.rest();
    spool.send();
    assert_eq!(
        spool.answer(refused()).effect,
        Effect::Rejected {
            queue: Queue::Regular,
            refusal: refusal(),
            may_be_delivered: true,
            suspect: false
        }
    );
    assert_eq!(spool.in_doubt(), None);
}

#[test]
fn a_lone_refusal_without_a_doubt_makes_a_suspect() {
    let mut spool = Spool::holding(1);
    spool.send();
    let Effect::Rejected {
        may_be_delivered,
        suspect,
        ..
    } = spool.answer(refused()).effect
    else {
        panic!("not rejected")
    };
    assert_eq!((may_be_delivered, suspect), (false, true));
}

#[test]
fn a_store_that_lost_the_batch_in_doubt_does_not_stall_the_lane() {
    let mut spool = Spool::holding(10);
    spool.send();
    spool.answer(LOST);
    spool.events[0][REGULAR].truncate(4);
    spool.rest();
    assert_eq!(spool.send(), 4);
    spool.answer(LOST);
    spool.events[0][REGULAR].clear();
    spool.wait(backoff::LONGEST);
    assert_eq!(spool.step(0, true), Step::Idle);
    assert_eq!(spool.in_doubt(), None);
}

#[test]
fn an_event_set_aside_leaves_the_batch_in_doubt() {
    let mut spool = Spool::holding(2);
    spool.send();
    spool.answer(BROKEN);
    spool.engine.removed(0, Queue::Regular, 5);
    assert_eq!(spool.in_doubt().map(|doubt| doubt.events), Some(2));
    spool.engine.removed(0, Queue::Regular, 1);
    assert_eq!(spool.in_doubt().map(|doubt| doubt.events), Some(1));
    spool.engine.removed(0, Queue::Regular, 0);
    assert_eq!(spool.in_doubt(), None);
}

// ---- backoff

#[test]
fn a_failure_rests_the_lane_and_a_flush_does_not_hurry_it() {
    let mut spool = Spool::holding(3);
    spool.send();
    spool.answer(Verdict::Retry {
        after: Some(secs(900)),
    });
    let Step::Wait { until } = spool.step(0, true) else {
        panic!("did not rest")
    };
    assert_eq!(spool.now.until(until), secs(900));
    spool.wait(secs(900));
    assert_eq!(spool.send(), 3);
}

#[test]
fn a_failing_lane_does_not_hold_up_another() {
    let mut spool = Spool::with(Policy {
        lanes: 2,
        ..Policy::default()
    });
    spool.events = vec![[vec![100; 3], vec![]], [vec![100; 3], vec![]]];
    for _ in 0..2 {
        spool.send_from(0);
        spool.answer_to(0, "u", LOST);
    }
    assert!(matches!(spool.step(0, true), Step::Wait { .. }));
    spool.send_from(1);
    assert!(matches!(
        spool.answer_to(1, "u", Verdict::Delivered).effect,
        Effect::Delivered { .. }
    ));
}

// ---- too large

#[test]
fn too_large_halves_by_bytes_down_to_one_event() {
    let mut spool = Spool::new();
    spool.events[0][REGULAR] = vec![1_000, 10, 10, 10, 10, 10];
    assert_eq!(spool.send(), 6);
    spool.answer(Verdict::TooLarge { refusal: None });
    assert_eq!(
        spool.send(),
        1,
        "the first event alone has more than half of the bytes"
    );
    spool.answer(Verdict::Delivered);
    assert_eq!(spool.send(), 5);
}

#[test]
fn too_large_alone_is_rejected_when_the_api_says_so_and_misrouted_when_a_proxy_does() {
    let mut spool = Spool::holding(2);
    spool.send();
    assert_eq!(
        spool
            .answer(Verdict::TooLarge {
                refusal: Some(refusal())
            })
            .effect,
        Effect::Kept
    );
    assert_eq!(spool.send(), 1);
    let Effect::Rejected { suspect, .. } = spool
        .answer(Verdict::TooLarge {
            refusal: Some(refusal()),
        })
        .effect
    else {
        panic!("not rejected")
    };
    assert!(!suspect, "its user did nothing wrong");
    assert_eq!(spool.send(), 1);
    let outcome = spool.answer(Verdict::TooLarge { refusal: None });
    assert_eq!(outcome.effect, Effect::Kept);
    assert_eq!(
        outcome.pause,
        Some(PauseChange::Begun(PauseReason::Misrouted))
    );
    assert_eq!(spool.in_doubt(), None);
}

#[test]
fn the_limit_learnt_from_a_413_relaxes() {
    let mut spool = Spool::holding(1_000);
    spool.send();
    spool.answer(Verdict::TooLarge { refusal: None });
    assert_eq!(spool.send(), 50);
    spool.answer(Verdict::Delivered);
    spool.wait(byte_limit::HOLDS);
    assert_eq!(spool.send(), 100);
}

#[test]
fn a_batch_in_doubt_that_is_too_large_is_split_and_its_events_stay_doubtful() {
    let mut spool = Spool::holding(2);
    spool.send();
    spool.answer(LOST);
    spool.rest();
    spool.send();
    spool.answer(Verdict::TooLarge { refusal: None });
    for _ in 0..2 {
        assert_eq!(spool.send(), 1);
        let Effect::Rejected {
            may_be_delivered, ..
        } = spool.answer(refused()).effect
        else {
            panic!("not rejected")
        };
        assert!(may_be_delivered);
    }
}

// ---- pauses

#[test]
fn a_refused_token_in_the_middle_of_isolation_blames_nobody_and_forgets_nothing() {
    for reason in [PauseReason::Auth, PauseReason::Ip, PauseReason::Misrouted] {
        let mut spool = Spool::holding(100);
        spool.send();
        spool.answer(refused());
        let (group, narrower) = (spool.group(), spool.send());
        let outcome = spool.answer(paused(reason));
        assert_eq!(
            (outcome.effect, outcome.pause),
            (Effect::Kept, Some(PauseChange::Begun(reason)))
        );
        assert_eq!(spool.group(), group);
        assert_eq!(spool.probe(), narrower);
    }
}

#[test]
fn probes_wait_30_seconds_and_then_twice_as_long_up_to_15_minutes() {
    let mut spool = Spool::holding(100);
    spool.send();
    spool.answer(paused(PauseReason::Auth));
    let mut expected = FIRST_PROBE;
    for _ in 0..10 {
        let Step::Paused {
            reason: PauseReason::Auth,
            probe_at: Some(at),
        } = spool.step(0, true)
        else {
            panic!("not paused")
        };
        assert_eq!(spool.now.until(at), expected);
        spool.probe();
        assert_eq!(spool.answer(paused(PauseReason::Auth)).pause, None);
        expected = (expected * 2).min(LONGEST_PROBE);
    }
    assert_eq!(expected, LONGEST_PROBE);
    spool.probe();
    assert_eq!(
        spool.answer(Verdict::Delivered).pause,
        Some(PauseChange::Ended(PauseReason::Auth))
    );
    assert!(matches!(spool.step(0, true), Step::Idle));
}

#[test]
fn a_probe_that_is_lost_or_put_off_does_not_end_the_pause() {
    for verdict in [LOST, BROKEN, BUSY, Verdict::TooLarge { refusal: None }] {
        let mut spool = Spool::holding(100);
        spool.send();
        spool.answer(paused(PauseReason::Ip));
        spool.probe();
        assert_eq!(spool.answer(verdict).pause, None);
        assert_eq!(spool.reason(), Some(PauseReason::Ip));
    }
}

#[test]
fn a_probe_that_the_api_judges_ends_the_pause() {
    let mut spool = Spool::holding(100);
    spool.send();
    spool.answer(paused(PauseReason::Ip));
    spool.probe();
    assert_eq!(
        spool.answer(refused()).pause,
        Some(PauseChange::Ended(PauseReason::Ip))
    );
    assert_eq!(spool.group(), 100);
}

#[test]
fn a_probe_with_another_reason_changes_the_reason() {
    let mut spool = Spool::holding(100);
    spool.send();
    spool.answer(paused(PauseReason::Auth));
    spool.probe();
    assert_eq!(
        spool.answer(paused(PauseReason::Misrouted)).pause,
        Some(PauseChange::Begun(PauseReason::Misrouted))
    );
}

#[test]
fn only_one_probe_goes_over_all_lanes_and_lanes_take_turns() {
    let mut spool = Spool::with(Policy {
        lanes: 3,
        ..Policy::default()
    });
    for lane in &mut spool.events {
        lane[REGULAR] = vec![100; 100];
    }
    spool.send_from(1);
    spool.answer_to(1, "u", paused(PauseReason::Auth));
    spool.wait_for_probe();
    assert!(spool.send_from(0).2);
    for lane in [0, 1, 2] {
        assert_eq!(
            spool.step(lane, true),
            Step::Paused {
                reason: PauseReason::Auth,
                probe_at: None
            }
        );
    }
    spool.answer_to(0, "u", paused(PauseReason::Auth));
    spool.wait_for_probe();
    assert!(
        matches!(
            spool.step(0, true),
            Step::Paused {
                probe_at: Some(_),
                ..
            }
        ),
        "lane 0 went last time"
    );
    assert!(spool.send_from(2).2);
}

#[test]
fn an_answer_already_on_its_way_neither_ends_nor_changes_a_pause() {
    for verdict in [
        Verdict::Delivered,
        refused(),
        paused(PauseReason::Ip),
        BROKEN,
    ] {
        let mut spool = Spool::with(Policy {
            lanes: 2,
            ..Policy::default()
        });
        spool.events = vec![[vec![100; 100], vec![]], [vec![100; 100], vec![]]];
        spool.send_from(0);
        spool.send_from(1);
        spool.answer_to(0, "u", paused(PauseReason::Auth));
        assert_eq!(spool.answer_to(1, "u", verdict).pause, None);
        assert_eq!(spool.reason(), Some(PauseReason::Auth));
    }
}

#[test]
fn a_hold_never_probes_and_only_the_operator_ends_it() {
    let mut spool = Spool::holding(100);
    spool.send();
    assert_eq!(
        spool.engine.hold(spool.now),
        Some(PauseChange::Begun(PauseReason::Hold))
    );
    assert_eq!(spool.engine.hold(spool.now), None);
    assert_eq!(spool.answer(paused(PauseReason::Auth)).pause, None);
    spool.wait(secs(1_000_000));
    assert_eq!(
        spool.step(0, true),
        Step::Paused {
            reason: PauseReason::Hold,
            probe_at: None
        }
    );
    assert_eq!(spool.engine.token_replaced(), None);
    assert_eq!(spool.engine.recovered(), None);
    assert_eq!(
        spool.engine.resume(),
        Some(PauseChange::Ended(PauseReason::Hold))
    );
    assert_eq!(spool.engine.resume(), None);
    assert_eq!(spool.send(), 100);
}

#[test]
fn a_hold_is_not_ended_by_a_probe_that_was_on_its_way() {
    let mut spool = Spool::holding(100);
    spool.send();
    spool.answer(paused(PauseReason::Auth));
    spool.probe();
    spool.engine.hold(spool.now);
    assert_eq!(spool.answer(Verdict::Delivered).pause, None);
    assert_eq!(spool.reason(), Some(PauseReason::Hold));
}

#[test]
fn a_damaged_store_outlasts_everything_but_its_recovery() {
    let mut spool = Spool::holding(100);
    spool
        .engine
        .pause(PauseReason::StoreDamaged, "page 7", spool.now);
    assert_eq!(spool.engine.hold(spool.now), None);
    assert_eq!(spool.engine.resume(), None);
    assert_eq!(spool.engine.token_replaced(), None);
    spool.crash();
    spool.wait(secs(1_000_000));
    assert_eq!(
        spool.step(0, true),
        Step::Paused {
            reason: PauseReason::StoreDamaged,
            probe_at: None
        }
    );
    assert_eq!(
        spool.engine.recovered(),
        Some(PauseChange::Ended(PauseReason::StoreDamaged))
    );
}

#[test]
fn a_new_token_ends_a_pause_for_the_old_one_at_once_and_no_other() {
    let mut spool = Spool::holding(100);
    spool.send();
    spool.answer(paused(PauseReason::Auth));
    assert_eq!(
        spool.engine.token_replaced(),
        Some(PauseChange::Ended(PauseReason::Auth))
    );
    assert_eq!(spool.send(), 100);
    spool.answer(paused(PauseReason::Ip));
    assert_eq!(spool.engine.token_replaced(), None);
    assert_eq!(spool.reason(), Some(PauseReason::Ip));
}

#[test]
fn an_operator_who_resumes_need_not_wait_for_a_rest() {
    let mut spool = Spool::holding(100);
    spool.send();
    spool.answer(Verdict::Retry {
        after: Some(secs(3_600)),
    });
    spool.engine.hold(spool.now);
    spool.engine.resume();
    assert_eq!(spool.send(), 100);
}

#[test]
fn a_pause_survives_a_restart_and_a_clock_that_was_set() {
    for shift_ms in [0, -86_400_000_000, 86_400_000_000] {
        let mut spool = Spool::holding(100);
        spool.send();
        spool.answer(paused(PauseReason::Auth));
        spool.now.boot_ns = 5;
        spool.now.wall_ms += shift_ms;
        spool.crash();
        let pause = spool.engine.pause_state().unwrap();
        assert_eq!(
            (pause.reason, pause.status, pause.code.as_deref()),
            (PauseReason::Auth, Some(401), Some("A_1002"))
        );
        assert!(pause.since_ms <= spool.now.wall_ms);
        assert!(spool.now.until(pause.probe_at.unwrap()) <= FIRST_PROBE);
        spool.probe();
    }
}

#[test]
fn the_same_batch_answered_with_server_errors_again_and_again_pauses() {
    let mut spool = Spool::holding(3);
    for error in 1..=SERVER_ERRORS {
        // Lost answers in between neither count nor break the row.
        spool.rest();
        spool.send();
        spool.answer(LOST);
        spool.rest();
        spool.send();
        let outcome = spool.answer(BROKEN);
        assert_eq!(outcome.pause.is_some(), error == SERVER_ERRORS, "{error}");
    }
    assert_eq!(spool.reason(), Some(PauseReason::ServerError));
    assert_eq!(spool.probe(), 3);
    assert_eq!(
        spool.answer(Verdict::Delivered).pause,
        Some(PauseChange::Ended(PauseReason::ServerError))
    );
}

#[test]
fn server_errors_of_different_batches_do_not_pause() {
    let mut spool = Spool::holding(10_000);
    for _ in 0..5 {
        for _ in 1..SERVER_ERRORS {
            spool.rest();
            spool.send();
            spool.answer(BROKEN);
        }
        spool.rest();
        spool.send();
        spool.answer(Verdict::Delivered);
    }
    assert_eq!(spool.reason(), None);
}

#[test]
fn a_probe_does_not_cut_short_the_rest_that_another_lane_was_asked_for() {
    let mut spool = Spool::with(Policy {
        lanes: 2,
        ..Policy::default()
    });
    spool.events = vec![[vec![100; 100], vec![]], [vec![100; 100], vec![]]];
    spool.send_from(1);
    spool.answer_to(
        1,
        "u",
        Verdict::Retry {
            after: Some(secs(900)),
        },
    );
    spool.send();
    spool.answer(paused(PauseReason::Ip));
    spool.probe();
    assert_eq!(
        spool.answer(Verdict::Delivered).pause,
        Some(PauseChange::Ended(PauseReason::Ip))
    );
    assert!(matches!(spool.step(1, true), Step::Wait { .. }));
    spool.engine.hold(spool.now);
    spool.engine.resume();
    assert!(matches!(spool.step(1, true), Step::Send { .. }));
}

#[test]
fn a_batch_that_still_breaks_the_api_gets_all_of_its_attempts_anew() {
    let mut spool = Spool::with(Policy {
        lanes: 2,
        ..Policy::default()
    });
    spool.events = vec![[vec![100; 3], vec![]], [vec![100; 3], vec![]]];
    for _ in 0..SERVER_ERRORS {
        spool.rest();
        spool.send();
        spool.answer(BROKEN);
    }
    spool.wait_for_probe();
    spool.send_from(1);
    let outcome = spool.answer_to(1, "u", Verdict::Delivered);
    assert_eq!(
        outcome.pause,
        Some(PauseChange::Ended(PauseReason::ServerError))
    );
    spool.rest();
    spool.send();
    assert_eq!(spool.answer(BROKEN).pause, None);
}

// ---- the brake

#[test]
fn after_twenty_users_refused_in_a_row_nothing_is_rejected_and_after_forty_all_pause() {
    let mut spool = Spool::holding(1_000);
    assert_eq!(spool.refuse_alone(100), 20);
    assert_eq!(spool.reason(), Some(PauseReason::MassRejection));
    assert_eq!(spool.events[0][SUSPECTS].len(), 20, "kept, unjudged");
    assert_eq!(spool.events[0][REGULAR].len(), 1_000 - 40);
}

#[test]
fn twenty_five_bad_users_side_by_side_do_not_stop_those_behind_them() {
    let mut spool = Spool::holding(1_000);
    assert_eq!(spool.refuse_alone(20), 20);
    for user in 20..25 {
        assert_eq!(spool.send(), 1);
        let outcome = spool.answer_to(0, &format!("bad-{user}"), refused());
        assert_eq!((outcome.effect, outcome.pause), (Effect::Unjudged, None));
    }
    // Nobody is judged before somebody is accepted, and the suspects wait for that.
    let (queue, ..) = spool.send_from(0);
    assert_eq!(queue, Queue::Regular);
    spool.answer(Verdict::Delivered);
    let mut judged = 0;
    while !spool.events[0][SUSPECTS].is_empty() {
        let verdict = match spool.send_from(0).0 {
            Queue::Suspects => refused(),
            Queue::Regular => Verdict::Delivered,
        };
        let outcome = spool.answer(verdict);
        assert_eq!(outcome.pause, None);
        judged += usize::from(matches!(outcome.effect, Effect::Rejected { .. }));
    }
    assert_eq!(judged, 5);
}

#[test]
fn under_the_brake_a_refused_suspect_pauses_and_is_not_rejected() {
    let mut spool = Spool::holding(22);
    assert_eq!(spool.refuse_alone(20), 20);
    for user in ["21", "22"] {
        spool.send();
        assert_eq!(spool.answer_to(0, user, refused()).effect, Effect::Unjudged);
    }
    // Nobody else is there.
    while let (queue, 2.., _) = spool.send_from(0) {
        assert_eq!(queue, Queue::Suspects);
        assert_eq!(spool.answer_to(0, "21", refused()).pause, None);
    }
    let outcome = spool.answer_to(0, "21", refused());
    assert_eq!(outcome.effect, Effect::Kept);
    assert_eq!(
        outcome.pause,
        Some(PauseChange::Begun(PauseReason::MassRejection))
    );
    assert_eq!(spool.events[0][SUSPECTS].len(), 2);
}

#[test]
fn under_the_brake_an_event_that_may_be_delivered_keeps_its_place_and_pauses() {
    let mut spool = Spool::holding(1_000);
    spool.refuse_alone(20);
    assert_eq!(spool.send(), 1);
    spool.answer(LOST);
    spool.rest();
    spool.send();
    let outcome = spool.answer_to(0, "21", refused());
    assert_eq!(outcome.effect, Effect::Kept);
    assert_eq!(
        outcome.pause,
        Some(PauseChange::Begun(PauseReason::MassRejection))
    );
    // Judged in its place, it is said to be in doubt.
    spool.engine.resume();
    assert_eq!(spool.send(), 1);
    let Effect::Rejected {
        may_be_delivered, ..
    } = spool.answer_to(0, "21", refused()).effect
    else {
        panic!("not rejected");
    };
    assert!(may_be_delivered);
}

#[test]
fn one_user_refused_many_times_or_an_acceptance_in_between_does_not_brake() {
    let mut spool = Spool::holding(1_000);
    for _ in 0..5 {
        assert_eq!(spool.refuse_alone(19), 19);
        spool.send();
        spool.answer(Verdict::Delivered);
    }
    let mut spool = Spool::holding(1_000);
    for _ in 0..200 {
        spool.send();
        spool.answer_to(0, "always the same", refused());
    }
    assert_eq!(spool.reason(), None);
}

#[test]
fn suspects_do_not_count_for_the_brake() {
    let mut spool = Spool::new();
    spool.events[0] = [vec![], vec![100; 100]];
    assert_eq!(spool.refuse_alone(100), 100);
    assert_eq!(spool.reason(), None);
}

#[test]
fn a_brake_of_0_is_off() {
    let mut spool = Spool::with(Policy {
        brake_users: 0,
        ..Policy::default()
    });
    spool.events[0][REGULAR] = vec![100; 200];
    assert_eq!(spool.refuse_alone(200), 200);
}

#[test]
fn every_probe_under_the_brake_asks_for_another_user_and_what_it_refuses_stays_pending() {
    let mut spool = Spool::holding(1_000);
    spool.refuse_alone(100);
    let kept = spool.events[0].iter().map(Vec::len).sum::<usize>();
    for probe in 0..20 {
        assert_eq!(spool.probe(), 1);
        let user = format!("another-{probe}");
        let outcome = spool.answer_to(0, &user, refused());
        assert_eq!((outcome.effect, outcome.pause), (Effect::Unjudged, None));
    }
    assert_eq!(spool.events[0].iter().map(Vec::len).sum::<usize>(), kept);
    // An operator decides that the refusals were right.
    assert_eq!(
        spool.engine.resume(),
        Some(PauseChange::Ended(PauseReason::MassRejection))
    );
    let regular = spool.events[0][REGULAR].len();
    spool.refuse_alone(100);
    assert_eq!(
        spool.events[0][REGULAR].len(),
        regular - 40,
        "it counts anew"
    );
}

#[test]
fn a_probe_that_narrows_a_group_does_not_end_the_pause_for_refusals() {
    let mut spool = Spool::with(Policy {
        lanes: 2,
        ..Policy::default()
    });
    spool.events = vec![[vec![100; 500], vec![]], [vec![100; 50], vec![]]];
    spool.refuse_alone(100);
    spool.wait_for_probe();
    let (_, events, probe) = spool.send_from(1);
    assert!(probe && events > 1);
    let outcome = spool.answer_to(1, "many", refused());
    assert_eq!((outcome.effect, outcome.pause), (Effect::Kept, None));
    assert_eq!(spool.reason(), Some(PauseReason::MassRejection));
}

#[test]
fn an_accepted_probe_releases_the_brake() {
    let mut spool = Spool::holding(1_000);
    spool.refuse_alone(100);
    spool.probe();
    assert_eq!(
        spool.answer(Verdict::Delivered).pause,
        Some(PauseChange::Ended(PauseReason::MassRejection))
    );
    let regular = spool.events[0][REGULAR].len();
    spool.refuse_alone(100);
    assert_eq!(
        spool.events[0][REGULAR].len(),
        regular - 40,
        "it counts anew"
    );
}

#[test]
fn a_refused_token_under_the_brake_does_not_release_it() {
    let mut spool = Spool::holding(1_000);
    spool.refuse_alone(100);
    spool.probe();
    spool.answer(paused(PauseReason::Auth));
    assert_eq!(
        spool.engine.token_replaced(),
        Some(PauseChange::Ended(PauseReason::Auth))
    );
    assert_eq!(spool.refuse_alone(100), 0);
    assert_eq!(spool.reason(), Some(PauseReason::MassRejection));
}

#[test]
fn a_refused_probe_of_another_pause_ends_that_one_also_under_the_brake() {
    let mut spool = Spool::holding(1_000);
    spool.refuse_alone(20);
    spool.send();
    spool.answer(paused(PauseReason::Auth));
    spool.probe();
    let outcome = spool.answer_to(0, "21", refused());
    assert_eq!(outcome.effect, Effect::Unjudged);
    assert_eq!(outcome.pause, Some(PauseChange::Ended(PauseReason::Auth)));
}

#[test]
fn a_lone_refusal_that_was_on_its_way_when_the_brake_came_stays_pending() {
    let mut spool = Spool::with(Policy {
        lanes: 2,
        ..Policy::default()
    });
    spool.events = vec![[vec![100; 500], vec![]], [vec![100], vec![]]];
    spool.send_from(1);
    spool.refuse_alone(100);
    assert_eq!(
        spool.answer_to(1, "late", refused()).effect,
        Effect::Unjudged
    );
    assert_eq!(spool.events[1][SUSPECTS].len(), 1);
}

#[test]
fn the_brake_remembers_its_count_over_a_restart() {
    let mut spool = Spool::holding(1_000);
    spool.refuse_alone(15);
    spool.crash();
    assert_eq!(spool.refuse_alone(100), 5);
    assert_eq!(spool.events[0][SUSPECTS].len(), 20);
}

#[test]
fn an_answer_that_nobody_awaits_changes_nothing() {
    let mut spool = Spool::holding(10);
    assert_eq!(spool.answer(Verdict::Delivered).effect, Effect::Kept);
    let outcome = spool
        .engine
        .answered(99, None, &Verdict::Delivered, spool.now, &mut spool.rng);
    assert_eq!(outcome.effect, Effect::Kept);
}
