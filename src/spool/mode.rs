//! Changing the mode of what has a name, without following a link.
//!
//! The call for that came with Linux 6.6, and a plain `chmod` follows a link that has taken the name since it was
//! looked at. So what has the name is opened, only to pass it through, and the mode is set by the descriptor.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::{Errno, Result};

use crate::process::OwnDescriptor;

/// A directory on the way, or a file of which only the mode is changed: it need not be readable.
#[cfg(target_os = "linux")]
pub(super) const PASS: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
pub(super) const PASS: OFlags = OFlags::RDONLY;

/// Sets the mode of what was opened with [`PASS`], for which there is no call but by its path.
pub(super) fn set_mode(passed: &(impl AsFd + AsRawFd), mode: Mode) -> Result<()> {
    let folder = match cfg!(target_os = "linux") {
        true => "/proc/self/fd",
        false => "/dev/fd",
    };
    rustix::fs::chmod(format!("{folder}/{}", passed.as_raw_fd()), mode)
}

/// Sets the mode of what has a name in a directory. Error: [`Errno::LOOP`] if that is a link.
#[cfg(target_os = "linux")]
pub(super) fn set_mode_at(dir: BorrowedFd<'_>, name: &str, mode: Mode) -> Result<()> {
    let open = |access: OFlags| {
        let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(dir, name, flags, Mode::empty())?;
        Ok(OwnDescriptor::new(File::from(opened)))
    };
    let passed = open(PASS)?;
    if FileType::from_raw_mode(rustix::fs::fstat(&*passed)?.st_mode).is_symlink() {
        return Err(Errno::LOOP);
    }
    match set_mode(&*passed, mode) {
        // There is no /proc. What can be read has a call of its own.
        Err(Errno::NOENT) => rustix::fs::fchmod(&*open(OFlags::RDONLY)?, mode),
        set => set,
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn set_mode_at(dir: BorrowedFd<'_>, name: &str, mode: Mode) -> Result<()> {
    rustix::fs::chmodat(dir, name, mode, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
}
