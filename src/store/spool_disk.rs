//! The store's files in a spool directory. Every file of the store is opened here.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind as IoKind};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, FlockOperation};

use super::disk::{Access, Disk, DiskFile, Folder};
use super::ledger;
use crate::error::is_unsupported;
use crate::process::{Announcement, CloseOnFork, ClosedInChild, FileKey};
use crate::spool::{Spool, check_file_limit, ensure_dir, file_limit, sync_dir};

/// The folders of a spool.
#[derive(Debug, Clone)]
pub(crate) struct SpoolDisk {
    dir: PathBuf,
    name: String,
}

impl SpoolDisk {
    pub(crate) fn new(spool: &Spool) -> Self {
        Self {
            dir: spool.dir().to_owned(),
            name: spool.name(),
        }
    }

    fn folder(&self, folder: Folder) -> PathBuf {
        self.dir.join(folder.name())
    }

    fn path(&self, folder: Folder, name: &str) -> PathBuf {
        self.folder(folder).join(name)
    }

    fn create(&self, folder: Folder, name: &str) -> io::Result<File> {
        let mut options = private();
        options.write(true).create_new(true);
        match options.open(self.path(folder, name)) {
            Err(e) if e.kind() == IoKind::NotFound => {
                let made = ensure_dir(&self.folder(folder));
                made.map_err(|e| io::Error::other(e.message().to_owned()))?;
                options.open(self.path(folder, name))
            }
            opened => opened,
        }
    }
}

/// Options of a file of the store: private, no other's link, and no pipe that could be waited for.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    options
}

