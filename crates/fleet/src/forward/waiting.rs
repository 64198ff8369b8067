//! Between two passes: how long a forwarder waits, and what it says about the database.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use meditopia::LogLevel as Level;
use meditopia::internals::client::Forwarding;

use super::{ALIVE_EVERY, Forwarder, Trouble, lock};

/// A connection that carried nothing for so long is closed.
const IDLE: Duration = Duration::from_secs(30);
/// The waits between attempts, each drawn between the shortest and a bound that doubles up to the longest.
const SHORTEST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How often a failure that lasts is logged.
const SAY_EVERY: Duration = Duration::from_secs(60);

impl Forwarder<'_> {
    /// Waits for the next look at the journal, and closes a connection that has nothing to carry.
    pub(super) fn wait_for_events(&mut self, journal: &Mutex<Forwarding>) -> Result<(), Trouble> {
        let until = Instant::now() + self.options.interval;
        while !self.stop.is_asked() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let mut journal = lock(journal);
            let is_asked_for = journal.wait(left.min(ALIVE_EVERY));
            journal.alive()?;
            if is_asked_for {
                break;
            }
        }
        self.is_idle = true;
        if self.last_used.elapsed() >= IDLE {
            self.connection = None;
        }
        Ok(())
    }

    /// Waits without a look at the journal; says whether it is to end.
    pub(super) fn rest(&self, time: Duration, journal: Option<&Mutex<Forwarding>>) -> bool {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if self.stop.wait(left.min(ALIVE_EVERY)) {
                return true;
            }
            if left.is_zero() {
                return false;
            }
            if let Some(journal) = journal {
                let _ = lock(journal).alive();
            }
        }
    }

    /// Full jitter: hosts that lost the database at the same moment do not come back at the same moment.
    pub(super) fn wait_after_failure(&self) -> Duration {
        let bound = SHORTEST_WAIT * 2_u32.saturating_pow(self.failures.min(8));
        let bound = bound.min(LONGEST_WAIT).as_secs_f64();
        let shortest = SHORTEST_WAIT.as_secs_f64();
        Duration::from_secs_f64(shortest + fastrand::f64() * (bound - shortest).max(0.0))
    }

    pub(super) fn say(&self, level: Level, what: &str) {
        let name = self.client.spool_name().unwrap_or_default();
        (self.say)(level, &format!("{name}: {what}"));
    }

    pub(super) fn say_failure(&mut self, why: &str) {
        self.failures += 1;
        if self.said.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
            self.said = Some(Instant::now());
            let tries = match self.failures {
                1 => String::new(),
                failures => format!(", for the {failures}th time in a row"),
            };
            self.say(
                Level::Error,
                &format!("cannot forward{tries}: {why}; what is enqueued is kept"),
            );
        }
    }

    pub(super) fn say_reached(&mut self) {
        if self.failures > 0 {
            self.say(Level::Info, "the database can be reached again");
        }
        self.failures = 0;
        self.said = None;
    }
}
