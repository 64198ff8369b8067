//! Waiting for what has to come, and not for ever.

use std::time::{Duration, Instant};

/// How long a test waits for what has to come.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Waits for `condition` and says how long that took.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !condition() {
        assert!(
            begun.elapsed() < PATIENCE,
            "waited {PATIENCE:?} until {what}"
        );
        std::thread::sleep(LOOK_EVERY);
    }
    begun.elapsed()
}
