//! A value that each process creates for itself. A child never uses or drops its parent's copy.

use std::mem::ManuallyDrop;

use once_cell::race::OnceBox;

use super::owner::Owner;

/// A value of which every process has its own.
///
/// The first process creates it with `PerProcess::new`; a forked child gets a fresh one from `make`
/// at its first access, without a lock, because another thread may have held that lock at the
/// moment of the fork. Where threads race, `make` runs more than once, so it must only allocate
/// memory.
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

    /// The value of the running process, created from its parent's copy at the first access.
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
        // A parent's copy holds descriptors that are already closed in this process, and locks that
        // no thread will release: it is left as it is.
        if self.owner.is_current() {
            // SAFETY: dropped once, here; `self` is not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.value) }
        }
    }
}
