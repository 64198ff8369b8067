//! Descriptors that a forked child closes at once.
//!
//! Locks taken with `flock` live until their last descriptor is closed, so a child that only sleeps
//! would keep its dead parent's locks. [`ForkClosed`] descriptors are closed in the child by the one
//! `pthread_atfork` handler that this library installs; that handler does nothing else.

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use rustix::fs::FlockOperation;

use super::process::Owner;
use crate::error::{Error, Result};

/// How many descriptors can be open for closing at fork: a few for each open spool.
const FORK_CLOSED_MAX: usize = 1024;
const FREE: i32 = -1;
static FORK_CLOSED: [AtomicI32; FORK_CLOSED_MAX] =
    [const { AtomicI32::new(FREE) }; FORK_CLOSED_MAX];

/// A file that a forked child closes at once, so that its `flock` dies with the process that took it.
/// Dropping it gives the lock up, whoever else has a copy.
#[derive(Debug)]
pub(crate) struct ForkClosed {
    file: ManuallyDrop<File>,
    owner: Owner,
    slot: usize,
}

impl ForkClosed {
    /// Registers `file`. Call it before taking a lock on it.
    pub(crate) fn new(file: File) -> Result<Self> {
        install_fork_handler().map_err(|e| Error::io("pthread_atfork", e))?;
        let fd = file.as_raw_fd();
        let slot = FORK_CLOSED.iter().position(|slot| {
            slot.compare_exchange(FREE, fd, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
        });
        match slot {
            Some(slot) => Ok(Self {
                file: ManuallyDrop::new(file),
                owner: Owner::current(),
                slot,
            }),
            None => Err(Error::io(
                "more spools open than this library can watch over at fork",
                io::Error::from_raw_os_error(libc::EMFILE),
            )),
        }
    }
}

impl Deref for ForkClosed {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

impl Drop for ForkClosed {
    fn drop(&mut self) {
        // In a child the handler has closed it already; the number may be somebody else's by now.
        if self.owner.is_current() {
            // A child that is between fork and exec may hold a copy: the lock must not wait for it.
            let _ = rustix::fs::flock(&*self.file, FlockOperation::Unlock);
            FORK_CLOSED[self.slot].store(FREE, Ordering::Release);
            // SAFETY: dropped once, here; `self` is not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.file) }
        }
    }
}

fn install_fork_handler() -> io::Result<()> {
    static INSTALLED: AtomicBool = AtomicBool::new(false);
    if INSTALLED.swap(true, Ordering::AcqRel) {
        return Ok(());
    }
    // SAFETY: the handler below only closes descriptors, which is safe after a fork, and it stays
    // mapped: the library is linked with `-z nodelete`.
    match unsafe { libc::pthread_atfork(None, None, Some(close_inherited)) } {
        0 => Ok(()),
        code => {
            INSTALLED.store(false, Ordering::Release);
            Err(io::Error::from_raw_os_error(code))
        }
    }
}

extern "C" fn close_inherited() {
    for slot in &FORK_CLOSED {
        let fd: RawFd = slot.swap(FREE, Ordering::Relaxed);
        if fd != FREE {
            // SAFETY: the descriptor was registered by its owner, whose copy in this process is
            // never used or dropped again (`ForkClosed::drop` compares the owner).
            unsafe { libc::close(fd) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::flock;
    use std::io::{Read, Write};

    #[test]
    fn a_lock_of_a_parent_that_has_ended_is_not_kept_by_an_idle_child() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let locked = ForkClosed::new(file.reopen().unwrap()).unwrap();
        flock(&*locked, FlockOperation::NonBlockingLockExclusive).unwrap();
        // The child lives on while the parent closes its descriptor.
        let (mut ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        // SAFETY: the child only writes to and reads from a socket, and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            drop(ours);
            let _ = theirs.write_all(&[1]);
            let _ = theirs.read(&mut [0]);
            // SAFETY: ends the child.
            unsafe { libc::_exit(0) }
        }
        drop(theirs);
        ours.read_exact(&mut [0]).unwrap();
        drop(locked);
        let again = file.reopen().unwrap();
        let free = flock(&again, FlockOperation::NonBlockingLockExclusive);
        ours.write_all(&[1]).unwrap();
        // SAFETY: waits for the child made above.
        unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
        assert_eq!(free, Ok(()), "the idle child still holds the lock");
    }
}
