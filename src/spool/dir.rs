//! An open directory of a spool. Every file below a spool is reached through one.
//!
//! A path is resolved anew at each use, and whoever may rename a directory on the way decides what it
//! leads to. A descriptor stays the same directory. So what is opened, made, renamed or removed here has
//! one name in a directory that is open.
//!
//! Each open looks at the name first: what is no regular file is not even opened, because opening a
//! pipe waits, and opening a device may do something. Then it compares the descriptor with the name: a
//! descriptor that another thread of the application has closed meanwhile may be another file's.
//!
//! A failure names no file, since the caller knows it: [`Dir::error`] adds the path. Only what is in the
//! place of another file is always named.

mod entries;
mod file_rights;
mod names;

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind as IoKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::rights::Sharing;
use crate::error::{Error, ErrorKind};
use crate::process::{Announcement, CloseOnFork, ClosedInChild, FileKey, OwnDescriptor, calls};

/// What every open has, also one of a name that was looked at before.
const CAREFULLY: OFlags = OFlags::NOFOLLOW
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);
/// A file that is replaced between the look and the open is looked at again, so often.
const REPLACED_AT_MOST: usize = 20;

/// Whether a replaced file has to survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Safety {
    /// The death of the process is enough.
    Process,
    /// It has to.
    Power,
}

/// An open directory.
#[derive(Debug)]
pub(crate) struct Dir {
    handle: Handle,
    /// Where it was opened, for messages.
    path: PathBuf,
    /// For whom files are made in it.
    sharing: Sharing,
}

#[derive(Debug)]
enum Handle {
    /// The spool's own, which a forked child goes on using.
    Kept(OwnDescriptor<File>),
    /// One that is open for a moment.
    Passing(ClosedInChild<File>),
}

impl Dir {
    /// The spool's own directory, which was just opened.
    pub(super) fn kept(handle: File, path: &Path) -> Self {
        let handle = OwnDescriptor::new(handle);
        // What is in it is listed by a descriptor of its own.
        handle.take_position();
        Self {
            handle: Handle::Kept(handle),
            path: path.to_owned(),
            sharing: Sharing::Owner,
        }
    }

    /// The same directory, in which files are made for `sharing`.
    pub(super) fn shared(self, sharing: Sharing) -> Self {
        Self { sharing, ..self }
    }

    pub(super) fn sharing(&self) -> Sharing {
        self.sharing
    }

    fn file(&self) -> &File {
        match &self.handle {
            Handle::Kept(file) => file,
            Handle::Passing(file) => file,
        }
    }

    /// Checks that the descriptor still is this directory's.
    pub(super) fn check(&self) -> io::Result<()> {
        match &self.handle {
            Handle::Kept(file) => file.check(),
            Handle::Passing(file) => file.check(),
        }
    }

