//! Descriptors that are written to and closed only while they are this library's.
//!
//! An application may close every descriptor from 3 on, as daemons do, and get the same numbers for
//! files of its own. To write to such a number would write to the application's file, and to close it would
//! close that. So each descriptor is kept with the identity of its file, which is compared before.
//!
//! Device and inode alone are not enough: once a file is removed, a new file of the application may have its
//! inode. Its time of birth is another one.
//!
//! Nor do they tell a descriptor from another one of the same file, which the application has if it copies its
//! spool: it has no lock, and is the application's to close. So a descriptor that is kept for long is
//! moved to a position by chance ([`OwnDescriptor::take_position`]), which nothing else moves.
//!
//! To compare the identity before each append would take half as long as the append. To ask for the position
//! is the fastest system call that there is, so an append asks for that alone.
//!
//! The numbers of standard input, output and error are left to the application, which may have closed them
//! and write to them all the same.

use std::io;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::SeekFrom;
use rustix::io::retry_on_intr;

use super::calls;
use super::random::random_u64;

/// Positions by chance are from here on, and below twice as much.
const POSITIONS_FROM: u64 = 1 << 31;
/// Behind standard input, output and error.
const NUMBERS_FROM: RawFd = 3;

/// Which file a descriptor is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId {
    pub(super) device: u64,
    pub(super) inode: u64,
    /// When it was made, in seconds and nanoseconds; zeros where the file system does not say it.
    pub(super) born: (i64, u32),
}

impl FileId {
    /// Which file is open. Takes one system call, and neither a lock nor memory.
    pub(super) fn of(file: impl AsFd) -> io::Result<Self> {
        Ok(About::of(file)?.id)
    }

    /// Device and inode.
    pub(crate) fn inode(self) -> (u64, u64) {
        (self.device, self.inode)
    }
}

/// Which file is open, and what others can change about it.
struct About {
    id: FileId,
    size: u64,
    links: u64,
}

impl About {
    fn of(file: impl AsFd) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{AtFlags, StatxFlags, makedev, statx};
            // Not the times of changes: who has asked for one makes the next write note a finer one.
            let wanted = StatxFlags::INO | StatxFlags::BTIME | StatxFlags::SIZE | StatxFlags::NLINK;
            match retry_on_intr(|| statx(&file, c"", AtFlags::EMPTY_PATH, wanted)) {
                Ok(about) => {
                    let is_known = about.stx_mask & StatxFlags::BTIME.bits() != 0;
                    let born = (about.stx_btime.tv_sec, about.stx_btime.tv_nsec);
                    return Ok(Self {
                        id: FileId {
                            device: makedev(about.stx_dev_major, about.stx_dev_minor),
                            inode: about.stx_ino,
                            born: if is_known { born } else { (0, 0) },
                        },
                        size: about.stx_size,
                        links: about.stx_nlink.into(),
                    });
                }
                Err(e @ rustix::io::Errno::BADF) => return Err(e.into()),
                // An old kernel, or a sandbox that does not know the call.
                Err(_) => {}
            }
        }
        let about = calls::fstat(file)?;
        Ok(Self {
            id: FileId {
                device: about.st_dev,
                inode: about.st_ino,
                born: (0, 0),
            },
            size: about.st_size.cast_unsigned(),
            links: about.st_nlink,
        })
    }
}

/// Whether a descriptor is at this position, which was taken; 0: none was.
pub(super) fn is_at(file: impl AsFd, position: u64) -> bool {
    position == 0 || retry_on_intr(|| rustix::fs::tell(&file)) == Ok(position)
}

/// Leaves the numbers of the standard streams free, if there is another one.
fn behind_standard_streams<T: AsFd + From<OwnedFd>>(file: T) -> T {
    if file.as_fd().as_raw_fd() >= NUMBERS_FROM {
        return file;
    }
    match rustix::io::fcntl_dupfd_cloexec(&file, NUMBERS_FROM) {
        Ok(behind) => T::from(behind),
        Err(_) => file,
    }
}

/// A file or a socket. Dropping it closes its descriptor, unless that is another file's by then.
#[derive(Debug)]
pub(crate) struct OwnDescriptor<T: AsFd> {
    file: ManuallyDrop<T>,
    id: Option<FileId>,
    /// Where [`take_position`](Self::take_position) has moved it to; 0: nowhere.
    position: AtomicU64,
}

impl<T: AsFd + From<OwnedFd>> OwnDescriptor<T> {
    /// Takes a file that was just opened.
    pub(crate) fn new(file: T) -> Self {
        let file = behind_standard_streams(file);
        Self {
            id: FileId::of(&file).ok(),
            file: ManuallyDrop::new(file),
            position: AtomicU64::new(0),
        }
    }
}

impl<T: AsFd> OwnDescriptor<T> {
    /// Which file it was opened as; `None`: its descriptor was closed in the same moment.
    pub(crate) fn id(&self) -> Option<FileId> {
        self.id
    }

