//! The name of a file that says how far the ledger was durable when something was destroyed last.
//!
//! A ledger whose end was cut off looks like one that a crash has ended there. What the lost records speak
//! of is still in the journal then, unless segments were removed since. So before anything is removed, a
//! second place says up to which record the ledger reaches: a name, which has no bytes that could be
//! damaged.

use std::io;

use super::disk::{Access, Disk, Folder};
use super::frame::is_given;

const PREFIX: &str = "synced.";

fn name(seq: u64) -> String {
    format!("{PREFIX}{seq:016}")
}

fn marks(disk: &dyn Disk) -> io::Result<Vec<u64>> {
    let names = disk.list(Folder::Ledger)?;
    let mut marks: Vec<u64> = names
        .iter()
        .filter_map(|name| name.strip_prefix(PREFIX)?.parse().ok())
        .filter(|seq| is_given(*seq))
        .collect();
    marks.sort_unstable();
    Ok(marks)
}

/// The record that the ledger must reach; 0: nothing was destroyed yet.
pub(super) fn read(disk: &dyn Disk) -> io::Result<u64> {
    Ok(marks(disk)?.pop().unwrap_or(0))
}

/// Says, durably, that the ledger reaches record `seq`.
pub(super) fn write(disk: &dyn Disk, seq: u64) -> io::Result<()> {
    let mut marks = marks(disk)?;
    match marks.pop() {
        Some(last) if last >= seq => return Ok(()),
        Some(last) => {
            let (from, to) = (name(last), name(seq));
            disk.rename((Folder::Ledger, &from), (Folder::Ledger, &to))?;
        }
        None => drop(disk.open(Folder::Ledger, &name(seq), Access::Create)?),
    }
    for older in marks {
        disk.remove(Folder::Ledger, &name(older))?;
    }
    disk.sync(Folder::Ledger)
}
