use super::*;
use crate::process::tests::{exit_status, in_child};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize};
use std::sync::mpsc;

fn messages(log: &Log) -> Vec<String> {
    std::iter::from_fn(|| log.next())
        .map(|record| record.message)
        .collect()
}

#[test]
fn log_records_are_polled_in_order_with_their_level_and_time() {
    let log = Log::new(Some(Level::Debug));
    let before = clock::wall_ms();
    log.warn(format_args!("one"));
    log.write(Level::Debug, format_args!("two"));
    let first = log.next().unwrap();
    assert_eq!((first.level, first.message.as_str()), (Level::Warn, "one"));
    assert!((before..=clock::wall_ms()).contains(&first.time_ms));
    assert_eq!(messages(&log), ["two"]);
    assert_eq!(log.next(), None);
}

#[test]
fn a_log_record_is_one_line_in_which_nothing_is_hidden() {
    let log = Log::new(Some(Level::Debug));
    log.warn(format_args!(
        "{} said\r\n\u{1b}[2J\u{202e}no\u{2028}",
        "u-\u{2066}1"
    ));
    assert_eq!(
        messages(&log),
        [r"u-\u{2066}1 said\r\n\u{1b}[2J\u{202e}no\u{2028}"]
    );
}

#[test]
fn a_log_callback_is_unset_by_its_owner_and_by_no_other() {
    let log = Log::new(Some(Level::Info));
    let calls = Arc::new(AtomicUsize::new(0));
    let counting = || -> Callback {
        let calls = calls.clone();
        Box::new(move |_| {
            calls.fetch_add(1, Ordering::SeqCst);
        })
    };
    log.set_callback(1, Some(counting()));
    log.set_callback(2, Some(counting()));
    log.unset_callback_of(1);
    log.info(format_args!("called back"));
    log.unset_callback_of(2);
    log.info(format_args!("not called back"));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[test]
fn a_log_keeps_records_of_its_level_and_of_more_severe_levels_only() {
    let write_all = |log: &Log| {
        for level in Level::ALL {
            log.write(level, format_args!("{}", level.name()));
        }
    };
    let log = Log::new(Some(Level::Warn));
    write_all(&log);
    assert_eq!(messages(&log), ["error", "warn"]);
    let off = Log::new(None);
    write_all(&off);
    assert_eq!(off.next(), None);
}

#[test]
fn a_full_log_loses_its_oldest_records_and_says_how_many() {
    let log = Log::new(Some(Level::Info));
    for number in 0..RING_RECORDS + 3 {
        log.info(format_args!("{number}"));
    }
    let polled = messages(&log);
    assert_eq!(
        polled[0],
        "log records lost because they were polled too late: 3"
    );
    let kept: Vec<_> = (3..RING_RECORDS + 3).map(|n| n.to_string()).collect();
    assert_eq!(polled[1..], kept);
    log.info(format_args!("again"));
    assert_eq!(messages(&log), ["again"]);
}

#[test]
fn a_locked_log_loses_the_record_and_does_not_block_the_thread() {
    let log = Log::new(Some(Level::Info));
    {
        let _held = log.ring.lock().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| log.info(format_args!("lost")));
            scope.spawn(|| assert_eq!(log.next(), None));
        });
    }
    assert_eq!(
        messages(&log),
        ["log records lost because they were polled too late: 1"]
    );
}

#[test]
fn a_log_callback_gets_each_kept_record_until_it_is_unset() {
    let log = Log::new(Some(Level::Info));
    let (sender, seen) = mpsc::channel();
    let keep = move |record: &Record| sender.send(record.message.clone()).unwrap();
    log.set_callback(0, Some(Box::new(keep)));
    log.info(format_args!("one"));
    log.write(Level::Debug, format_args!("not kept"));
    log.set_callback(0, None);
    log.info(format_args!("two"));
    assert_eq!(seen.iter().collect::<Vec<_>>(), ["one"]);
    assert_eq!(messages(&log), ["one", "two"]);
}

