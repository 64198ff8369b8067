//! Descriptors that a forked child closes at once.
//!
//! A lock taken with `flock` lasts until its last descriptor is closed, so a child that only sleeps
//! would keep its dead parent's locks. The one `pthread_atfork` handler that this library installs
//! closes [`CloseOnFork`] files in the child, and does nothing else.
//!
//! Another thread may fork just after a file was opened, when its descriptor is not registered yet.
//! So a thread announces a file before it opens it, with a [`FileKey`] that a child can recognise
//! the file by. A child that finds an announcement searches its descriptors for that file.
//! Announcing takes no system call.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};

use rustix::fs::{FlockOperation, OFlags};
use rustix::io::FdFlags;

use super::calls;
use super::own_descriptor::{FileId, OwnDescriptor, is_at};
use super::owner::Owner;
use crate::error::{Error, Result};

/// How many such files a process can have open: each open spool needs a few.
const MAX_SLOTS: usize = 1024;
static SLOTS: [Slot; MAX_SLOTS] = [const { Slot::new() }; MAX_SLOTS];

/// States of a slot; a positive one is a descriptor, plus one.
const FREE: i32 = 0;
/// A thread is writing its announcement; the file is not open yet.
const CLAIMED: i32 = -1;
const ANNOUNCED_BY_NAME: i32 = -2;
const ANNOUNCED_BY_INODE: i32 = -3;

/// How many descriptors a child tries where it cannot list those that are open.
const MAX_TRIED: RawFd = 65_536;

/// Where one descriptor is registered.
#[derive(Debug)]
pub(super) struct Slot {
    state: AtomicI32,
    /// Device and inode that were announced, or which file the descriptor is of.
    key: [AtomicU64; 4],
    /// The name that was announced. It stays while the descriptor is registered: another thread may fork then.
    name: AtomicU64,
    /// The position that the descriptor has taken; 0: none.
    position: AtomicU64,
}

/// How a child recognises a file that was announced.
#[derive(Debug, Clone, Copy)]
pub(crate) enum FileKey<'a> {
    /// By the last component of its path, which no other file has.
    Name(&'a str),
    /// By device and inode.
    Inode((u64, u64)),
}

/// The announcement of a file that is about to be opened.
#[derive(Debug)]
pub(crate) struct Announcement {
    slot: &'static Slot,
}

/// A file that a forked child closes at once, so that its `flock` ends with the process that took
/// it. Dropping it releases the lock even if a child still has a copy of the descriptor.
#[derive(Debug)]
pub(crate) struct CloseOnFork {
    file: ManuallyDrop<OwnDescriptor<File>>,
    owner: Owner,
    slot: &'static Slot,
}

impl Slot {
    const fn new() -> Self {
        Self {
            state: AtomicI32::new(FREE),
            key: [const { AtomicU64::new(0) }; 4],
            name: AtomicU64::new(0),
            position: AtomicU64::new(0),
        }
    }

    /// Takes a slot that is free; nothing is announced or registered there yet.
    fn claim() -> Option<&'static Self> {
        SLOTS.iter().find(|slot| {
            slot.state
                .compare_exchange(FREE, CLAIMED, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
        })
    }

    /// Registers an open descriptor of this file; `None` if no slot is free.
    pub(super) fn register(descriptor: RawFd, id: Option<FileId>) -> Option<&'static Self> {
        install_fork_handler().ok()?;
        let slot = Self::claim()?;
        slot.hold(descriptor, id);
        Some(slot)
    }

    fn hold(&self, descriptor: RawFd, id: Option<FileId>) {
        self.set_key(id.map(words).unwrap_or_default());
        self.position.store(0, Ordering::Relaxed);
        self.state.store(descriptor + 1, Ordering::Release);
    }

    pub(super) fn free(&self) {
        self.state.store(FREE, Ordering::Release);
    }

    fn announce(&self, file: FileKey<'_>) {
        let state = match file {
            FileKey::Name(name) => {
                self.name.store(hash(name.as_bytes()), Ordering::Relaxed);
                ANNOUNCED_BY_NAME
            }
            FileKey::Inode((device, inode)) => {
                self.set_key([device, inode, 0, 0]);
                ANNOUNCED_BY_INODE
            }
        };
        self.state.store(state, Ordering::Release);
    }

    fn set_key(&self, key: [u64; 4]) {
        for (word, value) in self.key.iter().zip(key) {
            word.store(value, Ordering::Relaxed);
        }
    }

    fn key(&self) -> [u64; 4] {
        self.key.each_ref().map(|word| word.load(Ordering::Relaxed))
    }
}