impl Disk for SpoolDisk {
    fn list(&self, folder: Folder) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.folder(folder)) {
            Ok(entries) => entries,
            Err(e) if e.kind() == IoKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        let mut names = Vec::new();
        for entry in entries {
            // A name that is no text is no file of the store.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn open(&self, folder: Folder, name: &str, access: Access) -> io::Result<Box<dyn DiskFile>> {
        let path = self.path(folder, name);
        let named = || fs::symlink_metadata(&path);
        // What is there already is looked at first: the sender may rename it once it is open.
        let (known, opened) = match access {
            Access::Read => {
                let known = named()?;
                (
                    known,
                    Descriptor::Plain(ClosedInChild::new(private().open(&path)?)),
                )
            }
            Access::Create => {
                let file = ClosedInChild::new(self.create(folder, name)?);
                (named()?, Descriptor::Plain(file))
            }
            // A child of the application that forks would keep the lock.
            Access::Write => {
                let known = named()?;
                let key = FileKey::Inode((known.dev(), known.ino()));
                let announced =
                    Announcement::new(key).map_err(|e| io::Error::other(e.message().to_owned()))?;
                let file = private().write(true).open(&path)?;
                (known, Descriptor::Lockable(announced.opened(file)))
            }
        };
        let about = opened.file().metadata()?;
        if !about.is_file() {
            return Err(io::Error::new(
                IoKind::InvalidInput,
                "is not a regular file",
            ));
        }
        if (about.dev(), about.ino()) != (known.dev(), known.ino()) {
            // The application has closed the descriptor, and another file has its number by now.
            std::mem::forget(opened);
            return Err(rustix::io::Errno::BADF.into());
        }
        Ok(Box::new(OpenFile { descriptor: opened }))
    }

    fn rename(&self, from: (Folder, &str), to: (Folder, &str)) -> io::Result<()> {
        let (old, new) = (self.path(from.0, from.1), self.path(to.0, to.1));
        if to.0 != from.0 {
            let made = ensure_dir(&self.folder(to.0));
            let made = made.and_then(|()| new.parent().map_or(Ok(()), ensure_dir));
            made.map_err(|e| io::Error::other(e.message().to_owned()))?;
        }
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        let renamed = renameat_with(CWD, &old, CWD, &new, RenameFlags::NOREPLACE);
        match renamed.map_err(io::Error::from) {
            Err(e) if is_unsupported(&e) => rename_if_free(&old, &new),
            renamed => renamed,
        }
    }

    fn remove(&self, folder: Folder, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path(folder, name)) {
            Err(e) if e.kind() != IoKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    fn sync(&self, folder: Folder) -> io::Result<()> {
        sync_dir(&self.folder(folder)).map_err(|e| io::Error::other(e.message().to_owned()))
    }

    fn file_limit(&self) -> u64 {
        file_limit()
    }

    fn describe(&self, file: Option<(Folder, &str)>) -> String {
        match file {
            Some((folder, name)) => self.path(folder, name).display().to_string(),
            None => self.name.clone(),
        }
    }
}

/// Gives a file another name, unless a file has it already. Nobody takes the name in between: whoever gives
/// names holds the caller's lock.
fn rename_if_free(old: &Path, new: &Path) -> io::Result<()> {
    match fs::symlink_metadata(new) {
        Err(e) if e.kind() == IoKind::NotFound => fs::rename(old, new),
        Err(e) => Err(e),
        Ok(_) => Err(IoKind::AlreadyExists.into()),
    }
}

/// The path of the ledger with the highest number, if there is one that can be seen.
pub(crate) fn ledger_in_use(spool: &Spool) -> Option<PathBuf> {
    let numbers = ledger::numbers(&SpoolDisk::new(spool), Folder::Ledger).ok()?;
    let highest = numbers.last()?;
    Some(spool.ledger_dir().join(ledger::file_name(*highest)))
}

#[derive(Debug)]
enum Descriptor {
    Plain(ClosedInChild<File>),
    Lockable(CloseOnFork),
}

impl Descriptor {
    fn file(&self) -> &File {
        match self {
            Self::Plain(file) => file,
            Self::Lockable(file) => file,
        }
    }
}

#[derive(Debug)]
struct OpenFile {
    descriptor: Descriptor,
}

impl DiskFile for OpenFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut got = 0;
        while got < buffer.len() {
            let at = offset + got as u64;
            match self.descriptor.file().read_at(&mut buffer[got..], at) {
                Ok(0) => break,
                Ok(more) => got += more,
                Err(e) if e.kind() == IoKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        // Bytes of another file would look like damage.
        self.check_open()?;
        Ok(got)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.check_open()?;
        check_file_limit(offset + bytes.len() as u64, file_limit())?;
        self.descriptor.file().write_all_at(bytes, offset)
    }

    fn size(&self) -> io::Result<u64> {
        let size = self.descriptor.file().metadata()?.len();
        self.check_open()?;
        Ok(size)
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.check_open()?;
        self.descriptor.file().set_len(size)
    }

    fn sync(&self) -> io::Result<()> {
        self.descriptor.file().sync_data()?;
        // The sync of another file says nothing about this one.
        self.check_open()
    }

    fn allocate(&self, from: u64, upto: u64) -> io::Result<()> {
        let (file, keep) = (self.descriptor.file(), FallocateFlags::KEEP_SIZE);
        let length = upto.saturating_sub(from);
        self.check_open()?;
        check_file_limit(upto, file_limit())?;
        rustix::io::retry_on_intr(|| rustix::fs::fallocate(file, keep, from, length))?;
        Ok(())
    }

    fn punch(&self, from: u64, upto: u64) -> io::Result<()> {
        let (file, length) = (self.descriptor.file(), upto.saturating_sub(from));
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        self.check_open()?;
        rustix::io::retry_on_intr(|| rustix::fs::fallocate(file, hole, from, length))?;
        Ok(())
    }

    fn try_lock(&self) -> io::Result<bool> {
        match rustix::fs::flock(
            self.descriptor.file(),
            FlockOperation::NonBlockingLockExclusive,
        ) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    fn check_open(&self) -> io::Result<()> {
        match &self.descriptor {
            Descriptor::Plain(file) => file.check(),
            Descriptor::Lockable(file) => file.check(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_rename_cannot_refuse_to_replace_no_file_is_replaced_either() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        fs::write(&old, "old").unwrap();
        rename_if_free(&old, &new).unwrap();
        fs::write(&old, "another").unwrap();
        let refused = rename_if_free(&old, &new).unwrap_err();
        assert_eq!(refused.kind(), IoKind::AlreadyExists);
        assert_eq!(fs::read(&new).unwrap(), b"old");
        assert_eq!(fs::read(&old).unwrap(), b"another");
        let gone = rename_if_free(&dir.path().join("x"), &dir.path().join("y"));
        assert_eq!(gone.unwrap_err().kind(), IoKind::NotFound);
    }
}