#[test]
fn unsetting_a_log_callback_waits_for_its_running_call_while_other_threads_log() {
    let log = Log::new(Some(Level::Info));
    let (entered_in, entered) = mpsc::channel();
    let (go_on, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let ended = Arc::new(AtomicBool::new(false));
    let end = ended.clone();
    log.set_callback(
        0,
        Some(Box::new(move |record| {
            if record.message == "slow" {
                entered_in.send(()).unwrap();
                gate.lock().unwrap().recv().unwrap();
                end.store(true, Ordering::SeqCst);
            }
        })),
    );

    std::thread::scope(|scope| {
        scope.spawn(|| log.info(format_args!("slow")));
        entered.recv().unwrap();
        log.info(format_args!("quick"));
        let unset = scope.spawn(|| {
            log.set_callback(0, None);
            assert!(ended.load(Ordering::SeqCst), "returned during the call");
        });
        // Once the callback is gone, the unsetting thread waits and no new call begins.
        while log.calls().callback.is_some() {
            std::thread::yield_now();
        }
        go_on.send(()).unwrap();
        unset.join().unwrap();
    });
}

#[test]
fn no_log_callback_runs_or_exists_after_it_was_replaced() {
    struct Owned(Arc<AtomicBool>);
    impl Drop for Owned {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    struct StopOnDrop<'a>(&'a AtomicBool);
    impl Drop for StopOnDrop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let log = Log::new(Some(Level::Info));
    let stop = AtomicBool::new(false);
    let calls = Arc::new(AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    log.info(format_args!("x"));
                }
            });
        }
        // Stop the threads if an assertion below fails, too: the scope waits for them.
        let _stop = StopOnDrop(&stop);
        for _ in 0..300 {
            let freed = Arc::new(AtomicBool::new(false));
            let (owned, calls) = (Owned(freed.clone()), calls.clone());
            log.set_callback(
                0,
                Some(Box::new(move |_| {
                    assert!(!owned.0.load(Ordering::SeqCst));
                    calls.fetch_add(1, Ordering::SeqCst);
                })),
            );
            std::thread::yield_now();
            log.set_callback(0, None);
            assert!(freed.load(Ordering::SeqCst), "still owned by a call");
        }
    });
    let panicked = messages(&log).iter().any(|text| text.contains("panicked"));
    assert!(!panicked);
}

#[test]
fn a_log_callback_may_unset_itself_and_log() {
    let log = Arc::new(Log::new(Some(Level::Info)));
    let inner = log.clone();
    log.set_callback(
        0,
        Some(Box::new(move |_| {
            inner.info(format_args!("from inside"));
            inner.set_callback(0, None);
        })),
    );
    log.info(format_args!("one"));
    log.info(format_args!("two"));
    assert_eq!(messages(&log), ["one", "from inside", "two"]);
}

#[test]
fn a_log_callback_that_panics_is_caught_and_reported() {
    let log = Log::new(Some(Level::Info));
    log.set_callback(
        0,
        Some(Box::new(|_| std::panic::resume_unwind(Box::new("x")))),
    );
    log.info(format_args!("one"));
    log.set_callback(0, None);
    assert_eq!(messages(&log), ["one", "the log callback panicked"]);
}

