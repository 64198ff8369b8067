//! The store of one host: a ledger, and beside it the files of the queues and of rejected events.
//!
//! A commit writes runs and rejected events first, then one record of the ledger that speaks of them.
//! What no record speaks of has not happened, and is written over.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::Arc;

use super::contract::{Change, FileStore, HostStore, Store};
use super::disk::{Disk, Folder};
use super::entry::{Entry, Point, QueuePosition};
use super::failures::{as_argument, cannot_open, damaged, not_written, unreadable};
use super::fold::Fold;
use super::frame::{RECORD_HEADER_LEN, begin_record};
use super::handed_out::HandedOut;
use super::ledger::{self, Ledger};
use super::next_ledger::{NextLedger, SpareLedger};
use super::opening::Unreadable;
use super::queue_file;
use super::recovery;
use super::rejected_file::{rejected_matching, rejected_with_ids};
use super::spare::Spare;
use super::spool_disk::SpoolDisk;
use super::sync_point::SyncPoint;
use super::syncs::Syncs;
use super::unsynced::{Touched, UnsyncedFiles};
use super::{
    DiskUse, LaneState, PauseState, Place, Rejected, RejectedFilter, Rest, StoredRun, Suspect,
    Totals,
};
use crate::error::{Error, ErrorKind, Result};
use crate::journal::round::Offsets;
use crate::process::random_u64;
use crate::spool::Spool;

/// The store, opened by the one process that may write to it.
#[derive(Debug)]
pub struct LogStore {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) boot_count: u32,
    pub(super) fold: Fold,
    pub(super) ledger: Ledger,
    pub(super) syncs: Arc<Syncs>,
    pub(super) unsynced: Arc<UnsyncedFiles>,
    /// The record that is being made, header included.
    pub(super) record: Vec<u8>,
    /// Queues whose position the record has yet to say.
    pub(super) moved: Vec<Place>,
    /// Rejected events that the record has yet to say are forgotten.
    pub(super) forgotten: Vec<i64>,
    pub(super) is_joint: bool,
    /// An operation has failed: the store has to be opened again.
    is_spent: bool,
    pub(super) is_full_disk: bool,
    /// Files that the next ledger is to speak of copies of; it is begun at once, also for none.
    pub(super) rewritten: Option<BTreeSet<(Folder, String)>>,
    pub(super) handed_out: HashMap<Place, HandedOut>,
    /// Up to here the blocks of settled runs were given back.
    pub(super) punched: HashMap<Place, Point>,
}

impl LogStore {
    /// Opens or creates the store of `spool` for its elected sender.
    ///
    /// Errors: [`ErrorKind::Store`] if it is damaged or of a newer version; [`ErrorKind::Timeout`] while
    /// another process has it; [`ErrorKind::Io`].
    pub fn open(spool: &Spool) -> Result<Self> {
        let disk: Arc<dyn Disk> = Arc::new(SpoolDisk::new(spool));
        Self::open_on(disk, spool.boot_count())
    }

    /// Opens or creates a store on any disk, as [`open`](Self::open) does.
    pub fn open_on(disk: Arc<dyn Disk>, boot_count: u32) -> Result<Self> {
        let opened = recovery::open(&disk, boot_count).map_err(|e| cannot_open(&*disk, e))?;
        // Of what an earlier sender has left, nothing is known to be synced but what its records say; not
        // even the ledger's name, if it died while it published the file.
        let mut touched = Touched::of(&opened.fold);
        touched.folders.insert(Folder::Ledger);
        let unsynced = Arc::new(UnsyncedFiles::new(
            disk.clone(),
            (opened.ledger.file.clone(), opened.ledger.header.number),
            (touched, opened.failed),
        ));
        let syncs = Syncs::new(unsynced.clone(), opened.ledger.seq, opened.durable);
        let mut store = Self {
            disk,
            boot_count,
            fold: opened.fold,
            ledger: opened.ledger,
            syncs: Arc::new(syncs),
            unsynced,
            record: Vec::new(),
            moved: Vec::new(),
            forgotten: Vec::new(),
            is_joint: false,
            is_spent: false,
            is_full_disk: false,
            rewritten: None,
            handed_out: HashMap::new(),
            punched: HashMap::new(),
        };
        begin_record(&mut store.record);
        store.say(&Entry::Elected {
            pid: crate::process::pid().cast_unsigned(),
            wall_ms: crate::clock::wall_ms(),
            session: random_u64() as u32,
        })?;
        if !opened.strangers.is_empty() {
            let numbers = store.fold.numbers;
            store.say(&Entry::Numbers(numbers))?;
        }
        store.write_record()?;
        for (folder, name) in opened.strangers {
            let removed = store.disk.remove(folder, &name);
            removed.map_err(|e| Error::io(store.disk.describe(Some((folder, &name))), e))?;
        }
        if opened.is_passed {
            let next = store.begin_ledger(SpareLedger::take(&*store.disk)?)?;
            next.publish()?;
            store.use_ledger(next);
        }
        Spare::set_aside(&*store.disk);
        Ok(store)
    }

