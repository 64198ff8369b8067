//! The store's files in a spool directory. Every file of the store is opened here.

use std::fs::File;
use std::io::{self, ErrorKind as IoKind};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, FlockOperation, OFlags, Stat};

use super::disk::{Access, Disk, DiskFile, Folder};
use super::ledger;
use crate::process::{CloseOnFork, ClosedInChild, calls};
use crate::spool::{Dir, Held, Spool, Subdirectory, check_file_limit, data_from, file_limit};

/// The folders of a spool.
#[derive(Debug, Clone)]
pub(crate) struct SpoolDisk {
    held: Arc<Held>,
    name: String,
}

impl SpoolDisk {
    pub(crate) fn new(spool: &Spool) -> Self {
        Self {
            held: spool.held().clone(),
            name: spool.name(),
        }
    }

    fn folder(&self, folder: Folder) -> Subdirectory {
        self.held.subdirectory(folder.name())
    }

    /// The folder that a file is in, and its name there.
    fn place<'n>(&self, folder: Folder, name: &'n str) -> (Subdirectory, &'n str) {
        match name.split_once('/') {
            Some((below, name)) => (self.folder(folder).below(below), name),
            None => (self.folder(folder), name),
        }
    }

    /// The open folder of a file that has to be there, and its name in it.
    fn open_place<'n>(&self, folder: Folder, name: &'n str) -> io::Result<(Dir, &'n str)> {
        let (place, name) = self.place(folder, name);
        Ok((open(&place)?.ok_or(IoKind::NotFound)?, name))
    }
}

fn open(place: &Subdirectory) -> io::Result<Option<Dir>> {
    place.open().map_err(io::Error::other)
}

fn ensure(place: &Subdirectory) -> io::Result<Dir> {
    place.ensure().map_err(io::Error::other)
}

impl Disk for SpoolDisk {
    fn list(&self, folder: Folder) -> io::Result<Vec<String>> {
        let Some(dir) = open(&self.folder(folder))? else {
            return Ok(Vec::new());
        };
        let mut names = Vec::new();
        for entry in dir.entries()? {
            // A name that is no text is no file of the store.
            names.extend(entry?.name().map(str::to_owned));
        }
        Ok(names)
    }

    fn open(&self, folder: Folder, name: &str, access: Access) -> io::Result<Box<dyn DiskFile>> {
        let descriptor = match access {
            Access::Read => {
                let (dir, name) = self.open_place(folder, name)?;
                Descriptor::Plain(dir.open(name)?)
            }
            Access::Create => {
                let (place, name) = self.place(folder, name);
                let file = ensure(&place)?.create(name, OFlags::RDWR)?;
                Descriptor::Plain(ClosedInChild::of(file))
            }
            // A child of the application that forks would keep the lock.
            Access::Write => {
                let (dir, name) = self.open_place(folder, name)?;
                Descriptor::Lockable(dir.open_to_lock(name)?)
            }
        };
        Ok(Box::new(OpenFile { descriptor }))
    }

    fn rename(&self, from: (Folder, &str), to: (Folder, &str)) -> io::Result<()> {
        let (old, old_name) = self.open_place(from.0, from.1)?;
        let (place, new_name) = self.place(to.0, to.1);
        old.rename_to_free(old_name, &ensure(&place)?, new_name)
    }

    fn replace(&self, folder: Folder, from: &str, to: &str) -> io::Result<()> {
        let (dir, from) = self.open_place(folder, from)?;
        dir.rename(from, &dir, to)
    }

    fn remove(&self, folder: Folder, name: &str) -> io::Result<()> {
        match self.open_place(folder, name) {
            Ok((dir, name)) => dir.remove(name).map(|_| ()),
            Err(e) if e.kind() == IoKind::NotFound => Ok(()),
            Err(e) => Err(e),
        }
    }

    fn sync(&self, folder: Folder) -> io::Result<()> {
        let dir = open(&self.folder(folder))?;
        dir.ok_or(IoKind::NotFound)?.sync()
    }

    fn file_limit(&self) -> u64 {
        file_limit()
    }

    fn describe(&self, file: Option<(Folder, &str)>) -> String {
        match file {
            Some((folder, name)) => self.folder(folder).path().join(name).display().to_string(),
            None => self.name.clone(),
        }
    }
}

/// The name of the ledger with the highest number, and what is known about that file, if there is one that can
/// be seen.
pub(crate) fn ledger_in_use(spool: &Spool) -> Option<(String, Stat)> {
    let disk = SpoolDisk::new(spool);
    let numbers = ledger::numbers(&disk, Folder::Ledger).ok()?;
    let name = ledger::file_name(*numbers.last()?);
    let about = disk.folder(Folder::Ledger).open().ok()??.about(&name);
    about.ok().map(|about| (name, about))
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

    fn data_from(&self, offset: u64) -> io::Result<u64> {
        let found = data_from(self.descriptor.file(), offset);
        if let Descriptor::Lockable(file) = &self.descriptor {
            file.return_to_position();
        }
        self.check_open()?;
        found
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.check_open()?;
        check_file_limit(offset + bytes.len() as u64, file_limit())?;
        self.descriptor.file().write_all_at(bytes, offset)
    }

    fn size(&self) -> io::Result<u64> {
        let size = calls::again(|| self.descriptor.file().metadata())?.len();
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
        calls::fallocate(file, keep, from, length)?;
        Ok(())
    }

    fn punch(&self, from: u64, upto: u64) -> io::Result<()> {
        let (file, length) = (self.descriptor.file(), upto.saturating_sub(from));
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        self.check_open()?;
        calls::fallocate(file, hole, from, length)?;
        Ok(())
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.check_open()?;
        match calls::flock(
            self.descriptor.file(),
            FlockOperation::NonBlockingLockExclusive,
        ) {
            Ok(()) => {
                // Another descriptor of the file has not got the lock.
                if let Descriptor::Lockable(file) = &self.descriptor {
                    file.take_position();
                }
                Ok(true)
            }
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
