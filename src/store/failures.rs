//! What a store that cannot be opened or read fails with.

use std::io;

use super::Place;
use super::disk::{Disk, Folder};
use super::opening::Unreadable;
use super::queue_file;
use super::recovery::CannotOpen;
use crate::error::{Error, ErrorKind, PauseReason};
use crate::spelling::shell_word;

/// The spool in a command that a message tells to run.
pub(super) fn as_argument(disk: &dyn Disk) -> String {
    let spool = disk.describe(None);
    shell_word(spool.strip_prefix("spool ").unwrap_or(&spool))
}

/// The store cannot be trusted until an operator recovers it.
pub(super) fn damaged(disk: &dyn Disk, what: &str) -> Error {
    let spool = disk.describe(None);
    let command = as_argument(disk);
    Error::new(
        ErrorKind::Store,
        format!(
            "{spool}: {what}; enqueue goes on, nothing is sent; keep a copy of the spool, then: meditopia recover {command}"
        ),
    )
    .paused_for(PauseReason::StoreDamaged)
}

pub(super) fn cannot_open(disk: &dyn Disk, e: CannotOpen) -> Error {
    let spool = disk.describe(None);
    match e {
        CannotOpen::Held => Error::new(
            ErrorKind::Timeout,
            format!("{spool}: the last sender still has the ledger; it is tried again"),
        ),
        CannotOpen::Newer(what) => Error::new(
            ErrorKind::Store,
            format!(
                "{spool}: {what}, which this library does not know; let a newer libmeditopia send"
            ),
        ),
        CannotOpen::Damaged(what) => damaged(disk, &what),
        CannotOpen::Io(what, e) => Error::io(what, e),
    }
}

/// A file of a queue cannot be read.
pub(super) fn unreadable_queue(disk: &dyn Disk, place: Place, file: u64, e: Unreadable) -> Error {
    let name = queue_file::file_name(place, file);
    unreadable(disk, &format!("queues/{name}"), e)
}

/// A file of the sender's cannot be written to.
pub(super) fn not_written(disk: &dyn Disk, folder: Folder, name: &str, e: io::Error) -> Error {
    let error = Error::io(disk.describe(Some((folder, name))), e);
    match error.kind() {
        ErrorKind::SpoolFull => error.with_note("; what waits is kept; free some space"),
        _ => error,
    }
}

pub(super) fn unreadable(disk: &dyn Disk, what: &str, e: Unreadable) -> Error {
    match e {
        Unreadable::Io(e) if e.kind() == io::ErrorKind::NotFound => {
            damaged(disk, &format!("{what} is gone"))
        }
        Unreadable::Io(e) => Error::io(format!("{}: {what}", disk.describe(None)), e),
        Unreadable::Newer(version) => cannot_open(
            disk,
            CannotOpen::Newer(format!("{what} has version {version}")),
        ),
        Unreadable::Damaged(how) => damaged(disk, &format!("{what}: {how}")),
    }
}
