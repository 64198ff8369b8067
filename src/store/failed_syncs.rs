//! A failed sync, as the next sender of the same boot learns of it.
//!
//! The kernel takes pages for clean whose write has failed, so a second sync of them says nothing. Whoever
//! sees the first one fail notes the file beside the ledger; as long as the host is not booted, nobody
//! appends to that file. After a boot the note means nothing: what is read then is what the disk has.

use std::io;

use super::disk::{Access, Disk, Folder};
use super::fold::Fold;
use super::frame::read_upto;
use super::unsynced::Touched;

const PREFIX: &str = "failed.";
/// A longer note is not read to its end: then every file counts as failed.
const NOTE_BYTES: usize = 1024 * 1024;

fn file_name(ledger: u64) -> String {
    format!("{PREFIX}{ledger:016}")
}

/// Notes what has failed while `ledger` was the last one.
pub(super) fn note(disk: &dyn Disk, ledger: u64, failed: &Touched) -> io::Result<()> {
    let name = file_name(ledger);
    let file = match disk.open(Folder::Ledger, &name, Access::Create) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            disk.open(Folder::Ledger, &name, Access::Write)
        }
        opened => opened,
    }?;
    let mut lines = String::new();
    for (folder, name) in &failed.files {
        lines.push_str(&format!("{}/{name}\n", folder.name()));
    }
    // Behind the last name: without it, the note was cut short.
    lines.push_str("end\n");
    file.write_at(lines.as_bytes(), 0)
}

/// What has failed while `ledger` was the last one.
pub(super) fn read(disk: &dyn Disk, ledger: u64, fold: &Fold) -> io::Result<Touched> {
    let name = file_name(ledger);
    let file = match disk.open(Folder::Ledger, &name, Access::Read) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Touched::default()),
        opened => opened?,
    };
    let bytes = read_upto(&*file, 0, NOTE_BYTES)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut failed = Touched {
        ledger: true,
        ..Touched::default()
    };
    for line in text.lines() {
        let known = line.split_once('/');
        let folder = Folder::ALL
            .into_iter()
            .find(|folder| known.is_some_and(|(of, _)| of == folder.name()));
        match (line, known, folder) {
            ("end", _, _) => return Ok(failed),
            (_, Some((_, name)), Some(folder)) => failed.files.insert((folder, name.to_owned())),
            _ => break,
        };
    }
    failed.files = Touched::of(fold).files;
    Ok(failed)
}

/// Removes the notes up to `ledger`, which is not written to any more.
pub(super) fn forget(disk: &dyn Disk, ledger: u64) -> io::Result<()> {
    for name in disk.list(Folder::Ledger)? {
        let number = name
            .strip_prefix(PREFIX)
            .and_then(|number| number.parse::<u64>().ok());
        if number.is_some_and(|number| number <= ledger) {
            disk.remove(Folder::Ledger, &name)?;
        }
    }
    Ok(())
}
