//! A disk in memory that does no more than hold files: thousands of them are made in a second.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::mutex::lock;
use crate::store::disk::{Access, Disk, DiskFile, Folder};

/// Nothing that is written is longer, whatever offset a file names.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

type Bytes = Arc<Mutex<Vec<u8>>>;
type Files = BTreeMap<(Folder, String), Bytes>;

/// The disk.
#[derive(Debug, Clone, Default)]
pub(super) struct MemoryDisk {
    files: Arc<Mutex<Files>>,
    largest_read: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct MemoryFile {
    bytes: Bytes,
    largest_read: Arc<AtomicUsize>,
}

impl MemoryDisk {
    pub(super) fn put(&self, folder: Folder, name: &str, bytes: Vec<u8>) {
        let file = Arc::new(Mutex::new(bytes));
        lock(&self.files).insert((folder, name.to_owned()), file);
    }

    /// Every file that the store works with, and its bytes.
    pub(super) fn contents(&self) -> BTreeMap<(Folder, String), Vec<u8>> {
        let files = lock(&self.files);
        let files = files
            .iter()
            .filter(|((folder, _), _)| Folder::ALL.contains(folder));
        files
            .map(|(name, bytes)| (name.clone(), lock(bytes).clone()))
            .collect()
    }

    /// Another disk with the same files.
    pub(super) fn copy(&self) -> Self {
        let copy = Self::default();
        for ((folder, name), bytes) in self.contents() {
            copy.put(folder, &name, bytes);
        }
        copy
    }

    /// Bytes of all files.
    pub(super) fn size(&self) -> usize {
        lock(&self.files)
            .values()
            .map(|bytes| lock(bytes).len())
            .sum()
    }

    /// The longest buffer that was to be filled.
    pub(super) fn largest_read(&self) -> usize {
        self.largest_read.load(Ordering::Relaxed)
    }

    fn file(&self, bytes: Bytes) -> Box<dyn DiskFile> {
        Box::new(MemoryFile {
            bytes,
            largest_read: self.largest_read.clone(),
        })
    }
}

fn errno(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

impl Disk for MemoryDisk {
    fn list(&self, folder: Folder) -> io::Result<Vec<String>> {
        let files = lock(&self.files);
        let names = files.keys().filter(|(of, _)| *of == folder);
        Ok(names.map(|(_, name)| name.clone()).collect())
    }

    fn open(&self, folder: Folder, name: &str, access: Access) -> io::Result<Box<dyn DiskFile>> {
        let mut files = lock(&self.files);
        let key = (folder, name.to_owned());
        match (files.get(&key), access) {
            (Some(_), Access::Create) => Err(errno(libc::EEXIST)),
            (Some(bytes), _) => Ok(self.file(bytes.clone())),
            (None, Access::Create) => {
                let bytes = Bytes::default();
                files.insert(key, bytes.clone());
                Ok(self.file(bytes))
            }
            (None, _) => Err(errno(libc::ENOENT)),
        }
    }

    fn rename(&self, from: (Folder, &str), to: (Folder, &str)) -> io::Result<()> {
        let mut files = lock(&self.files);
        let (from, to) = ((from.0, from.1.to_owned()), (to.0, to.1.to_owned()));
        if files.contains_key(&to) {
            return Err(errno(libc::EEXIST));
        }
        let bytes = files.remove(&from).ok_or_else(|| errno(libc::ENOENT))?;
        files.insert(to, bytes);
        Ok(())
    }

    fn replace(&self, folder: Folder, from: &str, to: &str) -> io::Result<()> {
        let mut files = lock(&self.files);
        let bytes = files.remove(&(folder, from.to_owned()));
        let bytes = bytes.ok_or_else(|| errno(libc::ENOENT))?;
        files.insert((folder, to.to_owned()), bytes);
        Ok(())
    }

    fn remove(&self, folder: Folder, name: &str) -> io::Result<()> {
        lock(&self.files).remove(&(folder, name.to_owned()));
        Ok(())
    }

    fn sync(&self, _: Folder) -> io::Result<()> {
        Ok(())
    }

    fn describe(&self, file: Option<(Folder, &str)>) -> String {
        match file {
            Some((folder, name)) => format!("{}/{name}", folder.name()),
            None => "spool".to_owned(),
        }
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.largest_read.fetch_max(buffer.len(), Ordering::Relaxed);
        if i64::try_from(offset).is_err() {
            // As `pread` answers it.
            return Err(errno(libc::EINVAL));
        }
        let bytes = lock(&self.bytes);
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = bytes.get(from..).unwrap_or(&[]);
        let got = bytes.len().min(buffer.len());
        buffer[..got].copy_from_slice(&bytes[..got]);
        Ok(got)
    }

    fn write_at(&self, new: &[u8], offset: u64) -> io::Result<()> {
        let end = offset.saturating_add(new.len() as u64);
        if end > FILE_BYTES_MAX {
            return Err(errno(libc::EFBIG));
        }
        let (from, end) = (offset as usize, end as usize);
        let mut bytes = lock(&self.bytes);
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[from..end].copy_from_slice(new);
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(lock(&self.bytes).len() as u64)
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        if size > FILE_BYTES_MAX {
            return Err(errno(libc::EFBIG));
        }
        lock(&self.bytes).resize(size as usize, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn allocate(&self, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn punch(&self, from: u64, upto: u64) -> io::Result<()> {
        let mut bytes = lock(&self.bytes);
        let length = bytes.len() as u64;
        let (from, upto) = (from.min(length) as usize, upto.min(length) as usize);
        if from < upto {
            bytes[from..upto].fill(0);
        }
        Ok(())
    }

    fn try_lock(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn check_open(&self) -> io::Result<()> {
        Ok(())
    }
}