    fn fd(&self) -> io::Result<BorrowedFd<'_>> {
        self.check()?;
        Ok(self.file().as_fd())
    }

    /// Owner, mode and identity of the directory itself.
    pub(crate) fn metadata(&self) -> io::Result<Metadata> {
        self.fd()?;
        calls::again(|| self.file().metadata())
    }

    /// The open directory, for calls that need a descriptor.
    pub(crate) fn as_file(&self) -> io::Result<&File> {
        self.fd()?;
        Ok(self.file())
    }

    /// Where a file of it is, for messages.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The error of an operation on a file of it.
    #[cold]
    pub(crate) fn error(&self, name: &str, cause: impl Into<io::Error>) -> Error {
        Error::io(self.path(name).display(), cause)
    }

    /// The error of an operation on the directory itself.
    #[cold]
    pub(crate) fn own_error(&self, cause: impl Into<io::Error>) -> Error {
        Error::io(self.path.display(), cause)
    }

    /// What has a name, without following a link. Error: [`IoKind::NotFound`] if nothing has it.
    pub(crate) fn about(&self, name: &str) -> io::Result<Stat> {
        Ok(stat_at(self.fd()?, check_name(name)?)?)
    }

    /// The size of a regular file; `None`: nothing has the name.
    pub(crate) fn size(&self, name: &str) -> io::Result<Option<u64>> {
        match self.about(name) {
            Ok(about) => {
                self.require_regular(name, &about)?;
                Ok(Some(about.st_size.cast_unsigned()))
            }
            Err(e) if e.kind() == IoKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn require_regular(&self, name: &str, about: &Stat) -> io::Result<()> {
        match FileType::from_raw_mode(about.st_mode) {
            FileType::RegularFile => Ok(()),
            kind => Err(wrong_kind(&self.path(name), kind, "a regular file")),
        }
    }

    /// Whether the file with this device and inode has the name.
    pub(crate) fn is_named(&self, name: &str, inode: (u64, u64)) -> bool {
        self.about(name)
            .is_ok_and(|about| inode_of(&about) == inode)
    }

    /// Opens a regular file to read it.
    pub(crate) fn open(&self, name: &str) -> io::Result<ClosedInChild<File>> {
        let (_, file) = self.open_announced(name, OFlags::RDONLY, |_| Ok(()))?;
        Ok(ClosedInChild::of(file))
    }

    /// Opens a regular file to write it.
    pub(crate) fn open_to_write(&self, name: &str) -> io::Result<ClosedInChild<File>> {
        let (_, file) = self.open_announced(name, OFlags::RDWR, |_| Ok(()))?;
        Ok(ClosedInChild::of(file))
    }

    /// Opens a regular file to read, write and lock it: no forked child keeps its lock.
    pub(crate) fn open_to_lock(&self, name: &str) -> io::Result<CloseOnFork> {
        let announce = |inode| Announcement::new(FileKey::Inode(inode)).map_err(io::Error::other);
        let (announced, file) = self.open_announced(name, OFlags::RDWR, announce)?;
        Ok(announced.opened(file))
    }

    /// Opens a regular file. `announce` is called with its device and inode before.
    ///
    /// The identity that is compared with the name is the one that the descriptor is kept with: if it were read
    /// again, it could be that of a file that has got the number since.
    fn open_announced<A>(
        &self,
        name: &str,
        access: OFlags,
        announce: impl Fn((u64, u64)) -> io::Result<A>,
    ) -> io::Result<(A, OwnDescriptor<File>)> {
        let (dir, name) = (self.fd()?, check_name(name)?);
        for _ in 0..REPLACED_AT_MOST {
            let known = stat_at(dir, name)?;
            self.require_regular(name, &known)?;
            let announced = announce(inode_of(&known))?;
            let file = match calls::openat(dir, name, access | CAREFULLY, Mode::empty()) {
                Ok(file) => OwnDescriptor::new(File::from(file)),
                // Something else has the name by now.
                Err(Errno::LOOP | Errno::NXIO | Errno::ISDIR) => continue,
                Err(Errno::ACCESS) if self.completes_rights(name, &known)? => continue,
                Err(e) => return Err(e.into()),
            };
            if file.inode() == Some(inode_of(&known)) {
                return Ok((announced, file));
            }
            // It was replaced in between, and the new file or one that is gone again is open.
            let now = stat_at(dir, name);
            let is_new = now.is_ok_and(|now| file.inode() == Some(inode_of(&now)));
            if !is_new && !is_removed_file(&file, known.st_dev) {
                return Err(let_go(file));
            }
        }
        Err(Errno::AGAIN.into())
    }

    /// Creates a file (0600) that must not exist yet, with this access. The umask takes no right from it.
    pub(crate) fn create(&self, name: &str, access: OFlags) -> io::Result<OwnDescriptor<File>> {
        let (dir, name) = (self.fd()?, check_name(name)?);
        let flags = access | OFlags::CREATE | OFlags::EXCL | CAREFULLY;
        let mode = self.sharing.file_mode();
        let file = OwnDescriptor::new(File::from(calls::openat(dir, name, flags, mode)?));
        // In this order: whether it was removed shows once it has not got the name any more.
        let named = stat_at(dir, name);
        let is_named = named.is_ok_and(|named| file.inode() == Some(inode_of(&named)));
        // The caller of one that was removed notices that it has no name.
        match is_named || is_removed_file(&file, calls::fstat(dir)?.st_dev) {
            true => {
                self.complete(&file)?;
                Ok(file)
            }
            false => Err(let_go(file)),
        }
    }

    /// The content of a small regular file, which has at most `most` bytes.
    pub(crate) fn read(&self, name: &str, most: usize) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        let file = self.open(name)?;
        (&*file).take(most as u64 + 1).read_to_end(&mut content)?;
        // Otherwise it may be of another file.
        file.check()?;
        match content.len() <= most {
            true => Ok(content),
            false => Err(too_long(&self.path(name), most)),
        }
    }

    /// Whether a socket has the name.
    pub(crate) fn is_socket(&self, name: &str) -> bool {
        self.about(name)
            .is_ok_and(|about| FileType::from_raw_mode(about.st_mode).is_socket())
    }

    /// Takes a socket's rights from all but those for whom files are made here.
    pub(crate) fn make_socket_private(&self, name: &str) -> io::Result<()> {
        if !self.is_socket(name) {
            return Err(Errno::NOTSOCK.into());
        }
        self.set_rights(name, self.sharing.file_mode(), self.sharing.group())
    }

    fn is_dir(&self, name: &str) -> bool {
        self.about(name)
            .is_ok_and(|about| FileType::from_raw_mode(about.st_mode).is_dir())
    }

    /// Opens a directory of it. Error: [`IoKind::NotFound`] if nothing has the name.
    pub(crate) fn subdir(&self, name: &str) -> io::Result<Self> {
        let (dir, text) = (self.fd()?, check_name(name)?);
        let handle = match self.open_dir_as_named(dir, text) {
            Ok(handle) => ClosedInChild::of(handle),
            Err(e @ (Errno::NOTDIR | Errno::LOOP)) => {
                let known = stat_at(dir, text).map_err(|_| e)?;
                let kind = FileType::from_raw_mode(known.st_mode);
                return Err(wrong_kind(&self.path(name), kind, "a directory"));
            }
            Err(e) => return Err(e.into()),
        };
        Ok(Self {
            handle: Handle::Passing(handle),
            path: self.path(name),
            sharing: self.sharing,
        })
    }

    /// Opens a directory, and compares it with the name as [`open_announced`](Self::open_announced) does.
    fn open_dir_as_named(
        &self,
        dir: BorrowedFd<'_>,
        name: &str,
    ) -> rustix::io::Result<OwnDescriptor<File>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | CAREFULLY;
        let handle = calls::openat(dir, name, flags, Mode::empty())?;
        let handle = OwnDescriptor::new(File::from(handle));
        let known = stat_at(dir, name)?;
        if handle.inode() == Some(inode_of(&known)) {
            return Ok(handle);
        }
        handle.forget();
        Err(Errno::AGAIN)
    }

    /// The same; creates it (0700, whatever the umask), durably, if nothing has the name.
    pub(crate) fn ensure_subdir(&self, name: &str) -> io::Result<Self> {
        match self.subdir(name) {
            Err(e) if e.kind() == IoKind::NotFound => {}
            // The umask took this right from it, and its maker has not given it back yet.
            Err(e) if e.kind() == IoKind::PermissionDenied => {
                return match self.completes_rights(name, &self.about(name)?)? {
                    true => self.subdir(name),
                    false => Err(e),
                };
            }
            opened => return opened,
        }
        let mode = self.sharing.dir_mode();
        match calls::mkdirat(self.fd()?, check_name(name)?, mode) {
            Ok(()) => {
                // Also a setgid bit that it has from this directory is taken back.
                if self.about(name)?.st_mode & 0o7777 != mode.as_raw_mode() {
                    self.set_rights(name, mode, self.sharing.group())?;
                }
                self.sync()?;
            }
            // Another process has created it.
            Err(Errno::EXIST) => {}
            Err(e) => return Err(e.into()),
        }
        self.subdir(name)
    }

    /// Opens a directory of it to lock it: no forked child keeps its lock.
    pub(crate) fn open_dir_to_lock(&self, name: &str) -> io::Result<CloseOnFork> {
        let (dir, name) = (self.fd()?, check_name(name)?);
        let known = stat_at(dir, name)?;
        let key = FileKey::Inode(inode_of(&known));
        let announced = Announcement::new(key).map_err(io::Error::other)?;
        Ok(announced.opened(self.open_dir_as_named(dir, name)?))
    }

    /// Makes the names in it durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.fd()?;
        self.file().sync_all()?;
        // The sync of another file says nothing about this directory.
        self.check()
    }
}

