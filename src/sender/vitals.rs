//! Whether the sender of this process is alive, for whoever supervises it.
//!
//! A thread that is stuck cannot say so; so each says beforehand until when it will be heard again: the
//! coordinating one at every look, a lane's at every step and for as long as a request may take.
//! Who has not been heard by then is *overdue*, and how much of that is too much is for the supervisor to
//! say. The time is one that does not run while the host sleeps.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Shared;
use crate::config::LANES_MAX;
use crate::error::Error;
use crate::mutex::lock_until;

/// How long a look at the vitals waits for a step that is being taken.
pub(super) const GLANCE: Duration = Duration::from_millis(100);
/// Nothing is expected of a thread.
const NOTHING: u64 = 0;
const THREADS: usize = 1 + LANES_MAX as usize;

/// The sender of one process at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vitals {
    /// What it is to its spool.
    pub standing: Standing,
    /// How long ago one of its threads should have been heard; zero when all is well.
    pub overdue: Duration,
}

/// What a process's sender is to its spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It does not run: nobody has asked it to.
    Off,
    /// It is elected, and sends what is due.
    Elected,
    /// It stands for election, and another process is elected or nobody yet.
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

/// Until when each thread will be heard again.
pub(super) struct Pulse {
    born: Instant,
    /// Nanoseconds since `born`.
    due: [AtomicU64; THREADS],
    /// Whom a test has panic at its next sign of life: its place in `due`, from 1 on.
    #[cfg(test)]
    struck: AtomicU64,
}

impl Pulse {
    pub(super) fn new() -> Self {
        Self {
            born: Instant::now(),
            due: [const { AtomicU64::new(NOTHING) }; THREADS],
            #[cfg(test)]
            struck: AtomicU64::new(0),
        }
    }

    /// `thread` is here, and will be again within `time`.
    pub(super) fn here(&self, thread: Thread, time: Duration) {
        #[cfg(test)]
        self.strike(thread);
        let due = (self.born.elapsed() + time).as_nanos();
        self.due(thread)
            .store(u64::try_from(due).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// `thread` has ended, or does what takes as long as it takes.
    pub(super) fn excuse(&self, thread: Thread) {
        self.due(thread).store(NOTHING, Ordering::Relaxed);
    }

    /// All threads wait for something that takes as long as it takes.
    pub(super) fn excuse_all(&self) {
        for due in &self.due {
            due.store(NOTHING, Ordering::Relaxed);
        }
    }

    fn overdue(&self) -> Duration {
        let now = self.born.elapsed();
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

/// Looks at the sender without waiting for it.
pub(super) fn look(shared: &Shared) -> Vitals {
    let standing = match lock_until(&shared.desk, Instant::now() + GLANCE) {
        None => Standing::Busy,
        Some(desk) if !desk.coordinating => Standing::Off,
        Some(desk) => match (&desk.trouble, &desk.state) {
            (Some((trouble, _)), _) => Standing::Hindered(trouble.clone()),
            (None, Some(_)) => Standing::Elected,
            (None, None) => Standing::StandBy,
        },
    };
    Vitals {
        standing,
        overdue: shared.pulse.overdue(),
    }
}

#[cfg(test)]
impl Pulse {
    /// Has `thread` panic when it is here next.
    pub(super) fn strike_at_next(&self, thread: Thread) {
        let place = thread.place() as u64 + 1;
        self.struck.store(place, Ordering::SeqCst);
    }

    fn strike(&self, thread: Thread) {
        let place = thread.place() as u64 + 1;
        let is_struck = self
            .struck
            .compare_exchange(place, 0, Ordering::SeqCst, Ordering::SeqCst);
        assert!(is_struck.is_err(), "struck on purpose");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thread_that_is_longest_overdue_counts_and_an_excused_one_does_not() {
        let pulse = Pulse::new();
        assert_eq!(pulse.overdue(), Duration::ZERO);
        pulse.here(Thread::Coordinator, Duration::from_secs(3_600));
        pulse.here(Thread::Lane(15), Duration::ZERO);
        while pulse.overdue() == Duration::ZERO {
            std::thread::yield_now();
        }
        pulse.here(Thread::Lane(15), Duration::from_secs(3_600));
        assert_eq!(pulse.overdue(), Duration::ZERO);

        pulse.here(Thread::Coordinator, Duration::ZERO);
        pulse.excuse(Thread::Coordinator);
        assert_eq!(pulse.overdue(), Duration::ZERO);
        pulse.here(Thread::Lane(0), Duration::ZERO);
        pulse.excuse_all();
        assert_eq!(pulse.overdue(), Duration::ZERO);
    }
}
