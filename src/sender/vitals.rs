//! Whether the sender of this process is alive, for the program that supervises it.
//!
//! A thread that is stuck cannot say so. So each says beforehand until when it will report again: the
//! coordinator at every look, a lane at every step and for as long as a request may take. A thread
//! that has not reported by then is *overdue*; how much of that is too much is for the supervisor to
//! say. The time is one that does not run while the host sleeps.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Shared;
use crate::config::LANES_MAX;
use crate::error::Error;

/// How long a look at the vitals waits for a step that is being taken.
pub(crate) const LOOK_WAIT: Duration = Duration::from_millis(100);
/// No report is expected of a thread.
const NOTHING: u64 = 0;
const THREADS: usize = 1 + LANES_MAX as usize;

/// The sender of one process at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vitals {
    /// What it is to its spool.
    pub standing: Standing,
    /// How long ago one of its threads should have reported; zero when all is well.
    pub overdue: Duration,
}

/// What a process's sender is to its spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It does not run: nobody has asked it to.
    Off,
    /// It is elected, and sends what is due.
    Elected,
    /// Another process is elected, or nobody yet; this one takes its place when it ends.
    StandBy,
    /// It would send, and something keeps it from that; it tries again by itself.
    Hindered(Error),
    /// It is in the middle of a long step.
    Busy,
}

/// One of the sender's threads.
#[derive(Debug, Clone, Copy)]
pub(super) enum Thread {
    Coordinator,
    Lane(usize),
}

/// Until when each thread will report again.
pub(super) struct Liveness {
    created: Instant,
    /// Nanoseconds since `created`.
    due: [AtomicU64; THREADS],
    /// The thread that a test has panic at its next report: its place in `due`, from 1 on.
    #[cfg(test)]
    to_panic: AtomicU64,
}

impl Liveness {
    pub(super) fn new() -> Self {
        Self {
            created: Instant::now(),
            due: [const { AtomicU64::new(NOTHING) }; THREADS],
            #[cfg(test)]
            to_panic: AtomicU64::new(0),
        }
    }

    /// `thread` reports, and will again within `time`.
    pub(super) fn report(&self, thread: Thread, time: Duration) {
        #[cfg(test)]
        self.panic_if_asked(thread);
        let due = (self.created.elapsed() + time).as_nanos();
        self.due(thread)
            .store(u64::try_from(due).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// No report is expected: `thread` has ended, or does what takes as long as it takes.
    pub(super) fn expect_none(&self, thread: Thread) {
        self.due(thread).store(NOTHING, Ordering::Relaxed);
    }

    fn overdue(&self) -> Duration {
        let now = self.created.elapsed();
        let due = self.due.iter().map(|due| due.load(Ordering::Relaxed));
        due.filter(|due| *due != NOTHING)
            .map(|due| now.saturating_sub(Duration::from_nanos(due)))
            .max()
            .unwrap_or_default()
    }

    fn due(&self, thread: Thread) -> &AtomicU64 {
        &self.due[thread.place()]
    }
}

impl Thread {
    fn place(self) -> usize {
        match self {
            Self::Coordinator => 0,
            Self::Lane(lane) => 1 + lane,
        }
    }
}

/// Looks at the sender, and waits for it no longer than [`LOOK_WAIT`].
pub(super) fn look(shared: &Shared) -> Vitals {
    let standing = if shared.threads.is_coordinating() {
        match shared.session_until(Instant::now() + LOOK_WAIT) {
            Err(_) => Standing::Busy,
            Ok(session) => match (session.last_error(), session.state()) {
                (Some(error), _) => Standing::Hindered(error.clone()),
                (None, Some(_)) => Standing::Elected,
                (None, None) => Standing::StandBy,
            },
        }
    } else {
        Standing::Off
    };
    Vitals {
        standing,
        overdue: shared.liveness.overdue(),
    }
}

#[cfg(test)]
impl Liveness {
    /// Has `thread` panic at its next report.
    pub(super) fn panic_at_next_report(&self, thread: Thread) {
        let place = thread.place() as u64 + 1;
        self.to_panic.store(place, Ordering::SeqCst);
    }

    fn panic_if_asked(&self, thread: Thread) {
        let place = thread.place() as u64 + 1;
        let is_asked = self
            .to_panic
            .compare_exchange(place, 0, Ordering::SeqCst, Ordering::SeqCst);
        assert!(is_asked.is_err(), "panics on purpose");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thread_that_is_longest_overdue_counts_and_one_of_which_none_is_expected_does_not() {
        let liveness = Liveness::new();
        assert_eq!(liveness.overdue(), Duration::ZERO);
        liveness.report(Thread::Coordinator, Duration::from_secs(3_600));
        liveness.report(Thread::Lane(15), Duration::ZERO);
        while liveness.overdue() == Duration::ZERO {
            std::thread::yield_now();
        }
        liveness.report(Thread::Lane(15), Duration::from_secs(3_600));
        assert_eq!(liveness.overdue(), Duration::ZERO);

        liveness.report(Thread::Coordinator, Duration::ZERO);
        liveness.expect_none(Thread::Coordinator);
        assert_eq!(liveness.overdue(), Duration::ZERO);
    }
}
