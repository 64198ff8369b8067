//! Descriptors that a forked child closes, without more ado.
//!
//! A child has no use for its parent's connections and files, and would keep them open after its
//! parent has closed them. If a thread forks just after a descriptor was opened, the child keeps
//! that one; what holds a lock is a [`CloseOnFork`](super::CloseOnFork), of which no child keeps any.

use std::io;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use super::close_on_fork::Slot;
use super::own_descriptor::OwnDescriptor;
use super::owner::Owner;

/// A file or socket of which a forked child closes its copy at once.
#[derive(Debug)]
pub(crate) struct ClosedInChild<T: AsFd> {
    value: ManuallyDrop<OwnDescriptor<T>>,
    owner: Owner,
    /// `None`: all are taken, and a child keeps its copy.
    slot: Option<&'static Slot>,
}

impl<T: AsFd + AsRawFd + From<OwnedFd>> ClosedInChild<T> {
    /// Takes what was just opened.
    pub(crate) fn new(value: T) -> Self {
        Self::of(OwnDescriptor::new(value))
    }
}

impl<T: AsFd + AsRawFd> ClosedInChild<T> {
    /// Takes what is known to be this library's.
    pub(crate) fn of(value: OwnDescriptor<T>) -> Self {
        Self {
            slot: Slot::register(value.as_raw_fd(), value.id()),
            owner: Owner::current(),
            value: ManuallyDrop::new(value),
        }
    }

    /// Checks that the descriptor still is this file's.
    pub(crate) fn check(&self) -> io::Result<()> {
        self.value.check()
    }

    /// See [`OwnDescriptor::is_as_left`].
    pub(crate) fn is_as_left(&self, size: u64) -> bool {
        self.value.is_as_left(size)
    }
}

impl<T: AsFd> Deref for ClosedInChild<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: AsFd> Drop for ClosedInChild<T> {
    fn drop(&mut self) {
        // In a child it is closed already, and its number may be another file's.
        if self.owner.is_current() {
            if let Some(slot) = self.slot {
                slot.free();
            }
            // SAFETY: dropped once, here; `self` is not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.value) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::tests::in_child;
    use std::fs::File;
    use std::os::fd::RawFd;

    fn is_open(descriptor: RawFd) -> bool {
        // SAFETY: asks about a number.
        unsafe { libc::fcntl(descriptor, libc::F_GETFD) >= 0 }
    }

    #[test]
    fn a_child_closes_its_copy_at_once_and_does_not_close_it_again() {
        let file = ClosedInChild::new(File::open("/").unwrap());
        let number = file.as_raw_fd();
        assert!(in_child(|| {
            let was_closed = !is_open(number);
            // SAFETY: opens the number again, for another file.
            let reused = unsafe { libc::dup2(0, number) } == number;
            // SAFETY: a copy of this process, which its parent's copy does not notice.
            drop(unsafe { std::ptr::read(&file) });
            was_closed && reused && is_open(number)
        }));
        assert!(is_open(number));
        let slot = file.slot;
        drop(file);
        assert!(slot.is_some());
    }

    #[test]
    fn a_child_does_not_close_a_file_of_the_application_that_has_got_the_number() {
        let file = ClosedInChild::new(File::open("/").unwrap());
        let another = File::open("/dev/null").unwrap();
        // SAFETY: closes the file of the library, as applications do that close all descriptors.
        unsafe { libc::dup2(another.as_raw_fd(), file.as_raw_fd()) };
        let number = file.as_raw_fd();
        assert!(in_child(|| is_open(number)));
    }
}
