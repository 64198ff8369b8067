//! The store of one lane of the fleet, for the relay that owns it.
//!
//! A commit is one statement: a compare-and-set on the lane's step and lease, and everything that changes with it. So
//! of two processes that believe to own the lane one goes on and the other is told, and a database that was set back
//! tells both. Whatever fails, nothing more is sent before the store is [opened again](LaneStore::open_again): the
//! step that is read then says whether the statement has happened.
//!
//! It has no journal and one lane, which is 0 in every [`Place`]. Runs of its regular queue are appended by the sorter,
//! and are read when they are asked for. It counts events that wait, and not their bytes.

pub(crate) mod draft;
pub(crate) mod known;
mod lease_handle;
mod opening;
mod rejected;
mod runs;
mod sql;
pub(crate) mod state;
mod step;

use std::sync::Arc;
use std::time::Duration;

use meditopia::internals::store::syncs::Syncs;
use meditopia::internals::store::{
    Change, LaneState, PauseState, Place, Rejected, RejectedFilter, Rest, Store, StoredRun,
    Suspect, Totals,
};
use meditopia::{Error, ErrorKind, Result};
use tokio_postgres::Row;

pub use self::lease_handle::{LeaseHandle, LeaseLengths};
pub use self::runs::{decode_marks, encode_marks};

use self::draft::Draft;
use self::known::Known;
use self::state::{ServerTime, State, queue_of};
use crate::connection::column;
use crate::failure;
use crate::relay::pool::Pool;

/// The store of a lane.
#[derive(Debug)]
pub struct LaneStore {
    lease: Arc<LeaseHandle>,
    /// What is known, with the changes of the joint commit that is being made.
    state: State,
    draft: Draft,
    is_joint: bool,
    /// A commit has failed: the store has to be opened again.
    is_spent: bool,
    syncs: Arc<Syncs>,
}

impl LaneStore {
    /// Takes the lease of `lane` for the relay `owner`, a UUID, and reads what is known of it; `None`: another relay
    /// has it. Blocks as long as two statements may take.
    ///
    /// # Errors
    /// Those of [`Pool::with`]; [`Outcome::Unusable`](failure::Outcome::Unusable): what is known of the lane is damaged.
    pub fn open(
        pool: Arc<Pool>,
        lane: i16,
        owner: &str,
        lengths: LeaseLengths,
    ) -> failure::Result<Option<Self>> {
        let Some((lease, row)) = LeaseHandle::take(pool, lane, owner, lengths)? else {
            return Ok(None);
        };
        let opened = Self::read(lease.clone(), &row);
        if opened.is_err() {
            // Nobody could have it before it ends.
            let _ = lease.give_up();
        }
        opened.map(Some)
    }

