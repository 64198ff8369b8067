//! The election: sixty-four processes on one spool have one sender at any moment, although the
//! elected process is killed again and again, or stopped and resumed.
//!
//! The tests check from outside, in two ways, that there is only one sender. Only the sender opens
//! the store, so two processes must never have it open at once. And processes do not share
//! connections, so with one lane the API's ledger must list all requests of one connection before
//! those of the next.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use meditopia::{Client, PauseReason};
use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::enqueuer::Enqueuer;
use meditopia_testkit::fault_table::trial_count;
use meditopia_testkit::ledger::{Arrivals, Event, assert_survived_deaths};
use meditopia_testkit::process::OnDrop;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::store_files::writes_ledger;
use meditopia_testkit::wait::{secs, wait_until};
use rustix::fs::FlockOperation;
use serde_json::json;

use crate::fixtures::{spool_of, wall_ms};

const PROCESSES: usize = 64;
const THREADS: usize = 4;
const SEED: u64 = 17;
/// The time between two events of a thread, so that there are many requests with few events each.
const ENQUEUE_EVERY: Duration = Duration::from_millis(1);
/// A new sender takes a second on an idle machine, but this one may be busy.
const SUCCESSOR_WITHIN: Duration = Duration::from_secs(10);

#[test]
fn a_command_is_carried_out_although_the_sender_ends_without_claiming_it() {
    let api = Sandbox::start();
    let spool = TestSpool::for_sandbox(&api);
    let client = spool.client();
    client.enqueue_for("u-1", 1);
    // This lock makes the test the elected sender, one that ends without claiming any command.
    let election = std::fs::File::create(spool.path().join("sender.lock")).unwrap();
    rustix::fs::flock(&election, FlockOperation::LockExclusive).unwrap();
    std::thread::scope(|threads| {
        let held = threads.spawn(|| client.hold());
        let commands = spool.path().join("commands");
        wait_until("the command waits", || {
            std::fs::read_dir(&commands).is_ok_and(|mut waiting| waiting.next().is_some())
        });
        drop(election);
        held.join().unwrap().unwrap();
        assert_eq!(std::fs::read_dir(&commands).unwrap().count(), 0);
    });
    assert_eq!(client.stats().unwrap().paused, Some(PauseReason::Hold));
}

