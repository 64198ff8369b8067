//! The lanes that a relay owns: their threads, and those that have to be opened again after an error.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use meditopia::Error;

use super::lane::{Ended, LaneThread, Sending};
use super::pool::Pool;
use crate::failure::{Failure, Outcome, Result};
use crate::lane_store::{LaneStore, LeaseHandle, LeaseLengths};

/// The lease of a lane that has nothing in doubt. Its thread renews it.
const IDLE_LEASE: Duration = Duration::from_secs(10);
/// How long a lane whose thread has failed rests: the first time, and at most, for the wait doubles.
const SHORTEST_REST: Duration = Duration::from_millis(200);
const LONGEST_REST: Duration = Duration::from_secs(30);

/// The lanes.
pub(super) struct OwnedLanes {
    sending: Arc<Sending>,
    pool: Arc<Pool>,
    owner: String,
    /// Is told when a thread ends.
    wake: Sender<()>,
    threads: BTreeMap<i16, Owned>,
    /// Whose threads have failed, and whose leases may last.
    failed: BTreeMap<i16, FailedLane>,
}

struct Owned {
    thread: LaneThread,
    lease: Arc<LeaseHandle>,
    /// How often it has failed in a row before.
    failures: u32,
    since: Instant,
}

struct FailedLane {
    lease: Arc<LeaseHandle>,
    failures: u32,
    not_before: Instant,
}

/// A lane that is not owned any more, or whose thread has failed.
#[derive(Debug)]
pub(super) enum Left {
    /// Another relay has it.
    Lost,
    /// It is opened again after a while.
    Failed(Error),
    /// The same: whether another relay has it is not known yet.
    ReadAgain,
    /// As it was told, or as the board has it.
    GivenUp,
    /// The same: it was to find out whether the API accepts this relay's address, and has no event.
    NothingToProbe,
}

impl OwnedLanes {
    pub(super) fn new(
        sending: Arc<Sending>,
        pool: Arc<Pool>,
        owner: String,
        wake: Sender<()>,
    ) -> Self {
        Self {
            sending,
            pool,
            owner,
            wake,
            threads: BTreeMap::new(),
            failed: BTreeMap::new(),
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.threads.len() + self.failed.len()
    }

    pub(super) fn has(&self, lane: i16) -> bool {
        self.threads.contains_key(&lane) || self.failed.contains_key(&lane)
    }

    /// Those that have a thread.
    pub(super) fn threads(&self) -> impl Iterator<Item = &LaneThread> {
        self.threads.values().map(|owned| &owned.thread)
    }

    pub(super) fn thread(&self, lane: i16) -> Option<&LaneThread> {
        self.threads.get(&lane).map(|owned| &owned.thread)
    }

    /// Takes the lease of a lane and starts its thread; `false`: another relay has it. Blocks as long as some
    /// statements may take.
    ///
    /// # Errors
    /// Those of [`LaneStore::open`]; [`Outcome::Unusable`] if there can be no more threads.
    pub(super) fn take(&mut self, lane: i16) -> Result<bool> {
        let lengths = LeaseLengths {
            idle: IDLE_LEASE,
            in_doubt: self.sending.lease_in_doubt(),
        };
        match LaneStore::open(self.pool.clone(), lane, &self.owner, lengths)? {
            Some(store) => self.start(lane, store, 0).map(|()| true),
            None => Ok(false),
        }
    }

    /// Gives a lane up, once what it has in flight is settled.
    pub(super) fn stop(&mut self, lane: i16) {
        if let Some(owned) = self.threads.get(&lane) {
            owned.thread.stop();
        }
        if let Some(failed) = self.failed.remove(&lane) {
            // Otherwise it ends by itself.
            let _ = failed.lease.give_up();
        }
    }

    /// The same for all of them.
    pub(super) fn stop_all(&mut self) {
        // The threads first: what is in flight takes its time.
        self.threads.values().for_each(|owned| owned.thread.stop());
        for (_, failed) in std::mem::take(&mut self.failed) {
            let _ = failed.lease.give_up();
        }
    }

    /// Takes note of the threads that have ended.
    pub(super) fn reap(&mut self) -> Vec<(i16, Left)> {
        let ended = self
            .threads
            .iter()
            .filter(|(_, owned)| owned.thread.has_ended());
        let ended: Vec<i16> = ended.map(|(lane, _)| *lane).collect();
        let mut left = Vec::new();
        for lane in ended {
            let Some(owned) = self.threads.remove(&lane) else {
                continue;
            };
            let Owned {
                thread,
                lease,
                failures,
                since,
            } = owned;
            // One that has worked for a while has failed for another reason.
            let failures = match since.elapsed() > LONGEST_REST {
                true => 0,
                false => failures,
            };
            let how = match thread.join() {
                Ended::Stopped | Ended::Blocked => Left::GivenUp,
                Ended::NothingToProbe => Left::NothingToProbe,
                // Another relay has it, or the database is older than what was known of it: the row says which.
                Ended::Lost => {
                    self.fail(lane, lease, failures);
                    Left::ReadAgain
                }
                Ended::Failed(error) => {
                    self.fail(lane, lease, failures);
                    Left::Failed(error)
                }
            };
            left.push((lane, how));
        }
        left
    }

    /// Has it opened again after a rest.
    fn fail(&mut self, lane: i16, lease: Arc<LeaseHandle>, failures: u32) {
        let rest = SHORTEST_REST * 2_u32.saturating_pow(failures.min(8));
        let failed = FailedLane {
            lease,
            failures: failures.saturating_add(1),
            not_before: Instant::now() + rest.min(LONGEST_REST),
        };
        self.failed.insert(lane, failed);
    }

    /// Opens again what has failed, once its rest is over. Says which lanes another relay has by now.
    ///
    /// # Errors
    /// As [`take`](Self::take); what is left is tried again.
    pub(super) fn open_again(&mut self) -> Result<Vec<i16>> {
        let now = Instant::now();
        let due = self
            .failed
            .iter()
            .filter(|(_, failed)| now >= failed.not_before);
        let due: Vec<i16> = due.map(|(lane, _)| *lane).collect();
        let mut lost = Vec::new();
        for lane in due {
            let Some(failed) = self.failed.get(&lane) else {
                continue;
            };
            let (lease, failures) = (failed.lease.clone(), failed.failures);
            match LaneStore::open_again(&lease)? {
                Some(store) => self.start(lane, store, failures)?,
                None => lost.push(lane),
            }
            self.failed.remove(&lane);
        }
        Ok(lost)
    }

    fn start(&mut self, lane: i16, store: LaneStore, failures: u32) -> Result<()> {
        let lease = store.lease();
        let wake = self.wake.clone();
        let started = LaneThread::start(
            self.sending.clone(),
            lane,
            Box::new(store),
            lease.clone(),
            move || {
                // The coordinator may have ended.
                let _ = wake.send(());
            },
        );
        let thread = started.map_err(|cause| {
            let _ = lease.give_up();
            Failure::new(
                Outcome::Unusable,
                format!("lane {lane}: no thread can be started ({cause}); raise the limit of threads (ulimit -u, pids.max)"),
            )
        })?;
        let owned = Owned {
            thread,
            lease,
            failures,
            since: Instant::now(),
        };
        self.threads.insert(lane, owned);
        Ok(())
    }
}
