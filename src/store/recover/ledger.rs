//! What a damaged ledger still says.
//!
//! Values are absolute, so every record that can be read counts, also those behind a gap: the state is
//! then that of the last record that spoke of a thing. What was settled in the gap is sent again, and what
//! was appended in it is found in the queues' files.

use std::collections::BTreeSet;

use super::scan::{At, CannotScan, Scanned, Units, scan};
use crate::error::{Error, Result};
use crate::store::disk::{Access, Disk, Folder};
use crate::store::entry::{BadEntry, Entry, Numbers, entries};
use crate::store::failures::cannot_open;
use crate::store::fold::Fold;
use crate::store::frame::{FileHeader, Kind, RECORD_HEADER_LEN, RECORD_MAGIC, RecordHeader, is_id};
use crate::store::ledger;
use crate::store::recovery::{self, CannotOpen};
use crate::store::synced_mark;

pub(super) const RECORDS: Units<Record> = Units {
    kind: Kind::Ledger,
    magic: RECORD_MAGIC,
    crc_at: 24,
    read: |bytes, position| {
        let header = RecordHeader::decode(bytes, position)?;
        let length = RECORD_HEADER_LEN + header.length;
        let payload = bytes.get(RECORD_HEADER_LEN..length)?;
        header.matches(payload, position).then(|| {
            let (seq, payload) = (header.seq, payload.to_vec());
            (Record { seq, payload }, length)
        })
    },
};

#[derive(Debug)]
pub(super) struct Record {
    seq: u64,
    payload: Vec<u8>,
}

/// What the ledger says.
#[derive(Debug, Default)]
pub(super) struct LedgerFound {
    pub(super) fold: Fold,
    /// What is wrong with it; `None`: nothing.
    pub(super) damage: Option<String>,
    /// Whether a whole snapshot was found to begin with.
    pub(super) has_snapshot: bool,
    /// The numbers that were given before the first record that may be missing.
    pub(super) numbers_before: Numbers,
    /// The highest record that was seen.
    pub(super) seq: u64,
    /// The highest ledger that is not finished; 0: none.
    pub(super) number: u64,
    /// The receipts of a damaged file, which will not be among the store's any more.
    pub(super) receipts: Vec<(i64, Vec<u8>)>,
}

impl LedgerFound {
    /// Reads the ledger, as far as that can be done.
    ///
    /// Errors: [`Store`](crate::error::ErrorKind::Store) if a newer version wrote it;
    /// [`Io`](crate::error::ErrorKind::Io).
    pub(super) fn read(disk: &dyn Disk, boot_count: u32) -> Result<Self> {
        let failed = |e| Error::io(disk.describe(None), e);
        let numbers = ledger::numbers(disk, Folder::Ledger).map_err(failed)?;
        let judged = match numbers.last() {
            Some(&highest) => judge(disk, highest, boot_count),
            None => recovery::check_nothing_is_there(disk).map(|()| (Fold::default(), 0)),
        };
        let what = match judged {
            Ok((fold, seq)) => {
                return Ok(Self {
                    numbers_before: fold.numbers,
                    fold,
                    seq,
                    has_snapshot: true,
                    number: numbers.last().copied().unwrap_or(0),
                    ..Self::default()
                });
            }
            Err(CannotOpen::Damaged(what)) => what,
            Err(e) => return Err(cannot_open(disk, e)),
        };
        let mut found = Self {
            damage: Some(what),
            seq: synced_mark::read(disk).map_err(failed)?,
            ..Self::default()
        };
        found.salvage(disk, numbers.last().copied())?;
        Ok(found)
    }

    pub(super) fn is_whole(&self) -> bool {
        self.damage.is_none()
    }

    /// Folds what can be read of the highest file, on top of the one before where its own snapshot does
    /// not do.
    fn salvage(&mut self, disk: &dyn Disk, highest: Option<u64>) -> Result<()> {
        let failed = |e| Error::io(disk.describe(None), e);
        let mut files: BTreeSet<(u64, Folder)> = BTreeSet::new();
        for folder in [Folder::Receipts, Folder::Ledger] {
            let numbers = ledger::numbers(disk, folder).map_err(failed)?;
            files.extend(numbers.into_iter().map(|number| (number, folder)));
        }
        self.number = highest.unwrap_or(0);
        let records = match highest {
            Some(highest) => read_records(disk, Folder::Ledger, highest)?,
            None => Vec::new(),
        };
        if !has_snapshot(&records) {
            let before = files.iter().rev();
            let before =
                before.filter(|(number, _)| highest.is_none_or(|highest| *number < highest));
            if let Some((number, folder)) = before.copied().next() {
                let base = read_records(disk, folder, number)?;
                if has_snapshot(&base) {
                    self.has_snapshot = true;
                    self.fold_snapshot_and_rest(disk, number, &base)?;
                }
            }
        }
        match highest {
            Some(highest) if !self.has_snapshot && has_snapshot(&records) => {
                self.has_snapshot = true;
                self.fold_snapshot_and_rest(disk, highest, &records)?;
            }
            Some(highest) => self.fold_all(disk, highest, &records)?,
            None => {}
        }
        for record in &records {
            for entry in entries(&record.unit.payload) {
                if let Ok(Entry::Receipt { id, bytes }) = entry
                    && is_id(id)
                {
                    self.receipts.push((id, bytes.to_vec()));
                }
            }
        }
        self.receipts.sort_unstable_by_key(|(id, _)| *id);
        self.receipts.dedup_by_key(|(id, _)| *id);
        let mut known = BTreeSet::new();
        let refused = &mut self.fold.refused_in_a_row;
        refused.retain(|user| known.insert(user.clone()));
        Ok(())
    }