/// Whether it is a file of this device that has no name any more.
fn is_removed_file(file: &OwnDescriptor<File>, device: u64) -> bool {
    calls::fstat(&**file).is_ok_and(|about| {
        about.st_nlink == 0
            && file.inode() == Some((device, about.st_ino))
            && FileType::from_raw_mode(about.st_mode).is_file()
    })
}

/// Lets go of a descriptor that is another file's by now: to close it would close that one.
#[cold]
fn let_go(file: OwnDescriptor<File>) -> io::Error {
    file.forget();
    Errno::BADF.into()
}

pub(super) fn stat_at(dir: BorrowedFd<'_>, name: &str) -> rustix::io::Result<Stat> {
    calls::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
}

/// Device and inode.
pub(super) fn inode_of(about: &Stat) -> (u64, u64) {
    (about.st_dev, about.st_ino)
}

/// A name leads to nothing outside of its directory, wherever it was read.
fn check_name(name: &str) -> io::Result<&str> {
    match name {
        "" | "." | ".." => Err(Errno::INVAL.into()),
        _ if name.contains('/') => Err(Errno::INVAL.into()),
        _ => Ok(name),
    }
}

/// The error of a small file that is longer than this library writes it.
fn too_long(path: &Path, most: usize) -> io::Error {
    let path = path.display();
    io::Error::other(Error::new(
        ErrorKind::Io,
        format!(
            "{path}: has more than {most} bytes, which no file of this kind has; restore or remove it"
        ),
    ))
}

/// The error of a file that is not what it has to be; `wanted`: a regular file, or a directory. It names the
/// file by itself, because it is the file that has to be removed, whatever was done when it was found.
#[cold]
fn wrong_kind(path: &Path, kind: FileType, wanted: &str) -> io::Error {
    let kind = match kind {
        FileType::RegularFile => "a regular file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "something else",
    };
    let path = path.display();
    io::Error::other(Error::new(
        ErrorKind::Io,
        format!("{path}: is {kind}, and has to be {wanted}; remove it"),
    ))
}

#[cfg(test)]
mod tests;
