//! What the library must know of the process that it lives in: was it forked, and how to start a
//! thread that no signal of the host ever reaches.
//!
//! A fork copies every lock in whatever state it was, so code that may run in a child has to notice
//! *before* it touches one. [`Owner`] does: it is a number in a page that the kernel wipes at fork
//! (a read costs a nanosecond, `getpid` would cost a system call). [`PerProcess`] builds on it: a
//! value that each process gets anew, its parent's copy never touched and never dropped.

pub(crate) mod fork_closed;

use std::io;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU64, Ordering};

use once_cell::race::OnceBox;

use crate::clock;

/// One process, told apart from its parents and children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner(u64);

impl Owner {
    /// The process that runs now.
    pub(crate) fn current() -> Self {
        static MARK: OnceBox<ForkMark> = OnceBox::new();
        match MARK.get_or_init(|| Box::new(ForkMark::new())) {
            ForkMark::Wiped(word) => Self(word.load(Ordering::Acquire)).or_marked(word),
            ForkMark::Pid => Self(pid() as u64),
        }
    }

    /// Whether this process runs now, and not one that was forked from it.
    pub(crate) fn is_current(self) -> bool {
        Self::current() == self
    }

    /// Marks this process, if no thread has done it since it was forked.
    fn or_marked(self, word: &AtomicU64) -> Self {
        if self.0 != 0 {
            return self;
        }
        // The child may live in another time namespace than its parent. Before the mark: whoever sees
        // that reads the clock.
        clock::forget_namespace();
        // Counted on from where the parent was, so it differs from the number of every ancestor.
        static GENERATION: AtomicU64 = AtomicU64::new(0);
        let fresh = GENERATION.fetch_add(1, Ordering::Relaxed) + 1;
        match word.compare_exchange(0, fresh, Ordering::Release, Ordering::Acquire) {
            Ok(_) => Self(fresh),
            Err(by_another_thread) => Self(by_another_thread),
        }
    }
}

/// How a process notices that it is a child.
enum ForkMark {
    /// A word that the kernel zeroes in the child.
    Wiped(&'static AtomicU64),
    /// The kernel cannot do that: compare pids.
    Pid,
}

impl ForkMark {
    fn new() -> Self {
        wiped_at_fork().map_or(Self::Pid, Self::Wiped)
    }
}

/// A word in a page of its own under `MADV_WIPEONFORK`. It is never freed.
fn wiped_at_fork() -> Option<&'static AtomicU64> {
    #[cfg(target_os = "linux")]
    {
        use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};
        let size = rustix::param::page_size();
        // SAFETY: a new anonymous mapping at an address of the kernel's choice; never unmapped.
        let page = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                size,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )
        }
        .ok()?;
        // SAFETY: exactly the mapping made above.
        unsafe { madvise(page, size, Advice::LinuxWipeOnFork) }.ok()?;
        // SAFETY: a zeroed, page-aligned word that lives as long as the process.
        Some(unsafe { &*page.cast::<AtomicU64>() })
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// This process's id.
pub(crate) fn pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// A value of which every process has its own.
///
/// The first process makes it with `PerProcess::new`; a forked child gets a fresh one from `make`
/// at its first access, lock-free, because a lock could have been held by another thread at the
/// moment of the fork. `make` may run more than once in a race and must have no effect but memory.
pub(crate) struct PerProcess<T> {
    owner: Owner,
    value: ManuallyDrop<T>,
    child: OnceBox<PerProcess<T>>,
}

impl<T> PerProcess<T> {
    /// The value of the running process.
    pub(crate) fn new(value: T) -> Self {
        Self {
            owner: Owner::current(),
            value: ManuallyDrop::new(value),
            child: OnceBox::new(),
        }
    }

    /// The running process's value, made from its parent's copy if it has none yet.
    pub(crate) fn get(&self, make: impl Fn(&T) -> T) -> &T {
        let current = Owner::current();
        let mut node = self;
        while node.owner != current {
            node = node
                .child
                .get_or_init(|| Box::new(Self::new(make(&node.value))));
        }
        &node.value
    }
}

