//! A new ledger of what was found, and the place where the damaged files are kept.
//!
//! What is to stay and stands in a damaged file is copied first, to a file with a number above all. All
//! that the new ledger will speak of is synced, then it gets its name; from then on it is the store. Files
//! that it does not speak of are moved away last: whatever is left where it was is nobody's.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::ledger::LedgerFound;
use super::queues::{Piece, QueueFound, RUNS};
use super::scan::read_file;
use super::{Found, lanes};
use crate::error::{Error, ErrorKind, Result};
use crate::process::random_u64;
use crate::spool::Spool;
use crate::store::disk::{Access, Disk, Folder, put_away};
use crate::store::entry::{Entry, Point, QueueFile, QueuePosition};
use crate::store::finished::{next_number, put_finished_away};
use crate::store::fold::{Fold, Queue};
use crate::store::frame::{FileHeader, HEADER_LEN, Kind, begin_record};
use crate::store::ledger;
use crate::store::queue_file::{self, encode_run};
use crate::store::rejected_file;
use crate::store::spare::{self, Spare};
use crate::store::unsynced::Touched;

/// No sender has this session: what is copied is durable before a record speaks of it.
pub(super) const SESSION: u32 = 0;
/// No number is given twice: those that were given in records that are lost are below these.
pub(super) const NUMBERS_MARGIN: i64 = 1_000_000;
pub(super) const FILES_MARGIN: u64 = 1_000;
/// What a file that is not complete yet has behind its name.
const UNFINISHED: &str = ".new";
/// Receipts of one record.
const RECEIPTS_AT_ONCE: usize = 256;

/// Puts a new store in the place of the damaged one; says where the damaged files are kept.
pub(super) fn replace(disk: &Arc<dyn Disk>, spool: &Spool, found: Found) -> Result<PathBuf> {
    let failed = |e| Error::io(disk.describe(None), e);
    let mut new = New {
        disk: &**disk,
        boot_count: spool.boot_count(),
        fold: found.ledger.fold.clone(),
    };
    new.remove_unfinished().map_err(failed)?;
    new.set_numbers(&found).map_err(failed)?;
    lanes::forget_what_does_not_fit(&found.ledger, &found.queues, &mut new.fold);
    for queue in found.queues.values() {
        if !found.ledger.is_whole() || queue.damage.is_some() {
            new.take_queue(queue).map_err(failed)?;
        }
    }
    if !found.ledger.is_whole() || found.rejected.damage.is_some() {
        new.take_rejected(&found.rejected).map_err(failed)?;
    }
    new.set_rest(&found);
    let fold = new.fold;
    check_can_be_read(&**disk, &fold, &found.ledger)?;
    let kept = format!("store-{}", crate::clock::wall_ms());
    sync_files(&**disk, &fold).map_err(failed)?;
    let number = write_ledger(&**disk, spool.boot_count(), fold.clone(), &found).map_err(failed)?;
    if !found.ledger.is_whole() && found.ledger.number > 0 {
        let name = ledger::file_name(found.ledger.number);
        put_away(&**disk, &kept, Folder::Ledger, &name).map_err(failed)?;
    }
    put_finished_away(&**disk, number).map_err(failed)?;
    move_the_rest(&**disk, &fold, &kept).map_err(failed)?;
    let dir = spool.damaged().below(&kept);
    dir.ensure()?;
    Ok(dir.path())
}

/// Checks that the new ledger will not be damaged itself. It could be where the old one said that it has given
/// nearly all numbers there are, which no sender does.
fn check_can_be_read(disk: &dyn Disk, fold: &Fold, old: &LedgerFound) -> Result<()> {
    let mut read = Fold::default();
    let mut entries = fold.snapshot().into_iter();
    let checked = match ledger::leaves_numbers(old.number, old.seq) {
        true => entries.try_for_each(|entry| read.apply(&entry)),
        false => Err(ledger::NO_NUMBERS),
    };
    checked.map_err(|what| {
        let name = disk.describe(None);
        let what = format!("{name}: no new store can be made of this one: {what}");
        Error::new(ErrorKind::Store, what)
    })
}

/// Moves away what a recovery has left that was killed once its ledger counted.
pub(super) fn put_away_the_rest(disk: &dyn Disk, fold: &Fold) -> Result<()> {
    let kept = format!("store-{}", crate::clock::wall_ms());
    move_the_rest(disk, fold, &kept).map_err(|e| Error::io(disk.describe(None), e))
}

/// The new store, until it is published.
pub(super) struct New<'a> {
    pub(super) disk: &'a dyn Disk,
    boot_count: u32,
    pub(super) fold: Fold,
}

