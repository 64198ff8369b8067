//! Giving the journal's disk space back: segments of dead writers go, and living ones lose the blocks
//! of what was taken over.
//!
//! Either happens only behind a sync point: until then the journal is the only copy that survives a power
//! cut. While the disk is full, blocks are given back after every chunk that is taken over, and no more is taken over than can
//! soon be delivered.

use std::io::ErrorKind as IoKind;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use rustix::fs::FallocateFlags;

use super::Shared;
use super::election::Election;
use super::state::State;
use super::take_over::{DamageLines, TakeOver};
use crate::error::{Result, is_unsupported};
use crate::journal::damage;
use crate::journal::removal::{self, Removal, Tail};
use crate::journal::round::Offsets;
use crate::journal::segment::HEADER_LEN;
use crate::log::Level;
use crate::process::calls;
use crate::spool::{Dir, Spool};
use crate::store::erasure::has_mark;
use crate::store::{Change, DiskUse};

/// Segments removed between two commits, and in a round.
const REMOVED_AT_ONCE: usize = 256;
const REMOVED_A_ROUND: usize = 40 * REMOVED_AT_ONCE;
/// Blocks of living segments are given back this often, or once so many bytes have come together.
const GIVE_BACK_EVERY: Duration = Duration::from_secs(10);
const GIVE_BACK_BYTES: u64 = 16 * 1024 * 1024;
/// Less than this of a segment is not worth a call.
const GIVE_BACK_AT_LEAST: u64 = 4_096;
/// Bytes of fragments that one commit takes over; and while the disk is full.
const CHUNK_BYTES: usize = 1024 * 1024;
const TIGHT_CHUNK_BYTES: usize = 64 * 1024;
/// With less than this free the disk counts as full.
const ROOMY_BYTES: u64 = 16 * 1024 * 1024;
/// While the disk is full, no more is taken over while so many bytes are pending in the store.
const TIGHT_PENDING_BYTES: u64 = 256 * 1024;

/// How much disk a sender may use, and what of the journal it has given back.
#[derive(Debug)]
pub(super) struct DiskSpace {
    pub(super) in_use: DiskUse,
    given_back: Offsets,
    /// When blocks are given back next.
    due: Instant,
    /// Not every file system can.
    can_punch: bool,
}

impl DiskSpace {
    /// As much as is free on the spool's disk.
    pub(super) fn of(spool: &Spool) -> Result<Self> {
        Ok(Self {
            in_use: disk_use(spool)?,
            given_back: Offsets::new(),
            due: Instant::now() + GIVE_BACK_EVERY,
            can_punch: true,
        })
    }

    /// Sets the reserve aside, again or for the first time, if there is room.
    pub(super) fn look(&mut self, shared: &Shared) -> Result<()> {
        let spool = &shared.spool;
        let was_full = spool.reserve().is_disk_flagged_full()?;
        if spool.reserve().ensure()? && was_full {
            shared.log.write(
                Level::Info,
                format_args!("{}: there is room on the disk again", spool.name()),
            );
        }
        let now = disk_use(spool)?;
        if now != self.in_use {
            shared.step(|state| {
                state.dispatcher.store.set_disk_use(now);
                Ok(())
            })?;
            self.in_use = now;
        }
        Ok(())
    }

    /// Bytes that the next commit may take over.
    pub(super) fn chunk_bytes(&self) -> usize {
        match self.in_use {
            DiskUse::Roomy => CHUNK_BYTES,
            DiskUse::Tight => TIGHT_CHUNK_BYTES,
        }
    }

    /// Whether the store may hold more than these bytes.
    pub(super) fn has_room_for_more(&self, pending_bytes: u64) -> bool {
        self.in_use == DiskUse::Roomy || pending_bytes < TIGHT_PENDING_BYTES
    }

    /// The next [`give_back`](Self::give_back) waits for nothing: it may be the last one for long.
    pub(super) fn give_back_at_once(&mut self) {
        self.due = Instant::now();
    }

    /// The same as [`give_back`](Self::give_back) between two chunks, while the disk is full.
    pub(super) fn give_back_if_tight(
        &mut self,
        shared: &Shared,
        election: &Election,
    ) -> Result<()> {
        match self.in_use {
            DiskUse::Tight => self.give_back(shared, election),
            DiskUse::Roomy => Ok(()),
        }
    }