impl Announcement {
    /// Announces a file. Call it before opening the file.
    pub(crate) fn new(file: FileKey<'_>) -> Result<Self> {
        install_fork_handler().map_err(|e| Error::io("pthread_atfork", e))?;
        let Some(slot) = Slot::claim() else {
            return Err(Error::io(
                "more files of spools are open than this library can close at fork",
                io::Error::from_raw_os_error(libc::EMFILE),
            ));
        };
        slot.announce(file);
        Ok(Self { slot })
    }

    /// Registers the file, now that it is open. Call it before taking a lock on it.
    pub(crate) fn opened(self, file: OwnDescriptor<File>) -> CloseOnFork {
        let slot = ManuallyDrop::new(self).slot;
        slot.hold(file.as_raw_fd(), file.id());
        CloseOnFork {
            file: ManuallyDrop::new(file),
            owner: Owner::current(),
            slot,
        }
    }
}

impl Drop for Announcement {
    /// The file could not be opened.
    fn drop(&mut self) {
        self.slot.free();
    }
}

impl Deref for CloseOnFork {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

impl CloseOnFork {
    /// Forgets a descriptor that is known to be another file's, or nobody's. To drop it would close a new
    /// descriptor of the same file that has got its number.
    pub(crate) fn forget(self) {
        self.slot.free();
        std::mem::forget(self);
    }

    /// Device and inode of the file.
    pub(crate) fn inode(&self) -> Option<(u64, u64)> {
        self.file.inode()
    }

    /// Checks that the descriptor still is this file's.
    pub(crate) fn check(&self) -> io::Result<()> {
        self.file.check()
    }

    /// See [`OwnDescriptor::take_position`].
    pub(crate) fn take_position(&self) {
        let position = self.file.take_position();
        self.slot.position.store(position, Ordering::Release);
    }

    /// See [`OwnDescriptor::return_to_position`].
    pub(crate) fn return_to_position(&self) {
        self.file.return_to_position();
    }

    /// See [`OwnDescriptor::is_in_position`].
    pub(crate) fn is_in_position(&self) -> bool {
        self.file.is_in_position()
    }