    /// Reads the lane again, whose lease this relay has, after an error; `None`: it is lost. What was sent before has
    /// happened by now, or never will. Blocks as long as two statements may take.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_again(lease: &Arc<LeaseHandle>) -> failure::Result<Option<Self>> {
        let row = lease.read_again()?;
        row.map(|row| Self::read(lease.clone(), &row)).transpose()
    }

    fn read(lease: Arc<LeaseHandle>, row: &Row) -> failure::Result<Self> {
        let lane = lease.lane();
        let state = lease
            .pool
            .with(|connection| opening::read(connection, lane, row))?;
        lease.note_in_doubt(state.saved.state.in_doubt.is_some());
        Ok(Self {
            lease,
            state,
            draft: Draft::default(),
            is_joint: false,
            is_spent: false,
            syncs: Arc::new(Syncs::of_durable_commits()),
        })
    }

    /// The lease, for who has to know how long it lasts.
    pub fn lease(&self) -> Arc<LeaseHandle> {
        self.lease.clone()
    }

    fn guarded(&mut self, act: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        if self.is_spent {
            return Err(self.error(ErrorKind::Io, "it has to be opened again after an error"));
        }
        let done = act(self);
        self.is_spent = done.is_err();
        done
    }

    fn take_in(&mut self, changes: &[Change<'_>]) -> Result<()> {
        for change in changes {
            let taken = self.state.take_in(change, &mut self.draft);
            taken.map_err(|what| self.error(ErrorKind::Internal, what))?;
        }
        Ok(())
    }

    /// Sends what was taken in since the last statement.
    fn send(&mut self) -> Result<()> {
        let draft = std::mem::take(&mut self.draft);
        if !draft.is_wanted {
            return Ok(());
        }
        let state = &self.state;
        let is_in_doubt = state.saved.state.in_doubt.is_some();
        let stepped = self
            .lease
            .step_with(is_in_doubt, |connection, lease, seconds| {
                step::send(connection, lease, seconds, state, &draft)
            })?;
        self.state.stored_suspect_run = self.state.last_suspect_run;
        self.state.time = ServerTime::said(stepped.server_ms);
        if !draft.is_accepted {
            let counted = stepped.refused_in_a_row.into_iter().flatten();
            self.state.refused_in_a_row.extend(counted);
        }
        Ok(())
    }

    fn error(&self, kind: ErrorKind, what: &str) -> Error {
        Error::new(kind, format!("lane {}: {what}", self.state.lane))
    }

    /// Has all runs up to `run` known, which a caller who reads on behind it may settle.
    fn know_upto(&mut self, queue: u8, run: i64) -> Result<()> {
        let lane = self.state.lane;
        let at = usize::from(queue);
        let from = self.from(at, self.state.known[at].read_upto());
        let is_drafted = queue == 1 && from > self.state.stored_suspect_run;
        if run < from || is_drafted {
            return Ok(());
        }
        let pool = &self.lease.pool;
        let read = pool.with(|c| runs::read_known(c, (lane, queue), from, run))?;
        for known in read {
            self.state.known[at].learn(known);
        }
        Ok(())
    }

    /// The first run that may stand behind run `after`.
    fn from(&self, queue: usize, after: i64) -> i64 {
        after.saturating_add(1).max(self.state.first_runs[queue])
    }

    fn read_stored(
        &mut self,
        queue: u8,
        after: i64,
        limit: usize,
    ) -> Result<(Vec<StoredRun>, bool)> {
        let at = usize::from(queue);
        let from = self.from(at, after);
        if after == i64::MAX || (queue == 1 && from > self.state.stored_suspect_run) {
            return Ok((Vec::new(), false));
        }
        let lane = self.state.lane;
        let pool = &self.lease.pool;
        let read = pool.with(|c| runs::read(c, (lane, queue), from, limit))?;
        self.state.last_run = self.state.last_run.max(read.last_run);
        self.state.appended_events = read.appended_events;
        let mut found = Vec::with_capacity(read.runs.len());
        for (mut run, checksum) in read.runs {
            let known = &mut self.state.known[at];
            // What has left it by the joint commit that is being made.
            match known.find(run.id) {
                Some(known) => run.marks |= known.marks,
                None => known.learn(Known::of(&run, checksum)),
            }
            found.push(run);
        }
        Ok((found, read.is_cut))
    }
}

