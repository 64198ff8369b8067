//! The bearer token in use, and the file that it may come from.
//!
//! Read by every request and replaced by anybody at any time, also in a forked child while another
//! thread of the parent held it: hence a lock-free cell.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwapOption;
use rustix::fs::Stat;

use super::{BearerToken, TokenSource};
use crate::error::Result;
use crate::mutex::lock;

/// The token that requests carry now.
pub struct CurrentToken {
    current: ArcSwapOption<BearerToken>,
    /// Grows with each replacement.
    version: AtomicU64,
    /// The tag of the one that this process has seen refused last; 0: none. The token itself would stay in
    /// memory after it was replaced.
    refused: AtomicU64,
    file: Option<PathBuf>,
    /// Which state of the file was read last.
    seen: Mutex<Option<FileState>>,
    /// How many looks at the file were begun, and the last one that has ended.
    looks_begun: AtomicU64,
    looks_ended: AtomicU64,
}

/// The version of no token: what an engine knows that was told of none.
pub(crate) const UNTOLD: u64 = 0;
const FIRST_VERSION: u64 = 1;

impl CurrentToken {
    /// The token of the configuration. A file is read when it is first needed.
    pub fn from_source(source: &TokenSource) -> Self {
        let given = match source {
            TokenSource::Given(token) => Some(Arc::new(token.clone())),
            TokenSource::Absent | TokenSource::File(_) => None,
        };
        Self {
            current: ArcSwapOption::new(given),
            version: AtomicU64::new(FIRST_VERSION),
            refused: AtomicU64::new(0),
            file: source.file().map(ToOwned::to_owned),
            seen: Mutex::default(),
            looks_begun: AtomicU64::new(0),
            looks_ended: AtomicU64::new(0),
        }
    }

    /// A copy for a forked child; takes no lock.
    pub(crate) fn for_child(&self) -> Self {
        Self {
            current: ArcSwapOption::new(self.current.load_full()),
            version: AtomicU64::new(FIRST_VERSION),
            refused: AtomicU64::new(self.refused.load(Ordering::Relaxed)),
            file: self.file.clone(),
            seen: Mutex::default(),
            looks_begun: AtomicU64::new(0),
            looks_ended: AtomicU64::new(0),
        }
    }

    /// The token, if there is one.
    pub fn current(&self) -> Option<Arc<BearerToken>> {
        self.current.load_full()
    }

    /// Another number after each replacement of the token.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Whether `fingerprint` is that of another token than the one that requests carry now.
    pub fn differs_from(&self, fingerprint: Option<&[u8]>) -> bool {
        match (self.current(), fingerprint) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(token), Some(known)) => !token.has_fingerprint(known),
        }
    }

    /// The API has refused the current token.
    pub(crate) fn was_refused(&self) {
        self.refused.store(self.tag(), Ordering::Relaxed);
    }

    /// Whether there is a token, and this process has not just seen it refused.
    pub(crate) fn is_untried(&self) -> bool {
        let tag = self.tag();
        tag != 0 && tag != self.refused.load(Ordering::Relaxed)
    }

    fn tag(&self) -> u64 {
        self.current.load().as_ref().map_or(0, |token| token.tag())
    }

    /// Puts `token` in place; says whether it is another one.
    pub fn replace(&self, token: BearerToken) -> bool {
        let same = self
            .current
            .load()
            .as_ref()
            .is_some_and(|current| current.expose() == token.expose());
        if !same {
            self.current.store(Some(Arc::new(token)));
            self.version.fetch_add(1, Ordering::AcqRel);
        }
        !same
    }

    /// Reads the file if it has changed; says whether another token is in place now.
    ///
    /// Errors: as [`BearerToken::read_file`]; the token that was read before stays in place.
    pub fn follow_file(&self) -> Result<bool> {
        let Some(path) = &self.file else {
            return Ok(false);
        };
        let look = self.looks_begun.fetch_add(1, Ordering::AcqRel) + 1;
        let followed = self.read_if_changed(path);
        self.looks_ended.fetch_max(look, Ordering::AcqRel);
        followed
    }

    /// How many looks at the file were begun.
    pub(crate) fn looks(&self) -> u64 {
        self.looks_begun.load(Ordering::Acquire)
    }

    /// Whether what stood in the file when `looks` were begun is known by now.
    pub(crate) fn is_known_since(&self, looks: u64) -> bool {
        self.file.is_none() || self.looks_ended.load(Ordering::Acquire) > looks
    }

    fn read_if_changed(&self, path: &Path) -> Result<bool> {
        let state = FileState::of(path);
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

/// Device, inode, size and time of change of a file: whether it was replaced or rewritten shows
/// without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileState(u64, u64, u64, i64, i64);

impl FileState {
    /// The state of the file at `path`; `None` where it cannot be looked at.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let about = rustix::fs::stat(path).ok()?;
        Some(Self::from_stat(&about))
    }

    pub(crate) fn from_stat(about: &Stat) -> Self {
        Self(
            about.st_dev,
            about.st_ino,
            about.st_size.cast_unsigned(),
            about.st_mtime,
            about.st_mtime_nsec,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_token_is_dropped_also_if_it_was_refused_and_is_known_again() {
        let token = |text| BearerToken::new(text).unwrap();
        let tokens = CurrentToken::from_source(&TokenSource::Given(token("old")));
        assert!(tokens.is_untried());
        tokens.was_refused();
        assert!(!tokens.is_untried());
        let child = tokens.for_child();
        assert!(!child.is_untried());
        drop(child);
        let old = tokens.current().map(|old| Arc::downgrade(&old)).unwrap();

        assert!(tokens.replace(token("new")));

        assert!(old.upgrade().is_none(), "it stays in memory");
        assert!(tokens.is_untried());
        tokens.replace(token("old"));
        assert!(!tokens.is_untried());
    }
}
