//! Descriptors that are closed only while they are this library's.
//!
//! An application may close every descriptor from 3 on, as daemons do, and get the same numbers for
//! files of its own. To close such a number would close the application's file.

use std::io;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::os::fd::AsFd;

/// Device and inode: which file a descriptor is of.
type Inode = (u64, u64);

/// A file or a socket. Dropping it closes its descriptor, unless that is another file's by then.
#[derive(Debug)]
pub(crate) struct OwnDescriptor<T: AsFd> {
    file: ManuallyDrop<T>,
    inode: Option<Inode>,
}

impl<T: AsFd> OwnDescriptor<T> {
    /// Takes a file that was just opened.
    pub(crate) fn new(file: T) -> Self {
        Self {
            inode: inode_of(&file).ok(),
            file: ManuallyDrop::new(file),
        }
    }

    /// Which file it was opened as.
    pub(crate) fn inode(&self) -> Option<Inode> {
        self.inode
    }

    /// Checks that the descriptor still is this file's.
    pub(crate) fn check(&self) -> io::Result<()> {
        let now = inode_of(&*self.file)?;
        match self.inode == Some(now) {
            true => Ok(()),
            false => Err(io::Error::other(
                "its descriptor was closed by the application, and is another file's now",
            )),
        }
    }
}

fn inode_of(file: &impl AsFd) -> io::Result<Inode> {
    let about = rustix::fs::fstat(file)?;
    Ok((about.st_dev, about.st_ino))
}

impl<T: AsFd> Drop for OwnDescriptor<T> {
    fn drop(&mut self) {
        if self.check().is_ok() {
            // SAFETY: dropped once, here; `self` is not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.file) }
        }
    }
}

impl<T: AsFd> Deref for OwnDescriptor<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.file
    }
}

impl<T: AsFd> DerefMut for OwnDescriptor<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.file
    }
}
