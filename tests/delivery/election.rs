//! One sender at any moment: sixty-four processes stand for election on one spool, the elected one
//! dies again and again, or is stopped and woken.
//!
//! That there was one sender is seen from outside, in two ways. Only the sender opens the store, so no
//! two processes may have it open at once. And a process never shares a connection, so with one lane
//! the requests of a connection follow each other in the API's ledger, with none of another between.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use meditopia::client::Client;
use meditopia::error::PauseReason;
use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::enqueuer::Enqueuer;
use meditopia_testkit::fault_table::trial_count;
use meditopia_testkit::ledger::{Arrivals, Event, assert_survived_deaths};
use meditopia_testkit::process::{OnDrop, has_open};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::{secs, wait_until};
use rustix::fs::FlockOperation;
use serde_json::json;

const PROCESSES: usize = 64;
const THREADS: usize = 4;
const SEED: u64 = 17;
/// Between two events of a thread, so that requests are many and not full.
const REST: Duration = Duration::from_millis(1);
/// A successor takes a second on an idle machine; this one may be busy.
const SUCCESSOR_WITHIN: Duration = Duration::from_secs(10);

#[test]
fn a_command_is_carried_out_though_its_sender_ends_without_having_taken_it() {
    let api = Sandbox::start();
    let host = TestSpool::for_sandbox(&api);
    let client = host.client();
    client.enqueue_for("u-1", 1);
    // A sender that looks at nothing any more, and is about to end.
    let place = std::fs::File::open(host.path()).unwrap();
    rustix::fs::flock(&place, FlockOperation::LockExclusive).unwrap();
    std::thread::scope(|threads| {
        let held = threads.spawn(|| client.hold());
        let commands = host.path().join("commands");
        wait_until("the command waits", || {
            std::fs::read_dir(&commands).is_ok_and(|mut waiting| waiting.next().is_some())
        });
        drop(place);
        held.join().unwrap().unwrap();
        assert_eq!(std::fs::read_dir(&commands).unwrap().count(), 0);
    });
    assert_eq!(client.stats().unwrap().paused, Some(PauseReason::Hold));
}

#[test]
fn sixty_four_processes_have_one_sender_at_any_moment_and_each_death_a_successor() {
    let deaths = trial_count(12, 300) as usize;
    let api = Sandbox::builder().seed(SEED).start();
    api.set_fault(json!({"fault": "delay", "ms": [0, 20], "when": "after"}));
    let program = CProgram::compile("enqueuer.c").with_config(&api, &[("flush_interval_ms", "20")]);
    let observer = observer(&api, &program);
    let store = program.spool().join("store.db");
    let workers: Vec<_> = (0..PROCESSES)
        .map(|_| RwLock::new(Arc::new(Enqueuer::start(&program, "both"))))
        .collect();
    let acknowledged: Mutex<Vec<Event>> = Mutex::default();
    let over = AtomicBool::new(false);

    let mut rng = fastrand::Rng::with_seed(SEED);
    let mut waits = Vec::new();
    let looks = std::thread::scope(|scope| {
        let end = OnDrop(|| over.store(true, Ordering::Relaxed));
        let (workers, acknowledged, over) = (&workers, &acknowledged, &over);
        for thread in 0..THREADS {
            scope.spawn(move || {
                for number in 0.. {
                    for index in (thread..PROCESSES).step_by(THREADS) {
                        if over.load(Ordering::Relaxed) {
                            return;
                        }
                        let worker = workers[index].read().unwrap().clone();
                        let user = format!("u-{index}");
                        if worker.enqueue(&user, number) {
                            acknowledged.lock().unwrap().push((user, number));
                        }
                        std::thread::sleep(REST);
                    }
                }
            });
        }
        let watch = scope.spawn(move || {
            let mut looks = 0;
            while !over.load(Ordering::Relaxed) {
                let all: Vec<_> = workers.iter().map(|w| w.read().unwrap().clone()).collect();
                assert_one_has_it_open(&all, &store);
                looks += 1;
            }
            looks
        });
        for _ in 0..deaths {
            let elected = elected(&observer, |pid| position(workers, pid).is_some());
            let requests = api.ledger().requests + rng.u64(1..10);
            api.wait_for_requests(requests);
            let index = position(workers, elected).unwrap();
            let fresh = Arc::new(Enqueuer::start(&program, "both"));
            let old = std::mem::replace(&mut *workers[index].write().unwrap(), fresh);
            old.kill();
            waits.push(successor(&observer, elected));
        }
        drop(end);
        watch.join().unwrap()
    });
    // By the sender that is elected now, so that no further death repeats anything.
    observer.flush_ok(secs(60));

    waits.sort();
    println!(
        "{looks} looks; a successor after {:?} in the median, {:?} at most",
        waits[deaths / 2],
        waits[deaths - 1]
    );
    let acknowledged = acknowledged.into_inner().unwrap();
    assert_survived_deaths("death of the elected of 64", &api, deaths, &acknowledged)
        .assert_one_connection_at_a_time();
    assert!(waits[deaths - 1] < SUCCESSOR_WITHIN);
}