    /// Gives back the blocks of what was taken over, and the store's own of what is settled, if it is time.
    pub(super) fn give_back(&mut self, shared: &Shared, _election: &Election) -> Result<()> {
        let due = self.in_use == DiskUse::Tight || Instant::now() >= self.due;
        let noted = shared.sync_point(|state, point| {
            self.given_back
                .retain(|name, _| state.offsets.contains_key(name));
            let ranges = match self.can_punch {
                true => self.ranges(&state.offsets),
                false => Vec::new(),
            };
            let bytes: u64 = ranges.iter().map(|(_, from, upto)| upto - from).sum();
            let is_worth_it = due && !(ranges.is_empty() && point.is_empty());
            (is_worth_it || bytes >= GIVE_BACK_BYTES).then_some(ranges)
        })?;
        if due {
            self.due = Instant::now() + GIVE_BACK_EVERY;
        }
        let Some((ranges, point)) = noted else {
            return Ok(());
        };
        shared.remove_files(&point)?;
        let journal = shared.spool.journal().ensure()?;
        for (name, from, upto) in ranges {
            match punch(&journal, &name, from, upto) {
                Ok(()) => {
                    self.given_back.insert(name, upto);
                }
                Err(e) if is_unsupported(&e) => {
                    self.can_punch = false;
                    return Ok(());
                }
                Err(e) => return Err(journal.error(&name, e)),
            }
        }
        Ok(())
    }

    /// What can be given back: name, from, up to.
    fn ranges(&self, taken: &Offsets) -> Vec<(String, u64, u64)> {
        let ranges = taken.iter().map(|(name, upto)| {
            let from = self.given_back.get(name).copied();
            (name, from.unwrap_or(HEADER_LEN as u64), *upto)
        });
        ranges
            .filter(|(_, from, upto)| upto.saturating_sub(*from) >= GIVE_BACK_AT_LEAST)
            .map(|(name, from, upto)| (name.clone(), from, upto))
            .collect()
    }
}

/// Before the disk is full it is best to be careful already.
pub(super) fn disk_use(spool: &Spool) -> Result<DiskUse> {
    Ok(if spool.reserve().free_bytes()? < ROOMY_BYTES {
        DiskUse::Tight
    } else {
        DiskUse::Roomy
    })
}

