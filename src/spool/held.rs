//! The spool's own directory, held open, and the directories in it.
//!
//! A spool holds one descriptor, however much it does: the application may have a limit of 64. The
//! directories in it are opened for as long as they are used.
//!
//! The descriptor is the library's only as long as the application has not closed it, as daemons close
//! everything from 3 on. So it is checked before each use. If it is gone, the directory is opened again at
//! its path, and has to be the same one.
//!
//! A process may drop its rights, or change its root directory, after it opened the spool. In the first case
//! the files are another user's, which each use says at once. In the second the descriptor still leads to the
//! spool, and only the path does not: so whether the spool still has its name is then asked of its parent.

use std::fs::Metadata;
use std::io::{self, ErrorKind as IoKind};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use rustix::io::Errno;

use super::dir::{Dir, inode_of, stat_at};
use super::directory::DirectoryId;
use super::files::spool_name;
use super::walk::{Missing, open_directory};
use crate::error::{Error, ErrorKind, Result};
use crate::process::calls;

/// An open spool directory.
#[derive(Debug)]
pub(crate) struct Held {
    path: PathBuf,
    id: DirectoryId,
    /// The user who opened it.
    user: u32,
    /// The root directory in which it was opened: device and inode.
    root: Option<(u64, u64)>,
    /// How its parent leads to it, if its path does not end in a link: a path from the directory itself.
    from_parent: Option<String>,
    /// Without a lock, which a forked child could find taken for ever.
    dir: ArcSwap<Dir>,
}

impl Held {
    pub(super) fn new(dir: Dir, path: &Path, about: &Metadata) -> Self {
        let from_parent = path.file_name().and_then(|name| name.to_str());
        let from_parent = from_parent.map(|name| format!("../{name}"));
        let own = (about.dev(), about.ino());
        Self {
            path: path.to_owned(),
            id: DirectoryId::from_metadata(about),
            user: rustix::process::geteuid().as_raw(),
            root: root_directory(),
            from_parent: from_parent.filter(|name| inode_at(&dir, name).ok() == Some(own)),
            dir: ArcSwap::from_pointee(dir),
        }
    }

