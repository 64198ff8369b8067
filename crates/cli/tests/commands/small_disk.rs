//! Disks that are small, or cannot be written to. Root has to mount them; they are gone with their
//! test.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

pub struct SmallDisk(tempfile::TempDir);

pub fn is_root() -> bool {
    Path::new("/proc/self").metadata().unwrap().uid() == 0
}

impl SmallDisk {
    /// `None`, with a word of it, where this process may not mount.
    pub fn of(mebibytes: u64) -> Option<Self> {
        if !is_root() {
            println!("not tested: only root can mount a small disk");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={mebibytes}m,mode=0700");
        let mut mount = Command::new("mount");
        let mounted = mount
            .args(["-t", "tmpfs", "-o", &size, "none"])
            .arg(dir.path())
            .status();
        assert!(mounted.unwrap().success());
        Some(Self(dir))
    }

    pub fn spool(&self) -> PathBuf {
        self.0.path().join("spool")
    }

    /// Somebody else takes all that is left.
    pub fn stuff(&self) {
        let mut file = File::create(self.0.path().join("ballast")).unwrap();
        let block = [1; 4096];
        while file.write_all(&block).is_ok() {}
    }

    pub fn unstuff(&self) {
        fs::remove_file(self.0.path().join("ballast")).unwrap();
    }
}

/// A directory as a container sees it that may not write to it, whoever else does.
pub struct ReadOnly(tempfile::TempDir);

impl ReadOnly {
    /// `None`, with a word of it, where this process may not mount.
    pub fn view(dir: &Path) -> Option<Self> {
        if !is_root() {
            println!("not tested: only root can mount a directory read-only");
            return None;
        }
        let view = Self(tempfile::tempdir().unwrap());
        let mount = |arguments: &[&str], paths: &[&Path]| {
            let mounted = Command::new("mount").args(arguments).args(paths).status();
            assert!(mounted.unwrap().success());
        };
        mount(&["--bind"], &[dir, view.path()]);
        mount(&["-o", "remount,bind,ro"], &[view.path()]);
        Some(view)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}
