//! A spool in use does not look old. Programs that clean up remove files that nobody has changed for days: the
//! identity first, and what waits while delivery is paused.
//!
//! So the sender gives all files a new time once an hour, and writes `identity.json` again if it is gone. A
//! spool without a sender is protected by a line in `tmpfiles.d` (`docs/operating.md`).

use std::io::{self, ErrorKind as IoKind};

use rustix::fs::{FileType, Stat};

use super::dir::Dir;
use super::identity::{NAME, restore_identity};
use super::open::Spool;
use crate::clock;
use crate::error::Result;

const YOUNG_S: i64 = 3600;
/// What is in it the sender removes itself, by its age.
const COMMANDS: &str = "commands";
/// How deep a spool is.
const DEEPEST: usize = 4;

impl Spool {
    /// Keeps the files young, unless that was done within an hour; says whether `identity.json` was gone and
    /// is there again.
    pub(crate) fn keep_young(&self) -> Result<bool> {
        let dir = self.held_dir()?;
        let restored = match dir.about(NAME) {
            Ok(about) if is_young(&about) => return Ok(false),
            Ok(_) => false,
            Err(e) if e.kind() == IoKind::NotFound => match &self.identity {
                Some(identity) => restore_identity(&dir, identity)?,
                None => false,
            },
            Err(e) => return Err(dir.error(NAME, e)),
        };
        touch_below(&dir, DEEPEST).map_err(|e| dir.own_error(e))?;
        // At last, because its time says when all this was done.
        dir.touch(NAME).map_err(|e| dir.error(NAME, e))?;
        Ok(restored)
    }
}

/// Whatever way the clock was set meanwhile.
fn is_young(about: &Stat) -> bool {
    let age_s = clock::wall_ms() / 1000 - about.st_mtime;
    age_s.abs() < YOUNG_S
}

/// What goes meanwhile, or is another user's, is left alone.
fn touch_below(dir: &Dir, depth: usize) -> io::Result<()> {
    for entry in dir.entries()? {
        let entry = entry?;
        let Some(name) = entry.name().filter(|name| ![NAME, COMMANDS].contains(name)) else {
            continue;
        };
        let Ok(about) = dir.about(name) else {
            continue;
        };
        if FileType::from_raw_mode(about.st_mode).is_dir()
            && depth > 0
            && let Ok(below) = dir.subdir(name)
        {
            touch_below(&below, depth - 1)?;
        }
        let _ = dir.touch(name);
    }
    Ok(())
}