#[test]
fn a_sender_whose_lock_file_is_removed_locks_a_new_one_and_no_other_process_sends_beside_it() {
    let rounds = trial_count(20, 300);
    let api = Sandbox::start();
    let program = CProgram::compile("enqueuer.c").with_config(&api, &[("flush_interval_ms", "20")]);
    let observer = observer(&api, &program);
    let lock = program.spool().join("sender.lock");
    let first = Arc::new(Enqueuer::start(&program, "both"));
    assert!(first.enqueue("u-0", 0));
    api.wait_for_events(1);
    // With nobody beside it, only the sender makes the file again.
    std::fs::remove_file(&lock).unwrap();
    wait_until("the sender has locked a new file", || lock.exists());

    let second = Arc::new(Enqueuer::start(&program, "both"));
    let workers = [first, second];
    for round in 1..=rounds {
        for (index, worker) in workers.iter().enumerate() {
            assert!(worker.enqueue(&format!("u-{index}"), round));
        }
        let _ = std::fs::remove_file(&lock);
        for _ in 0..10 {
            assert_one_writes_the_store(&workers, &program.spool());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    observer.flush_ok(secs(60));
    let arrivals = Arrivals::from_sandbox(&api);
    arrivals.assert_one_connection_at_a_time();
    assert_eq!(arrivals.duplicates(), 0);
    assert_eq!(api.ledger().accepted_events, 2 * rounds + 1);
}

#[test]
fn sixty_four_processes_have_one_sender_at_any_moment_and_a_successor_after_each_death() {
    let deaths = trial_count(12, 300) as usize;
    let api = Sandbox::builder().seed(SEED).start();
    api.set_fault(json!({"fault": "delay", "ms": [0, 20], "when": "after"}));
    let program = CProgram::compile("enqueuer.c").with_config(&api, &[("flush_interval_ms", "20")]);
    let observer = observer(&api, &program);
    let spool = program.spool();
    let workers: Vec<_> = (0..PROCESSES)
        .map(|_| RwLock::new(Arc::new(Enqueuer::start(&program, "both"))))
        .collect();
    let acknowledged: Mutex<Vec<Event>> = Mutex::default();
    let ended = AtomicBool::new(false);

    let mut rng = fastrand::Rng::with_seed(SEED);
    let mut waits = Vec::new();
    let checks = std::thread::scope(|scope| {
        let end = OnDrop(|| ended.store(true, Ordering::Relaxed));
        let (workers, acknowledged, ended) = (&workers, &acknowledged, &ended);
        for thread in 0..THREADS {
            scope.spawn(move || {
                for number in 0.. {
                    for index in (thread..PROCESSES).step_by(THREADS) {
                        if ended.load(Ordering::Relaxed) {
                            return;
                        }
                        let worker = workers[index].read().unwrap().clone();
                        let user = format!("u-{index}");
                        if worker.enqueue(&user, number) {
                            acknowledged.lock().unwrap().push((user, number));
                        }
                        std::thread::sleep(ENQUEUE_EVERY);
                    }
                }
            });
        }
        let watch = scope.spawn(move || {
            let mut checks = 0;
            while !ended.load(Ordering::Relaxed) {
                let all: Vec<_> = workers.iter().map(|w| w.read().unwrap().clone()).collect();
                assert_one_writes_the_store(&all, &spool);
                checks += 1;
            }
            checks
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
    // The sender that is elected now delivers the rest, so that no further death repeats anything.
    observer.flush_ok(secs(60));

    waits.sort();
    println!(
        "{checks} checks; a successor after {:?} in the median, {:?} at most",
        waits[deaths / 2],
        waits[deaths - 1]
    );
    let acknowledged = acknowledged.into_inner().unwrap();
    assert_survived_deaths("death of the elected of 64", &api, deaths, &acknowledged)
        .assert_one_connection_at_a_time();
    assert!(waits[deaths - 1] < SUCCESSOR_WITHIN);
}

#[test]
fn a_stopped_sender_stays_elected_and_continues_when_resumed_and_is_succeeded_when_killed() {
    let rounds = trial_count(2, 30) as usize;
    let api = Sandbox::start();
    // Long enough to stop a sender while it waits for an answer.
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
                assert!(worker.enqueue(&user, number), "enqueue works");
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
        wait_until("a request is in flight", || {
            api.ledger().outcome("open") > 0
        });
        sender[0].stop();
        wait_until("the request has ended", || {
            api.ledger().outcome("open") == 0
        });
        let requests = api.ledger().requests;
        let seen = others[0].sender();
        for _ in 0..5 {
            enqueue_in_all(&others);
        }
        wait_until("the heartbeat is old", || {
            wall_ms() - others[0].sender().1 > 3_000
        });
        assert_eq!(others[1].sender(), seen, "another process sends");
        assert_eq!(api.ledger().requests, requests, "another process sends");

        sender[0].resume();
        observer.flush_ok(secs(60));
        assert_eq!(
            others[0].sender().0,
            i64::from(pid),
            "the resumed process is no longer the sender"
        );
        assert_eq!(Arrivals::from_sandbox(&api).repeats(), repeats_before);

        enqueue_in_all(&others);
        wait_until("a request is in flight", || {
            api.ledger().outcome("open") > 0
        });
        sender[0].stop();
        sender[0].kill();
        waits.push(successor(&observer, pid));
        workers[index] = Enqueuer::start(&program, "both");
    }
    observer.flush_ok(secs(60));

    println!("successors of senders that were killed while stopped, after {waits:?}");
    assert_survived_deaths(
        "SIGSTOP, then death, of the elected",
        &api,
        rounds,
        &acknowledged,
    )
    .assert_one_connection_at_a_time();
    assert!(waits.iter().all(|wait| *wait < SUCCESSOR_WITHIN));
}

/// A client of this process on the spool. Its flushes send if no other process does.
fn observer(api: &Sandbox, program: &CProgram) -> Client {
    spool_of(program, api).client()
}

fn position(workers: &[RwLock<Arc<Enqueuer>>], pid: u32) -> Option<usize> {
    let mut pids = workers.iter().map(|worker| worker.read().unwrap().pid());
    pids.position(|other| other == pid)
}

/// Waits until the sender is one of our processes, and returns its pid.
fn elected(observer: &Client, is_ours: impl Fn(u32) -> bool) -> u32 {
    let mut elected = None;
    wait_until("a process is elected", || {
        elected = observer.sender_pid().filter(|pid| is_ours(*pid));
        elected.is_some()
    });
    elected.unwrap()
}

/// Waits until another process than `dead` is the sender, and returns how long that took.
fn successor(observer: &Client, dead: u32) -> Duration {
    wait_until("there is a successor", || {
        observer.sender_pid().is_some_and(|pid| pid != dead)
    })
}

/// Checks that at most one process has the ledger open to write. A process that has died meanwhile
/// does not count: the second check finds nothing.
fn assert_one_writes_the_store(workers: &[Arc<Enqueuer>], spool: &Path) {
    let writing = |workers: &[Arc<Enqueuer>]| -> Vec<Arc<Enqueuer>> {
        let writing = workers
            .iter()
            .filter(|worker| writes_ledger(worker.pid(), spool));
        writing.cloned().collect()
    };
    let senders = writing(workers);
    if senders.len() > 1 {
        let senders: Vec<u32> = writing(&senders).iter().map(|w| w.pid()).collect();
        assert!(senders.len() <= 1, "{senders:?} write the store");
    }
}
