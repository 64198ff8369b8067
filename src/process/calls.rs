//! System calls on files that a signal of the application does not end.
//!
//! A handler that was installed without `SA_RESTART` ends a call that waits, and on a file system in user
//! space, such as a container's shared folder, each of these may wait. The standard library repeats its own
//! calls, except those that ask about a file.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FallocateFlags, FlockOperation, Gid, Mode, OFlags, RenameFlags, SeekFrom, Stat,
    StatFs, StatVfs, Timestamps,
};
use rustix::io::{Result, retry_on_intr};

/// A call of the standard library that asks about a file.
pub(crate) fn again<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

pub(crate) fn openat(
    dir: impl AsFd,
    name: impl AsRef<OsStr>,
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd> {
    #[inline(never)]
    fn open(dir: BorrowedFd<'_>, name: &OsStr, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
        retry_on_intr(|| rustix::fs::openat(dir, name, flags, mode))
    }
    open(dir.as_fd(), name.as_ref(), flags, mode)
}

pub(crate) fn fstat(file: impl AsFd) -> Result<Stat> {
    #[inline(never)]
    fn about(file: BorrowedFd<'_>) -> Result<Stat> {
        retry_on_intr(|| rustix::fs::fstat(file))
    }
    about(file.as_fd())
}

#[inline(never)]
pub(crate) fn statat(dir: BorrowedFd<'_>, name: &str, flags: AtFlags) -> Result<Stat> {
    retry_on_intr(|| rustix::fs::statat(dir, name, flags))
}

pub(crate) fn mkdirat(dir: impl AsFd, name: impl AsRef<OsStr>, mode: Mode) -> Result<()> {
    let (dir, name) = (dir.as_fd(), name.as_ref());
    retry_on_intr(|| rustix::fs::mkdirat(dir, name, mode))
}

#[inline(never)]
pub(crate) fn unlinkat(dir: BorrowedFd<'_>, name: &str, flags: AtFlags) -> Result<()> {
    retry_on_intr(|| rustix::fs::unlinkat(dir, name, flags))
}

#[inline(never)]
pub(crate) fn renameat(
    (dir, name): (BorrowedFd<'_>, &str),
    (to, new): (BorrowedFd<'_>, &str),
    flags: RenameFlags,
) -> Result<()> {
    retry_on_intr(|| match flags.is_empty() {
        true => rustix::fs::renameat(dir, name, to, new),
        false => rustix::fs::renameat_with(dir, name, to, new, flags),
    })
}

#[inline(never)]
pub(crate) fn utimensat(dir: BorrowedFd<'_>, name: &str, times: &Timestamps) -> Result<()> {
    retry_on_intr(|| rustix::fs::utimensat(dir, name, times, AtFlags::SYMLINK_NOFOLLOW))
}

pub(crate) fn readlink(link: impl AsFd) -> Result<std::ffi::CString> {
    let link = link.as_fd();
    retry_on_intr(|| rustix::fs::readlinkat(link, "", Vec::new()))
}

pub(crate) fn fchmod(file: impl AsFd, mode: Mode) -> Result<()> {
    let file = file.as_fd();
    retry_on_intr(|| rustix::fs::fchmod(file, mode))
}

#[inline(never)]
pub(crate) fn chmod(path: &str, mode: Mode) -> Result<()> {
    retry_on_intr(|| rustix::fs::chmod(path, mode))
}

/// Gives what is open, perhaps only to pass it, to a group.
pub(crate) fn set_group(file: impl AsFd, group: Gid) -> Result<()> {
    let file = file.as_fd();
    retry_on_intr(|| rustix::fs::chownat(file, "", None, Some(group), AtFlags::EMPTY_PATH))
}

pub(crate) fn fstatfs(file: impl AsFd) -> Result<StatFs> {
    let file = file.as_fd();
    retry_on_intr(|| rustix::fs::fstatfs(file))
}

pub(crate) fn fstatvfs(file: impl AsFd) -> Result<StatVfs> {
    let file = file.as_fd();
    retry_on_intr(|| rustix::fs::fstatvfs(file))
}

pub(crate) fn fallocate(
    file: impl AsFd,
    mode: FallocateFlags,
    from: u64,
    length: u64,
) -> Result<()> {
    let file = file.as_fd();
    retry_on_intr(|| rustix::fs::fallocate(file, mode, from, length))
}

pub(crate) fn flock(file: impl AsFd, operation: FlockOperation) -> Result<()> {
    let file = file.as_fd();
    retry_on_intr(|| rustix::fs::flock(file, operation))
}

pub(crate) fn seek(file: impl AsFd, to: SeekFrom) -> Result<u64> {
    let file = file.as_fd();
    retry_on_intr(|| rustix::fs::seek(file, to))
}
