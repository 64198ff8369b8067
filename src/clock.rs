//! The two clocks of the host.
//!
//! They are never mixed. Time since boot orders records and measures waits, because it cannot be set
//! back. Wall time is for people and for `received_at`.
//!
//! In a Linux time namespace, which a container may have, time since boot has an offset. Records from
//! several namespaces must be ordered by one clock, so the offset is subtracted: every process reads
//! the time since boot of the host.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
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
    /// The moment that comes `wait` after this one.
    pub fn after(self, wait: Duration) -> Self {
        let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        let millis = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        Self {
            boot_ns: self.boot_ns.saturating_add(nanos),
            wall_ms: self.wall_ms.saturating_add(millis),
        }
    }

    /// The time from this moment to `later`; zero if `later` has passed.
    pub fn until(self, later: Self) -> Duration {
        Duration::from_nanos(later.boot_ns.saturating_sub(self.boot_ns))
    }

    /// Restores a deadline of which only the wall time was kept. The wall clock may have been set
    /// since, so the deadline is now at the earliest, and `longest` from now at the latest.
    pub(crate) fn restore_deadline(self, wall_ms: i64, longest: Duration) -> Self {
        let left = wall_ms.saturating_sub(self.wall_ms);
        let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
        self.after(left.min(longest))
    }

    /// Whether `other` has been reached, by the time since boot.
    pub fn reached(self, other: Self) -> bool {
        self.boot_ns >= other.boot_ns
    }
}

/// A time of one of the host's boots. It orders what was enqueued on the host, across boots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootTime {
    /// How many boots of the host the spool had seen.
    pub boot_count: u32,
    /// Time since that boot, in nanoseconds.
    pub boot_ns: u64,
}

/// Reads both clocks of this host.
pub fn now() -> Moment {
    Moment {
        boot_ns: boot_ns(),
        wall_ms: wall_ms(),
    }
}

/// Time since the host booted, sleep included, in nanoseconds; the same in every time namespace.
pub fn boot_ns() -> u64 {
    let mut ahead = AHEAD_NS.load(Ordering::Relaxed);
    if ahead == UNKNOWN {
        ahead = namespace_ahead_ns();
        AHEAD_NS.store(ahead, Ordering::Relaxed);
    }
    namespace_boot_ns().saturating_add_signed(-ahead)
}

/// By how much the time since boot in this process's namespace is ahead of the host's.
static AHEAD_NS: AtomicI64 = AtomicI64::new(UNKNOWN);
/// The offset was not read yet. No real offset has this value: the kernel allows a few hundred years.
const UNKNOWN: i64 = i64::MIN;

/// Reads the offset again at the next use: this process was forked, and its time namespace may not
/// be its parent's.
pub(crate) fn forget_namespace() {
    AHEAD_NS.store(UNKNOWN, Ordering::Relaxed);
}

/// Reads the offset from the kernel; zero if the kernel has no time namespaces.
fn namespace_ahead_ns() -> i64 {
    /// The time namespace of the host, with its fixed inode number.
    const INITIAL: &str = "time:[4026531834]";
    let namespace = |process: &str, which: &str| -> Option<PathBuf> {
        fs::read_link(format!("/proc/{process}/ns/{which}")).ok()
    };
    let Some(own) = namespace("self", "time").filter(|own| own.as_os_str() != INITIAL) else {
        return 0;
    };
    // `timens_offsets` shows the offsets of the namespace for children. After `unshare` that is not
    // the process's own namespace, but it may be the one that its parent gives to children.
    let parent = rustix::process::getppid().map(|parent| parent.as_raw_nonzero().to_string());
    ["self", parent.as_deref().unwrap_or("self")]
        .into_iter()
        .find(|process| namespace(process, "time_for_children").as_ref() == Some(&own))
        .and_then(|process| fs::read_to_string(format!("/proc/{process}/timens_offsets")).ok())
        .and_then(|offsets| boottime_offset_ns(&offsets))
        .unwrap_or(0)
}

/// The boot-time offset in a text such as `monotonic 0 0\nboottime 1000 500`, which means 1,000
/// seconds and 500 nanoseconds.
fn boottime_offset_ns(offsets: &str) -> Option<i64> {
    let mut words = offsets
        .lines()
        .find_map(|line| line.strip_prefix("boottime"))?
        .split_whitespace()
        .map(str::parse::<i64>);
    let (seconds, nanos) = (words.next()?.ok()?, words.next()?.ok()?);
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
}

fn namespace_boot_ns() -> u64 {
    #[cfg(target_os = "linux")]
    const SINCE_BOOT: rustix::time::ClockId = rustix::time::ClockId::Boottime;
    // On macOS it is the monotonic clock that goes on during sleep.
    #[cfg(not(target_os = "linux"))]
    const SINCE_BOOT: rustix::time::ClockId = rustix::time::ClockId::Monotonic;

    let time = rustix::time::clock_gettime(SINCE_BOOT);
    (time.tv_sec as u64) * 1_000_000_000 + time.tv_nsec as u64
}

/// Wall time in milliseconds since 1970-01-01T00:00:00Z. A clock that is further away than any calendar counts as
/// at the end of it, so that times can be added and subtracted.
pub fn wall_ms() -> i64 {
    wall_ms_of(rustix::time::ClockId::Realtime)
}

/// Both clocks for an append, which writes the wall time in seconds. That may be as old as the kernel's last
/// tick, 10 ms at most: to read it so takes a quarter of the time.
pub(crate) fn now_to_the_tick() -> Moment {
    #[cfg(target_os = "linux")]
    const WALL: rustix::time::ClockId = rustix::time::ClockId::RealtimeCoarse;
    #[cfg(not(target_os = "linux"))]
    const WALL: rustix::time::ClockId = rustix::time::ClockId::Realtime;

    Moment {
        boot_ns: boot_ns(),
        wall_ms: wall_ms_of(WALL),
    }
}

fn wall_ms_of(clock: rustix::time::ClockId) -> i64 {
    const FARTHEST_MS: i64 = 1_000_000_000_000_000;
    let time = rustix::time::clock_gettime(clock);
    let ms = time.tv_sec.saturating_mul(1_000);
    ms.saturating_add(time.tv_nsec / 1_000_000)
        .clamp(-FARTHEST_MS, FARTHEST_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_time_offset_of_a_time_namespace_is_read_as_the_kernel_writes_it() {
        let offsets = |boottime: &str| {
            boottime_offset_ns(&format!("monotonic           0         0\n{boottime}\n"))
        };
        assert_eq!(
            offsets("boottime         1000         0"),
            Some(1_000_000_000_000)
        );
        // One second back and half a second forward.
        assert_eq!(
            offsets("boottime           -1 500000000"),
            Some(-500_000_000)
        );
        assert_eq!(offsets("boottime 9223372036854775807 0"), None);
        assert_eq!(offsets("boottime"), None);
        assert_eq!(offsets(""), None);
    }
}
