//! How code notices that it runs in a forked child.
//!
//! A fork copies every lock in whatever state it was, so code that may run in a child has to notice
//! the fork *before* it touches a lock. [`Owner`] is a number in a page that the kernel wipes at
//! fork: reading it costs a nanosecond, while `getpid` would cost a system call.

use std::sync::atomic::{AtomicU64, Ordering};

use once_cell::race::OnceBox;

use crate::clock;

/// The process that a value belongs to, distinct from its parents and its children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner(u64);

impl Owner {
    /// The process that calls this.
    pub(crate) fn current() -> Self {
        static MARK: OnceBox<ForkMark> = OnceBox::new();
        match MARK.get_or_init(|| Box::new(ForkMark::new())) {
            ForkMark::Wiped(word) => Self(word.load(Ordering::Acquire)).or_numbered(word),
            ForkMark::Pid => Self(pid() as u64),
        }
    }

    /// Whether the caller runs in this process, and not in one that was forked from it.
    pub(crate) fn is_current(self) -> bool {
        Self::current() == self
    }

    /// This owner, or a new number for a process that no thread has numbered since the fork.
    fn or_numbered(self, word: &AtomicU64) -> Self {
        if self.0 != 0 {
            return self;
        }
        // The child may be in another time namespace than its parent. This comes before the number
        // is stored, because a thread that finds the number may read the clock at once.
        clock::forget_namespace();
        // The child goes on counting where its parent was, so no ancestor has the same number.
        static GENERATION: AtomicU64 = AtomicU64::new(0);
        let fresh = GENERATION.fetch_add(1, Ordering::Relaxed) + 1;
        match word.compare_exchange(0, fresh, Ordering::Release, Ordering::Acquire) {
            Ok(_) => Self(fresh),
            Err(of_another_thread) => Self(of_another_thread),
        }
    }
}

/// How a process notices that it was forked.
enum ForkMark {
    /// By a word that the kernel zeroes in the child.
    Wiped(&'static AtomicU64),
    /// By its pid, where the kernel cannot do that.
    Pid,
}

impl ForkMark {
    fn new() -> Self {
        wiped_at_fork().map_or(Self::Pid, Self::Wiped)
    }
}

/// A word in a page of its own under `MADV_WIPEONFORK`, which is never freed.
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

/// The id of this process.
pub(crate) fn pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}