    /// Adds an entry to the record that is being made, and takes it in.
    pub(super) fn say(&mut self, entry: &Entry<'_>) -> Result<()> {
        entry.encode(&mut self.record);
        let applied = self.fold.apply(entry);
        applied.map_err(|what| self.contradiction(what))
    }

    pub(super) fn contradiction(&self, what: &str) -> Error {
        let name = self.disk.describe(None);
        Error::new(
            ErrorKind::Internal,
            format!("{name}: a commit contradicts the store: {what}"),
        )
    }

    /// Does `act`. After an error nothing more is written: memory may be ahead of the ledger.
    pub(super) fn guarded<T>(&mut self, act: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.is_spent {
            let name = self.disk.describe(None);
            let what = format!("{name}: has to be opened again after an error");
            return Err(Error::new(ErrorKind::Io, what));
        }
        let done = act(self);
        self.is_spent = done.is_err();
        done
    }

    /// Writes the record, if it says anything.
    pub(super) fn write_record(&mut self) -> Result<()> {
        for place in std::mem::take(&mut self.moved) {
            let position = self.fold.queue(place).position;
            Entry::Queue { place, position }.encode(&mut self.record);
        }
        let forgotten = std::mem::take(&mut self.forgotten);
        for ids in forgotten.chunks(1_000) {
            Entry::Forgotten(ids.to_vec()).encode(&mut self.record);
        }
        if self.record.len() > RECORD_HEADER_LEN {
            self.append_record()?;
        }
        Ok(())
    }

    /// Appends the record as it is.
    pub(super) fn append_record(&mut self) -> Result<()> {
        let mut record = std::mem::take(&mut self.record);
        let written = self.ledger.append(&mut record, self.syncs.durable());
        begin_record(&mut record);
        self.record = record;
        written.map_err(|e| self.ledger_error(e))?;
        self.syncs.wrote(self.ledger.seq);
        Ok(())
    }

    pub(super) fn ledger_error(&self, e: io::Error) -> Error {
        let name = ledger::file_name(self.ledger.header.number);
        not_written(&*self.disk, Folder::Ledger, &name, e)
    }

    /// Says of a queue that its position has changed, with the next record.
    pub(super) fn move_queue(
        &mut self,
        place: Place,
        change: impl FnOnce(&mut QueuePosition),
    ) -> Result<()> {
        let mut position = self.fold.queue(place).position;
        change(&mut position);
        let moved = self.fold.apply(&Entry::Queue { place, position });
        moved.map_err(|what| self.damaged(what))?;
        if !self.moved.contains(&place) {
            self.moved.push(place);
        }
        Ok(())
    }

    pub(super) fn unreadable(&self, what: &str, e: Unreadable) -> Error {
        unreadable(&*self.disk, what, e)
    }
}

