//! The thread of a relay that sorts, or waits for its turn to.

use std::sync::Arc;
use std::thread::Builder;
use std::time::Duration;

use super::Relay;
use super::housekeeping::Housekeeping;
use super::sorter::sort_until_stopped;
use crate::failure::{Failure, Outcome, Result};
use crate::forward::Stop;

/// The thread.
pub(super) struct SorterThread {
    stop: Arc<Stop>,
    ended: Arc<Stop>,
}

impl SorterThread {
    /// Starts it.
    ///
    /// # Errors
    /// [`Outcome::Unusable`]: there can be no more threads.
    pub(super) fn start(relay: Arc<Relay>) -> Result<Self> {
        let (stop, ended) = (Arc::new(Stop::default()), Arc::new(Stop::default()));
        let (stopped, ends) = (stop.clone(), ended.clone());
        let sort = move || {
            let _ended = AskAtEnd(ends);
            let housekeeping = Housekeeping::new(relay.receipts_days);
            let say = |level, text: &str| relay.say(level, text);
            sort_until_stopped(&relay.pool, relay.me.id(), housekeeping, &stopped, &say);
        };
        let started = Builder::new().name("sorter".to_owned()).spawn(sort);
        started.map_err(|cause| {
            Failure::new(
                Outcome::Unusable,
                format!("no thread can be started ({cause}); raise the limit of threads (ulimit -u, pids.max)"),
            )
        })?;
        Ok(Self { stop, ended })
    }

    /// Has it end after the round that it is in, and give its lease up.
    pub(super) fn stop(&self) {
        self.stop.ask();
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_asked()
    }

    /// Waits until it has ended, at most `timeout`.
    pub(super) fn wait_ended(&self, timeout: Duration) {
        self.ended.wait(timeout);
    }
}

/// Also if a panic ends the thread.
struct AskAtEnd(Arc<Stop>);

impl Drop for AskAtEnd {
    fn drop(&mut self) {
        self.0.ask();
    }
}
