//! Noticing that a file was replaced or rewritten, without reading it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Device, inode, size and time of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileState(u64, u64, u64, i64, i64);

impl FileState {
    /// The state of the file at `path`; `None` where it cannot be looked at.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let about = fs::metadata(path).ok()?;
        Some(Self(
            about.dev(),
            about.ino(),
            about.len(),
            about.mtime(),
            about.mtime_nsec(),
        ))
    }
}