/// Gives the blocks of a range back; its bytes read as zeros from then on.
pub(super) fn punch(journal: &Dir, name: &str, from: u64, upto: u64) -> std::io::Result<()> {
    let file = match journal.open_to_write(name) {
        Ok(file) => file,
        Err(e) if e.kind() == IoKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    calls::fallocate(&*file, hole, from, upto - from)?;
    Ok(())
}

/// Gives the blocks back of all that was taken over of segments in which a user's mark stands there, or writes
/// zeros over it where blocks cannot be given back. Calls `alive` for each segment.
#[cold]
pub(super) fn erase_taken(
    shared: &Shared,
    _election: &Election,
    mark: &[u8],
    alive: &mut dyn FnMut() -> Result<()>,
) -> Result<()> {
    let Some(offsets) = shared.step(|state| Ok(state.offsets.clone()))? else {
        return Ok(());
    };
    let journal = shared.spool.journal().ensure()?;
    let mut found = Vec::new();
    for (name, upto) in &offsets {
        let file = match journal.open(name) {
            Ok(file) => file,
            Err(e) if e.kind() == IoKind::NotFound => continue,
            Err(e) => return Err(journal.error(name, e)),
        };
        let range = (HEADER_LEN as u64, *upto);
        let read = |buffer: &mut [u8], at| file.read_at(buffer, at);
        if has_mark(read, range, mark).map_err(|e| journal.error(name, e))? {
            found.push((name, range));
        }
        alive()?;
    }
    if found.is_empty() || shared.sync_point(|_, _| Some(()))?.is_none() {
        return Ok(());
    }
    for (name, range) in found {
        erase_range(&journal, name, range).map_err(|e| journal.error(name, e))?;
        alive()?;
    }
    Ok(())
}

#[cold]
fn erase_range(journal: &Dir, name: &str, (from, upto): (u64, u64)) -> std::io::Result<()> {
    const ZEROS: u64 = 64 * 1024;
    let file = match journal.open_to_write(name) {
        Err(e) if e.kind() == IoKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match calls::fallocate(&*file, hole, from, upto - from) {
        Err(e) if is_unsupported(&e.into()) => {
            let zeros = vec![0; ZEROS as usize];
            let mut at = from;
            while at < upto {
                let length = (upto - at).min(ZEROS);
                file.write_all_at(&zeros[..length as usize], at)?;
                at += length;
            }
        }
        punched => punched?,
    }
    file.sync_all()
}

/// Removes segments that are taken over and whose writers have ended, and forgets those that are
/// gone; there may be more than one round removes. Says how many bytes went. It calls `keep_alive` between
/// its steps, which may take minutes together.
pub(super) fn remove_abandoned(
    shared: &Shared,
    _election: &Election,
    round: &mut TakeOver,
    taken: &Offsets,
    mut keep_alive: impl FnMut() -> Result<()>,
) -> Result<u64> {
    let spool = &shared.spool;
    let mut bytes = 0;
    // Left by a sender that died between an unlink and its commit, or removed by hand.
    let missing = round.missing(taken);
    if !missing.is_empty() {
        shared.step(|state| state.forget_segments(&missing))?;
    }
    for some in round.abandoned(REMOVED_A_ROUND).chunks(REMOVED_AT_ONCE) {
        let ended = tails(spool, round.journal(), some)?;
        // Before an unlink, everything that was read from the segment has to be on the disk.
        shared.step(|state| state.take_tails_over(&ended, &mut round.lines))?;
        if shared.sync_point(|_, _| Some(()))?.is_none() {
            return Ok(bytes);
        }
        let gone = take_out(spool, round.journal(), &ended)?;
        bytes += gone.iter().map(|(_, upto)| upto).sum::<u64>();
        let gone: Vec<String> = gone.into_iter().map(|(name, _)| name).collect();
        shared.step(|state| state.forget_segments(&gone))?;
        keep_alive()?;
    }
    if round.lines.has_left_out() {
        shared.step(|state| {
            state.say_rest_of_damage(&round.lines);
            Ok(())
        })?;
    }
    Ok(bytes)
}

/// The ends of segments that were read up to these offsets, with what has to be kept of them set
/// aside. Left out is where a whole record stands.
pub(super) fn tails(
    spool: &Spool,
    journal: &Dir,
    abandoned: &[(String, u64)],
) -> Result<Vec<(String, u64, Tail)>> {
    let mut ended = Vec::with_capacity(abandoned.len());
    for (name, upto) in abandoned {
        let Some(tail) = removal::read_tail(spool, journal, name, *upto)? else {
            continue;
        };
        if !tail.keep_whole {
            damage::save(spool, journal, &tail.damage)?;
            let torn = tail.torn.as_ref().and_then(|torn| torn.keep.as_ref());
            damage::save(spool, journal, torn.map_or(&[], std::slice::from_ref))?;
        }
        ended.push((name.clone(), *upto, tail));
    }
    Ok(ended)
}

/// Removes the segments, durably, and keeps those that have to be kept; says which are gone, and how far
/// each was taken over.
pub(super) fn take_out(
    spool: &Spool,
    journal: &Dir,
    ended: &[(String, u64, Tail)],
) -> Result<Vec<(String, u64)>> {
    let keeps = ended.iter().any(|(.., tail)| tail.keep_whole);
    let damaged = keeps.then(|| spool.damaged().ensure()).transpose()?;
    let mut gone = Vec::with_capacity(ended.len());
    for (name, upto, tail) in ended {
        let end = tail.upto.max(*upto);
        let removal = match &damaged {
            Some(damaged) if tail.keep_whole => {
                removal::keep_segment(journal, damaged, (name, tail), end)?
            }
            _ => removal::remove_segment(journal, name, end)?,
        };
        if removal == Removal::Removed {
            gone.push((name.clone(), *upto));
        }
    }
    // In this order: a power cut may leave both names of a segment that is kept, and not none.
    for dir in damaged.iter().chain([journal]) {
        dir.sync().map_err(|e| dir.own_error(e))?;
    }
    Ok(gone)
}

impl State {
    /// Commits what stood at the ends of segments.
    fn take_tails_over(
        &mut self,
        ended: &[(String, u64, Tail)],
        lines: &mut DamageLines,
    ) -> Result<()> {
        let mut totals = self.dispatcher.totals;
        // What is kept as a whole counts as taken over once it is kept: a sender that dies before leaves it
        // to the next one as it is.
        let goes_on = |taken: u64, tail: &Tail| tail.upto > taken && !tail.keep_whole;
        let mut changes = Vec::new();
        for (segment, taken, tail) in ended {
            totals.damaged_records += tail.damage.len() as u64;
            totals.torn_tails += u64::from(tail.torn.is_some());
            if goes_on(*taken, tail) {
                let upto = tail.upto;
                changes.push(Change::Taken { segment, upto });
            }
        }
        self.dispatcher.commit_with_totals(changes, totals)?;
        for (segment, taken, tail) in ended {
            self.say_tail(segment, tail, lines);
            if goes_on(*taken, tail) {
                self.offsets.insert(segment.clone(), tail.upto);
            }
        }
        Ok(())
    }

    /// Segments are gone from the directory, durably.
    fn forget_segments(&mut self, gone: &[String]) -> Result<()> {
        let changes: Vec<Change<'_>> = gone
            .iter()
            .map(|segment| Change::Gone { segment })
            .collect();
        self.dispatcher.store.commit(&changes)?;
        for name in gone {
            self.offsets.remove(name);
        }
        Ok(())
    }
}
