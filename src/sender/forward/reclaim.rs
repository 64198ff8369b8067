//! Giving the journal's disk space back once it was forwarded, and is old enough.
//!
//! The order is that of a sender (`sender::reclaim`): what may go is durable in the database, and the ledger
//! says so durably before a file goes. The window says it too, because after a database was set back nothing
//! must be read where blocks were given back.

use super::{Forwarding, Keep};
use crate::clock;
use crate::error::{Result, is_unsupported};
use crate::journal::removal::{self, Tail};
use crate::journal::round::{Offsets, Round};
use crate::journal::segment::HEADER_LEN;
use crate::log::Level;
use crate::sender::reclaim::{disk_use, punch, tails, take_out};
use crate::spool::Safety;
use crate::store::{Change, DiskUse, FileStore, HostStore, Store};

/// Segments removed between two commits.
const REMOVED_AT_ONCE: usize = 256;
/// From so many segments on, and then whenever so many more have come, those that need not be kept go between two
/// statements: each statement says of each segment how far it is.
const SEGMENTS_BETWEEN: usize = 1024;
/// Less than this of a segment is not worth a call.
const GIVE_BACK_AT_LEAST: u64 = 4_096;

impl Forwarding {
    /// Whether something of the journal is old enough to go. Whoever is idle has to ask the database before it goes:
    /// a database that was set back since may need it, and nothing has said so.
    pub fn would_free(&self, keep: Keep) -> bool {
        let now = self.spool.boot_time();
        self.window.would_free(now, &self.offsets, keep)
    }

    /// Frees what need not be kept, removes the segments that are free as a whole, and gives the blocks of
    /// the others back.
    pub(super) fn reclaim(&mut self, round: &Round, keep: Keep) -> Result<()> {
        self.note(keep);
        self.free(round, keep)?;
        let ended = self.ended(round, round.finished_segments());
        self.remove_all(round, &ended)?;
        self.give_back(round)?;
        self.taken_bytes = round.taken_bytes().saturating_sub(self.removed_bytes);
        Ok(())
    }

    /// Between two statements of a round: removes segments if there are many.
    pub(super) fn reclaim_between(&mut self, round: &Round, keep: Keep) -> Result<()> {
        // Each statement has a mark of its own where many segments move: what goes is then little at once.
        self.note(keep);
        if self.offsets.len() < self.reclaim_from {
            return Ok(());
        }
        self.free(round, keep)?;
        // Not all segments of the round are looked at: there may be a million.
        let freed = self.window.freed().keys();
        let finished = freed.filter_map(|name| Some((name.as_str(), round.finished_upto(name)?)));
        let ended = self.ended(round, finished);
        self.remove_all(round, &ended)?;
        self.reclaim_from = Self::reclaim_from(self.offsets.len());
        Ok(())
    }

    /// From how many segments on they are reclaimed between two statements, if there are so many now.
    pub(super) fn reclaim_from(segments: usize) -> usize {
        SEGMENTS_BETWEEN + segments.max(SEGMENTS_BETWEEN)
    }

    fn note(&mut self, keep: Keep) {
        let now = (self.spool.boot_time(), clock::wall_ms());
        let state = (self.record.step, &self.offsets);
        self.is_window_unwritten |= self.window.note(now, state, keep);
    }

    /// Frees what need not be kept. The window says so durably before anything of it goes.
    fn free(&mut self, round: &Round, keep: Keep) -> Result<()> {
        // The window counts on a step that this file knows.
        self.write_record_if_changed()?;
        self.forget(&round.missing_segments(&self.offsets))?;
        // While the disk is full, applications need the room.
        let is_tight = disk_use(&self.spool)? == DiskUse::Tight;
        let keep = if is_tight { Keep::NOTHING } else { keep };
        let now = self.spool.boot_time();
        self.is_window_unwritten |= self.window.free(now, &self.offsets, keep);
        self.write_window_if_changed()
    }

    fn write_window_if_changed(&mut self) -> Result<()> {
        if self.is_window_unwritten {
            self.window.write(&self.spool, Safety::Power)?;
            self.is_window_unwritten = false;
        }
        Ok(())
    }

    /// Those of the segments that were read to their ends whose writers have ended, and of which nothing has to
    /// be kept.
    fn ended<'a>(
        &self,
        round: &Round,
        finished: impl Iterator<Item = (&'a str, u64)>,
    ) -> Vec<(String, u64)> {
        let start = HEADER_LEN as u64;
        let is_free = |name: &str, upto: u64| {
            let freed = self.window.freed().get(name).copied();
            upto <= freed.unwrap_or(start)
        };
        finished
            .filter(|(name, upto)| is_free(name, *upto))
            .filter(|(name, _)| removal::is_abandoned(round.journal(), name))
            .map(|(name, upto)| (name.to_owned(), upto))
            .collect()
    }

