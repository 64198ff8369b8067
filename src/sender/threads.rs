//! Who wants the sender, which of its threads run, and how they wait for each other.
//!
//! The lock in here is held for moments only: never during a step, a read or a write. So a
//! caller that wants the sender, or wants it no more, waits for no disk.
//!
//! A thread that waits notes the number of changes *before* it looks at anything, and then waits
//! until the number is another one. So no change is missed between the look and the wait, although
//! what it looks at is behind another lock.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::{Shared, wake};
use crate::config::LANES_MAX;
use crate::error::{Error, ErrorKind};
use crate::mutex::{lock, wait};

/// How long a thread rests after a panic.
const PANIC_REST: Duration = Duration::from_secs(1);

/// The sender is wanted while this value lives: its threads run, and they end once nobody wants it
/// and their requests are answered.
#[must_use = "the sender is wanted until this value is dropped"]
pub(crate) struct Wanted {
    shared: Arc<Shared>,
}

impl Wanted {
    /// One more wants the sender: [`Threads::add_wanted`] has counted it.
    pub(super) fn counted(shared: &Arc<Shared>) -> Self {
        Self {
            shared: shared.clone(),
        }
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        if self.shared.threads.remove_wanted() {
            wake::send(&self.shared.spool, wake::Wake::Look);
        }
    }
}

/// The threads of one sender.
#[derive(Default)]
pub(super) struct Threads {
    counts: Mutex<Counts>,
    changed: Condvar,
}

#[derive(Default)]
struct Counts {
    /// How many changes there were that somebody may wait for.
    changes: u64,
    /// How many want the threads to run.
    wanted: usize,
    is_coordinating: bool,
    /// Which lanes have a thread.
    lanes: [bool; LANES_MAX as usize],
}

impl Threads {
    /// Counts one more that wants the sender, and starts the coordinator by `spawn` if it does not
    /// run.
    pub(super) fn add_wanted(&self, spawn: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut counts = lock(&self.counts);
        if !counts.is_coordinating {
            spawn()?;
            counts.is_coordinating = true;
        }
        counts.wanted += 1;
        Ok(())
    }

    /// Counts one less; says whether it was the last one.
    fn remove_wanted(&self) -> bool {
        let mut counts = lock(&self.counts);
        counts.wanted = counts.wanted.saturating_sub(1);
        let is_last = counts.wanted == 0;
        self.count_change(&mut counts);
        is_last
    }

    /// Whether anybody wants the sender.
    pub(super) fn is_wanted(&self) -> bool {
        lock(&self.counts).wanted > 0
    }

    /// Whether the coordinator runs.
    pub(super) fn is_coordinating(&self) -> bool {
        lock(&self.counts).is_coordinating
    }

    /// Whether any lane has a thread.
    pub(super) fn has_lanes(&self) -> bool {
        lock(&self.counts).lanes.contains(&true)
    }

    /// Starts the thread of `lane` by `spawn`, if it does not run and the sender is wanted.
    pub(super) fn start_lane(
        &self,
        lane: usize,
        spawn: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let mut counts = lock(&self.counts);
        if counts.wanted > 0 && !counts.lanes[lane] {
            spawn()?;
            counts.lanes[lane] = true;
        }
        Ok(())
    }

    /// The thread of `lane` ends, unless somebody wants the sender again; says whether it does.
    pub(super) fn end_lane(&self, lane: usize) -> bool {
        self.end(|counts| counts.lanes[lane] = false)
    }

    /// The coordinator ends, unless somebody wants the sender again; says whether it does.
    pub(super) fn end_coordinator(&self) -> bool {
        self.end(|counts| counts.is_coordinating = false)
    }

    fn end(&self, note: impl FnOnce(&mut Counts)) -> bool {
        // Under the same lock: a caller that wants the sender after this sees that the thread has ended.
        let mut counts = lock(&self.counts);
        if counts.wanted > 0 {
            return false;
        }
        note(&mut counts);
        self.count_change(&mut counts);
        true
    }

