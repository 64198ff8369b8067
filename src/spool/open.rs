//! An open spool: the paths in its directory, and the check that the directory is still at its
//! path.

use std::fs::Metadata;
use std::io::ErrorKind as IoKind;
use std::path::{Path, PathBuf};

use super::directory::{
    DirectoryId, create_with_parents, file_system, open_own_dir, refuse_network_file_system,
};
use super::file_limit::refuse_low_file_limit;
use super::files::{self, spool_name};
use super::identity::{
    Destination, read_boot_id, read_identity, require_identity, update_identity,
};
use super::layers::{is_overlay, refuse_lower_layer};
use super::reserve::Reserve;
use crate::clock::{self, BootTime};
use crate::error::{Error, ErrorKind, Result};

/// Whether a spool may live on a file system that other hosts see too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkFileSystem {
    /// No: locks and memory maps cannot be trusted there.
    Refuse,
    /// Yes: the operator says that they can be trusted.
    Allow,
}

/// An open spool directory.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    boot_count: u32,
    id: DirectoryId,
}

impl Spool {
    /// Opens the spool at `dir`, or creates it (0700) for this destination.
    ///
    /// Errors: [`SpoolMismatch`](ErrorKind::SpoolMismatch) if it belongs to another user, endpoint
    /// or account, if other users may write to it, if it is on a network file system or part of a
    /// container's image, or if it is a copy; [`Store`](ErrorKind::Store) if a newer version wrote it; [`Io`](ErrorKind::Io), also
    /// where this process may only write files that are too small.
    pub fn open(
        dir: &Path,
        destination: Destination<'_>,
        network: NetworkFileSystem,
    ) -> Result<Self> {
        refuse_low_file_limit(&spool_name(dir))?;
        create_with_parents(dir)?;
        let (handle, mut about) = open_own_dir(dir)?;
        let kind = file_system(dir, &handle);
        if network == NetworkFileSystem::Refuse {
            refuse_network_file_system(dir, kind.clone()?)?;
        }
        if kind.is_ok_and(is_overlay) {
            refuse_lower_layer(dir)?;
            about = open_own_dir(dir)?.1;
        }
        let boot_id = read_boot_id()?;
        let known = read_identity(dir)?;
        let is_new = known.is_none();
        let identity = match known {
            Some(identity) if identity.is_up_to_date(&about, &boot_id) => identity,
            _ => update_identity(dir, &about, destination, &boot_id)?,
        };
        identity.check(dir, destination)?;
        let spool = Self {
            dir: dir.to_owned(),
            boot_count: identity.boot_count,
            id: DirectoryId::from_metadata(&about),
        };
        if is_new {
            // If this fails, the sender tries again and logs the reason.
            let _ = spool.reserve().ensure();
        }
        Ok(spool)
    }

    /// Opens a spool for the destination that it belongs to, for an operator.
    ///
    /// Errors: [`SpoolMismatch`](ErrorKind::SpoolMismatch) if there is no spool; those of
    /// [`open`](Self::open).
    pub(crate) fn open_existing(dir: &Path) -> Result<Self> {
        let (identity, _) = require_identity(dir)?;
        let destination = Destination {
            endpoint: &identity.endpoint,
            account: &identity.account,
        };
        Self::open(dir, destination, NetworkFileSystem::Allow)
    }

    /// Opens a spool to read it, even if it is a copy or on a read-only disk: nothing is changed,
    /// and no boot is counted.
    ///
    /// Errors: those of [`describe`](super::describe).
    pub(crate) fn open_read_only(dir: &Path) -> Result<Self> {
        let (identity, about) = require_identity(dir)?;
        Ok(Self {
            dir: dir.to_owned(),
            boot_count: identity.boot_count_at(&read_boot_id()?),
            id: DirectoryId::from_metadata(&about),
        })
    }

    /// Its directory, as it was opened.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How many boots of the host it has seen; the first is 1.
    pub fn boot_count(&self) -> u32 {
        self.boot_count
    }

    /// Now, as a time that orders what is enqueued.
    pub fn boot_time(&self) -> BootTime {
        BootTime {
            boot_count: self.boot_count,
            boot_ns: clock::boot_ns(),
        }
    }

    /// Which directory on which disk it is, whatever its path.
    pub fn directory_id(&self) -> DirectoryId {
        self.id
    }

    /// Its device and inode.
    pub(crate) fn inode(&self) -> (u64, u64) {
        (self.id.device, self.id.inode)
    }

    /// Its reserve of disk blocks.
    pub(crate) fn reserve(&self) -> Reserve<'_> {
        Reserve::new(&self.dir)
    }

    /// `journal/`, with the segments.
    pub fn journal_dir(&self) -> PathBuf {
        self.dir.join("journal")
    }

    /// `damaged/`, with bytes of segments that could not be read.
    pub fn damaged_dir(&self) -> PathBuf {
        self.dir.join("damaged")
    }

    /// `commands/`, with what operators ask the sender to do.
    pub fn commands_dir(&self) -> PathBuf {
        self.dir.join("commands")
    }

    /// `import/`, with the imports in progress.
    pub fn imports_dir(&self) -> PathBuf {
        self.dir.join("import")
    }

    /// `ledger/`, with what the sender did.
    pub fn ledger_dir(&self) -> PathBuf {
        self.dir.join("ledger")
    }

    /// The sender's heartbeat.
    pub fn heartbeat_path(&self) -> PathBuf {
        self.dir.join("sender.json")
    }

    /// The sender's wake-up socket.
    pub fn wake_socket(&self) -> PathBuf {
        self.dir.join("wake")
    }

    /// Creates one of its directories, unless it exists.
    pub fn ensure_dir(&self, dir: &Path) -> Result<()> {
        files::ensure_dir(dir)
    }

    /// Checks that the spool is still at its path. Locks are on the directory itself, but the files
    /// in it are opened by path: if another directory were there, they would be another spool's.
    pub(crate) fn check_path(&self) -> Result<()> {
        self.check_same_directory(std::fs::metadata(&self.dir))
    }

    /// Checks by the metadata of the directory at its path that it is this spool.
    ///
    /// Errors: [`Io`](ErrorKind::Io), [`SpoolMismatch`](ErrorKind::SpoolMismatch).
    pub(crate) fn check_same_directory(&self, about: std::io::Result<Metadata>) -> Result<()> {
        match about {
            Ok(about) if DirectoryId::from_metadata(&about) == self.id => Ok(()),
            Ok(_) => Err(Error::new(
                ErrorKind::SpoolMismatch,
                format!(
                    "{}: another directory is at this path now; open the spool again",
                    self.name()
                ),
            )),
            Err(e) if e.kind() == IoKind::NotFound => Err(Error::io(
                format!("{} was removed; open it again", self.name()),
                e,
            )),
            Err(e) => Err(Error::io(self.name(), e)),
        }
    }

    /// How messages name it: `spool` and its path.
    pub fn name(&self) -> String {
        spool_name(&self.dir)
    }
}
