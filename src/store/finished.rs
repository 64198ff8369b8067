//! Finished ledgers: where they are kept, and which number the next one gets.
//!
//! Whoever copies the spool of a sender that runs may copy a ledger while it is written to, and once more in
//! `receipts/`, where it was moved meanwhile. A sender of the copy may even have gone on in the first one. So two
//! files with one number differ, and either of them can be the one with more receipts: the other one is put
//! under `damaged/`, and none is removed.

use std::io::{self, ErrorKind};

use super::disk::{Access, Disk, Folder, put_away};
use super::frame::HEADER_LEN;
use super::ledger::{self, Records};

/// Moves the ledgers before `highest` to the receipts, which they may hold.
pub(super) fn put_finished_away(disk: &dyn Disk, highest: u64) -> io::Result<()> {
    for number in ledger::numbers(disk, Folder::Ledger)? {
        if number < highest {
            let name = ledger::file_name(number);
            let put = disk.rename((Folder::Ledger, &name), (Folder::Receipts, &name));
            let moved = match put {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => keep_the_longer(disk, number),
                moved => moved,
            };
            match moved {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Of two ledgers with one number, keeps the one among the receipts whose records reach further.
fn keep_the_longer(disk: &dyn Disk, number: u64) -> io::Result<()> {
    let name = ledger::file_name(number);
    let of_ledger = last_record(disk, Folder::Ledger, number)?;
    let kept = format!("store-{}", crate::clock::wall_ms());
    if of_ledger <= last_record(disk, Folder::Receipts, number)? {
        return put_away(disk, &kept, Folder::Ledger, &name);
    }
    put_away(disk, &kept, Folder::Receipts, &name)?;
    disk.rename((Folder::Ledger, &name), (Folder::Receipts, &name))
}

/// The last record that can be read of a ledger; 0: none.
fn last_record(disk: &dyn Disk, folder: Folder, number: u64) -> io::Result<u64> {
    let (file, Ok(header)) = ledger::open(disk, folder, number, Access::Read)? else {
        return Ok(0);
    };
    let mut records = Records::new(&*file, &header, HEADER_LEN as u64);
    let mut last = 0;
    while let Some((record, _, _)) = records.next()? {
        last = record.seq;
    }
    Ok(last)
}

/// The highest number of a finished ledger; 0: there is none. The next ledger gets a number above it: in a copy,
/// the finished ones may be of a later moment, and receipts are searched in the order of their files.
pub(super) fn highest_number(disk: &dyn Disk) -> io::Result<u64> {
    let finished = ledger::numbers(disk, Folder::Receipts)?;
    // A number that leaves hardly any above it was not given by a store.
    let given = |of: &&u64| ledger::leaves_numbers_above(**of);
    let highest = finished.iter().rev().find(given);
    Ok(highest.copied().unwrap_or(0))
}

/// The last finished ledger, if it is of a later moment than ledger `number`, or of the same one, as in a copy.
pub(super) fn later_than(disk: &dyn Disk, number: u64) -> io::Result<Option<u64>> {
    let highest = highest_number(disk)?;
    Ok((highest >= number).then_some(highest))
}

/// The number of the ledger that follows `number`.
pub(super) fn next_number(disk: &dyn Disk, number: u64) -> io::Result<u64> {
    Ok(highest_number(disk)?.max(number) + 1)
}
