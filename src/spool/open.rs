//! An open spool: what lies where in its directory, and that it still stands at its path.

use std::fs::Metadata;
use std::io::ErrorKind as IoKind;
use std::path::{Path, PathBuf};

use super::directory::{DirectoryId, create_with_parents, open_own_dir, refuse_network};
use super::files::{self, named};
use super::identity::{Belonging, boot_id, known_identity, read_identity, settle_identity};
use super::reserve::Reserve;
use crate::error::{Error, ErrorKind, Result};

/// Whether a spool may live on a file system that other hosts see too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkFileSystem {
    /// Refused: locks and memory maps cannot be trusted there.
    Refuse,
    /// The operator vouches for it.
    Allow,
}

/// An open spool directory.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    boot_count: u32,
    place: DirectoryId,
}

impl Spool {
    /// Opens the spool at `dir`, or creates it (0700) with this belonging.
    ///
    /// Errors: [`SpoolMismatch`](crate::error::ErrorKind::SpoolMismatch) if it belongs to another user, endpoint or account, is
    /// writable by others, lies on a network file system, or is a copy; [`Store`](crate::error::ErrorKind::Store) if a
    /// newer version wrote it; [`Io`](crate::error::ErrorKind::Io).
    pub fn open(dir: &Path, belonging: Belonging<'_>, network: NetworkFileSystem) -> Result<Self> {
        create_with_parents(dir)?;
        let (handle, about) = open_own_dir(dir)?;
        if network == NetworkFileSystem::Refuse {
            refuse_network(dir, &handle)?;
        }
        let boot_id = boot_id()?;
        let known = read_identity(dir)?;
        let is_new = known.is_none();
        let identity = match known {
            Some(identity) if identity.is_settled(&about, &boot_id) => identity,
            _ => settle_identity(dir, &about, belonging, &boot_id)?,
        };
        identity.check(dir, belonging)?;
        let spool = Self {
            dir: dir.to_owned(),
            boot_count: identity.boot_count,
            place: DirectoryId::of(&about),
        };
        if is_new {
            // Where it cannot be done the sender tries again, and says why not.
            let _ = spool.reserve().ensure();
        }
        Ok(spool)
    }

    /// Opens a spool as what it says it is, for an operator.
    ///
    /// Errors: [`SpoolMismatch`](crate::error::ErrorKind::SpoolMismatch) if there is none; as [`open`](Self::open).
    pub(crate) fn existing(dir: &Path) -> Result<Self> {
        let (identity, _) = known_identity(dir)?;
        let belonging = Belonging {
            endpoint: &identity.endpoint,
            account: &identity.account,
        };
        Self::open(dir, belonging, NetworkFileSystem::Allow)
    }

    /// Opens a spool to look at, also one that was copied here or lies on a disk that cannot be written
    /// to: nothing is changed, and no boot is counted.
    ///
    /// Errors: as [`describe`].
    pub(crate) fn to_look_at(dir: &Path) -> Result<Self> {
        let (identity, about) = known_identity(dir)?;
        Ok(Self {
            dir: dir.to_owned(),
            boot_count: identity.boots_until(&boot_id()?),
            place: DirectoryId::of(&about),
        })
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How many boots of the host it has seen; the first is 1.
    pub fn boot_count(&self) -> u32 {
        self.boot_count
    }

    /// Where it really is.
    pub fn place(&self) -> DirectoryId {
        self.place
    }

    /// Its device and inode.
    pub(crate) fn inode(&self) -> (u64, u64) {
        (self.place.device, self.place.inode)
    }

    /// Its reserve of disk blocks.
    pub(crate) fn reserve(&self) -> Reserve<'_> {
        Reserve::new(&self.dir)
    }

    /// `journal/`, with the segments.
    pub fn journal(&self) -> PathBuf {
        self.dir.join("journal")
    }

    /// `damaged/`, with bytes of segments that could not be read.
    pub fn damaged(&self) -> PathBuf {
        self.dir.join("damaged")
    }

    /// `commands/`, with operators' wishes.
    pub fn commands(&self) -> PathBuf {
        self.dir.join("commands")
    }

    /// `import/`, with imports under way.
    pub fn imports(&self) -> PathBuf {
        self.dir.join("import")
    }

    /// The SQLite database.
    pub fn store(&self) -> PathBuf {
        self.dir.join("store.db")
    }

    /// The sender's heartbeat.
    pub fn sender(&self) -> PathBuf {
        self.dir.join("sender.json")
    }

    /// The sender's wake-up socket.
    pub fn wake(&self) -> PathBuf {
        self.dir.join("wake")
    }

    /// Makes one of its directories, if it is not there.
    pub fn make_dir(&self, dir: &Path) -> Result<()> {
        files::create(dir)
    }

    /// Checks that it still stands at its path. A lock is on the directory, but what lies in it is found
    /// by path: in a directory made in its place it is another spool's.
    pub(crate) fn check_path(&self) -> Result<()> {
        self.check_place(std::fs::metadata(&self.dir))
    }

    /// Whether the directory at its path still is this spool, and not removed or another one.
    ///
    /// Errors: [`Io`](crate::error::ErrorKind::Io), [`SpoolMismatch`](crate::error::ErrorKind::SpoolMismatch).
    pub(crate) fn check_place(&self, about: std::io::Result<Metadata>) -> Result<()> {
        match about {
            Ok(about) if DirectoryId::of(&about) == self.place => Ok(()),
            Ok(_) => Err(Error::new(
                ErrorKind::SpoolMismatch,
                format!(
                    "{}: another directory stands there now; open it again",
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

    /// How messages name it.
    pub fn name(&self) -> String {
        named(&self.dir)
    }
}