impl Store for LogStore {
    fn commit(&mut self, changes: &[Change<'_>]) -> Result<()> {
        self.guarded(|store| store.commit_all(changes))
    }

    fn begin_joint_commit(&mut self) {
        self.is_joint = true;
    }

    fn end_joint_commit(&mut self) -> Result<()> {
        self.is_joint = false;
        self.guarded(Self::write_record)
    }

    fn committed(&self) -> u64 {
        self.ledger.seq
    }

    fn syncs(&self) -> Arc<Syncs> {
        self.syncs.clone()
    }

    fn check_lock(&self) -> Result<()> {
        let checked = self.ledger.file.check_open();
        checked.map_err(|e| self.ledger_error(e))
    }

    fn as_argument(&self) -> String {
        as_argument(&*self.disk)
    }

    fn damaged(&self, what: &str) -> Error {
        damaged(&*self.disk, what)
    }

    fn lane(&self, lane: u8) -> LaneState {
        self.fold.lane_state(lane)
    }

    fn rest(&self, lane: u8) -> Rest {
        self.fold.rest(lane)
    }

    fn runs(&mut self, place: Place, after: i64, limit: usize) -> Result<Vec<StoredRun>> {
        self.hand_out(place, after, limit)
    }

    fn last_run(&self) -> i64 {
        self.fold.numbers.run
    }

    fn first_origin(&mut self) -> Result<Option<i64>> {
        self.earliest_origin()
    }

    fn suspects(&self) -> Vec<Suspect> {
        self.fold.suspects.values().cloned().collect()
    }

    fn refused_in_a_row(&self) -> Vec<String> {
        self.fold.refused_in_a_row.clone()
    }

    fn rejected_matching(
        &self,
        filter: &RejectedFilter,
        limit: usize,
    ) -> Result<Vec<(i64, Rejected)>> {
        rejected_matching(&*self.disk, &self.fold.rejected, filter, limit)
    }

    fn rejected(&self, ids: &[i64]) -> Result<Vec<(i64, Rejected)>> {
        rejected_with_ids(&*self.disk, &self.fold.rejected, ids)
    }

    fn last_rejected(&self) -> i64 {
        self.fold.numbers.rejected
    }

    fn pause(&self) -> Option<PauseState> {
        self.fold.pause.clone()
    }

    fn lanes(&self) -> u8 {
        self.fold.lanes
    }

    fn totals(&self) -> Totals {
        self.fold.totals()
    }
}

impl HostStore for LogStore {
    fn offsets(&self) -> Offsets {
        self.fold.offsets()
    }

    fn set_disk_use(&mut self, disk_use: DiskUse) {
        self.is_full_disk = disk_use == DiskUse::Tight;
    }

    fn forget_receipts(&mut self, before_ms: i64, now_ms: i64) -> Result<bool> {
        self.guarded(|store| store.forget_old_receipts(before_ms, now_ms))
    }
}

impl FileStore for LogStore {
    fn disk(&self) -> Arc<dyn Disk> {
        self.disk.clone()
    }

    fn wants_next_ledger(&self) -> bool {
        self.is_ledger_used_up()
    }

    fn begin_next_ledger(&mut self, spare: SpareLedger) -> Result<NextLedger> {
        self.guarded(|store| store.begin_ledger(spare))
    }

    fn use_next_ledger(&mut self, next: NextLedger) {
        self.use_ledger(next);
    }

    fn rewrite(&mut self, files: BTreeSet<(Folder, String)>) {
        self.rewritten.get_or_insert_default().extend(files);
    }

    fn named_files(&self) -> BTreeSet<(Folder, String)> {
        let mut named = Touched::of(&self.fold).files;
        for (place, queue) in self.fold.places() {
            let names = queue.files.iter();
            let names = names.map(|file| queue_file::file_name(place, file.number));
            named.extend(names.map(|name| (Folder::Queues, name)));
        }
        named
    }

    fn note_sync_point(&mut self) -> SyncPoint {
        self.note_removable()
    }

    fn commit_sync_point(&mut self) -> Result<u64> {
        self.guarded(Self::write_sync_record)
    }

    fn forget_removed(&mut self, point: &SyncPoint) -> Result<()> {
        self.guarded(|store| store.forget_files(point))
    }
}
