//! Receipts in the ledger's files: finished ones are kept until their last receipt is too old.

use std::io;

use super::disk::{Access, Disk, Folder};
use super::entry::{Entry, entries};
use super::frame::{FileHeader, HEADER_LEN, is_id};
use super::ledger::{self, Records};
use super::log_store::LogStore;
use super::receipts::{Receipt, ReceiptFilter, first_id_of};
use crate::error::{Error, Result};

/// A receipt from so far in the future was written while the clock was wrong, and may go.
const FUTURE_MS: i64 = 24 * 3_600_000;

impl LogStore {
    /// Forgets the receipts that are too old, and removes the first file if it holds no others.
    pub(super) fn forget_old_receipts(&mut self, before_ms: i64, now_ms: i64) -> Result<bool> {
        let below = first_id_of(before_ms).min(self.fold.numbers.receipt + 1);
        if below > self.fold.numbers.receipts_from {
            self.say(&Entry::ReceiptsForgotten { below })?;
            self.write_record()?;
        }
        let failed = |e| Error::io(self.disk.describe(None), e);
        let kept = ledger::numbers(&*self.disk, Folder::Receipts).map_err(failed)?;
        let Some(&first) = kept.first() else {
            return Ok(false);
        };
        let mut may_go = true;
        let is_kept = |receipt: &Receipt| {
            receipt.time_ms >= before_ms && receipt.time_ms <= now_ms.saturating_add(FUTURE_MS)
        };
        read_file(&*self.disk, Folder::Receipts, first, |_, receipt| {
            may_go = !is_kept(&receipt);
            may_go
        })
        .map_err(failed)?;
        if may_go {
            let name = ledger::file_name(first);
            let removed = self.disk.remove(Folder::Receipts, &name);
            removed.map_err(failed)?;
        }
        Ok(may_go && kept.len() > 1)
    }
}

/// How many receipts can be read, those left out that are forgotten, and those in file `except`.
pub(super) fn count_receipts(
    disk: &dyn Disk,
    from_id: i64,
    except: Option<u64>,
) -> io::Result<u64> {
    let (mut count, mut last) = (0, i64::MIN);
    for folder in [Folder::Receipts, Folder::Ledger] {
        let numbers = ledger::numbers(disk, folder)?;
        for number in numbers.into_iter().filter(|number| Some(*number) != except) {
            read_file(disk, folder, number, |id, _| {
                count += u64::from(id >= from_id && id > last);
                last = last.max(id);
                true
            })?;
        }
    }
    Ok(count)
}

/// The last receipt that can be read in a finished ledger; 0: it has none.
pub(super) fn last_receipt(disk: &dyn Disk, number: u64) -> io::Result<i64> {
    let mut last = 0;
    read_file(disk, Folder::Receipts, number, |id, _| {
        if is_id(id) {
            last = last.max(id);
        }
        true
    })?;
    Ok(last)
}

/// Hands the receipts of a file to `sink`, in order, until it returns `false`. What cannot be read ends
/// the file: a receipt is no event.
fn read_file(
    disk: &dyn Disk,
    folder: Folder,
    number: u64,
    mut sink: impl FnMut(i64, Receipt) -> bool,
) -> io::Result<bool> {
    let (file, header) = match ledger::open(disk, folder, number, Access::Read) {
        Ok((file, Ok(header))) => (file, header),
        Ok((_, Err(_))) => return Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(e) => return Err(e),
    };
    let mut records = Records::new(&*file, &header, HEADER_LEN as u64);
    while let Some((_, payload, _)) = records.next()? {
        for entry in entries(payload) {
            if let Ok(Entry::Receipt { id, bytes }) = entry
                && let Some(receipt) = Receipt::decode(bytes)
                && !sink(id, receipt)
            {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// The next `limit` receipts of the time that `filter` names, whoever is in them; those below `from_id`
/// are forgotten.
pub(super) fn read_receipts(
    disk: &dyn Disk,
    filter: &ReceiptFilter,
    from_id: i64,
    limit: usize,
) -> io::Result<Vec<(i64, Receipt)>> {
    let from_ms = filter.from_ms.unwrap_or(i64::MIN);
    let until_ms = filter.until_ms.unwrap_or(i64::MAX);
    let first = first_id_of(from_ms)
        .max(filter.after_id.saturating_add(1))
        .max(from_id);
    // In this order: a file that is finished in between is found twice and not missed.
    let mut files: Vec<(u64, Folder)> = Vec::new();
    for folder in [Folder::Ledger, Folder::Receipts] {
        let numbers = ledger::numbers(disk, folder)?;
        files.extend(numbers.into_iter().map(|number| (number, folder)));
    }
    files.sort_unstable_by_key(|(number, _)| *number);
    files.dedup_by_key(|(number, _)| *number);
    let begin = first_file(disk, &files, first)?;
    let mut found: Vec<(i64, Receipt)> = Vec::new();
    for (number, folder) in files.into_iter().skip(begin) {
        let mut sink = |id: i64, receipt: Receipt| {
            let is_wanted = id >= first && receipt.time_ms >= from_ms && receipt.time_ms < until_ms;
            if is_wanted && found.last().is_none_or(|(last, _)| *last < id) {
                found.push((id, receipt));
            }
            found.len() < limit
        };
        let more = read_file(disk, folder, number, &mut sink)?;
        // Finished since it was listed: it has moved.
        if folder == Folder::Ledger {
            read_file(disk, Folder::Receipts, number, &mut sink)?;
        }
        if !more || found.len() >= limit {
            break;
        }
    }
    Ok(found)
}

/// The last file that begins at or before id `first`.
fn first_file(disk: &dyn Disk, files: &[(u64, Folder)], first: i64) -> io::Result<usize> {
    let (mut low, mut high) = (0, files.len());
    while low + 1 < high {
        let middle = low + (high - low) / 2;
        let (number, folder) = files[middle];
        let header: Option<FileHeader> = match ledger::open(disk, folder, number, Access::Read) {
            Ok((_, header)) => header.ok(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(e),
        };
        match header {
            Some(header) if header.first_id <= first => low = middle,
            // Of a file that has no header nothing is known: begin before it.
            _ => high = middle,
        }
    }
    Ok(low)
}
