//! Time, asked for in one place so that tests can hold it.
//!
//! Two readings are needed and never mixed: time since boot orders records, waits and backoff,
//! because nobody can set it back; wall time is for people and for `received_at`.

use std::sync::Mutex;
use std::time::Duration;

/// One reading of both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Time since the host booted, sleep included, in nanoseconds.
    pub boot_ns: u64,
    /// Wall time in milliseconds since 1970-01-01T00:00:00Z.
    pub wall_ms: i64,
}

impl Moment {
    /// This moment moved forward by `wait`.
    pub fn after(self, wait: Duration) -> Self {
        let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        let millis = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        Self {
            boot_ns: self.boot_ns.saturating_add(nanos),
            wall_ms: self.wall_ms.saturating_add(millis),
        }
    }

    /// How long it is from this moment to `later`; zero if it has passed.
    pub fn until(self, later: Self) -> Duration {
        Duration::from_nanos(later.boot_ns.saturating_sub(self.boot_ns))
    }

    /// Whether `other` has been reached; decided by the clock that nobody can set.
    pub fn reached(self, other: Self) -> bool {
        self.boot_ns >= other.boot_ns
    }
}

/// Where time comes from.
pub trait Clock: Send + Sync {
    /// Reads both clocks.
    fn now(&self) -> Moment;
}

/// The clocks of this host.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        Moment {
            boot_ns: boot_ns(),
            wall_ms: wall_ms(),
        }
    }
}

/// Time since boot, sleep included, in nanoseconds.
pub fn boot_ns() -> u64 {
    #[cfg(target_os = "linux")]
    const SINCE_BOOT: rustix::time::ClockId = rustix::time::ClockId::Boottime;
    // On macOS the monotonic clock is the one that goes on during sleep.
    #[cfg(not(target_os = "linux"))]
    const SINCE_BOOT: rustix::time::ClockId = rustix::time::ClockId::Monotonic;

    let time = rustix::time::clock_gettime(SINCE_BOOT);
    (time.tv_sec as u64) * 1_000_000_000 + time.tv_nsec as u64
}

/// Wall time in milliseconds since 1970-01-01T00:00:00Z.
pub fn wall_ms() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    time.tv_sec * 1_000 + time.tv_nsec / 1_000_000
}

/// A clock that stands still until it is moved, for tests and simulations.
#[derive(Debug)]
pub struct ManualClock(Mutex<Moment>);

impl ManualClock {
    /// A clock that shows `start`.
    pub fn at(start: Moment) -> Self {
        Self(Mutex::new(start))
    }

    /// Moves both readings forward.
    pub fn advance(&self, by: Duration) {
        let mut moment = self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        *moment = moment.after(by);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Moment {
        *self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
