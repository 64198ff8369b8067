//! `kill -9` to everybody: eight processes that enqueue and two that stand for election die at random
//! moments and are replaced, while threads enqueue through whichever of them chance picks.
//!
//! A user's events go through several processes, each once the one before it was acknowledged, so
//! their order is a claim about the whole spool. An event whose process died before it answered is
//! unknown: it may come in its place, or not at all. Some users are bad, some answers get lost.
//!
//! Moments are counted in acknowledgements or in requests and drawn from a seed. Whenever the elected
//! process is to die, the other candidate is stopped first, so that what is in doubt can be listed
//! between the death and whatever the successor does about it: every batch that came twice must have
//! been on such a list, or its answer was lost by the API's own fault.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, RwLock};
use std::time::Duration;

use meditopia::Client;
use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::enqueuer::Enqueuer;
use meditopia_testkit::fault_table::{Outcome, add_row, trial_count};
use meditopia_testkit::ledger::{
    Arrivals, Event, NumbersByUser, events_of_rows, first_disorder, lost_events, numbers_by_user,
};
use meditopia_testkit::process::OnDrop;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::{secs, wait_until};
use serde_json::json;

const SEED: u64 = 31;
const ENQUEUERS: usize = 8;
const CANDIDATES: usize = 2;
const THREADS: usize = 4;
const USERS_OF_A_THREAD: usize = 24;
/// What all threads together may enqueue between two deaths, and the requests that they need at least.
const EVENTS_OF_A_LIFE: usize = 400;
const REQUESTS_OF_A_LIFE: u64 = 4;
/// So often all that waits is delivered, for lives are too short to keep up with the enqueuers.
const DEATHS_BETWEEN_DRAINS: usize = 20;
/// Of so many deaths one is an enqueuer's.
const ENQUEUERS_SHARE: usize = 4;
const UNKNOWN: [&str; 2] = ["u-0-3", "u-2-1"];

#[test]
fn whoever_dies_nothing_is_lost_or_out_of_order_and_repeats_were_listed() {
    torture(1);
}

#[test]
fn whoever_dies_with_four_lanes_each_has_at_most_one_batch_in_doubt() {
    torture(4);
}

/// What the threads may still enqueue, and what they did.
struct Work {
    state: Mutex<Ration>,
    changed: Condvar,
    workers: RwLock<Vec<Arc<Enqueuer>>>,
}

#[derive(Default)]
struct Ration {
    left: usize,
    /// The threads rest after each event, so that requests are not full.
    rest: Duration,
    over: bool,
    acknowledged: Vec<Event>,
}

fn torture(lanes: usize) {
    let deaths = trial_count(100, 1_000) as usize;
    let api = Sandbox::builder()
        .seed(SEED)
        .unknown_user(UNKNOWN[0])
        .unknown_user(UNKNOWN[1])
        .start();
    // So that many deaths find a request on its way, taken by the API and not answered.
    api.set_faults(json!({"faults": [
        {"fault": "reset", "when": "after", "probability": 0.03},
        {"fault": "delay", "ms": [0, 20], "when": "after"},
    ]}));
    let lane_count = lanes.to_string();
    let options = [("flush_interval_ms", "20"), ("lanes", &*lane_count)];
    let program = CProgram::compile("enqueuer.c").with_config(&api, &options);
    let spool = program.spool();
    let observer = TestSpool::for_sandbox(&api)
        .with("spool", spool.to_str().unwrap())
        .with("lanes", &lane_count)
        .client();
    let work = Work {
        state: Mutex::default(),
        changed: Condvar::new(),
        workers: RwLock::new(
            (0..ENQUEUERS)
                .map(|_| Arc::new(Enqueuer::start(&program, "enqueue")))
                .collect(),
        ),
    };

    let mut rng = fastrand::Rng::with_seed(SEED + lanes as u64);
    let mut candidates: Vec<Enqueuer> = Vec::new();
    let mut stood = 0;
    let mut doubts: Vec<BTreeSet<Event>> = Vec::new();
    let mut senders_died = 0;
    std::thread::scope(|scope| {
        let _end = OnDrop(|| work.end());
        for thread in 0..THREADS {
            let (work, rng) = (&work, rng.fork());
            scope.spawn(move || enqueue_through_all(work, thread, rng));
        }
        for death in 0..deaths {
            while candidates.len() < CANDIDATES {
                candidates.push(stand(&program, &work, &mut stood));
            }
            if death % DEATHS_BETWEEN_DRAINS == DEATHS_BETWEEN_DRAINS - 1 {
                observer.flush_ok(secs(300));
            }
            let requests_before = api.ledger().requests;
            let acknowledged_before = work.begin_life(rng.bool());
            match rng.u8(0..3) {
                0 => work.wait_for(acknowledged_before + rng.usize(0..=EVENTS_OF_A_LIFE / 2)),
                1 => {
                    let requests = rng.u64(1..=REQUESTS_OF_A_LIFE);
                    api.wait_for_requests(requests_before + requests);
                }
                _ => {}
            }
            if death % ENQUEUERS_SHARE == 0 {
                let fresh = Arc::new(Enqueuer::start(&program, "enqueue"));
                let index = rng.usize(..ENQUEUERS);
                let old = std::mem::replace(&mut work.workers.write().unwrap()[index], fresh);
                old.kill();
            } else {
                let elected = elected(&observer, &candidates);
                for other in candidates.iter().filter(|c| c.pid() != elected) {
                    other.stop();
                }
                let index = candidates.iter().position(|c| c.pid() == elected);
                candidates.swap_remove(index.unwrap()).kill();
                senders_died += 1;
                doubts.push(in_doubt(&observer));
                candidates.iter().for_each(Enqueuer::resume);
            }
        }
    });
    for candidate in candidates.drain(..) {
        candidate.stop();
        candidate.kill();
        senders_died += 1;
    }
    doubts.push(in_doubt(&observer));
    let lost_answers = api.ledger().by_fault.get("reset").copied().unwrap_or(0);

    api.clear_faults();
    observer.resume().unwrap();
    let last = observer.flush_ok(secs(300));
    assert_eq!((last.pending, last.in_doubt), (0, 0));
    assert!(!spool.join("damaged").exists(), "a record was damaged");

    let acknowledged = std::mem::take(&mut work.state.lock().unwrap().acknowledged);
    let arrivals = Arrivals::from_sandbox(&api);
    let delivered = arrivals.first_appearances();
    let rejected = numbers_by_user(events_of_rows(&observer.rejected_rows()));
    let lost = lost_events(&acknowledged, &[&delivered, &rejected]);
    let repeats = arrivals.repeats();
    let bound = senders_died * lanes + lost_answers as usize;
    let count = |numbers: &NumbersByUser| numbers.values().map(|n| n.len() as u64).sum();
    add_row(
        &format!("kill -9 of senders and enqueuers, {lanes} lanes"),
        Outcome {
            trials: deaths as u64,
            acknowledged: acknowledged.len() as u64,
            delivered: count(&delivered),
            rejected: count(&rejected),
            lost: lost.len() as u64,
            duplicated: repeats as u64,
        },
        format!("{bound} requests ({lost_answers} answers lost)"),
    );

    assert!(lost.is_empty(), "lost: {lost:?}");
    arrivals.assert_only_whole_requests_came_twice();
    assert!(repeats <= bound, "{repeats} requests were repeated");
    for (requests, events) in arrivals.repeated_bodies() {
        let answer_lost = requests.iter().any(|r| r.fault.as_deref() == Some("reset"));
        let was_listed = doubts.iter().any(|listed| events.is_subset(listed));
        assert!(
            answer_lost || was_listed,
            "never listed as in doubt, and repeated: {requests:?}"
        );
    }
    for (user, numbers) in &delivered {
        assert_eq!(first_disorder(numbers), None, "{user}");
        assert!(!UNKNOWN.contains(&user.as_str()));
    }
    assert!(rejected.keys().eq(UNKNOWN));
    for (user, numbers) in &rejected {
        assert_eq!(first_disorder(numbers), None, "{user}, among the rejected");
    }
}