    fn remove_all(&mut self, round: &Round, ended: &[(String, u64)]) -> Result<()> {
        for some in ended.chunks(REMOVED_AT_ONCE) {
            let bytes = self.remove(round, some)?;
            self.removed_bytes += bytes;
            self.journal_bytes = self.journal_bytes.saturating_sub(bytes);
            self.alive()?;
        }
        self.write_window_if_changed()
    }

    /// Removes segments; says how many bytes of them were forwarded.
    fn remove(&mut self, round: &Round, some: &[(String, u64)]) -> Result<u64> {
        let ended = tails(&self.spool, round.journal(), some)?;
        self.commit_tails(&ended)?;
        self.sync_ledger()?;
        let gone = take_out(&self.spool, round.journal(), &ended)?;
        let bytes = gone.iter().map(|(_, upto)| upto).sum();
        let gone: Vec<String> = gone.into_iter().map(|(name, _)| name).collect();
        self.forget(&gone)?;
        Ok(bytes)
    }

    /// Counts what stood behind the last records of segments.
    fn commit_tails(&mut self, ended: &[(String, u64, Tail)]) -> Result<()> {
        let mut totals = self.store.totals();
        let mut changes = Vec::new();
        for (segment, taken, tail) in ended {
            totals.damaged_records += tail.damage.len() as u64;
            totals.torn_tails += u64::from(tail.torn.is_some());
            if tail.upto > *taken && !tail.keep_whole {
                let upto = tail.upto;
                changes.push(Change::Taken { segment, upto });
            }
        }
        changes.push(Change::Totals(&totals));
        self.store.commit(&changes)?;
        let log = &self.log;
        for (segment, _, tail) in ended {
            let say: super::super::take_over::Say<'_> = &mut |level, text| log.write(level, text);
            self.lines.of_tail(segment, tail, say);
        }
        Ok(())
    }

    /// Segments are gone from the directory, durably.
    fn forget(&mut self, gone: &[String]) -> Result<()> {
        if gone.is_empty() {
            return Ok(());
        }
        let changes: Vec<Change<'_>> = gone
            .iter()
            .map(|segment| Change::Gone { segment })
            .collect();
        self.store.commit(&changes)?;
        for name in gone {
            self.offsets.remove(name);
            self.given_back.remove(name);
        }
        self.window.forget(gone);
        self.is_window_unwritten = true;
        Ok(())
    }

    /// Makes the ledger durable, and what it says of that.
    pub(super) fn sync_ledger(&mut self) -> Result<()> {
        let point = self.store.note_sync_point();
        self.store.syncs().sync_until(point.seq())?;
        let seq = self.store.commit_sync_point()?;
        self.store.syncs().sync_until(seq)?;
        let disk = self.store.disk();
        point.mark(&*disk)?;
        if !point.is_empty() {
            point.remove(&*disk)?;
            self.store.forget_removed(&point)?;
        }
        Ok(())
    }

    /// Gives the blocks back of what is free in segments of living writers.
    fn give_back(&mut self, round: &Round) -> Result<()> {
        let from = |given: &Offsets, name: &str| {
            let given = given.get(name).copied();
            given.unwrap_or(HEADER_LEN as u64)
        };
        let ranges: Vec<(String, u64, u64)> = self
            .window
            .freed()
            .iter()
            .filter(|(name, _)| self.offsets.contains_key(*name))
            .map(|(name, upto)| (name.clone(), from(&self.given_back, name), *upto))
            .filter(|(_, from, upto)| upto.saturating_sub(*from) >= GIVE_BACK_AT_LEAST)
            .collect();
        if ranges.is_empty() || !self.can_punch {
            return Ok(());
        }
        self.sync_ledger()?;
        for (name, from, upto) in ranges {
            match punch(round.journal(), &name, from, upto) {
                Ok(()) => {
                    self.given_back.insert(name, upto);
                }
                Err(e) if is_unsupported(&e) => {
                    self.can_punch = false;
                    return Ok(());
                }
                Err(e) => return Err(round.journal().error(&name, e)),
            }
        }
        Ok(())
    }

    /// Sets the reserve aside again once there is room, so that applications go on.
    pub(super) fn look_after_disk(&mut self) -> Result<()> {
        let reserve = self.spool.reserve();
        let was_full = reserve.is_disk_flagged_full()?;
        if reserve.ensure()? && was_full {
            let name = self.spool.name();
            self.log.write(
                Level::Info,
                format_args!("{name}: there is room on the disk again"),
            );
        }
        self.store.set_disk_use(disk_use(&self.spool)?);
        Ok(())
    }
}