    /// See [`OwnDescriptor::is_as_left`].
    pub(crate) fn is_as_left(&self, size: u64) -> bool {
        self.file.is_as_left(size)
    }
}

impl Drop for CloseOnFork {
    fn drop(&mut self) {
        // In a child the handler has closed it already, and its number may belong to another file.
        if self.owner.is_current() && self.check().is_err() {
            self.slot.free();
        } else if self.owner.is_current() {
            // A child between fork and exec may hold a copy: the lock must not outlast this drop.
            let _ = calls::flock(&**self.file, FlockOperation::Unlock);
            self.slot.free();
            // SAFETY: dropped once, here; `self` is not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.file) }
        }
    }
}

fn install_fork_handler() -> io::Result<()> {
    static INSTALLED: AtomicBool = AtomicBool::new(false);
    if INSTALLED.load(Ordering::Acquire) {
        return Ok(());
    }
    // Two threads may both install it: a handler that runs twice does no harm, a missing one would.
    // SAFETY: the handler below only closes descriptors, which is safe after a fork, and it stays
    // mapped: the library is linked with `-z nodelete`.
    match unsafe { libc::pthread_atfork(None, None, Some(close_inherited)) } {
        0 => {
            INSTALLED.store(true, Ordering::Release);
            Ok(())
        }
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

/// Runs in a child before `fork` returns there: system calls only, no lock and no allocation.
extern "C" fn close_inherited() {
    let mut announced = false;
    for slot in &SLOTS {
        match slot.state.load(Ordering::Relaxed) {
            FREE => {}
            CLAIMED => slot.state.store(FREE, Ordering::Relaxed),
            ANNOUNCED_BY_NAME | ANNOUNCED_BY_INODE => announced = true,
            registered => {
                slot.state.store(FREE, Ordering::Relaxed);
                // The application may have closed it, and opened a file of its own under its number.
                let position = slot.position.load(Ordering::Relaxed);
                if is_it(registered - 1, slot.key(), position) {
                    close(registered - 1);
                }
            }
        }
    }
    if announced {
        each_descriptor(|descriptor| {
            if is_announced(descriptor) {
                close(descriptor);
            }
        });
        // The threads that announced these files are not in this process.
        for slot in &SLOTS {
            if slot.state.load(Ordering::Relaxed) != FREE {
                slot.state.store(FREE, Ordering::Relaxed);
            }
        }
    }
}

fn close(descriptor: RawFd) {
    // SAFETY: it was opened for a `CloseOnFork`, whose copy in this process is never used or
    // dropped again (`CloseOnFork::drop` compares the owner).
    unsafe { libc::close(descriptor) };
}

/// What is open under this number.
fn id_of(descriptor: RawFd) -> Option<[u64; 4]> {
    // SAFETY: used for one system call, which fails where nothing is open.
    let file = unsafe { BorrowedFd::borrow_raw(descriptor) };
    FileId::of(file).ok().map(words)
}

/// Whether the descriptor of this file, at this position, is open under the number.
fn is_it(descriptor: RawFd, key: [u64; 4], position: u64) -> bool {
    // SAFETY: used for one system call, which fails where nothing is open.
    let file = unsafe { BorrowedFd::borrow_raw(descriptor) };
    id_of(descriptor) == Some(key) && is_at(file, position)
}

fn words(id: FileId) -> [u64; 4] {
    let (seconds, nanoseconds) = id.born;
    [
        id.device,
        id.inode,
        seconds.cast_unsigned(),
        u64::from(nanoseconds),
    ]
}

/// Whether `descriptor` is open, was announced, and was opened as this library opens what it locks: the
/// application may have descriptors of its own of the same file or directory.
fn is_announced(descriptor: RawFd) -> bool {
    let Some(id) = id_of(descriptor).filter(|_| is_opened_as_ours(descriptor)) else {
        return false;
    };
    let name = hash_of_name(descriptor);
    SLOTS
        .iter()
        .any(|slot| match slot.state.load(Ordering::Relaxed) {
            ANNOUNCED_BY_NAME => name == Some(slot.name.load(Ordering::Relaxed)),
            ANNOUNCED_BY_INODE => slot.key()[..2] == id[..2],
            _ => false,
        })
}

fn is_opened_as_ours(descriptor: RawFd) -> bool {
    let ours = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    // SAFETY: used for two system calls, which fail where nothing is open.
    let file = unsafe { BorrowedFd::borrow_raw(descriptor) };
    let flags = rustix::fs::fcntl_getfl(file);
    // macOS does not keep the first one.
    let kept = if cfg!(target_os = "linux") {
        ours
    } else {
        OFlags::NONBLOCK
    };
    flags.is_ok_and(|flags| flags.contains(kept))
        && rustix::io::fcntl_getfd(file).is_ok_and(|flags| flags.contains(FdFlags::CLOEXEC))
}

/// The hash of the last component of the path that `descriptor` was opened at.
fn hash_of_name(descriptor: RawFd) -> Option<u64> {
    let mut link = [0; 32];
    write!(&mut link[..], "/proc/self/fd/{descriptor}\0").ok()?;
    let link = CStr::from_bytes_until_nul(&link).ok()?;
    let mut path = [0; libc::PATH_MAX as usize];
    let length = rustix::fs::readlinkat_raw(rustix::fs::CWD, link, &mut path).ok()?;
    path[..length].rsplit(|&byte| byte == b'/').next().map(hash)
}

/// FNV-1a: it needs no table and no state, and its result fits into a slot.
fn hash(name: &[u8]) -> u64 {
    name.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Visits every descriptor of this process.
fn each_descriptor(mut visit: impl FnMut(RawFd)) {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{Mode, RawDir};
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if let Ok(list) = rustix::fs::open(c"/proc/self/fd", flags, Mode::empty()) {
            let mut buffer = [std::mem::MaybeUninit::uninit(); 2048];
            let mut entries = RawDir::new(&list, &mut buffer);
            while let Some(Ok(entry)) = entries.next() {
                let number = entry.file_name().to_str().ok().and_then(|n| n.parse().ok());
                if let Some(number) = number
                    && number != list.as_raw_fd()
                {
                    visit(number);
                }
            }
            return;
        }
    }
    // The process has no descriptor left, or there is no /proc.
    (0..MAX_TRIED).for_each(visit);
}

#[cfg(test)]
mod tests;
