//! The way to a spool: its path is resolved once, one component after another.
//!
//! A symbolic link on the way is followed only if nobody else may have put it there, because whoever
//! swaps a link decides where this process works:
//!
//! - Root works in other users' directories. For root, a directory that is not root's, or that others may
//!   write to, ends the part of the path in which links are followed. In a directory with the sticky bit
//!   others may not replace what is root's, so there a link of root's counts.
//! - Any other user follows a link in a directory to which only its owner may write. Where others may
//!   write, the link has to be this user's, root's or the directory's owner's: as `protected_symlinks` of
//!   the kernel has it.
//!
//! So the links of deployment tools work, and two users who share a directory cannot lead each other.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::mode::{PASS, set_mode};
use super::rights::Sharing;
use crate::error::{Error, ErrorKind};
use crate::process::calls;

/// As the kernel has it.
const LINKS_AT_MOST: usize = 40;

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);

/// What to do where a directory is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// It is an error.
    Fail,
    /// It is created, for these.
    Create(Sharing),
}

/// Opens the directory at `path`.
pub(super) fn open_directory(path: &Path, missing: Missing) -> io::Result<File> {
    let us = us();
    let mut left = path_components(path);
    let mut links = 0;
    let mut at = begin(path, left.is_empty())?;
    let mut is_trusted = is_safe(&calls::fstat(&at)?);
    while let Some(name) = left.pop_front() {
        let access = if left.is_empty() {
            OFlags::RDONLY
        } else {
            PASS
        };
        let flags = access | OFlags::NOFOLLOW | DIRECTORY;
        match calls::openat(&at, &*name, flags, Mode::empty()) {
            Ok(next) => {
                is_trusted = is_trusted && is_safe(&calls::fstat(&next)?);
                at = next;
                continue;
            }
            Err(e @ Errno::NOENT) => match missing {
                Missing::Create(sharing) => create(&at, &name, sharing)?,
                Missing::Fail => return Err(e.into()),
            },
            Err(Errno::NOTDIR | Errno::LOOP) => {
                if let Some(target) = read_link(&at, &name, path, us, is_trusted)? {
                    if target.is_absolute() {
                        at = begin(&target, false)?;
                        is_trusted = is_safe(&calls::fstat(&at)?);
                    }
                    let behind = std::mem::replace(&mut left, path_components(&target));
                    left.extend(behind);
                    links += 1;
                    if left.is_empty() {
                        return Ok(File::from(open_to_read(&at)?));
                    }
                    if links > LINKS_AT_MOST {
                        return Err(Errno::LOOP.into());
                    }
                    continue;
                }
            }
            Err(e) => return Err(e.into()),
        }
        // It is a directory now: created here, or put there by another process.
        links += 1;
        if links > LINKS_AT_MOST {
            return Err(Errno::LOOP.into());
        }
        left.push_front(name);
    }
    Ok(File::from(at))
}

/// Creates a directory with all its rights, whatever the umask is.
fn create(at: &OwnedFd, name: &OsStr, sharing: Sharing) -> io::Result<()> {
    let mode = sharing.dir_mode();
    match calls::mkdirat(at, name, mode) {
        Ok(()) => {}
        Err(Errno::EXIST) => return Ok(()),
        Err(e) => return Err(e.into()),
    }
    // Others may put a link there, so what is changed is what is open. It may lack even the right to be read.
    let flags = PASS | OFlags::NOFOLLOW | DIRECTORY;
    let made = calls::openat(at, name, flags, Mode::empty())?;
    let about = calls::fstat(&made)?;
    if about.st_mode & 0o7777 == mode.as_raw_mode() || about.st_uid != us() {
        return Ok(());
    }
    match set_mode(&made, mode) {
        // It has only more, such as a setgid bit from the directory above it.
        Err(_) if Mode::from_raw_mode(about.st_mode).contains(mode) => Ok(()),
        changed => Ok(changed?),
    }
}

fn us() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Opens a directory to read it that was only passed through.
fn open_to_read(passed: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    calls::openat(passed, ".", OFlags::RDONLY | DIRECTORY, Mode::empty())
}

/// Where the way to `path` begins.
fn begin(path: &Path, is_end: bool) -> io::Result<OwnedFd> {
    let start = if path.is_absolute() { "/" } else { "." };
    let access = if is_end { OFlags::RDONLY } else { PASS };
    Ok(calls::openat(
        CWD,
        start,
        access | DIRECTORY,
        Mode::empty(),
    )?)
}

/// The steps of a path, without the root or `.` that it begins with.
pub fn path_components(path: &Path) -> VecDeque<OsString> {
    let steps = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    });
    steps.collect()
}

