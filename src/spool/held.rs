//! The spool's own directory, held open, and the directories in it.
//!
//! A spool holds one descriptor, however much it does: the application may have a limit of 64. The
//! directories in it are opened for as long as they are used.
//!
//! The descriptor is the library's only as long as the application has not closed it, as daemons close
//! everything from 3 on. So it is checked before each use. If it is gone, the directory is opened again at
//! its path, and has to be the same one.

use std::fs::Metadata;
use std::io::{self, ErrorKind as IoKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::dir::Dir;
use super::directory::DirectoryId;
use super::files::spool_name;
use super::walk::{Missing, open_directory};
use crate::error::{Error, ErrorKind, Result};

/// An open spool directory.
#[derive(Debug)]
pub(crate) struct Held {
    path: PathBuf,
    id: DirectoryId,
    /// Without a lock, which a forked child could find taken for ever.
    dir: ArcSwap<Dir>,
}

impl Held {
    pub(super) fn new(dir: Dir, path: &Path, about: &Metadata) -> Self {
        Self {
            path: path.to_owned(),
            id: DirectoryId::from_metadata(about),
            dir: ArcSwap::from_pointee(dir),
        }
    }

    /// The directory. Its descriptor was this library's a moment ago.
    pub(crate) fn dir(&self) -> io::Result<Arc<Dir>> {
        let dir = self.dir.load_full();
        if dir.check().is_ok() {
            return Ok(dir);
        }
        let opened = match open_directory(&self.path, Missing::Fail) {
            Ok(handle) => Dir::kept(handle, &self.path),
            Err(e) => return Err(io::Error::other(self.lost(e))),
        };
        let same = self.check_same_directory(opened.metadata());
        same.map_err(io::Error::other)?;
        let opened = Arc::new(opened);
        let before = Guard::into_inner(self.dir.compare_and_swap(&dir, opened.clone()));
        if !Arc::ptr_eq(&before, &dir) {
            // Another thread was earlier.
            return Ok(before);
        }
        // The new descriptor may have the number of the old one, and is of the same directory: so the old
        // value would close it when it is dropped.
        std::mem::forget(before);
        Ok(opened)
    }

    /// A directory in it.
    pub(crate) fn subdirectory(self: &Arc<Self>, name: &str) -> Subdirectory {
        Subdirectory {
            held: self.clone(),
            names: vec![name.to_owned()],
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn id(&self) -> DirectoryId {
        self.id
    }

    /// How messages name it.
    pub(super) fn name(&self) -> String {
        spool_name(&self.path)
    }

    /// Checks by the metadata of the directory at its path that it is this spool.
    pub(super) fn check_same_directory(&self, about: io::Result<Metadata>) -> Result<()> {
        match about {
            Ok(about) if DirectoryId::from_metadata(&about) == self.id => Ok(()),
            Ok(_) => Err(Error::new(
                ErrorKind::SpoolMismatch,
                format!(
                    "{}: another directory is at this path now; open the spool again",
                    self.name()
                ),
            )),
            Err(e) => Err(self.lost(e)),
        }
    }

    fn lost(&self, e: io::Error) -> Error {
        match e.kind() {
            IoKind::NotFound => Error::io(format!("{} was removed; open it again", self.name()), e),
            _ => Error::io(self.name(), e),
        }
    }
}

/// Where a directory of the spool is. It is opened where it is used.
#[derive(Debug, Clone)]
pub(crate) struct Subdirectory {
    held: Arc<Held>,
    names: Vec<String>,
}

impl Subdirectory {
    /// A directory in it.
    pub(crate) fn below(&self, name: &str) -> Self {
        let mut below = self.clone();
        below.names.push(name.to_owned());
        below
    }

    /// Its path, for messages.
    pub(crate) fn path(&self) -> PathBuf {
        self.names
            .iter()
            .fold(self.held.path.clone(), |path, name| path.join(name))
    }

    /// Opens it; `None`: it does not exist.
    pub(crate) fn open(&self) -> Result<Option<Dir>> {
        match self.each(Dir::subdir) {
            Ok(dir) => Ok(Some(dir)),
            // Nothing was made in it yet.
            Err(e) if e.kind() == IoKind::NotFound => Ok(None),
            Err(e) => Err(Error::io(self.path().display(), e)),
        }
    }

    /// Opens it, or fails if it does not exist.
    pub(crate) fn require(&self) -> Result<Dir> {
        self.open()?.ok_or_else(|| {
            let missing = io::Error::from(IoKind::NotFound);
            Error::io(self.path().display(), missing)
        })
    }

    /// Opens it; creates it (0700), durably, if it does not exist.
    pub(crate) fn ensure(&self) -> Result<Dir> {
        self.each(Dir::ensure_subdir)
            .map_err(|e| Error::io(self.path().display(), e))
    }

    fn each(&self, open: impl Fn(&Dir, &str) -> io::Result<Dir>) -> io::Result<Dir> {
        let (first, others) = match &*self.names {
            [first, others @ ..] => (first, others),
            [] => return Err(rustix::io::Errno::INVAL.into()),
        };
        let first = open(&*self.held.dir()?, first)?;
        others.iter().try_fold(first, |dir, name| open(&dir, name))
    }
}
