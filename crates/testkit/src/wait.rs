//! Waiting for something that must happen, with a limit.

use std::time::{Duration, Instant};

/// How long a test waits for something that must happen before it fails.
pub const WAIT_LIMIT: Duration = secs(60);
/// The time between two checks of a condition.
const CHECK_EVERY: Duration = Duration::from_millis(2);

pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Waits for `condition` and returns how long that took.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !condition() {
        assert!(
            begun.elapsed() < WAIT_LIMIT,
            "waited {WAIT_LIMIT:?} until {what}"
        );
        std::thread::sleep(CHECK_EVERY);
    }
    begun.elapsed()
}
