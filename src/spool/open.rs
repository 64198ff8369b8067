//! An open spool: the directories in it, and the check that its own is still at its path.

use std::path::Path;
use std::sync::Arc;

use super::dir::Dir;
use super::directory::{DirectoryId, file_system, open_own_dir, refuse_network_file_system};
use super::file_limit::refuse_low_file_limit;
use super::files::spool_name;
use super::held::{Held, Subdirectory};
use super::identity::{
    Destination, Identity, place_of, read_boot_id, read_identity, require_identity, update_identity,
};
use super::layers::{is_overlay, refuse_lower_layer};
use super::reserve::Reserve;
use super::rights::{GroupTrust, Sharing};
use super::walk::Missing;
use crate::clock::{self, BootTime};
use crate::error::{Error, Result};

const JOURNAL: &str = "journal";

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
    held: Arc<Held>,
    boot_count: u32,
    /// What is written again if the file is lost; `None`: it was opened to be read.
    pub(super) identity: Option<Identity>,
}

impl Spool {
    /// Opens the spool at `dir`, or creates it (0700) for this destination; no group is trusted.
    ///
    /// Errors: those of [`open_trusting`](Self::open_trusting).
    pub fn open(
        dir: &Path,
        destination: Destination<'_>,
        network: NetworkFileSystem,
    ) -> Result<Self> {
        Self::open_trusting(dir, destination, network, GroupTrust::Refuse)
    }

    /// Opens the spool at `dir`, or creates it for this destination: 0700, or 2770 if its group is trusted. Takes
    /// back what others may do in a directory of this user.
    ///
    /// Errors: [`SpoolMismatch`](crate::error::ErrorKind::SpoolMismatch) if it belongs to another user, endpoint
    /// or account, if other users may write to it, if it is on a network file system or part of a
    /// container's image, or if it is a copy; [`Store`](crate::error::ErrorKind::Store) if a newer version wrote it; [`Io`](crate::error::ErrorKind::Io), also
    /// where this process may only write files that are too small.
    pub fn open_trusting(
        dir: &Path,
        destination: Destination<'_>,
        network: NetworkFileSystem,
        trust: GroupTrust,
    ) -> Result<Self> {
        refuse_low_file_limit(&spool_name(dir))?;
        let made_for = match trust {
            GroupTrust::Refuse => Sharing::Owner,
            GroupTrust::Allow => Sharing::Group(rustix::process::getegid().as_raw()),
        };
        let missing = Missing::Create(made_for);
        let (mut opened, mut about) = open_own_dir(dir, missing, trust)?;
        let kind = file_system(dir, &opened);
        if network == NetworkFileSystem::Refuse {
            refuse_network_file_system(dir, kind.clone()?)?;
        }
        if kind.is_ok_and(is_overlay) {
            refuse_lower_layer(dir, &opened)?;
            (opened, about) = open_own_dir(dir, Missing::Fail, trust)?;
        }
        let place = place_of(dir, &opened, &about)?;
        let boot_id = read_boot_id()?;
        let known = read_identity(&opened)?;
        let is_new = known.is_none();
        let identity = match known {
            Some(identity) if identity.is_up_to_date(&place, &boot_id) => identity,
            _ => update_identity(dir, &opened, &about, &place, destination, &boot_id)?,
        };
        identity.check(dir, destination)?;
        let spool = Self {
            held: Arc::new(Held::new(opened, dir, &about)),
            boot_count: identity.boot_count,
            identity: Some(identity),
        };
        if is_new {
            // If this fails, the sender tries again and logs the reason.
            let _ = spool.reserve().ensure();
        }
        Ok(spool)
    }

    /// Opens a spool for the destination that it belongs to, for an operator.
    ///
    /// Errors: [`SpoolMismatch`](crate::error::ErrorKind::SpoolMismatch) if there is no spool; those of
    /// [`open`](Self::open).
    pub(crate) fn open_existing(dir: &Path) -> Result<Self> {
        let (identity, ..) = require_identity(dir)?;
        let destination = Destination {
            endpoint: &identity.endpoint,
            account: &identity.account,
        };
        Self::open_trusting(
            dir,
            destination,
            NetworkFileSystem::Allow,
            GroupTrust::Allow,
        )
    }

    /// Opens a spool to read it, even if it is a copy or on a read-only disk: nothing is changed,
    /// and no boot is counted.
    ///
    /// Errors: those of [`describe`](super::describe).
    pub(crate) fn open_read_only(dir: &Path) -> Result<Self> {
        let (identity, opened, about) = require_identity(dir)?;
        Ok(Self {
            boot_count: identity.boot_count_at(&read_boot_id()?),
            held: Arc::new(Held::new(opened, dir, &about)),
            identity: None,
        })
    }

    /// Its directory, as it was opened.
    pub fn dir(&self) -> &Path {
        self.held.path()
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
        self.held.id()
    }

    /// Its directory, which every file of it is reached through.
    pub(crate) fn held(&self) -> &Arc<Held> {
        &self.held
    }

    /// The open directory, for files that are in it and in no directory of it.
    pub(crate) fn held_dir(&self) -> Result<Arc<Dir>> {
        self.held.dir().map_err(|e| Error::io(self.name(), e))
    }

    /// Its reserve of disk blocks.
    pub(crate) fn reserve(&self) -> Reserve<'_> {
        Reserve::new(&self.held)
    }

    /// `journal/`, with the segments.
    pub(crate) fn journal(&self) -> Subdirectory {
        self.held.subdirectory(JOURNAL)
    }

    /// `damaged/`, with bytes of segments that could not be read.
    pub(crate) fn damaged(&self) -> Subdirectory {
        self.held.subdirectory("damaged")
    }

    /// `commands/`, with what operators ask the sender to do.
    pub(crate) fn commands(&self) -> Subdirectory {
        self.held.subdirectory("commands")
    }

    /// `import/`, with the imports in progress.
    pub(crate) fn imports(&self) -> Subdirectory {
        self.held.subdirectory("import")
    }

    /// Checks that the spool is still at its path: other processes open it there.
    ///
    /// Errors: [`Io`](crate::error::ErrorKind::Io), [`SpoolMismatch`](crate::error::ErrorKind::SpoolMismatch).
    pub(crate) fn check_path(&self) -> Result<()> {
        self.held.check_path()
    }

    /// See [`Held::is_known_to_be_gone`].
    pub(crate) fn is_known_to_be_gone(&self) -> bool {
        self.held.is_known_to_be_gone()
    }

    /// Whether a segment is known to have been moved out of the journal, or another file to have its name.
    pub(crate) fn has_lost_segment(&self, name: &str, inode: (u64, u64)) -> bool {
        self.held.has_lost(&format!("{JOURNAL}/{name}"), inode)
    }

    /// Whether the spool is still at its path; `false`: another directory is, or none.
    #[cfg(feature = "internals")]
    pub(crate) fn is_at_path(&self) -> Result<bool> {
        let is_at_path = self.held.is_at_path();
        is_at_path.map_err(|e| Error::io(self.name(), e))
    }

    /// How messages name it: `spool` and its path.
    pub fn name(&self) -> String {
        self.held.name()
    }
}
