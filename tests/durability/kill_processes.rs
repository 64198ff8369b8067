//! `kill -9` of all processes of a spool: eight processes enqueue and two stand for election. They
//! are killed at random moments and replaced, while threads enqueue through a process that chance
//! picks.
//!
//! The events of a user go through several processes, each event after the one before it was
//! acknowledged, so their order is a promise of the whole spool. An event whose process died before
//! it answered is unknown: it may arrive at its place in the order, or not at all. The API does not
//! know some users, and loses some answers.
//!
//! The moment of a kill is a number of acknowledgements or of requests, drawn from a seed. Before
//! the elected process is killed, the other candidate is stopped. So the test can list what is in
//! doubt between the kill and the first act of the successor. Every batch that came twice must have
//! been on such a list, unless the API lost the answer.

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
/// How many events all threads together may enqueue between two kills, and the least number of
/// requests that deliver them.
const EVENTS_BETWEEN_KILLS: usize = 400;
const REQUESTS_BETWEEN_KILLS: u64 = 4;
/// After this many kills everything pending is delivered: a sender lives too short to keep up.
const KILLS_BETWEEN_FLUSHES: usize = 20;
/// One of this many kills is of a process that only enqueues.
const ENQUEUER_KILL_EVERY: usize = 4;
const UNKNOWN: [&str; 2] = ["u-0-3", "u-2-1"];

#[test]
fn kills_of_senders_and_writers_lose_nothing_keep_the_order_and_repeat_only_what_was_listed_as_in_doubt()
 {
    kill_again_and_again(1);
}

#[test]
fn kills_of_senders_and_writers_with_four_lanes_repeat_at_most_one_listed_batch_per_lane_each() {
    kill_again_and_again(4);
}

/// What the threads share: the processes, what they may still enqueue, and what was acknowledged.
struct Work {
    progress: Mutex<Progress>,
    changed: Condvar,
    workers: RwLock<Vec<Arc<Enqueuer>>>,
}

#[derive(Default)]
struct Progress {
    left: usize,
    /// How long the threads sleep after each event, so that requests are not full.
    rest: Duration,
    over: bool,
    acknowledged: Vec<Event>,
}