#[test]
fn a_stopped_sender_keeps_the_election_and_carries_on_when_woken_or_is_followed_when_killed() {
    let rounds = trial_count(2, 30) as usize;
    let api = Sandbox::start();
    // Long enough to stop a sender that waits for an answer.
    api.set_fault(json!({"fault": "delay", "ms": 300, "when": "before"}));
    let program = CProgram::compile("enqueuer.c").with_config(&api, &[("flush_interval_ms", "20")]);
    let observer = observer(&api, &program);
    let mut workers: Vec<_> = (0..4).map(|_| Enqueuer::start(&program, "both")).collect();
    let mut acknowledged: Vec<Event> = Vec::new();
    let mut number = 0;
    let mut waits = Vec::new();

    for round in 0..rounds {
        let mut enqueue_in_all = |workers: &[&Enqueuer]| {
            for (index, worker) in workers.iter().enumerate() {
                let user = format!("u-{round}-{index}");
                assert!(worker.enqueue(&user, number), "enqueue goes on");
                acknowledged.push((user, number));
                number += 1;
            }
        };
        enqueue_in_all(&workers.iter().collect::<Vec<_>>());
        let pid = elected(&observer, |pid| workers.iter().any(|w| w.pid() == pid));
        let index = workers.iter().position(|w| w.pid() == pid).unwrap();
        let (sender, others): (Vec<_>, Vec<_>) =
            workers.iter().partition(|worker| worker.pid() == pid);
        observer.flush_ok(secs(60));
        let repeats_before = Arrivals::from_sandbox(&api).repeats();

        enqueue_in_all(&others);
        wait_until("a request is on its way", || {
            api.ledger().outcome("open") > 0
        });
        sender[0].stop();
        wait_until("it is dealt with", || api.ledger().outcome("open") == 0);
        let requests = api.ledger().requests;
        let seen = others[0].sender();
        for _ in 0..5 {
            enqueue_in_all(&others);
        }
        wait_until("its heartbeat is old", || {
            now_ms() - others[0].sender().1 > 3_000
        });
        assert_eq!(others[1].sender(), seen, "another one sends");
        assert_eq!(api.ledger().requests, requests, "another one sends");

        sender[0].resume();
        observer.flush_ok(secs(60));
        assert_eq!(
            others[0].sender().0,
            i64::from(pid),
            "it is not the sender any more"
        );
        assert_eq!(Arrivals::from_sandbox(&api).repeats(), repeats_before);

        enqueue_in_all(&others);
        wait_until("a request is on its way", || {
            api.ledger().outcome("open") > 0
        });
        sender[0].stop();
        sender[0].kill();
        waits.push(successor(&observer, pid));
        workers[index] = Enqueuer::start(&program, "both");
    }
    observer.flush_ok(secs(60));

    println!("killed while stopped, they were followed after {waits:?}");
    assert_survived_deaths(
        "SIGSTOP, then death, of the elected",
        &api,
        rounds,
        &acknowledged,
    )
    .assert_one_connection_at_a_time();
    assert!(waits.iter().all(|wait| *wait < SUCCESSOR_WITHIN));
}

/// A client that sends when nobody else does.
fn observer(api: &Sandbox, program: &CProgram) -> Client {
    let spool = program.spool();
    let host = TestSpool::for_sandbox(api).with("spool", spool.to_str().unwrap());
    host.client()
}

fn position(workers: &[RwLock<Arc<Enqueuer>>], pid: u32) -> Option<usize> {
    let mut pids = workers.iter().map(|worker| worker.read().unwrap().pid());
    pids.position(|of_it| of_it == pid)
}

/// The pid of the sender, once it is one of ours.
fn elected(observer: &Client, is_ours: impl Fn(u32) -> bool) -> u32 {
    let mut elected = None;
    wait_until("one is elected", || {
        elected = observer.sender_pid().filter(|pid| is_ours(*pid));
        elected.is_some()
    });
    elected.unwrap()
}

/// How long it takes until another process than `dead` says that it sends.
fn successor(observer: &Client, dead: u32) -> Duration {
    wait_until("it has a successor", || {
        observer.sender_pid().is_some_and(|pid| pid != dead)
    })
}

/// Whoever is seen with the store open may have died since: then it is not seen a second time.
fn assert_one_has_it_open(workers: &[Arc<Enqueuer>], store: &Path) {
    let have_it = |workers: &[Arc<Enqueuer>]| -> Vec<Arc<Enqueuer>> {
        let having = workers
            .iter()
            .filter(|worker| has_open(worker.pid(), store));
        having.cloned().collect()
    };
    let senders = have_it(workers);
    if senders.len() > 1 {
        let senders: Vec<u32> = have_it(&senders).iter().map(|w| w.pid()).collect();
        assert!(senders.len() <= 1, "{senders:?} have the store open");
    }
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}
