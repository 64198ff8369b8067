//! Commands, and a host that enqueues and sends while they run.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use meditopia::Client;
use serde_json::Value;

use meditopia_testkit::ledger::{Arrivals, first_disorder};
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;

/// The command with the spool as its last word, and an environment that says nothing of spools.
pub fn command(arguments: &[&str], spool: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meditopia"));
    command.args(arguments).arg(spool).env_clear();
    command
}

pub fn output(arguments: &[&str], spool: &Path) -> Output {
    command(arguments, spool).output().unwrap()
}

/// What a command prints that has to succeed without a complaint.
pub fn said(arguments: &[&str], spool: &Path) -> String {
    let output = output(arguments, spool);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    assert!(output.stderr.is_empty(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What a command complains that has to end so.
pub fn refused(arguments: &[&str], spool: &Path, status: i32) -> String {
    let output = output(arguments, spool);
    assert_eq!(
        output.status.code(),
        Some(status),
        "{arguments:?}: {output:?}"
    );
    String::from_utf8(output.stderr).unwrap()
}

/// The objects that a command prints, one a line.
pub fn objects(arguments: &[&str], spool: &Path) -> Vec<Value> {
    let said = said(arguments, spool);
    said.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub fn status(spool: &Path) -> Value {
    let mut found = objects(&["status", "--json"], spool);
    assert_eq!(found.len(), 1);
    found.remove(0)
}

/// The status once it is as wanted.
pub fn status_when(spool: &Path, wanted: impl Fn(&Value) -> bool) -> Value {
    let patience = Instant::now() + secs(60);
    loop {
        let status = status(spool);
        if wanted(&status) {
            return status;
        }
        assert!(Instant::now() < patience, "{status:#}");
    }
}

pub fn user_of(row: &Value) -> &str {
    row["event"]["partner_user_id"].as_str().unwrap()
}

/// A host that enqueues one event after another, of ten users in turn, and sends in the background.
pub struct Live {
    pub host: TestSpool,
    pub client: Arc<Client>,
    stop: Arc<AtomicBool>,
    enqueued: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

const USERS: u64 = 10;

impl Live {
    pub fn start(api: &Sandbox) -> Self {
        Self::on(TestSpool::for_sandbox(api))
    }

    pub fn on(host: TestSpool) -> Self {
        let host = host.with("role", "both").with("flush_interval_ms", "10");
        let client = Arc::new(host.client());
        let (stop, enqueued) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let thread = std::thread::spawn({
            let (client, stop, enqueued) = (client.clone(), stop.clone(), enqueued.clone());
            move || {
                while !stop.load(Ordering::Acquire) {
                    let number = enqueued.load(Ordering::Acquire);
                    client.enqueue_for(&format!("live-{}", number % USERS), number as usize);
                    enqueued.fetch_add(1, Ordering::AcqRel);
                    // A load, not a flood: the commands are to get their turn on a small machine.
                    std::thread::sleep(std::time::Duration::from_micros(500));
                }
            }
        });
        Self {
            host,
            client,
            stop,
            enqueued,
            thread: Some(thread),
        }
    }

    pub fn spool(&self) -> PathBuf {
        self.host.path()
    }

    pub fn enqueued(&self) -> u64 {
        self.enqueued.load(Ordering::Acquire)
    }

    /// Waits until so many more events are acknowledged.
    pub fn go_on(&self, events: u64) {
        let (goal, patience) = (self.enqueued() + events, Instant::now() + secs(60));
        while self.enqueued() < goal {
            assert!(Instant::now() < patience, "nothing is enqueued any more");
            std::thread::yield_now();
        }
    }

    /// Ends the load, delivers the rest and checks that every event of it came once, in its user's order.
    pub fn end_with_all_delivered(self, api: &Sandbox) -> u64 {
        self.end_with_these_too(api, 0)
    }

    /// Ends the load; how many events it was.
    pub fn stop_enqueueing(&mut self) -> u64 {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        self.enqueued()
    }

    /// The same with some more events that the test has enqueued for its users.
    pub fn end_with_these_too(mut self, api: &Sandbox, more: u64) -> u64 {
        self.stop_enqueueing();
        self.client.flush_ok(secs(60));
        let arrivals = Arrivals::from_sandbox(api);
        let mut came = 0;
        for (user, numbers) in arrivals.first_appearances() {
            if user.starts_with("live-") {
                assert_eq!(first_disorder(&numbers), None, "{user}");
                came += numbers.len() as u64;
            }
        }
        assert_eq!(came, self.enqueued() + more);
        arrivals.assert_only_whole_requests_came_twice();
        came
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
