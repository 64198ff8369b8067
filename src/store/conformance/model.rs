//! The contract of a store, carried out in memory with maps and vectors.
//!
//! This is the executable text of [`contract`](crate::store::contract): where its words and this file
//! differ, one of them is wrong. What the contract has a store refuse, the model refuses. What the
//! contract leaves to the caller, the model checks, and panics: then a test has broken the contract, and
//! what a store does about that says nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::error::{Error, ErrorKind, Result};
use crate::journal::round::Offsets;
use crate::mutex::lock;
use crate::store::contract::{Change, HostStore, Store};
use crate::store::syncs::Syncs;
use crate::store::{
    DiskUse, LaneState, PauseState, Place, Receipt, Rejected, RejectedFilter, Rest, StoredRun,
    Suspect, Totals,
};

/// Ids grow by more than one here: the contract does not promise that none is left out.
const BETWEEN_RUNS: i64 = 10;
const BETWEEN_REJECTED: i64 = 3;

/// All that a store knows.
#[derive(Debug, Clone, Default, PartialEq)]
struct State {
    runs: BTreeMap<Place, Vec<StoredRun>>,
    /// Events and bytes that wait, as the changes tell.
    counted: BTreeMap<Place, (u64, u64)>,
    last_run: i64,
    rejected: BTreeMap<i64, Rejected>,
    last_rejected: i64,
    lanes: BTreeMap<u8, LaneState>,
    rests: BTreeMap<u8, Rest>,
    suspects: BTreeMap<Vec<u8>, Suspect>,
    refused_in_a_row: Vec<String>,
    pause: Option<PauseState>,
    lane_count: u8,
    totals: Totals,
    offsets: Offsets,
    receipts: Vec<Receipt>,
}

/// What outlives a store that is closed.
#[derive(Debug, Default)]
pub(super) struct Saved {
    state: State,
    commits: u64,
}

impl Saved {
    /// The receipts that are kept, in the order in which they came.
    pub(super) fn receipts(&self) -> Vec<Receipt> {
        self.state.receipts.clone()
    }
}

/// The model, open.
#[derive(Debug)]
pub(super) struct Model {
    saved: Arc<Mutex<Saved>>,
    state: State,
    syncs: Arc<Syncs>,
    is_joint: bool,
    /// A commit has failed: the store has to be opened again.
    is_spent: bool,
    disk_use: DiskUse,
}

impl Model {
    /// Opens what was saved.
    pub(super) fn open(saved: &Arc<Mutex<Saved>>) -> Self {
        Self {
            saved: saved.clone(),
            state: lock(saved).state.clone(),
            // In memory, nothing has to be flushed.
            syncs: Arc::new(Syncs::of_durable_commits()),
            is_joint: false,
            is_spent: false,
            disk_use: DiskUse::Roomy,
        }
    }

    fn try_commit(&mut self, changes: &[Change<'_>]) -> Result<()> {
        if self.is_spent {
            return Err(refused("it has to be opened again"));
        }
        for change in changes {
            self.state.apply(change, self.disk_use)?;
        }
        self.state.check_caller();
        if !self.is_joint {
            self.save();
        }
        Ok(())
    }

    fn save(&mut self) {
        let mut saved = lock(&self.saved);
        if saved.state != self.state {
            saved.state = self.state.clone();
            saved.commits += 1;
        }
    }
}

fn refused(what: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("the model: {what}"))
}

impl State {
    fn apply(&mut self, change: &Change<'_>, disk_use: DiskUse) -> Result<()> {
        match *change {
            Change::Append { place, origin, run } => {
                assert!(!run.slots.is_empty(), "a run has events");
                assert!(
                    origin.is_none() || place.queue == 1,
                    "{place:?} has origins"
                );
                self.last_run += BETWEEN_RUNS;
                self.runs.entry(place).or_default().push(StoredRun {
                    id: self.last_run,
                    origin: origin.unwrap_or(self.last_run),
                    run: run.clone(),
                    marks: 0,
                });
                let counted = self.counted.entry(place).or_default();
                counted.0 += run.slots.len() as u64;
                let lengths = run.slots.iter().map(|slot| u64::from(slot.length));
                counted.1 += lengths.sum::<u64>();
            }
            Change::Settle { place, upto } => {
                let runs = self.runs.entry(place).or_default();
                let Some(at) = runs.iter().position(|run| run.id == upto) else {
                    return Err(refused("no such run waits"));
                };
                runs.drain(..=at);
            }
            Change::Mark { place, run, marks } => {
                let runs = self.runs.entry(place).or_default();
                let marked = runs.iter_mut().find(|known| known.id == run).unwrap();
                assert_eq!(marked.marks & !marks, 0, "an event came back");
                marked.marks = marks;
            }
            Change::Leave {
                place,
                events,
                bytes,
            } => {
                let counted = self.counted.entry(place).or_default();
                counted.0 -= events;
                counted.1 -= bytes;
            }
            Change::Lane { lane, state } => _ = self.lanes.insert(lane, state.clone()),
            Change::Rest { lane, rest } => _ = self.rests.insert(lane, *rest),
            Change::Receipt(receipt) => match disk_use {
                DiskUse::Roomy => self.receipts.push(receipt.clone()),
                DiskUse::Tight => {}
            },
            Change::Reject(event) => {
                self.last_rejected += BETWEEN_REJECTED;
                self.rejected.insert(self.last_rejected, event.clone());
            }
            Change::Forget { rejected, event } => match self.rejected.remove(&rejected) {
                Some(known) => assert_eq!(known, *event, "another event is forgotten"),
                None => return Err(refused("no such event is rejected")),
            },
            Change::Taken { segment, upto } => _ = self.offsets.insert(segment.to_owned(), upto),
            Change::Gone { segment } => _ = self.offsets.remove(segment),
            Change::Suspect(suspect) => {
                self.suspects.insert(suspect.user.clone(), suspect.clone());
            }
            Change::Cleared { user } => _ = self.suspects.remove(user),
            Change::RefusedInARow { user } => {
                let is_known = self.refused_in_a_row.iter().any(|known| known == user);
                assert!(!is_known, "{user} is counted twice");
                self.refused_in_a_row.push(user.to_owned());
            }
            Change::AcceptedSince => self.refused_in_a_row.clear(),
            Change::Pause(pause) => self.pause = pause.cloned(),
            Change::Lanes(lanes) => self.lane_count = lanes,
            Change::Totals(totals) => {
                self.totals = Totals {
                    pending: 0,
                    pending_bytes: 0,
                    ..*totals
                };
            }
        }
        Ok(())
    }

