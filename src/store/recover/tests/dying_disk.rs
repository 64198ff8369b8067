//! A disk of a process that is killed at its nth change of a file or a name.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::store::disk::{Access, Disk, DiskFile, Folder};

#[derive(Debug)]
pub(super) struct DyingDisk {
    disk: Arc<dyn Disk>,
    /// How many changes are left to this process.
    left: Arc<AtomicI64>,
}

impl DyingDisk {
    pub(super) fn new(disk: Arc<dyn Disk>, changes: i64) -> Self {
        Self {
            disk,
            left: Arc::new(AtomicI64::new(changes)),
        }
    }

    pub(super) fn is_dead(&self) -> bool {
        self.left.load(Ordering::Relaxed) < 0
    }
}

fn change(left: &AtomicI64) -> io::Result<()> {
    match left.fetch_sub(1, Ordering::Relaxed) {
        ..=0 => Err(io::Error::other("killed")),
        _ => Ok(()),
    }
}

impl Disk for DyingDisk {
    fn list(&self, folder: Folder) -> io::Result<Vec<String>> {
        self.disk.list(folder)
    }

    fn open(&self, folder: Folder, name: &str, access: Access) -> io::Result<Box<dyn DiskFile>> {
        if access == Access::Create {
            change(&self.left)?;
        }
        let (file, left) = (self.disk.open(folder, name, access)?, self.left.clone());
        Ok(Box::new(DyingFile { file, left }))
    }

    fn rename(&self, from: (Folder, &str), to: (Folder, &str)) -> io::Result<()> {
        change(&self.left)?;
        self.disk.rename(from, to)
    }

    fn replace(&self, folder: Folder, from: &str, to: &str) -> io::Result<()> {
        change(&self.left)?;
        self.disk.replace(folder, from, to)
    }

    fn remove(&self, folder: Folder, name: &str) -> io::Result<()> {
        change(&self.left)?;
        self.disk.remove(folder, name)
    }

    fn sync(&self, folder: Folder) -> io::Result<()> {
        change(&self.left)?;
        self.disk.sync(folder)
    }

    fn describe(&self, file: Option<(Folder, &str)>) -> String {
        self.disk.describe(file)
    }
}

#[derive(Debug)]
struct DyingFile {
    file: Box<dyn DiskFile>,
    left: Arc<AtomicI64>,
}

impl DiskFile for DyingFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    /// The write at which the process dies has happened by half.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if let Err(e) = change(&self.left) {
            if self.left.load(Ordering::Relaxed) == -1 {
                self.file.write_at(&bytes[..bytes.len() / 2], offset)?;
            }
            return Err(e);
        }
        self.file.write_at(bytes, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        change(&self.left)?;
        self.file.truncate(size)
    }

    fn sync(&self) -> io::Result<()> {
        change(&self.left)?;
        self.file.sync()
    }

    fn allocate(&self, from: u64, upto: u64) -> io::Result<()> {
        self.file.allocate(from, upto)
    }

    fn punch(&self, from: u64, upto: u64) -> io::Result<()> {
        self.file.punch(from, upto)
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.file.try_lock()
    }

    fn check_open(&self) -> io::Result<()> {
        self.file.check_open()
    }
}
