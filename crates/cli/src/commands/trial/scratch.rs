//! A private directory for the spool of a trial, removed at the end.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::failure::{FAILED, Failure};

/// How many names are tried: another program may have taken one.
const NAMES: u32 = 100;

/// A directory that only this user can enter.
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes one below TMPDIR, or below /tmp.
    pub fn create() -> Result<Self, Failure> {
        let parent = std::env::temp_dir();
        let pid = std::process::id();
        let failed = |cause: std::io::Error| {
            let place = parent.display();
            let message = format!(
                "cannot make a directory in {place}: {cause}; let TMPDIR name a directory on a local disk that you can write to"
            );
            Failure::new(FAILED, message)
        };
        let mut number = 0;
        loop {
            let path = parent.join(format!("meditopia-try-{pid}-{number}"));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(e) if e.kind() == ErrorKind::AlreadyExists && number < NAMES => number += 1,
                Err(e) => return Err(failed(e)),
            }
        }
    }

    /// Where the spool is to be made.
    pub fn spool(&self) -> PathBuf {
        self.path.join("spool")
    }

    /// Removes it with all that is in it.
    pub fn remove(self) -> Result<(), Failure> {
        remove(&self.path).map_err(|cause| {
            let path = self.path.display();
            Failure::new(FAILED, format!("{path}: {cause}; remove it by hand"))
        })
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(path) {
        // Somebody was faster.
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
