//! The file that saves the progress of an import, and the directory of that file.

use std::fs;
use std::io::ErrorKind as IoKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::process::{Announcement, CloseOnFork, FileKey};
use crate::spool::{open_dir, replace_file, try_lock};

const VERSION: u32 = 1;
/// How long the progress of an import is kept after its end.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3_600);

/// The content of the file, which one commit writes.
#[derive(Serialize, Deserialize)]
pub(super) struct Progress {
    version: u32,
    /// The name of the import.
    import: String,
    /// The segment that this commit publishes.
    pub(super) segment: Option<String>,
    /// When the import ended; wall time in milliseconds.
    pub(super) ended_ms: Option<i64>,
    pub(super) checkpoint: Box<RawValue>,
}

impl Progress {
    pub(super) fn new(
        import: String,
        segment: Option<String>,
        ended_ms: Option<i64>,
        checkpoint: Box<RawValue>,
    ) -> Self {
        Self {
            version: VERSION,
            import,
            segment,
            ended_ms,
            checkpoint,
        }
    }

    pub(super) fn read(dir: &Path) -> Result<Option<Self>> {
        let path = progress_path(dir);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == IoKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(path.display(), e)),
        };
        let unreadable = |why: String| {
            Error::new(
                ErrorKind::Store,
                format!(
                    "{}: {why}; only this file says which events of the import are queued, so the import cannot go on",
                    path.display()
                ),
            )
        };
        let progress: Self = serde_json::from_slice(&text)
            .map_err(|e| unreadable(format!("cannot be read: {e}")))?;
        if progress.version > VERSION {
            return Err(unreadable(format!(
                "has version {}, this library knows {VERSION}; use a newer libmeditopia",
                progress.version
            )));
        }
        Ok(Some(progress))
    }

    pub(super) fn write(&self, dir: &Path) -> Result<()> {
        let text = serde_json::to_vec(self)
            .map_err(|e| Error::new(ErrorKind::Internal, format!("progress: {e}")))?;
        replace_file(&progress_path(dir), &text)
    }
}

fn progress_path(dir: &Path) -> PathBuf {
    dir.join("progress.json")
}

pub(super) fn try_lock_dir(dir: &Path) -> Result<Option<CloseOnFork>> {
    let about = fs::metadata(dir).map_err(|e| Error::io(dir.display(), e))?;
    let announced = Announcement::new(FileKey::Inode((about.dev(), about.ino())))?;
    let handle = announced.opened(open_dir(dir)?);
    Ok(try_lock(&handle, dir.display())?.then_some(handle))
}

/// Removes the progress of imports that ended long ago. A later call removes what cannot be removed
/// now.
pub(super) fn remove_old(above: &Path) {
    let oldest = clock::wall_ms().saturating_sub_unsigned(KEPT.as_millis() as u64);
    for entry in fs::read_dir(above).into_iter().flatten().flatten() {
        let dir = entry.path();
        let is_old = || {
            let last = Progress::read(&dir).ok().flatten();
            last.and_then(|last| last.ended_ms)
                .is_some_and(|ended| ended < oldest)
        };
        // Check before locking, so that a process which continues an import does not find it
        // locked.
        if !is_old() {
            continue;
        }
        let Ok(Some(_lock)) = try_lock_dir(&dir) else {
            continue;
        };
        // The last segment is still here if the process died before it published that segment.
        let is_published = fs::read_dir(&dir).is_ok_and(|entries| entries.count() == 1);
        if is_published && is_old() {
            let _ = fs::remove_file(progress_path(&dir)).and_then(|()| fs::remove_dir(&dir));
        }
    }
}

/// The directory of the import `name`. A hash, because the name may have any length and characters.
pub(super) fn directory_name(name: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
    let hex = digest.as_ref().iter().take(16);
    hex.map(|byte| format!("{byte:02x}")).collect()
}
