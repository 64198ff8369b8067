//! What a store that cannot be opened or read fails with.

use std::io;

use super::disk::Disk;
use super::queue_file::Unreadable;
use super::recovery::CannotOpen;
use crate::error::{Error, ErrorKind, PauseReason};

/// The store cannot be trusted until an operator recovers it.
pub(super) fn damaged(disk: &dyn Disk, what: &str) -> Error {
    Error::new(
        ErrorKind::Store,
        format!(
            "{}: {what}; enqueue goes on, nothing is sent; keep a copy of the spool, then `meditopia recover` it",
            disk.describe(None)
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