impl New<'_> {
    fn remove_unfinished(&self) -> io::Result<()> {
        for folder in [Folder::Queues, Folder::Rejected] {
            for name in self.disk.list(folder)? {
                if name.ends_with(UNFINISHED) {
                    self.disk.remove(folder, &name)?;
                }
            }
        }
        Ok(())
    }

    fn set_numbers(&mut self, found: &Found) -> io::Result<()> {
        let numbers = &mut self.fold.numbers;
        for name in self.disk.list(Folder::Queues)? {
            if let Some((_, number)) = queue_file::parse_name(&name)
                && ledger::leaves_numbers_above(number)
            {
                numbers.queue_file = numbers.queue_file.max(number);
            }
        }
        for name in self.disk.list(Folder::Rejected)? {
            if let Some(number) = rejected_file::parse_name(&name)
                && ledger::leaves_numbers_above(number)
            {
                numbers.rejected_file = numbers.rejected_file.max(number);
            }
        }
        let seen = found.queues.values().map(|queue| queue.last_seen);
        numbers.run = numbers.run.max(seen.max().unwrap_or(0));
        numbers.rejected = numbers.rejected.max(found.rejected.last_seen);
        if let Some((id, _)) = found.ledger.receipts.last() {
            numbers.receipt = numbers.receipt.max(*id);
        }
        if !found.ledger.is_whole() {
            numbers.run += NUMBERS_MARGIN;
            numbers.rejected += NUMBERS_MARGIN;
            numbers.receipt += NUMBERS_MARGIN;
            numbers.segment += FILES_MARGIN;
            numbers.queue_file += FILES_MARGIN;
            numbers.rejected_file += FILES_MARGIN;
        }
        Ok(())
    }

    /// Has the new ledger speak of the runs of a queue that were found.
    fn take_queue(&mut self, found: &QueueFound) -> io::Result<()> {
        let place = found.place;
        let known = self.fold.queue(place).clone();
        let mut files: Vec<QueueFile> = Vec::new();
        let mut head = None;
        let pieces = found.pieces();
        let mut pieces = pieces.iter().peekable();
        while let Some(piece) = pieces.next() {
            let (file, from) = match piece.is_kept {
                true => {
                    let (number, end) = (piece.file, piece.end);
                    (QueueFile { number, end }, piece.from)
                }
                false => {
                    let mut copied = vec![piece];
                    let mut bytes = piece.end - piece.from;
                    while let Some(next) =
                        pieces.next_if(|next| !next.is_kept && bytes < queue_file::FILE_BYTES)
                    {
                        bytes += next.end - next.from;
                        copied.push(next);
                    }
                    (self.copy_runs(found, &copied)?, HEADER_LEN as u64)
                }
            };
            head.get_or_insert(Point {
                file: file.number,
                offset: from,
            });
            files.push(file);
        }
        let last_run = found.runs.keys().next_back().copied().unwrap_or(0);
        let queue = self.fold.queue_mut(place);
        *queue = Queue {
            position: QueuePosition {
                passed: known.position.passed,
                head: head.unwrap_or_default(),
                tail: files.last().map_or(0, |file| file.end),
                last_run: known.position.last_run.max(last_run),
                events: found.events(),
                bytes: found.bytes(),
            },
            files,
            marks: known.marks,
            isolation: known.isolation,
        };
        queue.marks.retain(|run, _| found.runs.contains_key(run));
        Ok(())
    }

    /// Copies runs to a new file, with the ids that they have.
    fn copy_runs(&mut self, found: &QueueFound, pieces: &[&Piece]) -> io::Result<QueueFile> {
        let place = found.place;
        self.fold.numbers.queue_file += 1;
        let number = self.fold.numbers.queue_file;
        let header = self.header(number);
        let header = FileHeader {
            lane: place.lane,
            queue: place.queue,
            ..header
        };
        let mut bytes = header.encode(Kind::Queue).to_vec();
        let mut open: Option<(u64, Vec<u8>)> = None;
        for piece in pieces {
            if open.as_ref().is_none_or(|(file, _)| *file != piece.file) {
                let name = queue_file::file_name(place, piece.file);
                open = Some((piece.file, read_file(self.disk, Folder::Queues, &name)?));
            }
            let (Some((_, old)), Some(old_header)) = (&open, found.headers.get(&piece.file)) else {
                continue;
            };
            let mut at = piece.from;
            while at < piece.end {
                let rest = old.get(at as usize..).unwrap_or_default();
                let read = (RUNS.read)(rest, old_header.position(at));
                let (run, length) = read.ok_or_else(changed)?;
                let position = header.position(bytes.len() as u64);
                encode_run(
                    &mut bytes,
                    (run.id, run.origin, SESSION),
                    &run.run,
                    position,
                );
                at += length as u64;
            }
        }
        self.write(
            Folder::Queues,
            &queue_file::file_name(place, number),
            &bytes,
        )?;
        Ok(QueueFile {
            number,
            end: bytes.len() as u64,
        })
    }

    pub(super) fn header(&self, number: u64) -> FileHeader {
        FileHeader {
            boot_count: self.boot_count,
            number,
            nonce: random_u64(),
            created_ms: crate::clock::wall_ms(),
            ..FileHeader::default()
        }
    }

    /// Writes a file, which gets its name when it is whole: a later recovery takes it for what it is.
    pub(super) fn write(&self, folder: Folder, name: &str, bytes: &[u8]) -> io::Result<()> {
        let unfinished = format!("{name}{UNFINISHED}");
        let file = self.disk.open(folder, &unfinished, Access::Create)?;
        file.write_at(bytes, 0)?;
        file.sync()?;
        self.disk.rename((folder, &unfinished), (folder, name))
    }

    /// What is not in a file: suspects, lanes, segments, sums.
    fn set_rest(&mut self, found: &Found) {
        let fold = &mut self.fold;
        if !found.ledger.is_whole() && fold.lanes == 0 {
            fold.lanes = found.users.lanes();
        }
        let counted = found.users.suspects();
        lanes::count_suspects(counted, fold);
        let mut number = fold.numbers.segment;
        for (name, upto) in &found.segments {
            let Some(upto) = *upto else { continue };
            number += 1;
            let entries = [
                Entry::Segment { number, name },
                Entry::Taken { number, upto },
            ];
            for entry in &entries {
                let _ = fold.apply(entry);
            }
        }
        let mut totals = fold.totals();
        totals.lost += found.salvage.lost_pending.unwrap_or(0) + found.salvage.lost_rejected;
        let changed = fold.changed_totals(&totals);
        let _ = fold.apply(&Entry::Totals(changed));
    }
}

