//! Group commit: one sync serves all threads whose records it covers.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::mutex::{lock, wait};

/// The longest that a sync waits for more records, however slow the disk is.
const GATHER_AT_MOST: Duration = Duration::from_millis(2);

/// The syncs of one segment.
#[derive(Debug, Default)]
pub(crate) struct GroupCommit {
    state: Mutex<State>,
    /// A sync has ended.
    ended: Condvar,
    /// Another thread waits for a sync.
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The segment is synced up to here.
    synced_upto: u64,
    is_running: bool,
    failed: Option<Error>,
    /// Where the records end that wait for a sync, one of each thread.
    waiting_ends: Vec<u64>,
    /// How many threads waited when the last sync ended.
    served_last_time: usize,
    /// How long the last sync took.
    last_sync_took: Duration,
}

impl GroupCommit {
    /// Returns once everything before `end` is synced, by this thread or by another one.
    ///
    /// `sync` syncs the file and returns how far that reaches: the file's length before it began.
    /// `fail` runs once, when a sync has failed, and returns the error for all threads that wait.
    pub(crate) fn sync_until(
        &self,
        end: u64,
        sync: impl Fn() -> (u64, io::Result<()>),
        fail: impl Fn(&io::Error) -> Error,
    ) -> Result<()> {
        let mut state = lock(&self.state);
        if state.synced_upto < end {
            state.waiting_ends.push(end);
            self.arrived.notify_one();
        }
        loop {
            if state.synced_upto >= end {
                return Ok(());
            }
            if let Some(error) = &state.failed {
                return Err(error.clone());
            }
            if state.is_running {
                state = self
                    .ended
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.is_running = true;
            drop(self.gather(state));
            let began = Instant::now();
            let (upto, synced) = sync();
            state = lock(&self.state);
            state.is_running = false;
            state.last_sync_took = began.elapsed();
            state.served_last_time = state.waiting_ends.len();
            state.waiting_ends.retain(|end| *end > upto);
            match synced {
                Ok(()) => state.synced_upto = upto,
                // The kernel may have dropped the pages: this file is never trusted again.
                Err(e) => state.failed = Some(fail(&e)),
            }
            self.ended.notify_all();
        }
    }

    /// Waits a part of a sync's time for the threads that the last sync has served, which are
    /// likely to be back with their next records. Without it, every other sync would serve a single
    /// thread.
    fn gather<'s>(&'s self, mut state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        let until = Instant::now() + (state.last_sync_took / 4).min(GATHER_AT_MOST);
        while state.waiting_ends.len() < state.served_last_time {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = wait(&self.arrived, state, left);
        }
        state
    }
}