fn kill_again_and_again(lanes: usize) {
    let deaths = trial_count(100, 1_000) as usize;
    let api = Sandbox::builder()
        .seed(SEED)
        .unknown_user(UNKNOWN[0])
        .unknown_user(UNKNOWN[1])
        .start();
    // So that at many kills a request is in flight that the API has accepted and not answered.
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
        progress: Mutex::default(),
        changed: Condvar::new(),
        workers: RwLock::new(
            (0..ENQUEUERS)
                .map(|_| Arc::new(Enqueuer::start(&program, "enqueue")))
                .collect(),
        ),
    };

    let mut rng = fastrand::Rng::with_seed(SEED + lanes as u64);
    let mut candidates: Vec<Enqueuer> = Vec::new();
    let mut candidate_events = 0;
    let mut lists_in_doubt: Vec<BTreeSet<Event>> = Vec::new();
    let mut senders_died = 0;
    std::thread::scope(|scope| {
        let _end = OnDrop(|| work.end());
        for thread in 0..THREADS {
            let (work, rng) = (&work, rng.fork());
            scope.spawn(move || enqueue_through_all(work, thread, rng));
        }
        for death in 0..deaths {
            while candidates.len() < CANDIDATES {
                candidates.push(start_candidate(&program, &work, &mut candidate_events));
            }
            if death % KILLS_BETWEEN_FLUSHES == KILLS_BETWEEN_FLUSHES - 1 {
                observer.flush_ok(secs(300));
            }
            let requests_before = api.ledger().requests;
            let acknowledged_before = work.allow_more(rng.bool());
            match rng.u8(0..3) {
                0 => work.wait_for(acknowledged_before + rng.usize(0..=EVENTS_BETWEEN_KILLS / 2)),
                1 => {
                    let requests = rng.u64(1..=REQUESTS_BETWEEN_KILLS);
                    api.wait_for_requests(requests_before + requests);
                }
                _ => {}
            }
            if death % ENQUEUER_KILL_EVERY == 0 {
                let fresh = Arc::new(Enqueuer::start(&program, "enqueue"));
                let index = rng.usize(..ENQUEUERS);
                let old = std::mem::replace(&mut work.workers.write().unwrap()[index], fresh);
                old.kill();
            } else {
                let elected = wait_for_elected(&observer, &candidates);
                for other in candidates.iter().filter(|c| c.pid() != elected) {
                    other.stop();
                }
                let index = candidates.iter().position(|c| c.pid() == elected);
                candidates.swap_remove(index.unwrap()).kill();
                senders_died += 1;
                lists_in_doubt.push(in_doubt(&observer));
                candidates.iter().for_each(Enqueuer::resume);
            }
        }
    });
    for candidate in candidates.drain(..) {
        candidate.stop();
        candidate.kill();
        senders_died += 1;
    }
    lists_in_doubt.push(in_doubt(&observer));
    let lost_answers = api.ledger().by_fault.get("reset").copied().unwrap_or(0);

    api.clear_faults();
    observer.resume().unwrap();
    let last = observer.flush_ok(secs(300));
    assert_eq!((last.pending, last.in_doubt), (0, 0));
    assert!(!spool.join("damaged").exists(), "a record was damaged");

    let acknowledged = std::mem::take(&mut work.progress.lock().unwrap().acknowledged);
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
        let was_listed = lists_in_doubt.iter().any(|listed| events.is_subset(listed));
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
    /// Lets the threads go on, and returns how many events were acknowledged until now.
    fn allow_more(&self, slow: bool) -> usize {
        let mut progress = self.progress.lock().unwrap();
        progress.left = EVENTS_BETWEEN_KILLS;
        progress.rest = Duration::from_micros(if slow { 2_000 } else { 0 });
        self.changed.notify_all();
        progress.acknowledged.len()
    }

    fn wait_for(&self, acknowledged: usize) {
        wait_until("more events are acknowledged", || {
            self.progress.lock().unwrap().acknowledged.len() >= acknowledged
        });
    }

    fn end(&self) {
        self.progress.lock().unwrap().over = true;
        self.changed.notify_all();
    }

    /// Waits until one more event may be enqueued, and returns how long to sleep after it; `None`
    /// at the end.
    fn wait_for_turn(&self) -> Option<Duration> {
        let progress = self.progress.lock().unwrap();
        let mut progress = self
            .changed
            .wait_while(progress, |r| r.left == 0 && !r.over)
            .unwrap();
        progress.left = progress.left.saturating_sub(1);
        (!progress.over).then_some(progress.rest)
    }

    fn acknowledge(&self, user: &str, number: u64) {
        let mut progress = self.progress.lock().unwrap();
        progress.acknowledged.push((user.to_owned(), number));
        self.changed.notify_all();
    }
}

/// The work of one thread: it enqueues the events of its users, each through a process that chance
/// picks.
fn enqueue_through_all(work: &Work, thread: usize, mut rng: fastrand::Rng) {
    let mut number = 0;
    while let Some(rest) = work.wait_for_turn() {
        let user = format!("u-{thread}-{}", rng.usize(..USERS_OF_A_THREAD));
        let worker = work.workers.read().unwrap()[rng.usize(..ENQUEUERS)].clone();
        if worker.enqueue(&user, number) {
            work.acknowledge(&user, number);
        }
        number += 1;
        std::thread::sleep(rest);
    }
}

/// Starts a process that sends if it is elected. It stands for election from its first event on.
fn start_candidate(program: &CProgram, work: &Work, events: &mut u64) -> Enqueuer {
    let candidate = Enqueuer::start(program, "both");
    assert!(candidate.enqueue("candidate", *events), "it lives");
    work.acknowledge("candidate", *events);
    *events += 1;
    candidate
}

/// Waits until one of the candidates sends, and returns its pid.
fn wait_for_elected(observer: &Client, candidates: &[Enqueuer]) -> u32 {
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
