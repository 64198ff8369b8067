//! A new ledger in the place of a damaged one, with what can be read of the store.
//!
//! First everything is read (`ledger`, `queues`, `rejected`), around what is damaged (`scan`), and
//! what is known of the lanes is kept as far as it fits what is left (`lanes`). Nothing is changed for
//! that. Then a new ledger is written that speaks of what was found (`replace`). It counts from the
//! moment that it has its name: if the process is killed before, the damaged store is as it was.

mod copy;
mod lanes;
mod ledger;
mod queues;
mod rejected;
mod replace;
mod replace_rejected;
mod scan;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

pub use self::copy::Mismatch;
use self::lanes::Users;
use self::ledger::LedgerFound;
use self::queues::QueueFound;
use self::rejected::RejectedFound;
use super::Place;
use super::disk::{Disk, Folder};
use super::queue_file;
use super::receipt_files::count_receipts;
use super::spool_disk::SpoolDisk;
use crate::error::{Error, Result};
use crate::journal::{round, segment_reader};
use crate::spool::Spool;

/// What to do about a damaged store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// Nothing but look.
    Look,
    /// Put a new store in its place.
    Replace,
}

/// What a store holds that can be read, and what is known to be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Salvage {
    /// What is wrong with the store; `None`: nothing.
    pub damage: Option<String>,
    /// Runs of pending events that can be read.
    pub runs: u64,
    /// Events that wait in them.
    pub pending: u64,
    /// Rejected events that can be read.
    pub rejected: u64,
    /// Receipts of delivered requests that can be read.
    pub receipts: u64,
    /// At most so many pending events cannot be read; `None`: how many there were cannot be read either.
    pub lost_pending: Option<u64>,
    /// At most so many rejected events cannot be read.
    pub lost_rejected: u64,
    /// Segments that will be read from their beginning: events of theirs that had been taken over
    /// come again.
    pub read_again: Vec<String>,
    /// What else cannot be read, in words.
    pub forgotten: Vec<String>,
    /// The folder where the damaged files are kept, once a new store is in their place.
    pub kept: Option<PathBuf>,
}

impl Salvage {
    /// Whether events are missing, or may be.
    pub fn loses_events(&self) -> bool {
        self.lost_pending != Some(0) || self.lost_rejected > 0
    }
}

/// Reads what can be read of the store of `spool`, for which the caller is elected, and replaces it if it
/// is damaged and that is asked for. `lane_of` tells an event's lane of so many.
pub(crate) fn recover(
    spool: &Spool,
    repair: Repair,
    lane_of: fn(&[u8], usize) -> usize,
) -> Result<Salvage> {
    let disk: Arc<dyn Disk> = Arc::new(SpoolDisk::new(spool));
    recover_on(&disk, spool, repair, lane_of)
}

/// The same, with the store's files on any disk.
pub(super) fn recover_on(
    disk: &Arc<dyn Disk>,
    spool: &Spool,
    repair: Repair,
    lane_of: fn(&[u8], usize) -> usize,
) -> Result<Salvage> {
    let _lock = match repair {
        Repair::Look => None,
        Repair::Replace => ledger::lock(&**disk)?,
    };
    let found = Found::read(&**disk, spool, spool.boot_count(), lane_of)?;
    let mut salvage = found.salvage.clone();
    if repair == Repair::Replace {
        match &salvage.damage {
            Some(_) => salvage.kept = Some(replace::replace(disk, spool, found)?),
            None => replace::put_away_the_rest(&**disk, &found.ledger.fold)?,
        }
    }
    Ok(salvage)
}

/// Compares the files of a copied spool, to which nobody writes: what will be read of its store, and what is
/// of another moment than the ledger. `boot_count` is that of the last boot in which it was used: a shorter
/// file is the copying's, and not that of a power cut.
pub(crate) fn compare(
    spool: &Spool,
    boot_count: u32,
    lane_of: fn(&[u8], usize) -> usize,
) -> Result<(Salvage, Vec<Mismatch>)> {
    let disk = SpoolDisk::new(spool);
    let found = Found::read(&disk, spool, boot_count, lane_of)?;
    let mismatches = copy::mismatches(&disk, spool, &found)?;
    Ok((found.salvage, mismatches))
}

/// Where the units of a file stand that a recovery finds.
#[cfg(any(test, fuzzing))]
pub(super) fn units_found(
    disk: &dyn Disk,
    (folder, name): (Folder, &str),
    expected: super::frame::FileHeader,
) -> Vec<(u64, u64)> {
    fn places<T>(
        scanned: std::result::Result<scan::Scanned<T>, scan::CannotScan>,
    ) -> Vec<(u64, u64)> {
        let units = scanned.map(|scanned| scanned.units).unwrap_or_default();
        units.iter().map(|at| (at.offset, at.end)).collect()
    }
    let (file, range) = ((folder, name), ledger::whole_file());
    match folder {
        Folder::Queues => places(scan::scan(disk, file, &queues::RUNS, expected, range)),
        Folder::Rejected => places(scan::scan(disk, file, &rejected::EVENTS, expected, range)),
        _ => places(scan::scan(disk, file, &ledger::RECORDS, expected, range)),
    }
}

