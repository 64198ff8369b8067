//! Images of disks as real files, one after the other in one directory.
//!
//! Only what differs from the image before is written: most of it is synced and stays the same.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::disk::{Disk, Image, Node};
use super::recording::Inode;

/// A directory in memory that holds one image at a time.
pub struct Bench {
    root: tempfile::TempDir,
    /// The spool, as a path below the recorded directory.
    spool: PathBuf,
    placed: HashMap<PathBuf, Placed>,
}

/// A file that stands there: these synced bytes, but for a range.
struct Placed {
    inode: Inode,
    version: u64,
    unsynced: Range<u64>,
}

/// Whether the host was started anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boot {
    Same,
    New,
}

impl Bench {
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

    /// Puts `image` there, and nothing else.
    pub fn place(&mut self, disk: &Disk<'_>, image: &Image, boot: Boot) {
        let mut there = HashMap::new();
        for (path, node) in image {
            there.insert(path.as_path(), ());
            let target = self.root.path().join(path);
            match node {
                Node::Directory if target.is_dir() => {}
                Node::Directory => {
                    fs::DirBuilder::new().mode(0o700).create(&target).unwrap();
                }
                // A dead one: whoever opens the spool makes a new one in its place.
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
        self.remove_others(self.root.path(), Path::new(""), &there);
        self.placed
            .retain(|path, _| there.contains_key(path.as_path()));
        self.settle(boot);
    }

    fn write(
        &mut self,
        path: &Path,
        inode: Inode,
        version: u64,
        unsynced: Range<u64>,
        bytes: &[u8],
    ) {
        let stale = match self.placed.get(path) {
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
        let (start, end) = (stale.start.min(size), stale.end.min(size));
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

    /// Forgets that a file stands as it was written: the library may have changed it.
    pub fn touched(&mut self, name: &str) {
        let path = self.spool.join(name);
        self.placed.remove(&path);
    }

    fn remove_others(&self, dir: &Path, path: &Path, there: &HashMap<&Path, ()>) {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let path = path.join(entry.file_name());
            let is_dir = entry.file_type().unwrap().is_dir();
            match (there.contains_key(path.as_path()), is_dir) {
                (true, true) => self.remove_others(&entry.path(), &path, there),
                (true, false) => {}
                (false, true) => fs::remove_dir_all(entry.path()).unwrap(),
                (false, false) => fs::remove_file(entry.path()).unwrap(),
            }
        }
    }

    /// Lets the spool know this place, as if it had been here all the time.
    fn settle(&mut self, boot: Boot) {
        let path = self.spool().join("identity.json");
        let Ok(text) = fs::read(&path) else { return };
        let mut identity: serde_json::Value =
            serde_json::from_slice(&text).expect("identity.json is whole, or not there");
        let about = fs::metadata(self.spool()).unwrap();
        identity["device"] = about.dev().into();
        identity["inode"] = about.ino().into();
        if boot == Boot::New {
            identity["boot_id"] = "the boot before the cut".into();
        }
        fs::write(&path, identity.to_string()).unwrap();
        self.touched("identity.json");
    }
}