    /// The directory. Its descriptor was this library's a moment ago.
    pub(crate) fn dir(&self) -> io::Result<Arc<Dir>> {
        let dir = self.dir.load_full();
        let is_open = dir.check().is_ok();
        self.check_user(is_open.then_some(&*dir))
            .map_err(io::Error::other)?;
        if is_open {
            return Ok(dir);
        }
        let opened = match open_directory(&self.path, Missing::Fail) {
            Ok(handle) => Dir::kept(handle, &self.path).shared(dir.sharing()),
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

    /// Checks that the spool is still where other processes open it.
    ///
    /// Errors: [`Io`](ErrorKind::Io), [`SpoolMismatch`](ErrorKind::SpoolMismatch).
    pub(super) fn check_path(&self) -> Result<()> {
        let checked = self.check_same_directory(self.metadata_at_path());
        if checked.is_err() {
            let dir = self.dir().map_err(|e| Error::io(self.name(), e))?;
            if self.has_other_root() {
                return self.check_parent(&dir);
            }
        }
        checked
    }

    /// What is at its path now.
    fn metadata_at_path(&self) -> io::Result<Metadata> {
        calls::again(|| std::fs::metadata(&self.path))
    }

    /// Whether it has been moved away from its path, or removed: other processes find another one there, or none.
    /// `false` also where that cannot be seen.
    pub(super) fn is_known_to_be_gone(&self) -> bool {
        let found = match self.metadata_at_path() {
            Ok(about) => DirectoryId::from_metadata(&about) == self.id,
            Err(e) => !matches!(e.kind(), IoKind::NotFound | IoKind::NotADirectory),
        };
        !found && self.check_path().is_err()
    }

    /// Whether a path in it is known to lead to nothing, or to another file than the one with this inode.
    pub(super) fn has_lost(&self, path: &str, inode: (u64, u64)) -> bool {
        match self.dir().map(|dir| inode_at(&dir, path)) {
            Ok(Ok(found)) => found != inode,
            Ok(Err(e)) => matches!(e.kind(), IoKind::NotFound | IoKind::NotADirectory),
            Err(_) => false,
        }
    }

    /// Whether the directory at its path is still this one; `false`: there is another one, or none.
    #[cfg(feature = "internals")]
    pub(super) fn is_at_path(&self) -> io::Result<bool> {
        match self.metadata_at_path() {
            Ok(about) => Ok(DirectoryId::from_metadata(&about) == self.id),
            Err(e) if matches!(e.kind(), IoKind::NotFound | IoKind::NotADirectory) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Checks that the parent of the directory still leads to it: its path means another place by now.
    fn check_parent(&self, dir: &Dir) -> Result<()> {
        let about = dir.metadata().map_err(|e| self.lost(e))?;
        let own = (about.dev(), about.ino());
        let at = match &self.from_parent {
            Some(name) => inode_at(dir, name),
            None => Ok(own),
        };
        match at {
            Ok(_) if about.nlink() == 0 => Err(self.removed(Errno::NOENT.into())),
            Ok(at) if at == own => Ok(()),
            Ok(_) => Err(self.replaced()),
            Err(e) if e.kind() == IoKind::NotFound => Err(self.removed(e)),
            Err(e) => Err(Error::io(self.name(), e)),
        }
    }

    /// Whether this process has another root directory than when it opened the spool.
    fn has_other_root(&self) -> bool {
        root_directory() != self.root
    }

    /// Checks that this process still runs as the user who opened the spool, or as the one to whom it belongs
    /// now. `dir`: the directory, if its descriptor is open.
    fn check_user(&self, dir: Option<&Dir>) -> Result<()> {
        let us = rustix::process::geteuid().as_raw();
        if us == self.user {
            return Ok(());
        }
        let owner = dir
            .and_then(|dir| dir.metadata().ok())
            .map(|about| about.uid());
        if owner == Some(us) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::SpoolMismatch,
            format!(
                "{}: was opened as uid {}, and this process runs as uid {us} now; open the spool after dropping rights, in a directory of uid {us}",
                self.name(),
                self.user
            ),
        ))
    }

    /// Checks by the metadata of the directory at its path that it is this spool.
    fn check_same_directory(&self, about: io::Result<Metadata>) -> Result<()> {
        match about {
            Ok(about) if DirectoryId::from_metadata(&about) == self.id => Ok(()),
            Ok(_) => Err(self.replaced()),
            Err(e) => Err(self.lost(e)),
        }
    }

    fn replaced(&self) -> Error {
        Error::new(
            ErrorKind::SpoolMismatch,
            format!(
                "{}: another directory is at this path now; open the spool again",
                self.name()
            ),
        )
    }

    fn removed(&self, e: io::Error) -> Error {
        Error::io(format!("{} was removed; open it again", self.name()), e)
    }

    fn lost(&self, e: io::Error) -> Error {
        match e.kind() {
            IoKind::NotFound if self.has_other_root() => Error::new(
                ErrorKind::SpoolMismatch,
                format!(
                    "{}: this process has changed its root directory since it opened the spool, and cannot find it any more; open it again, by its path in the new root directory",
                    self.name()
                ),
            ),
            IoKind::NotFound => self.removed(e),
            _ => Error::io(self.name(), e),
        }
    }
}

/// Device and inode of what a path leads to, from an open directory.
fn inode_at(dir: &Dir, path: &str) -> io::Result<(u64, u64)> {
    Ok(inode_of(&stat_at(dir.as_file()?.as_fd(), path)?))
}

/// Device and inode of this process's root directory.
fn root_directory() -> Option<(u64, u64)> {
    let about = rustix::fs::stat("/").ok()?;
    Some(inode_of(&about))
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