impl<T> Drop for PerProcess<T> {
    fn drop(&mut self) {
        // A parent's copy holds descriptors that are closed here already and locks that nobody will
        // release: it is left as it is.
        if self.owner.is_current() {
            // SAFETY: dropped once, here; `self` is not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.value) }
        }
    }
}

/// Starts a detached thread with every signal blocked, so that the host's handlers never run on it.
///
/// Its stack is sized here because the standard library would otherwise read the environment for it.
pub(crate) fn spawn_quiet(name: &str, body: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    const STACK_BYTES: usize = 2 * 1024 * 1024;
    let mask = SignalsBlocked::new()?;
    let spawned = std::thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK_BYTES)
        .spawn(body)
        .map(drop);
    drop(mask);
    spawned
}

/// All signals of this thread are blocked while it lives; a thread started meanwhile inherits that.
struct SignalsBlocked {
    before: libc::sigset_t,
}

impl SignalsBlocked {
    fn new() -> io::Result<Self> {
        // SAFETY: both sets are plain memory owned here; an all-zero set is a valid value.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            let mut before: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&mut all);
            match libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before) {
                0 => Ok(Self { before }),
                code => Err(io::Error::from_raw_os_error(code)),
            }
        }
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        // SAFETY: restores the set that was read in `new`.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, std::ptr::null_mut());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Runs `body` in a forked child; says whether it returned true.
    fn in_child(body: impl FnOnce() -> bool) -> bool {
        // SAFETY: the child only runs `body`, which takes no lock of another thread, and ends.
        match unsafe { libc::fork() } {
            0 => {
                let held = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
                // SAFETY: ends the child without running anything of the test harness.
                unsafe { libc::_exit(i32::from(!held.unwrap_or(false))) }
            }
            child => {
                let mut status = 0;
                // SAFETY: waits for the child made above.
                unsafe { libc::waitpid(child, &mut status, 0) };
                libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
            }
        }
    }

    #[test]
    fn a_child_knows_that_it_is_not_its_parent_and_so_does_a_grandchild() {
        let parent = Owner::current();
        assert!(parent.is_current());
        assert!(in_child(|| {
            let child = Owner::current();
            !parent.is_current()
                && child.is_current()
                && in_child(|| !parent.is_current() && !child.is_current())
        }));
        assert!(parent.is_current());
    }

    #[test]
    fn a_child_gets_a_value_of_its_own_though_the_parents_lock_is_held() {
        let value = PerProcess::new(Mutex::new(1));
        let held = value.get(|_| Mutex::new(0)).lock().unwrap();
        assert!(in_child(|| {
            let own = value.get(|_| Mutex::new(2));
            own.try_lock().is_ok_and(|own| *own == 2)
                && std::ptr::eq(own, value.get(|_| Mutex::new(3)))
        }));
        assert_eq!(*held, 1);
    }

    #[test]
    fn no_signal_reaches_a_thread_of_this_library() {
        let (tell, told) = std::sync::mpsc::channel();
        spawn_quiet(
            "quiet",
            Box::new(move || {
                let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
                tell.send(status).unwrap();
            }),
        )
        .unwrap();
        let status = told.recv().unwrap();
        let blocked = status
            .lines()
            .find_map(|line| line.strip_prefix("SigBlk:\t"))
            .unwrap();
        let blocked = u64::from_str_radix(blocked, 16).unwrap();
        for signal in [
            libc::SIGTERM,
            libc::SIGINT,
            libc::SIGHUP,
            libc::SIGCHLD,
            libc::SIGPROF,
        ] {
            assert_ne!(blocked & (1 << (signal - 1)), 0, "signal {signal}");
        }
        // The starter's own mask is as it was.
        let ours = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        assert!(ours.contains("SigBlk:\t0000000000000000"), "{ours}");
    }
}
