//! The file that saves the progress of an import, and the directory of that file.

use std::io::ErrorKind as IoKind;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::process::CloseOnFork;
use crate::spool::{Dir, Safety, try_lock};

const NAME: &str = "progress.json";
const VERSION: u32 = 1;
/// The checkpoint is the importing program's own.
const BYTES_AT_MOST: usize = 16 * 1024 * 1024;
/// So many directories are looked at for old progress at the beginning of an import.
const LOOKED_AT: usize = 10_000;
/// How long the progress of an import is kept after its end.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3_600);

/// The content of the file, which one commit writes.
#[derive(Serialize, Deserialize)]
pub(super) struct Progress {
    version: u32,
    /// The name of the import.
    pub(super) import: String,
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

    pub(super) fn read(dir: &Dir) -> Result<Option<Self>> {
        let text = match dir.read(NAME, BYTES_AT_MOST) {
            Ok(text) => text,
            Err(e) if e.kind() == IoKind::NotFound => return Ok(None),
            Err(e) => return Err(dir.error(NAME, e)),
        };
        let path = dir.path(NAME);
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

    pub(super) fn write(&self, dir: &Dir) -> Result<()> {
        let text = serde_json::to_vec(self)
            .map_err(|e| Error::new(ErrorKind::Internal, format!("progress: {e}")))?;
        if text.len() > BYTES_AT_MOST {
            let what = format!("checkpoint: has more than {BYTES_AT_MOST} bytes; make it shorter");
            return Err(Error::new(ErrorKind::InvalidArgument, what));
        }
        dir.replace(NAME, &text, Safety::Power)
            .map_err(|e| dir.error(NAME, e))
    }
}

/// Locks a directory, which is made if it is missing; `None`: it is locked already.
pub(super) fn try_lock_dir(above: &Dir, name: &str) -> Result<Option<CloseOnFork>> {
    let handle = above
        .ensure_subdir(name)
        .and_then(|_| above.open_dir_to_lock(name))
        .map_err(|e| above.error(name, e))?;
    Ok(try_lock(&handle, above.path(name).display())?.then_some(handle))
}

/// The progress of all imports in `above`, the directory of imports.
pub(super) fn read_all(above: &Dir) -> Result<Vec<Progress>> {
    let mut all = Vec::new();
    let entries = above.entries().into_iter().flatten().flatten();
    for entry in entries.take(LOOKED_AT) {
        // What another process removes meanwhile is no import any more.
        let dir = entry.name().and_then(|name| above.subdir(name).ok());
        if let Some(dir) = dir {
            all.extend(Progress::read(&dir)?);
        }
    }
    Ok(all)
}

/// Removes what the spool remembers of an import. The caller has locked its directory.
pub(super) fn remove(above: &Dir, name: &str) -> Result<()> {
    let dir = above.subdir(name).map_err(|e| above.error(name, e))?;
    match dir.remove(NAME) {
        Err(e) if e.kind() != IoKind::NotFound => Err(dir.error(NAME, e)),
        _ => above.remove_dir(name).map_err(|e| above.error(name, e)),
    }
}

/// Removes the progress of imports that ended long ago. A later call removes what cannot be removed
/// now.
pub(super) fn remove_old(above: &Dir) {
    let oldest = clock::wall_ms().saturating_sub_unsigned(KEPT.as_millis() as u64);
    let entries = above.entries().into_iter().flatten().flatten();
    for entry in entries.take(LOOKED_AT) {
        let Some(name) = entry.name() else {
            continue;
        };
        let Ok(dir) = above.subdir(name) else {
            continue;
        };
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
        let Ok(Some(_lock)) = try_lock_dir(above, name) else {
            continue;
        };
        // The last segment is still here if the process died before it published that segment.
        let is_published = dir
            .entries()
            .is_ok_and(|entries| entries.take(2).count() == 1);
        if is_published && is_old() {
            let _ = dir.remove(NAME).and_then(|_| above.remove_dir(name));
        }
    }
}

/// The directory of the import `name`. A hash, because the name may have any length and characters.
pub(super) fn directory_name(name: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
    let hex = digest.as_ref().iter().take(16);
    hex.map(|byte| format!("{byte:02x}")).collect()
}