/// Where a link leads, if it may be followed; `None`: it is a directory by now.
///
/// The link is opened, so what is judged is what is read.
fn read_link(
    at: &OwnedFd,
    name: &OsStr,
    path: &Path,
    us: u32,
    is_trusted: bool,
) -> io::Result<Option<PathBuf>> {
    let flags = PASS | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let link = calls::openat(at, name, flags, Mode::empty())?;
    let about = calls::fstat(&link)?;
    match FileType::from_raw_mode(about.st_mode) {
        FileType::Symlink => {}
        FileType::Directory => return Ok(None),
        _ => return Err(Errno::NOTDIR.into()),
    }
    if !may_follow(&about, &calls::fstat(at)?, us, is_trusted) {
        return Err(io::Error::other(Error::new(
            ErrorKind::SpoolMismatch,
            format!(
                "spool {}: {:?} on the way is a symbolic link in a directory that others may write to, so it is not followed; name the directory that it leads to",
                path.display(),
                name.to_string_lossy()
            ),
        )));
    }
    let target = calls::readlink(&link)?;
    Ok(Some(PathBuf::from(OsString::from_vec(target.into_bytes()))))
}

/// Whether user `us` follows a link in the directory `dir`. `is_trusted`: no directory on the way is
/// another user's than root's, and nobody else may replace what is in it.
fn may_follow(link: &Stat, dir: &Stat, us: u32, is_trusted: bool) -> bool {
    let only_owner_writes = dir.st_mode & 0o022 == 0;
    match us {
        0 => is_trusted && (only_owner_writes || link.st_uid == 0),
        _ => only_owner_writes || [us, 0, dir.st_uid].contains(&link.st_uid),
    }
}

/// Whether only root may replace what is root's in this directory.
fn is_safe(dir: &Stat) -> bool {
    const STICKY: u32 = 0o1000;
    dir.st_uid == 0 && (dir.st_mode & 0o022 == 0 || dir.st_mode & STICKY != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn about(mode: u32, uid: u32) -> Stat {
        let mut about = rustix::fs::stat("/").unwrap();
        (about.st_mode, about.st_uid) = (mode, uid);
        about
    }

    #[test]
    fn a_link_is_followed_only_where_no_other_user_may_have_put_it() {
        let link = |uid| about(0o120_777, uid);
        let (own, shared, sticky) = (0o40_755, 0o40_777, 0o41_777);
        // Link's owner, directory's mode and owner, user, whether the way is trusted, followed.
        let cases = [
            (1000, own, 1000, 1000, false, true),
            // A deployment tool's.
            (2000, own, 2000, 1000, false, true),
            (2000, shared, 0, 1000, false, false),
            (1000, shared, 0, 1000, false, true),
            (0, shared, 2000, 1000, false, true),
            (2000, sticky, 0, 1000, false, false),
            (0, own, 0, 0, true, true),
            (0, own, 0, 0, false, false),
            (0, sticky, 0, 0, true, true),
            (1000, sticky, 0, 0, true, false),
        ];
        for (owner, mode, dir_owner, us, is_trusted, followed) in cases {
            let (link, dir) = (link(owner), about(mode, dir_owner));
            let said = may_follow(&link, &dir, us, is_trusted);
            assert_eq!(
                said, followed,
                "{owner} {mode:o} {dir_owner} {us} {is_trusted}"
            );
        }
        assert!(is_safe(&about(sticky, 0)) && is_safe(&about(own, 0)));
        assert!(!is_safe(&about(shared, 0)) && !is_safe(&about(own, 1000)));
    }

    #[test]
    fn links_and_parents_lead_where_the_kernel_says_and_what_is_missing_is_created() {
        let parent = tempfile::tempdir().unwrap();
        let at = |name: &str| parent.path().join(name);
        let opened = open_directory(&at("a/b/c"), Missing::Create(Sharing::Owner)).unwrap();
        assert!(opened.metadata().unwrap().is_dir());
        symlink("a/b", at("relative")).unwrap();
        symlink(at("a"), at("absolute")).unwrap();
        symlink("circle", at("circle")).unwrap();
        symlink("/", at("root")).unwrap();
        symlink(".", at("a/here")).unwrap();
        std::fs::write(at("file"), "").unwrap();
        let inode = |file: &File| rustix::fs::fstat(file).unwrap().st_ino;
        for same in [
            "relative/c",
            "absolute/b/c",
            "a/../a/./b//c",
            "relative/../b/c/",
            "a/here/here/b/c",
        ] {
            let found = open_directory(&at(same), Missing::Fail).unwrap();
            assert_eq!(inode(&found), inode(&opened), "{same}");
        }
        let above = open_directory(&at("a"), Missing::Fail).unwrap();
        let here = open_directory(&at("a/here"), Missing::Fail).unwrap();
        assert_eq!(inode(&here), inode(&above));
        assert!(open_directory(&at("root"), Missing::Fail).is_ok());
        assert!(open_directory(Path::new("/"), Missing::Fail).is_ok());
        for (bad, errno) in [
            ("circle", Errno::LOOP),
            ("file", Errno::NOTDIR),
            ("x/y", Errno::NOENT),
        ] {
            let failed = open_directory(&at(bad), Missing::Fail).unwrap_err();
            assert_eq!(failed.raw_os_error(), Some(errno.raw_os_error()), "{bad}");
        }
    }
}