    fn fold_snapshot_and_rest(
        &mut self,
        disk: &dyn Disk,
        number: u64,
        records: &[At<Record>],
    ) -> Result<()> {
        let parts = parts(records);
        self.fold_all(disk, number, &records[..parts])?;
        self.numbers_before = self.fold.numbers;
        self.fold_all(disk, number, &records[parts..])
    }

    /// Applies everything that contradicts nothing.
    fn fold_all(&mut self, disk: &dyn Disk, number: u64, records: &[At<Record>]) -> Result<()> {
        for record in records {
            self.seq = self.seq.max(record.unit.seq);
            for entry in entries(&record.unit.payload) {
                match entry {
                    Ok(entry) => {
                        let _ = self.fold.apply(&entry);
                    }
                    Err(BadEntry::Newer) => {
                        let name = ledger::file_name(number);
                        return Err(cannot_open(disk, recovery::newer_record(&name)));
                    }
                    Err(BadEntry::Damaged) => break,
                }
            }
        }
        Ok(())
    }
}

/// Takes the lock of the highest file, so that nobody writes to it any more.
///
/// Errors: [`Timeout`](crate::error::ErrorKind::Timeout) while another process has it.
pub(super) fn lock(disk: &dyn Disk) -> Result<Option<Box<dyn crate::store::disk::DiskFile>>> {
    let failed = |e| Error::io(disk.describe(None), e);
    let numbers = ledger::numbers(disk, Folder::Ledger).map_err(failed)?;
    let Some(highest) = numbers.last() else {
        return Ok(None);
    };
    let name = ledger::file_name(*highest);
    let failed = |e| Error::io(disk.describe(Some((Folder::Ledger, &name))), e);
    let file = disk
        .open(Folder::Ledger, &name, Access::Write)
        .map_err(failed)?;
    match file.try_lock().map_err(failed)? {
        true => Ok(Some(file)),
        false => Err(cannot_open(disk, CannotOpen::Held)),
    }
}

fn judge(
    disk: &dyn Disk,
    number: u64,
    boot_count: u32,
) -> std::result::Result<(Fold, u64), CannotOpen> {
    let name = ledger::file_name(number);
    let opened = ledger::open(disk, Folder::Ledger, number, Access::Read);
    let (file, header) =
        opened.map_err(|e| CannotOpen::Io(disk.describe(Some((Folder::Ledger, &name))), e))?;
    let header = header.map_err(|e| recovery::bad_header(&name, e))?;
    let (fold, reading, _) = recovery::read(disk, &*file, &header, boot_count)?;
    Ok((fold, reading.seq))
}

fn read_records(disk: &dyn Disk, folder: Folder, number: u64) -> Result<Vec<At<Record>>> {
    let name = ledger::file_name(number);
    let expected = FileHeader {
        number,
        ..FileHeader::default()
    };
    let scanned = scan(disk, (folder, &name), &RECORDS, expected, whole_file());
    match scanned {
        Ok(Scanned { units, .. }) => Ok(units),
        Err(CannotScan::Gone) => Ok(Vec::new()),
        Err(CannotScan::Newer(version)) => {
            Err(cannot_open(disk, recovery::newer_file(&name, version)))
        }
        Err(CannotScan::Io(e)) => Err(Error::io(disk.describe(Some((folder, &name))), e)),
    }
}

/// All of a file behind its header.
pub(super) fn whole_file() -> (u64, u64) {
    (crate::store::frame::HEADER_LEN as u64, u64::MAX)
}

/// How many of the records are the file's snapshot.
fn parts(records: &[At<Record>]) -> usize {
    let parts = records.iter().map(|record| part(&record.unit));
    parts.take_while(Option::is_some).count()
}

fn part(record: &Record) -> Option<(u32, u32)> {
    match entries(&record.payload).next() {
        Some(Ok(Entry::Snapshot { part, of })) => Some((part, of)),
        _ => None,
    }
}

fn has_snapshot(records: &[At<Record>]) -> bool {
    let parts: Vec<_> = records
        .iter()
        .map_while(|record| part(&record.unit))
        .collect();
    let is_in_order = (0..).zip(&parts).all(|(at, (part, _))| at == *part);
    is_in_order && parts.last().is_some_and(|(part, of)| part + 1 == *of)
}