#[test]
fn a_child_runs_no_callback_of_its_parents_log_and_waits_for_none_of_its_locks() {
    let calls = Arc::new(AtomicUsize::new(0));
    let seen = calls.clone();
    let log = Log::new(Some(Level::Info));
    let count = move |_: &Record| {
        seen.fetch_add(1, Ordering::SeqCst);
    };
    log.set_callback(0, Some(Box::new(count)));
    let (ring, running) = (log.ring.lock().unwrap(), log.calls());
    assert!(in_child(|| {
        log.info(format_args!("in the child"));
        log.set_callback(1, None);
        log.unset_callback_of(0);
        log.next().is_none() && calls.load(Ordering::SeqCst) == 0
    }));
    drop((ring, running));
    log.info(format_args!("in the parent"));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[test]
fn a_child_that_returns_from_the_callback_that_forked_it_waits_for_no_lock_of_its_parent() {
    let log = Log::new(Some(Level::Info));
    let child = Arc::new(AtomicI32::new(-1));
    let (forks_soon, before_fork) = mpsc::channel();
    let (is_held, held) = mpsc::channel();
    let (has_forked, after_fork) = mpsc::channel();
    let (forked, held) = (child.clone(), Mutex::new(held));
    let fork = move |_: &Record| {
        forks_soon.send(()).unwrap();
        held.lock().unwrap().recv().unwrap();
        // SAFETY: the child returns to this test, which ends it.
        forked.store(unsafe { libc::fork() }, Ordering::SeqCst);
        if forked.load(Ordering::SeqCst) == 0 {
            // SAFETY: ends the child if it waits for ever.
            unsafe { libc::alarm(10) };
        } else {
            has_forked.send(()).unwrap();
        }
    };
    log.set_callback(0, Some(Box::new(fork)));
    std::thread::scope(|scope| {
        let log = &log;
        scope.spawn(move || {
            before_fork.recv().unwrap();
            let _calls = log.calls();
            is_held.send(()).unwrap();
            after_fork.recv().unwrap();
        });
        log.info(format_args!("forks"));
        let child = child.load(Ordering::SeqCst);
        if child == 0 {
            // SAFETY: ends the child without running anything of the test harness.
            unsafe { libc::_exit(0) };
        }
        assert_eq!(exit_status(child), Some(0));
    });
}

#[test]
fn a_callback_that_removes_itself_at_a_missed_record_gets_no_other_one() {
    let log = Arc::new(Log::new(Some(Level::Info)));
    log.warn(format_args!("one"));
    log.warn(format_args!("two"));
    let (sender, seen) = mpsc::channel();
    let own = log.clone();
    let once = move |record: &Record| {
        sender.send(record.message.clone()).unwrap();
        own.set_callback(1, None);
    };
    log.set_callback(1, Some(Box::new(once)));
    assert_eq!(seen.iter().collect::<Vec<_>>(), ["one"]);
}

#[test]
fn a_callback_gets_what_was_logged_while_there_was_none_once_and_in_order_unless_it_was_polled() {
    let log = Log::new(Some(Level::Info));
    let collecting = || {
        let (sender, seen) = mpsc::channel();
        let keep = move |record: &Record| sender.send(record.message.clone()).unwrap();
        (Box::new(keep) as Callback, seen)
    };
    log.warn(format_args!("polled"));
    assert_eq!(log.next().unwrap().message, "polled");
    log.warn(format_args!("unknown key"));
    log.info(format_args!("opened"));
    let (first, seen) = collecting();
    log.set_callback(1, Some(first));
    log.info(format_args!("live"));
    log.set_callback(1, None);
    log.info(format_args!("between"));
    assert_eq!(
        seen.iter().collect::<Vec<_>>(),
        ["unknown key", "opened", "live"]
    );
    let (second, seen) = collecting();
    log.set_callback(2, Some(second));
    log.set_callback(2, None);
    assert_eq!(seen.iter().collect::<Vec<_>>(), ["between"]);
    // A callback takes nothing away from who polls.
    assert_eq!(messages(&log), ["unknown key", "opened", "live", "between"]);
}

#[test]
fn records_that_are_logged_while_a_callback_is_set_reach_it_exactly_once() {
    const THREADS: usize = 4;
    const EACH: usize = RING_RECORDS / THREADS;
    let log = Log::new(Some(Level::Info));
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..EACH).for_each(|number| log.info(format_args!("{number}"))));
        }
        let count = move |_: &Record| {
            counted.fetch_add(1, Ordering::SeqCst);
        };
        log.set_callback(1, Some(Box::new(count)));
    });
    assert_eq!(calls.load(Ordering::SeqCst), THREADS * EACH);
}
