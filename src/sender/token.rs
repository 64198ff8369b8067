//! The bearer token in use, and the file that it may come from.
//!
//! Read by every request and replaced by anybody at any time, also in a forked child while another
//! thread of the parent held it: hence a lock-free cell.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwapOption;

use crate::config::{BearerToken, TokenSource};
use crate::error::Result;
use crate::sync::lock;

/// The token that requests carry now.
pub(crate) struct Token {
    current: ArcSwapOption<BearerToken>,
    file: Option<PathBuf>,
    /// Which state of the file was read last.
    seen: Mutex<Option<FileState>>,
}

/// Device, inode, size and time of change: enough to see a file replaced or rewritten.
type FileState = (u64, u64, u64, i64, i64);

impl Token {
    /// The token of the configuration. A file is read when it is first needed.
    pub(crate) fn from_source(source: &TokenSource) -> Self {
        let given = match source {
            TokenSource::Given(token) => Some(Arc::new(token.clone())),
            TokenSource::Absent | TokenSource::File(_) => None,
        };
        Self {
            current: ArcSwapOption::new(given),
            file: source.file().map(ToOwned::to_owned),
            seen: Mutex::default(),
        }
    }

    /// A copy for a forked child; takes no lock.
    pub(crate) fn for_child(&self) -> Self {
        Self {
            current: ArcSwapOption::new(self.current.load_full()),
            file: self.file.clone(),
            seen: Mutex::default(),
        }
    }

    /// The token, if there is one.
    pub(super) fn current(&self) -> Option<Arc<BearerToken>> {
        self.current.load_full()
    }

    /// Puts `token` in place; says whether it is another one.
    pub(super) fn replace(&self, token: BearerToken) -> bool {
        let same = self
            .current
            .load()
            .as_ref()
            .is_some_and(|current| current.expose() == token.expose());
        if !same {
            self.current.store(Some(Arc::new(token)));
        }
        !same
    }

    /// Reads the file if it has changed; says whether another token is in place now.
    pub(super) fn follow_file(&self) -> Result<bool> {
        let Some(path) = &self.file else {
            return Ok(false);
        };
        let state = std::fs::metadata(path)
            .ok()
            .map(|about| (about.dev(), about.ino(), about.len(), about.mtime(), about.mtime_nsec()));
        let mut seen = lock(&self.seen);
        if state.is_some() && *seen == state {
            return Ok(false);
        }
        let token = BearerToken::read_file(path)?;
        *seen = state;
        drop(seen);
        Ok(self.replace(token))
    }
}