/// Bytes that could be read a moment ago.
pub(super) fn changed() -> io::Error {
    io::Error::other("a file of the store has changed while it was read")
}

/// Makes everything durable that the new ledger speaks of.
fn sync_files(disk: &dyn Disk, fold: &Fold) -> io::Result<()> {
    let used = Touched::of(fold);
    for (folder, name) in &used.files {
        match disk.open(*folder, name, Access::Read) {
            // All that it held is forgotten.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            opened => opened?.sync()?,
        }
    }
    used.folders
        .iter()
        .try_for_each(|folder| disk.sync(*folder))
}

/// Writes and publishes the new ledger; says its number.
fn write_ledger(
    disk: &dyn Disk,
    boot_count: u32,
    mut fold: Fold,
    found: &Found,
) -> io::Result<u64> {
    let seq = match found.ledger.is_whole() {
        true => found.ledger.seq,
        false => found.ledger.seq + NUMBERS_MARGIN.unsigned_abs(),
    };
    // The receipts follow the snapshot, and the file says of itself that it begins with the first of them.
    let numbers = fold.numbers;
    let receipts = &found.ledger.receipts;
    if let Some((first, _)) = receipts.first() {
        fold.numbers.receipt = first - 1;
    }
    let number = next_number(disk, found.ledger.number)?;
    let spare = Spare::take(disk)?;
    let (mut ledger, begun) = spare.begin(None, boot_count, &fold, (seq, number))?;
    let mut record = Vec::new();
    for chunk in receipts.chunks(RECEIPTS_AT_ONCE) {
        begin_record(&mut record);
        for (id, bytes) in chunk {
            Entry::Receipt { id: *id, bytes }.encode(&mut record);
        }
        ledger.append(&mut record, seq)?;
    }
    if !receipts.is_empty() {
        begin_record(&mut record);
        Entry::Numbers(numbers).encode(&mut record);
        ledger.append(&mut record, seq)?;
    }
    spare::publish(disk, &ledger, &begun)?;
    Ok(number)
}

/// Moves every file of queues and rejected events away that the ledger does not speak of.
fn move_the_rest(disk: &dyn Disk, fold: &Fold, kept: &str) -> io::Result<()> {
    let mut used: HashMap<Folder, BTreeSet<String>> = HashMap::new();
    for (place, queue) in fold.places() {
        let names = queue
            .files
            .iter()
            .map(|file| queue_file::file_name(place, file.number));
        used.entry(Folder::Queues).or_default().extend(names);
    }
    let rejected = fold.rejected.iter();
    let names = rejected.map(|file| rejected_file::file_name(file.number));
    used.entry(Folder::Rejected).or_default().extend(names);
    let mut moved = BTreeSet::new();
    for (folder, used) in used {
        for name in disk.list(folder)? {
            let is_ours = match folder {
                Folder::Queues => queue_file::parse_name(&name).is_some(),
                _ => rejected_file::parse_name(&name).is_some(),
            };
            if is_ours && !used.contains(&name) {
                put_away(disk, kept, folder, &name)?;
                moved.insert(folder);
            }
        }
    }
    moved.into_iter().try_for_each(|folder| disk.sync(folder))
}