/// Everything that can be read of a store.
struct Found {
    salvage: Salvage,
    ledger: LedgerFound,
    queues: BTreeMap<Place, QueueFound>,
    rejected: RejectedFound,
    users: Users,
    /// Segments of which it is not known how far they are taken over, and where to begin with them.
    segments: Vec<(String, Option<u64>)>,
}

impl Found {
    fn read(
        disk: &dyn Disk,
        spool: &Spool,
        boot_count: u32,
        lane_of: fn(&[u8], usize) -> usize,
    ) -> Result<Self> {
        let ledger = LedgerFound::read(disk, boot_count)?;
        let mut users = Users::new(lane_of);
        let mut queues = BTreeMap::new();
        for (place, on_disk) in places(disk, &ledger)? {
            let known = ledger.fold.queue(place);
            let sink = |run: &_| users.saw(place, run);
            let found = QueueFound::read(disk, &ledger, (place, known), &on_disk, sink)?;
            queues.insert(place, found);
        }
        let rejected = RejectedFound::read(disk, &ledger)?;
        let segments = match ledger.is_whole() {
            true => Vec::new(),
            false => segments_read_again(spool, &ledger)?,
        };
        let mut found = Self {
            salvage: Salvage::default(),
            ledger,
            queues,
            rejected,
            users,
            segments,
        };
        found.salvage = found.sum(disk)?;
        Ok(found)
    }

    fn sum(&self, disk: &dyn Disk) -> Result<Salvage> {
        let from = self.ledger.fold.numbers.receipts_from;
        let damaged = self.ledger.damage.as_ref().map(|_| self.ledger.number);
        let receipts = count_receipts(disk, from, damaged);
        let receipts = receipts.map_err(|e| Error::io(disk.describe(None), e))?;
        let around_damage = self.ledger.receipts.iter().filter(|(id, _)| *id >= from);
        let queues = self.queues.values();
        let damage = self.ledger.damage.iter();
        let damage = damage.chain(queues.clone().filter_map(|queue| queue.damage.as_ref()));
        let damage = damage.chain(&self.rejected.damage).next().cloned();
        let lost = queues.clone().map(|queue| queue.lost).sum();
        let mut salvage = Salvage {
            runs: queues.clone().map(|queue| queue.runs.len() as u64).sum(),
            pending: queues.map(QueueFound::events).sum(),
            rejected: self.rejected.events(),
            receipts: receipts + around_damage.count() as u64,
            lost_pending: lost,
            lost_rejected: self.rejected.lost,
            read_again: self.segments.iter().map(|(name, _)| name.clone()).collect(),
            forgotten: Vec::new(),
            kept: None,
            damage,
        };
        if salvage.damage.is_some() {
            if !self.ledger.has_snapshot {
                // Files may be gone that nothing speaks of any more.
                salvage.lost_pending = None;
            }
            salvage.forgotten = self.forgotten();
        }
        Ok(salvage)
    }

    fn forgotten(&self) -> Vec<String> {
        let mut forgotten = Vec::new();
        if !self.ledger.has_snapshot {
            forgotten.push(
                "the state of the sender: sums, what was settled and in doubt, the pause; events that wait may have been delivered"
                    .to_owned(),
            );
        } else if !self.ledger.is_whole() {
            forgotten.push(
                "some of the sender's last steps: what they settled may be delivered twice, unlisted"
                    .to_owned(),
            );
        }
        let mut fold = self.ledger.fold.clone();
        for lane in lanes::forget_what_does_not_fit(&self.ledger, &self.queues, &mut fold) {
            forgotten.push(format!(
                "what lane {lane} had in doubt or settled at its head: events of it may be delivered twice"
            ));
        }
        forgotten
    }
}

/// Every queue that the ledger knows or that has a file, with the numbers of its files.
fn places(disk: &dyn Disk, ledger: &LedgerFound) -> Result<BTreeMap<Place, Vec<u64>>> {
    let known = ledger.fold.places().map(|(place, _)| (place, Vec::new()));
    let mut places: BTreeMap<Place, Vec<u64>> = known.collect();
    let names = disk.list(Folder::Queues);
    for name in names.map_err(|e| Error::io(disk.describe(None), e))? {
        if let Some((place, number)) = queue_file::parse_name(&name) {
            places.entry(place).or_default().push(number);
        }
    }
    for numbers in places.values_mut() {
        numbers.sort_unstable();
    }
    Ok(places)
}

/// Segments of which the ledger does not say how far they are taken over; where there is a hole at their
/// beginning, with the end of it.
fn segments_read_again(spool: &Spool, ledger: &LedgerFound) -> Result<Vec<(String, Option<u64>)>> {
    let known: BTreeSet<String> = ledger.fold.offsets().into_keys().collect();
    let mut again = Vec::new();
    for name in round::list_segments(spool)? {
        if !known.contains(&name) {
            let upto = segment_reader::first_record_after_hole(spool, &name)?;
            again.push((name, upto));
        }
    }
    Ok(again)
}
