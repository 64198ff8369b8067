//! A lock that is a file of its own (0600): only the spool's user can open it, and so lock it.
//!
//! A program that cleans up may remove such a file, and then a second process could make and lock a new
//! one. So a lock counts only while its file has the name: whoever has locked a file looks whether the name
//! still is that file's, and otherwise begins again; and whoever keeps the lock for long looks again and
//! again ([`LockFile::is_in_place`]).

use std::io::ErrorKind as IoKind;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use super::dir::{Dir, inode_of};
use super::files::try_lock;
use crate::error::{Error, ErrorKind, Result};
use crate::process::CloseOnFork;

/// Each time, something else has the name.
const REPLACED_AT_MOST: usize = 100;
/// How often a lock that is waited for is tried.
const TRY_EVERY: Duration = Duration::from_millis(10);

/// The lock that makes a process the sender.
pub(crate) const SENDER_LOCK: &str = "sender.lock";

/// A file that this process has locked. The lock ends with the value, or with the process.
#[derive(Debug)]
pub(crate) struct LockFile {
    file: CloseOnFork,
    name: &'static str,
}

impl LockFile {
    /// Locks the file with this name, which is made if it is missing; `None`: it is locked already.
    pub(crate) fn try_take(dir: &Dir, name: &'static str) -> Result<Option<Self>> {
        let failed = |e| dir.error(name, e);
        for _ in 0..REPLACED_AT_MOST {
            let file = match dir.open_to_lock(name) {
                Ok(file) => file,
                Err(e) if e.kind() == IoKind::NotFound => {
                    match dir.create(name, OFlags::RDWR) {
                        // It is opened like one that was there, so that no child keeps its lock.
                        Ok(file) => drop(file),
                        Err(e) if e.kind() == IoKind::AlreadyExists => {}
                        Err(e) => return Err(failed(e)),
                    }
                    continue;
                }
                Err(e) => return Err(failed(e)),
            };
            let is_locked = try_lock(&file, dir.path(name).display())?;
            // Another descriptor of the file has not got the lock.
            file.take_position();
            let lock = Self { file, name };
            // Only now: before it was locked, its last owner may have been replaced.
            if lock.is_in_place(dir) {
                return Ok(is_locked.then_some(lock));
            }
        }
        Err(failed(rustix::io::Errno::AGAIN.into()))
    }

    /// The same, but waits for another process that has it, at most `timeout`.
    ///
    /// Error: [`ErrorKind::Timeout`], which says which process has it.
    pub(crate) fn wait_for(dir: &Dir, name: &'static str, timeout: Duration) -> Result<Self> {
        let begun = Instant::now();
        loop {
            if let Some(lock) = Self::try_take(dir, name)? {
                return Ok(lock);
            }
            if begun.elapsed() >= timeout {
                let holder = match holder_of(dir, name) {
                    Some(pid) => format!("pid {pid}"),
                    None => "another process".to_owned(),
                };
                return Err(Error::new(
                    ErrorKind::Timeout,
                    format!(
                        "{}: {holder} has had this lock for more than {} s; see why it does not go on, or end it",
                        dir.path(name).display(),
                        timeout.as_secs()
                    ),
                ));
            }
            std::thread::sleep(TRY_EVERY);
        }
    }

    /// Whether the file still has its name, and the descriptor still is the one that was locked: otherwise
    /// another process may have taken the lock.
    pub(crate) fn is_in_place(&self, dir: &Dir) -> bool {
        let inode = self.file.check().ok().and_then(|()| self.file.inode());
        inode.is_some_and(|inode| dir.is_named(self.name, inode))
    }

    #[cfg(test)]
    pub(crate) fn descriptor(&self) -> std::os::fd::RawFd {
        std::os::fd::AsRawFd::as_raw_fd(&*self.file)
    }

    /// Takes the lock anew in the place of one that is not in place any more; `false`: another process has it.
    pub(crate) fn take_again(&mut self, dir: &Dir) -> Result<bool> {
        let is_ours = self.file.check().is_ok();
        let Some(fresh) = Self::try_take(dir, self.name)? else {
            return Ok(false);
        };
        let before = std::mem::replace(self, fresh);
        if !is_ours {
            before.file.forget();
        }
        Ok(true)
    }
}

/// The process that has the lock of a file, as far as the kernel shows it.
pub(crate) fn holder_of(dir: &Dir, name: &str) -> Option<u32> {
    let about = dir.about(name).ok()?;
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    holder_in(&locks, inode_of(&about), 0)
}

/// The process that has the `flock` of a file, in `locks`, as `/proc/locks` has them. Some file systems name
/// another device there than everywhere else: then it is the lock of the process `likely`, if that is one.
pub(crate) fn holder_in(locks: &str, file: (u64, u64), likely: u32) -> Option<u32> {
    let device = format!(
        "{:02x}:{:02x}",
        rustix::fs::major(file.0),
        rustix::fs::minor(file.0)
    );
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, "WRITE", holder, at, ..] = words[..] else {
            return None;
        };
        let (on, inode) = at.rsplit_once(':')?;
        // A process of another pid namespace has no number here.
        let holder = holder.parse().unwrap_or(0);
        let is_it = inode.parse() == Ok(file.1) && (on == device || holder == likely);
        is_it.then_some(holder)
    })
}

#[cfg(test)]
mod tests;
