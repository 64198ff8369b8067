//! What the store needs of the disk, waited for outside of the session's lock.
//!
//! A step only writes. What has to survive a power cut before something else may happen is synced here,
//! and here the ledger goes on in its next file: while that is made durable, no step is taken.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Shared;
use super::state::State;
use crate::error::{Error, ErrorKind, Result};
use crate::log::Level;
use crate::store::CommitSafety;
use crate::store::disk::Disk;
use crate::store::next_ledger::SpareLedger;
use crate::store::sync_point::SyncPoint;
use crate::store::syncs::Syncs;

/// How often a step that has to wait for the next ledger tries again.
const TRY_EVERY: Duration = Duration::from_micros(500);

impl Shared {
    /// Returns once everything that was committed so far survives what the configuration asks for.
    pub(super) fn keep_committed(&self) -> Result<()> {
        match self.options.safety {
            CommitSafety::Process => Ok(()),
            CommitSafety::Power => self.sync_committed(),
        }
    }

    /// The same, before a request leaves; and the ledger goes on in its next file if it is full.
    pub(super) fn keep_before_sending(&self) -> Result<()> {
        self.keep_ledger_short()?;
        self.keep_committed()
    }

    /// The same for a state that is in no session.
    pub(super) fn keep_committed_of(&self, state: &State) -> Result<()> {
        let store = &state.dispatcher.store;
        match self.options.safety {
            CommitSafety::Process => Ok(()),
            CommitSafety::Power => store.syncs().sync_until(store.committed()),
        }
    }

    /// Returns once everything that was committed so far survives a power cut.
    pub(super) fn sync_committed(&self) -> Result<()> {
        let Some((syncs, seq)) = self.syncs(None) else {
            return Err(self.was_closed());
        };
        self.sync_until(&syncs, seq)
    }

    /// Waits for a sync. One that has failed is made up for: everything is written to new files.
    fn sync_until(&self, syncs: &Syncs, seq: u64) -> Result<()> {
        let Err(failed) = syncs.sync_until(seq) else {
            return Ok(());
        };
        self.log.write(Level::Error, format_args!("{failed}"));
        self.use_next_ledger()?;
        let Some((syncs, seq)) = self.syncs(Some(seq)) else {
            return Err(self.was_closed());
        };
        syncs.sync_until(seq)
    }

    /// What syncs the store, and the commit that is to be durable: `seq`, or else the last one.
    fn syncs(&self, seq: Option<u64>) -> Option<(Arc<Syncs>, u64)> {
        let session = self.session();
        let store = &session.state()?.dispatcher.store;
        Some((store.syncs(), seq.unwrap_or_else(|| store.committed())))
    }

    /// What a thread meets that finds the store closed by another one.
    pub(super) fn was_closed(&self) -> Error {
        let name = self.spool.name();
        // Whoever waits goes on waiting: the error that closed it is noted by the one who met it.
        Error::new(
            ErrorKind::Timeout,
            format!("{name}: the store was closed meanwhile; it is opened again"),
        )
    }

    /// Has the ledger go on in its next file, if the one in use is full or a sync of it has failed.
    pub(super) fn keep_ledger_short(&self) -> Result<()> {
        let wants = |state: &State| state.dispatcher.store.wants_next_ledger();
        if self.session().state().is_some_and(wants) {
            self.use_next_ledger()?;
        }
        Ok(())
    }

    fn use_next_ledger(&self) -> Result<()> {
        // One thread does it, and the others find it done.
        let mut session = self.session();
        let Some(state) = session.state_mut() else {
            return Err(self.was_closed());
        };
        if !state.dispatcher.store.wants_next_ledger() {
            return Ok(());
        }
        let disk = state.dispatcher.store.disk();
        session.begin_ledger_change();
        drop(session);
        let used = self.write_next_ledger(&*disk);
        let mut session = self.session_now();
        session.end_ledger_change();
        if used.is_err() {
            session.close();
        }
        self.release(session);
        self.threads.notify();
        used
    }

    /// Nobody takes a step meanwhile.
    fn write_next_ledger(&self, disk: &dyn Disk) -> Result<()> {
        let spare = SpareLedger::take(disk)?;
        let mut session = self.session_now();
        let Some(state) = session.state_mut() else {
            return Err(self.was_closed());
        };
        let next = state.dispatcher.store.begin_next_ledger(spare)?;
        drop(session);
        next.publish()?;
        let mut session = self.session_now();
        let Some(state) = session.state_mut() else {
            return Err(self.was_closed());
        };
        state.dispatcher.store.use_next_ledger(next);
        Ok(())
    }

    /// Makes everything that was committed so far durable, and a record that says so: from then on what
    /// `note` has returned may be destroyed. `None`: there is nothing to destroy, or no state.
    pub(super) fn sync_point<T>(
        &self,
        note: impl FnOnce(&State, &SyncPoint) -> Option<T>,
    ) -> Result<Option<(T, SyncPoint)>> {
        let noted = self.step(|state| {
            let point = state.dispatcher.store.note_sync_point();
            let noted = note(state, &point);
            Ok(noted.map(|noted| (noted, point, state.dispatcher.store.syncs())))
        })?;
        let Some(Some((noted, point, syncs))) = noted else {
            return Ok(None);
        };
        self.sync_until(&syncs, point.seq())?;
        let committed = self.step(|state| {
            let seq = state.dispatcher.store.commit_sync_point()?;
            Ok((
                seq,
                state.dispatcher.store.syncs(),
                state.dispatcher.store.disk(),
            ))
        })?;
        let Some((seq, syncs, disk)) = committed else {
            return Ok(None);
        };
        self.sync_until(&syncs, seq)?;
        point.mark(&*disk)?;
        Ok(Some((noted, point)))
    }

    /// Removes the store's own files that a sync point covers.
    pub(super) fn remove_files(&self, point: &SyncPoint) -> Result<()> {
        if point.is_empty() {
            return Ok(());
        }
        let disk = self.step(|state| Ok(state.dispatcher.store.disk()))?;
        let Some(disk) = disk else {
            return Ok(());
        };
        point.remove(&*disk)?;
        self.step(|state| state.dispatcher.store.forget_removed(point))?;
        Ok(())
    }
}

/// Waits until no ledger is being changed, by trying `lock` again; `None` after `deadline`.
pub(super) fn between_ledgers<T>(
    deadline: Option<Instant>,
    mut lock: impl FnMut() -> Option<T>,
) -> Option<T> {
    loop {
        if let Some(locked) = lock() {
            return Some(locked);
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return None;
        }
        std::thread::sleep(TRY_EVERY);
    }
}