impl Store for LaneStore {
    fn commit(&mut self, changes: &[Change<'_>]) -> Result<()> {
        self.guarded(|store| {
            store.take_in(changes)?;
            match store.is_joint {
                true => Ok(()),
                false => store.send(),
            }
        })
    }

    fn begin_joint_commit(&mut self) {
        self.is_joint = true;
    }

    fn end_joint_commit(&mut self) -> Result<()> {
        self.is_joint = false;
        self.guarded(Self::send)
    }

    fn committed(&self) -> u64 {
        self.lease.step().unsigned_abs()
    }

    fn syncs(&self) -> Arc<Syncs> {
        self.syncs.clone()
    }

    fn check_lock(&self) -> Result<()> {
        match self.lease.lease_outlasts(Duration::ZERO) {
            true => Ok(()),
            false => Err(self.error(ErrorKind::Io, "this relay has not its lease any more")),
        }
    }

    fn damaged(&self, what: &str) -> Error {
        self.error(
            ErrorKind::Store,
            &format!("the database is damaged: {what}"),
        )
    }

    fn as_argument(&self) -> String {
        "--store-file FILE".to_owned()
    }

    fn lane(&self, lane: u8) -> LaneState {
        match lane {
            0 => self.state.saved.state.clone(),
            _ => LaneState::default(),
        }
    }

    fn rest(&self, lane: u8) -> Rest {
        match lane {
            0 => self.state.saved.rest,
            _ => Rest::default(),
        }
    }

    fn runs(&mut self, place: Place, after: i64, limit: usize) -> Result<Vec<StoredRun>> {
        let queue = queue_of(place).map_err(|what| self.error(ErrorKind::Internal, what))?;
        if limit == 0 {
            return Ok(Vec::new());
        }
        self.know_upto(place.queue, after.min(i64::MAX - 1))?;
        let (mut found, is_cut) = self.read_stored(place.queue, after, limit)?;
        if queue == 1 && !is_cut {
            let after = after.max(self.state.stored_suspect_run);
            let left = limit - found.len();
            let appended = self.draft.appended.values();
            for (run, checksum) in appended.filter(|(run, _)| run.id > after).take(left) {
                self.state.known[queue].learn(Known::of(run, *checksum));
                found.push(run.clone());
            }
        }
        Ok(found)
    }

    fn last_run(&self) -> i64 {
        self.state.last_run.max(self.state.last_suspect_run)
    }

    fn first_origin(&mut self) -> Result<Option<i64>> {
        let (lane, pool) = (self.state.lane, &self.lease.pool);
        let [regular, suspects] = [0, 1].map(|at| self.from(at, 0));
        let first = match self.state.known[0].first() {
            Some(first) => Some(first.origin),
            None => pool.with(|c| runs::first_origin(c, (lane, 0), regular))?,
        };
        let of_suspects = match suspects > self.state.stored_suspect_run {
            true => None,
            false => pool.with(|c| runs::first_origin(c, (lane, 1), suspects))?,
        };
        let appended = self.draft.appended.values().map(|(run, _)| run.origin);
        Ok(appended.chain(first).chain(of_suspects).min())
    }

    fn suspects(&self) -> Vec<Suspect> {
        self.state.suspects.values().cloned().collect()
    }

    fn refused_in_a_row(&self) -> Vec<String> {
        self.state.refused_in_a_row.iter().cloned().collect()
    }

    fn refused_in_a_row_anew(&mut self) -> Result<Option<Vec<String>>> {
        let sql = "SELECT \"user\" FROM meditopia.refused_in_a_row";
        let read = self.lease.pool.with(|c| {
            let rows = c.query(sql, &[])?;
            rows.iter().map(|row| column(row, 0)).collect()
        });
        self.state.refused_in_a_row = read?;
        Ok(Some(self.refused_in_a_row()))
    }

    fn rejected_matching(
        &self,
        filter: &RejectedFilter,
        limit: usize,
    ) -> Result<Vec<(i64, Rejected)>> {
        let lane = self.state.lane;
        let forgotten: Vec<i64> = self.draft.forgotten.iter().copied().collect();
        let pool = &self.lease.pool;
        let mut found = pool.with(|c| rejected::matching(c, lane, filter, limit, &forgotten))?;
        // Their ids are behind all that stand in the database.
        let drafted = self.draft.rejected.iter();
        let drafted =
            drafted.filter(|(id, event)| **id > filter.after_id && event.is_taken_by(filter));
        found.extend(drafted.map(|(id, event)| (*id, event.clone())));
        found.truncate(limit);
        Ok(found)
    }

    fn rejected(&self, ids: &[i64]) -> Result<Vec<(i64, Rejected)>> {
        let lane = self.state.lane;
        let pool = &self.lease.pool;
        let mut found = pool.with(|c| rejected::with_ids(c, lane, ids))?;
        found.retain(|(id, _)| !self.draft.forgotten.contains(id));
        let drafted = self.draft.rejected.iter();
        let drafted = drafted.filter(|(id, _)| ids.contains(id));
        found.extend(drafted.map(|(id, event)| (*id, event.clone())));
        Ok(found)
    }

    fn last_rejected(&self) -> i64 {
        self.state.last_rejected
    }

    fn pause(&self) -> Option<PauseState> {
        self.state.saved.pause.clone()
    }

    fn lanes(&self) -> u8 {
        1
    }

    fn totals(&self) -> Totals {
        Totals {
            pending: self.state.pending(),
            ..self.state.saved.totals
        }
    }
}