    /// What the caller has to see to, after each commit.
    fn check_caller(&self) {
        for (place, runs) in &self.runs {
            let waiting = |run: &StoredRun| -> u64 {
                run.waiting()
                    .map(|(_, fragment, _)| fragment.len() as u64)
                    .sum()
            };
            let events = runs.iter().map(|run| run.waiting_count() as u64).sum();
            let bytes = runs.iter().map(waiting).sum();
            assert_eq!(self.counted[place], (events, bytes), "left {place:?}");
            let first = runs.first().map(StoredRun::waiting_count);
            assert_ne!(first, Some(0), "the first run of {place:?} is not settled");
        }
    }

    fn rejected_if(&self, takes: impl Fn(i64, &Rejected) -> bool) -> Vec<(i64, Rejected)> {
        let all = self.rejected.iter();
        all.filter(|(id, event)| takes(**id, event))
            .map(|(id, event)| (*id, event.clone()))
            .collect()
    }
}

impl Store for Model {
    fn commit(&mut self, changes: &[Change<'_>]) -> Result<()> {
        let done = self.try_commit(changes);
        self.is_spent = done.is_err();
        done
    }

    fn begin_joint_commit(&mut self) {
        self.is_joint = true;
    }

    fn end_joint_commit(&mut self) -> Result<()> {
        self.is_joint = false;
        self.commit(&[])
    }

    fn committed(&self) -> u64 {
        lock(&self.saved).commits
    }

    fn syncs(&self) -> Arc<Syncs> {
        self.syncs.clone()
    }

    fn check_lock(&self) -> Result<()> {
        Ok(())
    }

    fn as_argument(&self) -> String {
        "model".to_owned()
    }

    fn damaged(&self, what: &str) -> Error {
        Error::new(ErrorKind::Store, format!("the model: {what}"))
    }

    fn lane(&self, lane: u8) -> LaneState {
        self.state.lanes.get(&lane).cloned().unwrap_or_default()
    }

    fn rest(&self, lane: u8) -> Rest {
        self.state.rests.get(&lane).copied().unwrap_or_default()
    }

    fn runs(&mut self, place: Place, after: i64, limit: usize) -> Result<Vec<StoredRun>> {
        let runs = self.state.runs.get(&place).into_iter().flatten();
        let behind = runs.filter(|run| run.id > after);
        Ok(behind.take(limit).cloned().collect())
    }

    fn last_run(&self) -> i64 {
        self.state.last_run
    }

    fn first_origin(&mut self) -> Result<Option<i64>> {
        let runs = self.state.runs.values().flatten();
        Ok(runs.map(|run| run.origin).min())
    }

    fn suspects(&self) -> Vec<Suspect> {
        self.state.suspects.values().cloned().collect()
    }

    fn refused_in_a_row(&self) -> Vec<String> {
        self.state.refused_in_a_row.clone()
    }

    fn rejected_matching(
        &self,
        filter: &RejectedFilter,
        limit: usize,
    ) -> Result<Vec<(i64, Rejected)>> {
        let mut found = self.state.rejected_if(|id, event| {
            id > filter.after_id
                && filter.user.as_ref().is_none_or(|user| event.user == *user)
                && (filter.api_code.as_ref()).is_none_or(|code| event.api_code == *code)
                && filter.reason.is_none_or(|reason| event.reason == reason)
                && (filter.may_be_delivered).is_none_or(|may| event.may_be_delivered == may)
                && filter.from_ms.is_none_or(|from| event.last_ms >= from)
                && filter.until_ms.is_none_or(|until| event.last_ms < until)
        });
        found.truncate(limit);
        Ok(found)
    }

    fn last_rejected(&self) -> i64 {
        self.state.last_rejected
    }

    fn rejected(&self, ids: &[i64]) -> Result<Vec<(i64, Rejected)>> {
        Ok(self.state.rejected_if(|id, _| ids.contains(&id)))
    }

    fn pause(&self) -> Option<PauseState> {
        self.state.pause.clone()
    }

    fn lanes(&self) -> u8 {
        self.state.lane_count
    }

    fn totals(&self) -> Totals {
        let counted = self.state.counted.values();
        let (pending, pending_bytes) = counted.fold((0, 0), |(events, bytes), more| {
            (events + more.0, bytes + more.1)
        });
        Totals {
            pending,
            pending_bytes,
            ..self.state.totals
        }
    }
}

impl HostStore for Model {
    fn offsets(&self) -> Offsets {
        self.state.offsets.clone()
    }

    fn set_disk_use(&mut self, disk_use: DiskUse) {
        self.disk_use = disk_use;
    }

    fn forget_receipts(&mut self, before_ms: i64, now_ms: i64) -> Result<bool> {
        let is_kept = |receipt: &Receipt| (before_ms..=now_ms).contains(&receipt.time_ms);
        self.state.receipts.retain(is_kept);
        self.commit(&[]).map(|()| false)
    }
}
