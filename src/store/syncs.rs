//! Which commits survive a power cut, which whoever needs to know waits for outside of the sender's lock.
//!
//! What has to be synced for that is the store's own affair ([`MakeDurable`]). One sync serves all who wait.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::error::{Error, Result};
use crate::journal::group_commit::GroupCommit;
use crate::mutex::lock;

/// What a store does to make all that it has written durable.
pub trait MakeDurable: fmt::Debug + Send + Sync {
    /// Returns once everything that was written before the call survives a power cut; else says what
    /// could not be synced.
    fn sync_all(&self) -> std::result::Result<(), (String, io::Error)>;
}

/// How far the commits of a store are durable.
#[derive(Debug)]
pub struct Syncs {
    store: Arc<dyn MakeDurable>,
    /// The last commit that was written.
    written: AtomicU64,
    /// The last commit that is durable.
    durable: AtomicU64,
    group: GroupCommit,
}

/// A store that answers a commit only once it survives a power cut has nothing to do.
#[derive(Debug)]
struct Nothing;

impl MakeDurable for Nothing {
    fn sync_all(&self) -> std::result::Result<(), (String, io::Error)> {
        Ok(())
    }
}

impl Syncs {
    /// Of a store whose commits are durable when they return.
    pub fn of_durable_commits() -> Self {
        Self::new(Arc::new(Nothing), u64::MAX, u64::MAX)
    }

    /// Of a store that has written commits up to `written`, of which those up to `durable` are durable.
    pub(super) fn new(store: Arc<dyn MakeDurable>, written: u64, durable: u64) -> Self {
        Self {
            store,
            written: AtomicU64::new(written),
            durable: AtomicU64::new(durable),
            group: GroupCommit::default(),
        }
    }

    /// A commit was written.
    pub(super) fn wrote(&self, seq: u64) {
        self.written.store(seq, Ordering::Release);
    }

    /// The last commit that is durable.
    pub(super) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Returns once commit `seq` and everything before it survives a power cut, by this thread's sync
    /// or by another's. May take as long as the disk does.
    ///
    /// Errors: [`Io`](crate::error::ErrorKind::Io) if a sync has failed, for all who wait: what was written
    /// since the last one has to be written anew.
    pub fn sync_until(&self, seq: u64) -> Result<()> {
        if self.durable() >= seq {
            return Ok(());
        }
        let what = Mutex::new(String::new());
        self.group.sync_until(
            seq,
            || {
                let upto = self.written.load(Ordering::Acquire);
                let synced = self.store.sync_all().map_err(|(name, e)| {
                    *lock(&what) = name;
                    e
                });
                if synced.is_ok() {
                    self.durable.fetch_max(upto, Ordering::AcqRel);
                }
                (upto, synced)
            },
            |e| {
                let named = lock(&what).clone();
                Error::io(
                    format!("{named}: sync failed"),
                    io::Error::other(e.to_string()),
                )
            },
        )
    }

    /// Everything up to `seq` was made durable in another way.
    pub(super) fn made_durable(&self, seq: u64) {
        self.durable.fetch_max(seq, Ordering::AcqRel);
    }
}
