//! The next file of the ledger, until it has the name that counts.
//!
//! It is begun under a name that no other file ever has, so that whoever holds it by that name holds this
//! file and no other. Who takes the lock of the ledger removes all such names before it reads. So a sender
//! that has lost its lock cannot publish: either its file was begun before, and its name is gone, or it
//! was begun after, and the sender finds its ledger closed.

use std::io;
use std::sync::Arc;

use super::disk::{Access, Disk, DiskFile, Folder};
use super::fold::Fold;
use super::frame::FileHeader;
use super::guards::{Guard, is_up};
use super::ledger::{self, Ledger, SPARE};
use crate::process::random_u64;

/// What the name of a file begins with that was begun and not published.
const BEGUN: &str = "next.";
/// What the beginning of a file needs, and the records of a while.
const SPARE_BYTES: u64 = 512 * 1024;

/// The blocks of the next file, locked by this process, and their name for now.
#[derive(Debug)]
pub(super) struct Spare {
    file: Arc<dyn DiskFile>,
    name: String,
}

impl Spare {
    /// Takes the blocks that were set aside, or makes a file.
    pub(super) fn take(disk: &dyn Disk) -> io::Result<Self> {
        let pid = crate::process::pid();
        let name = format!("{BEGUN}{pid:x}.{:016x}", random_u64());
        match disk.rename((Folder::Ledger, SPARE), (Folder::Ledger, &name)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                disk.open(Folder::Ledger, &name, Access::Create)?;
            }
            renamed => renamed?,
        }
        let file = disk.open(Folder::Ledger, &name, Access::Write)?;
        if !file.try_lock()? {
            let what = "another process has it locked";
            return Err(io::Error::new(io::ErrorKind::WouldBlock, what));
        }
        let file = Arc::from(file);
        Ok(Self { file, name })
    }

    /// Allocates the blocks of the file after the next one, if there is room.
    pub(super) fn set_aside(disk: &dyn Disk) {
        let made = match disk.open(Folder::Ledger, SPARE, Access::Create) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return,
            made => made,
        };
        if let Ok(file) = made {
            let _ = file.allocate(0, SPARE_BYTES);
        }
    }

    /// Writes the beginning of file `number`, which follows `old` and is not published yet; says which name
    /// it has until then.
    pub(super) fn begin(
        self,
        old: Option<&dyn DiskFile>,
        boot_count: u32,
        fold: &Fold,
        (seq, number): (u64, u64),
    ) -> io::Result<(Ledger, String)> {
        if let Some(old) = old {
            old.check_open()?;
        }
        let header = FileHeader {
            boot_count,
            number,
            nonce: random_u64(),
            created_ms: crate::clock::wall_ms(),
            lane: 0,
            queue: 0,
            first_id: fold.numbers.receipt + 1,
        };
        // A power cut may have undone the renaming of an earlier attempt, and left its bytes.
        if self.file.size()? > 0 {
            self.file.truncate(0)?;
        }
        let ledger = Ledger::begin(self.file, header, fold, seq)?;
        Ok((ledger, self.name))
    }
}

/// Makes a file that was begun the one that counts. Everything that its snapshot speaks of must be
/// durable by now.
pub(super) fn publish(disk: &dyn Disk, ledger: &Ledger, begun: &str) -> io::Result<()> {
    ledger.file.sync()?;
    let name = ledger::file_name(ledger.header.number);
    disk.rename((Folder::Ledger, begun), (Folder::Ledger, &name))?;
    match is_up(Guard::NameIsSynced) {
        true => disk.sync(Folder::Ledger),
        false => Ok(()),
    }
}

/// Removes files that were begun and not published.
pub(super) fn remove_begun(disk: &dyn Disk) -> io::Result<()> {
    for name in disk.list(Folder::Ledger)? {
        if name.starts_with(BEGUN) {
            disk.remove(Folder::Ledger, &name)?;
        }
    }
    Ok(())
}