    /// Waits until the threads have ended, at most until `deadline`; says whether they have. They
    /// do not end while the sender is wanted, so then it does not wait.
    pub(super) fn wait_ended(&self, deadline: Instant) -> bool {
        let mut counts = lock(&self.counts);
        while counts.is_coordinating && counts.wanted == 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            counts = wait(&self.changed, counts, left);
        }
        true
    }

    /// The number of changes so far, for [`wait`](Self::wait).
    pub(super) fn changes(&self) -> u64 {
        lock(&self.counts).changes
    }

    /// Wakes all that wait.
    pub(super) fn notify(&self) {
        self.count_change(&mut lock(&self.counts));
    }

    /// Wakes all that wait, but not the caller, who noted that there were `seen` changes.
    pub(super) fn notify_others(&self, seen: &mut u64) {
        let mut counts = lock(&self.counts);
        self.count_change(&mut counts);
        if counts.changes == *seen + 1 {
            *seen = counts.changes;
        }
    }

    #[cfg(test)]
    pub(super) fn locked(&self) -> std::sync::MutexGuard<'_, impl Sized> {
        lock(&self.counts)
    }

    fn count_change(&self, counts: &mut Counts) {
        counts.changes += 1;
        self.changed.notify_all();
    }

    /// Waits for a change since there were `seen`, at most `timeout`.
    pub(super) fn wait(&self, seen: u64, timeout: Duration) {
        self.wait_while(timeout, |counts| counts.changes == seen);
    }

    /// Waits for `time`, unless nobody wants the sender any more.
    pub(super) fn rest(&self, time: Duration) {
        self.wait_while(time, |counts| counts.wanted > 0);
    }

    fn wait_while(&self, timeout: Duration, still: impl Fn(&Counts) -> bool) {
        let until = Instant::now() + timeout;
        let mut counts = lock(&self.counts);
        while still(&counts) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            counts = wait(&self.changed, counts, left);
        }
    }
}

impl Shared {
    /// Runs a thread's body again after a panic, which is a defect of ours: the state that it may
    /// have left half changed goes, and the rest of the process does not notice.
    pub(super) fn run_again_after_panics(&self, body: impl Fn()) {
        while let Err(panic) = catch_unwind(AssertUnwindSafe(&body)) {
            let what = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_default();
            self.session_now().close();
            self.note_error(&Error::new(
                ErrorKind::Internal,
                format!(
                    "{}: the sender panicked: {what}; it starts anew",
                    self.spool.name()
                ),
            ));
            std::thread::sleep(PANIC_REST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_between_the_look_and_the_wait_is_not_missed_and_ones_own_does_not_wake() {
        const LONG: Duration = Duration::from_secs(3_600);
        let threads = Threads::default();
        let seen = threads.changes();
        threads.notify();
        threads.wait(seen, LONG);

        let mut seen = threads.changes();
        threads.notify_others(&mut seen);
        assert_eq!(seen, threads.changes());
        threads.notify();
        threads.notify_others(&mut seen);
        threads.wait(seen, LONG);
    }

    #[test]
    fn a_thread_ends_only_while_nobody_wants_the_sender_and_a_failed_start_wants_nothing() {
        let threads = Threads::default();
        let refused = threads.add_wanted(|| Err(io::ErrorKind::WouldBlock.into()));
        assert!(refused.is_err() && !threads.is_wanted());

        threads.add_wanted(|| Ok(())).unwrap();
        threads.add_wanted(|| unreachable!("it runs")).unwrap();
        threads.start_lane(1, || Ok(())).unwrap();
        assert!(!threads.remove_wanted());
        assert!(!threads.end_lane(1) && !threads.end_coordinator());
        assert!(threads.remove_wanted());
        assert!(!threads.wait_ended(Instant::now()));
        assert!(threads.end_lane(1) && !threads.has_lanes());
        assert!(threads.end_coordinator() && threads.wait_ended(Instant::now()));
    }
}