    /// Device and inode that it was opened with.
    pub(crate) fn inode(&self) -> Option<(u64, u64)> {
        self.id.map(FileId::inode)
    }

    /// Checks that the descriptor still is this file's.
    pub(crate) fn check(&self) -> io::Result<()> {
        let now = FileId::of(&*self.file)?;
        let position = self.position.load(Ordering::Relaxed);
        match self.id == Some(now) && is_at(&*self.file, position) {
            true => Ok(()),
            false => Err(io::Error::other(
                "its descriptor was closed by the application, and is another file's now",
            )),
        }
    }

    /// Whether the descriptor still is this file's, and the file still has a name and this size: nobody has
    /// removed, replaced or cut it.
    pub(crate) fn is_as_left(&self, size: u64) -> bool {
        About::of(&*self.file)
            .is_ok_and(|about| self.id == Some(about.id) && about.size == size && about.links > 0)
    }

    /// Moves the descriptor to a position by chance, which from then on is neither used nor changed. Returns
    /// it; 0: that is not possible.
    pub(crate) fn take_position(&self) -> u64 {
        // The largest files that all file systems know have 4 GiB. No file of an application is by chance
        // at such a position.
        let at = POSITIONS_FROM + random_u64() % POSITIONS_FROM;
        let moved = calls::seek(&*self.file, SeekFrom::Start(at));
        let position = if moved == Ok(at) { at } else { 0 };
        self.position.store(position, Ordering::Relaxed);
        position
    }

    /// Returns to the position, after the caller has moved a descriptor that is its own.
    pub(crate) fn return_to_position(&self) {
        let position = self.position.load(Ordering::Relaxed);
        if position != 0 {
            // If it fails, the next check does.
            let _ = calls::seek(&*self.file, SeekFrom::Start(position));
        }
    }

    /// Whether the descriptor still is the one that has taken this position.
    pub(crate) fn is_in_position(&self) -> bool {
        match self.position.load(Ordering::Relaxed) {
            0 => self.check().is_ok(),
            position => is_at(&*self.file, position),
        }
    }

    /// Forgets a descriptor that is known to be another file's, or nobody's.
    pub(crate) fn forget(self) {
        std::mem::forget(self);
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::tests::in_child;
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    #[test]
    fn a_file_of_the_application_that_has_number_and_inode_of_a_removed_one_is_not_closed() {
        let mut file = OwnDescriptor::new(File::open("/dev/null").unwrap());
        let number = file.as_raw_fd();
        assert!(file.check().is_ok());
        let Some(id) = &mut file.id else {
            panic!("it is open");
        };
        if id.born == (0, 0) {
            eprintln!("not tested: /dev does not say when its files were made");
            return;
        }
        // A file system gives the inode of a removed file to a new one.
        id.born.1 ^= 1;
        assert!(file.check().is_err());
        assert!(in_child(|| {
            // SAFETY: a copy of this process, which its parent's copy does not notice.
            drop(unsafe { std::ptr::read(&file) });
            // SAFETY: asks about a number.
            unsafe { libc::fcntl(number, libc::F_GETFD) >= 0 }
        }));
    }

    #[test]
    fn a_descriptor_in_its_position_is_known_until_another_one_has_its_number() {
        let dir = tempfile::tempdir().unwrap();
        let create = |name: &str| File::create_new(dir.path().join(name)).unwrap();
        let (other, file) = (create("other"), OwnDescriptor::new(create("file")));
        file.take_position();
        assert!(file.is_in_position());
        // What is written elsewhere does not move it.
        file.write_all_at(b"text", 0).unwrap();
        assert!(file.is_in_position());
        // SAFETY: puts a file of the application in the place of the library's.
        assert!(unsafe { libc::dup2(other.as_raw_fd(), file.as_raw_fd()) } >= 0);
        assert!(!file.is_in_position());
        // It is another file, and so it is not closed by `drop`.
        let number = file.as_raw_fd();
        drop(file);
        // SAFETY: closes what this test has put there.
        assert_eq!(unsafe { libc::close(number) }, 0);
    }

    #[test]
    fn a_file_that_was_cut_removed_or_replaced_is_not_as_it_was_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let written = |name: &str, text: &str| {
            std::fs::write(path(name), text).unwrap();
            OwnDescriptor::new(File::open(path(name)).unwrap())
        };
        let file = written("cut", "four");
        assert!(file.is_as_left(4) && !file.is_as_left(5));
        std::fs::write(path("cut"), "").unwrap();
        assert!(!file.is_as_left(4));
        let file = written("removed", "four");
        std::fs::remove_file(path("removed")).unwrap();
        assert!(!file.is_as_left(4));
        let file = written("replaced", "four");
        std::fs::write(path("other"), "four").unwrap();
        std::fs::rename(path("other"), path("replaced")).unwrap();
        assert!(!file.is_as_left(4));
    }
}
