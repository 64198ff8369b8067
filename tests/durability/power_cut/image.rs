//! Makes images of disks as real files, one after the other in one directory.
//!
//! Only what differs from the image before is written, because most of an image is synced and stays
//! the same.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::disk::{Disk, Image, Node};
use super::recording::Inode;

/// A directory in memory that holds one image at a time.
pub struct ImageDir {
    root: tempfile::TempDir,
    /// The spool, as a path below the recorded directory.
    spool: PathBuf,
    placed: HashMap<PathBuf, Placed>,
}

/// A file of the current image: this version of its synced bytes, except for a range.
struct Placed {
    inode: Inode,
    version: u64,
    unsynced: Range<u64>,
}

/// Whether the host has booted since the recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boot {
    Same,
    New,
}

impl ImageDir {
    pub fn new(spool: &Path) -> Self {
        let memory = Path::new("/dev/shm");
        let root = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        Self {
            root: root.unwrap(),
            spool: spool.to_owned(),
            placed: HashMap::new(),
        }
    }

    pub fn spool(&self) -> PathBuf {
        self.root.path().join(&self.spool)
    }

    /// Makes the directory hold `image` and nothing else.
    pub fn place(&mut self, disk: &Disk<'_>, image: &Image, boot: Boot) {
        let mut paths = HashMap::new();
        for (path, node) in image {
            paths.insert(path.as_path(), ());
            let target = self.root.path().join(path);
            match node {
                Node::Directory if target.is_dir() => {}
                Node::Directory => {
                    fs::DirBuilder::new().mode(0o700).create(&target).unwrap();
                }
                // No process listens on it; a client that opens the spool replaces it.
                Node::Socket => {}
                Node::Synced { inode, version } => {
                    self.write(path, *inode, *version, 0..0, disk.durable(*inode));
                }
                Node::File(file) => {
                    let unsynced = file.unsynced.clone();
                    self.write(path, file.inode, file.version, unsynced, &file.bytes);
                }
            }
        }
        self.remove_others(self.root.path(), Path::new(""), &paths);
        self.placed
            .retain(|path, _| paths.contains_key(path.as_path()));
        self.set_identity(boot);
    }

    fn write(
        &mut self,
        path: &Path,
        inode: Inode,
        version: u64,
        unsynced: Range<u64>,
        bytes: &[u8],
    ) {
        let changed = match self.placed.get(path) {
            Some(placed) if (placed.inode, placed.version) == (inode, version) => {
                if unsynced.is_empty() && placed.unsynced.is_empty() {
                    return;
                }
                match (placed.unsynced.clone(), unsynced.clone()) {
                    (before, now) if before.is_empty() => now,
                    (before, now) if now.is_empty() => before,
                    (before, now) => before.start.min(now.start)..before.end.max(now.end),
                }
            }
            _ => 0..u64::MAX,
        };
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.root.path().join(path))
            .unwrap();
        let size = bytes.len() as u64;
        let (start, end) = (changed.start.min(size), changed.end.min(size));
        file.set_len(size).unwrap();
        file.write_all_at(&bytes[start as usize..end as usize], start)
            .unwrap();
        let placed = Placed {
            inode,
            version,
            unsynced,
        };
        self.placed.insert(path.to_owned(), placed);
    }

    /// Notes that the library may have changed a file, or all files of a folder, so that the next
    /// image writes them again.
    pub fn mark_changed(&mut self, name: &str) {
        let changed = self.spool.join(name);
        self.placed.retain(|path, _| !path.starts_with(&changed));
    }

    fn remove_others(&self, dir: &Path, path: &Path, paths: &HashMap<&Path, ()>) {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let path = path.join(entry.file_name());
            let is_dir = entry.file_type().unwrap().is_dir();
            match (paths.contains_key(path.as_path()), is_dir) {
                (true, true) => self.remove_others(&entry.path(), &path, paths),
                (true, false) => {}
                (false, true) => fs::remove_dir_all(entry.path()).unwrap(),
                (false, false) => fs::remove_file(entry.path()).unwrap(),
            }
        }
    }

    /// Writes this directory into the spool's identity, as if the spool had been here all the time.
    fn set_identity(&mut self, boot: Boot) {
        let path = self.spool().join("identity.json");
        let Ok(text) = fs::read(&path) else { return };
        let mut identity: serde_json::Value =
            serde_json::from_slice(&text).expect("identity.json is whole, or not there");
        let about = fs::metadata(self.spool()).unwrap();
        identity["device"] = about.dev().into();
        identity["inode"] = about.ino().into();
        for other in ["file_system", "handle", "born"] {
            identity.as_object_mut().unwrap().remove(other);
        }
        if boot == Boot::New {
            identity["boot_id"] = "the boot before the cut".into();
        }
        fs::write(&path, identity.to_string()).unwrap();
        self.mark_changed("identity.json");
    }
}
