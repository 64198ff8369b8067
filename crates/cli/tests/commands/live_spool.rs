//! A spool on which an application enqueues and sends while commands run.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use meditopia::Client;
use meditopia_testkit::ledger::{Arrivals, first_disorder};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::{WAIT_LIMIT, secs};

const USERS: u64 = 10;

/// Enqueues one event after another, of [`USERS`] users in turn, and sends in the background.
pub struct LiveSpool {
    spool: TestSpool,
    pub client: Arc<Client>,
    stop: Arc<AtomicBool>,
    enqueued: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl LiveSpool {
    pub fn start(api: &Sandbox) -> Self {
        Self::start_on(TestSpool::for_sandbox(api))
    }

    pub fn start_on(spool: TestSpool) -> Self {
        let spool = spool.with("role", "both").with("flush_interval_ms", "10");
        let client = Arc::new(spool.client());
        let (stop, enqueued) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let thread = std::thread::spawn({
            let (client, stop, enqueued) = (client.clone(), stop.clone(), enqueued.clone());
            move || {
                while !stop.load(Ordering::Acquire) {
                    let number = enqueued.load(Ordering::Acquire);
                    client.enqueue_for(&format!("live-{}", number % USERS), number as usize);
                    enqueued.fetch_add(1, Ordering::AcqRel);
                    // Leaves time for the commands on a small machine.
                    std::thread::sleep(Duration::from_micros(500));
                }
            }
        });
        Self {
            spool,
            client,
            stop,
            enqueued,
            thread: Some(thread),
        }
    }

    pub fn path(&self) -> PathBuf {
        self.spool.path()
    }

    /// How many events are acknowledged.
    pub fn enqueued(&self) -> u64 {
        self.enqueued.load(Ordering::Acquire)
    }

    /// Waits until this many more events are acknowledged.
    pub fn wait_for_enqueued(&self, events: u64) {
        let (goal, started) = (self.enqueued() + events, Instant::now());
        while self.enqueued() < goal {
            assert!(started.elapsed() < WAIT_LIMIT, "nothing is enqueued");
            std::thread::yield_now();
        }
    }

    /// Stops enqueueing; returns how many events were enqueued.
    pub fn stop_enqueueing(&mut self) -> u64 {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        self.enqueued()
    }

    /// Stops enqueueing, delivers the rest, and checks that every event arrived once, in the order
    /// of its user. Returns the number of events.
    pub fn end_with_all_delivered(self, api: &Sandbox) -> u64 {
        self.end_with_more_delivered(api, 0)
    }

    /// Like [`end_with_all_delivered`](Self::end_with_all_delivered), with `more` events that the
    /// test has enqueued for the same users.
    pub fn end_with_more_delivered(mut self, api: &Sandbox, more: u64) -> u64 {
        self.stop_enqueueing();
        self.client.flush_ok(secs(60));
        let arrivals = Arrivals::from_sandbox(api);
        let mut arrived = 0;
        for (user, numbers) in arrivals.first_appearances() {
            if user.starts_with("live-") {
                assert_eq!(first_disorder(&numbers), None, "{user}");
                arrived += numbers.len() as u64;
            }
        }
        assert_eq!(arrived, self.enqueued() + more);
        arrivals.assert_only_whole_requests_came_twice();
        arrived
    }
}

impl Drop for LiveSpool {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
