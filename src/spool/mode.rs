//! Changing the mode of what has a name, without following a link.
//!
//! The call for that came with Linux 6.6, and a plain `chmod` follows a link that has taken the name since it was
//! looked at. So what has the name is opened, only to pass it through, and the mode is set by the descriptor.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, Result};

use crate::process::{OwnDescriptor, calls};

/// A directory on the way, or a file of which only the mode is changed: it need not be readable.
#[cfg(target_os = "linux")]
pub(super) const PASS: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
pub(super) const PASS: OFlags = OFlags::RDONLY;

/// Opens what has a name in a directory, neither to read nor to write it, and follows no link.
pub(super) fn open_to_pass(dir: BorrowedFd<'_>, name: &str) -> Result<OwnDescriptor<File>> {
    let flags = PASS | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = calls::openat(dir, name, flags, Mode::empty())?;
    Ok(OwnDescriptor::new(File::from(opened)))
}

/// Sets the mode of what was opened with [`PASS`], for which there is no call but by its path.
pub(super) fn set_mode(passed: &(impl AsFd + AsRawFd), mode: Mode) -> Result<()> {
    // Each thread may have descriptors of its own.
    let folder = match cfg!(target_os = "linux") {
        true => "/proc/thread-self/fd",
        false => "/dev/fd",
    };
    calls::chmod(&format!("{folder}/{}", passed.as_raw_fd()), mode)
}

/// Sets the mode of what was opened with [`open_to_pass`] by this name, and is no link.
pub(super) fn set_mode_at(
    passed: &OwnDescriptor<File>,
    (dir, name): (BorrowedFd<'_>, &str),
    mode: Mode,
) -> Result<()> {
    match set_mode(&**passed, mode) {
        // There is no /proc. What can be read has a call of its own.
        Err(Errno::NOENT) => {
            let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let opened = calls::openat(dir, name, flags, Mode::empty())?;
            let opened = OwnDescriptor::new(File::from(opened));
            match opened.inode() == passed.inode() {
                true => calls::fchmod(&*opened, mode),
                false => Err(Errno::AGAIN),
            }
        }
        set => set,
    }
}
