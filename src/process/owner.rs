//! Noticing a fork.
//!
//! A fork copies every lock in whatever state it was, so code that may run in a child has to notice
//! *before* it touches one. [`Owner`] does: it is a number in a page that the kernel wipes at fork
//! (a read costs a nanosecond, `getpid` would cost a system call).

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