impl Work {
    /// Lets the threads enqueue on; says how much was acknowledged until now.
    fn begin_life(&self, slow: bool) -> usize {
        let mut ration = self.state.lock().unwrap();
        ration.left = EVENTS_OF_A_LIFE;
        ration.rest = Duration::from_micros(if slow { 2_000 } else { 0 });
        self.changed.notify_all();
        ration.acknowledged.len()
    }

    fn wait_for(&self, acknowledged: usize) {
        wait_until("so many are acknowledged", || {
            self.state.lock().unwrap().acknowledged.len() >= acknowledged
        });
    }

    fn end(&self) {
        self.state.lock().unwrap().over = true;
        self.changed.notify_all();
    }

    /// The right to enqueue one event, with the rest after it; `None`: it is over.
    fn take(&self) -> Option<Duration> {
        let ration = self.state.lock().unwrap();
        let mut ration = self
            .changed
            .wait_while(ration, |r| r.left == 0 && !r.over)
            .unwrap();
        ration.left = ration.left.saturating_sub(1);
        (!ration.over).then_some(ration.rest)
    }

    fn acknowledge(&self, user: &str, number: u64) {
        let mut ration = self.state.lock().unwrap();
        ration.acknowledged.push((user.to_owned(), number));
        self.changed.notify_all();
    }
}

/// One thread's work: its users' events, each through another process.
fn enqueue_through_all(work: &Work, thread: usize, mut rng: fastrand::Rng) {
    let mut number = 0;
    while let Some(rest) = work.take() {
        let user = format!("u-{thread}-{}", rng.usize(..USERS_OF_A_THREAD));
        let worker = work.workers.read().unwrap()[rng.usize(..ENQUEUERS)].clone();
        if worker.enqueue(&user, number) {
            work.acknowledge(&user, number);
        }
        number += 1;
        std::thread::sleep(rest);
    }
}

/// One more process that sends if it is elected. It stands from its first event on.
fn stand(program: &CProgram, work: &Work, stood: &mut u64) -> Enqueuer {
    let candidate = Enqueuer::start(program, "both");
    assert!(candidate.enqueue("candidate", *stood), "it lives");
    work.acknowledge("candidate", *stood);
    *stood += 1;
    candidate
}

/// The pid of the candidate that sends, once one does.
fn elected(observer: &Client, candidates: &[Enqueuer]) -> u32 {
    let mut elected = None;
    wait_until("one is elected", || {
        elected = observer
            .sender_pid()
            .filter(|pid| candidates.iter().any(|c| c.pid() == *pid));
        elected.is_some()
    });
    elected.unwrap()
}

fn in_doubt(observer: &Client) -> BTreeSet<Event> {
    events_of_rows(&observer.in_doubt_rows())
        .into_iter()
        .collect()
}
