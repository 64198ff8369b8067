//! The lease of an owned lane, shared by its store, its thread and whoever renews it while nothing happens.
//!
//! Each statement of the owner raises the step by one, so that only one of them is sent at a time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use meditopia::internals::clock::{self, Moment};
use tokio_postgres::Row;

use crate::connection::Connection;
use crate::failure::{Result, STEP_LOST};
use crate::relay::lease::{Lease, Leased};
use crate::relay::pool::Pool;

/// How long a lease lasts from the statement that renews it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseLengths {
    /// While no batch is in doubt.
    pub idle: Duration,
    /// While one is: no request may be in flight when another relay takes the lane.
    pub in_doubt: Duration,
}

impl LeaseLengths {
    fn of(self, is_in_doubt: bool) -> Duration {
        match is_in_doubt {
            true => self.in_doubt,
            false => self.idle,
        }
    }
}

/// A lane's lease.
#[derive(Debug)]
pub struct LeaseHandle {
    pub(super) pool: Arc<Pool>,
    lane: i16,
    lengths: LeaseLengths,
    held: Mutex<Held>,
    /// Its end by the time since boot, in nanoseconds.
    until_ns: AtomicU64,
    is_lost: AtomicBool,
}

#[derive(Debug)]
struct Held {
    /// `None`: given up.
    lease: Option<Lease>,
    /// What it is renewed for.
    length: Duration,
}

impl LeaseHandle {
    /// Takes the lease, and the row with it; `None`: another relay has it.
    pub(super) fn take(
        pool: Arc<Pool>,
        lane: i16,
        owner: &str,
        lengths: LeaseLengths,
    ) -> Result<Option<(Arc<Self>, Row)>> {
        let sent = clock::now();
        // A batch that is in doubt is sent again by a step that says so, and renews the lease for that.
        let length = lengths.idle;
        let taken =
            pool.with(|connection| Lease::take(connection, Leased::Lane(lane), owner, length))?;
        Ok(taken.map(|(lease, row)| {
            let handle = Self {
                pool,
                lane,
                lengths,
                held: Mutex::new(Held {
                    lease: Some(lease),
                    length,
                }),
                until_ns: AtomicU64::new(sent.after(length).boot_ns),
                is_lost: AtomicBool::new(false),
            };
            (Arc::new(handle), row)
        }))
    }

    /// The lane.
    pub fn lane(&self) -> i16 {
        self.lane
    }

    /// The step of the lane's row, as the last statement has left it. Waits for one that is being answered.
    pub fn step(&self) -> i64 {
        self.held().lease.as_ref().map_or(0, |lease| lease.step)
    }

    /// Whether it lasts longer than `time` from now on. A request may start only if it outlasts the deadlines of
    /// its connection and its answer. Never blocks.
    pub fn lease_outlasts(&self, time: Duration) -> bool {
        let end = clock::now().after(time).boot_ns;
        !self.is_lost() && end < self.until_ns.load(Ordering::Acquire)
    }

    /// Whether another relay has the lane, the database is older than what was read of it, or it was given up.
    /// Nothing that is known of the lane is true any more: if another relay does not have it, it has to be
    /// [opened again](super::LaneStore::open_again). Never blocks.
    pub fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Acquire)
    }

    /// Renews it while the lane has no step to take. Blocks as long as a statement may take.
    ///
    /// # Errors
    /// [`STEP_LOST`]: it is lost. Else those of [`Pool::with`]: the store has to be opened again then, because
    /// the step may have been taken.
    pub fn renew(&self) -> Result<()> {
        let length = self.held().length;
        self.act(length, |connection, lease| lease.renew(connection, length))
    }

    /// Gives it up, so that another relay may take the lane at once. `false`: it was lost already. Blocks as long
    /// as a statement may take.
    ///
    /// # Errors
    /// Those of [`Pool::with`]; then it ends by itself.
    pub fn give_up(&self) -> Result<bool> {
        let lease = self.held().lease.take();
        self.is_lost.store(true, Ordering::Release);
        match lease {
            Some(lease) => self.pool.with(|connection| lease.give_up(connection)),
            None => Ok(false),
        }
    }

    /// Reads the row again after an error; `None`: it is lost. Else what was lost was only what was known of it.
    pub(super) fn read_again(&self) -> Result<Option<Row>> {
        let length = self.lengths.in_doubt;
        if self.held().lease.is_none() {
            return Ok(None);
        }
        let row = self.act(length, |connection, lease| {
            lease.read_again(connection, length)
        })?;
        self.is_lost.store(row.is_none(), Ordering::Release);
        Ok(row)
    }

    /// Renewals from now on are for as long as is right while a batch is in doubt, or is not.
    pub(super) fn note_in_doubt(&self, is_in_doubt: bool) {
        self.held().length = self.lengths.of(is_in_doubt);
    }

    /// Sends a statement that is a compare-and-set on the step, raises it by one, and renews the lease. `make` is
    /// given the seconds that it is renewed for.
    pub(super) fn step_with<T>(
        &self,
        is_in_doubt: bool,
        make: impl FnOnce(&mut Connection, &Lease, f64) -> Result<T>,
    ) -> Result<T> {
        let length = self.lengths.of(is_in_doubt);
        self.act(length, |connection, lease| {
            let sent = clock::now();
            let made = make(connection, lease, length.as_secs_f64())?;
            lease.stepped(sent, length);
            Ok(made)
        })
    }

    fn act<T>(
        &self,
        length: Duration,
        act: impl FnOnce(&mut Connection, &mut Lease) -> Result<T>,
    ) -> Result<T> {
        let mut held = self.held();
        let Held {
            lease,
            length: held_for,
        } = &mut *held;
        let lease = lease.as_mut().ok_or_else(|| given_up(self.lane))?;
        let (done, sent) = self.pool.with(|connection| {
            // Only now: a connection may have been waited for.
            let sent = clock::now();
            Ok((act(connection, lease), sent))
        })?;
        match &done {
            Ok(_) => {
                *held_for = length;
                self.note_end(sent, length);
            }
            Err(failure) if failure.is_refused_with(STEP_LOST) => {
                self.is_lost.store(true, Ordering::Release);
            }
            Err(_) => {}
        }
        done
    }

    fn note_end(&self, sent: Moment, length: Duration) {
        let until = sent.after(length).boot_ns;
        self.until_ns.store(until, Ordering::Release);
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // A lease that a panic has left in the middle is one whose next statement is refused.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn given_up(lane: i16) -> crate::failure::Failure {
    crate::failure::Failure::new(
        crate::failure::Outcome::Refused {
            sqlstate: STEP_LOST.to_owned(),
        },
        format!("lane {lane}: its lease was given up"),
    )
}
