//! A value that each process gets anew: its parent's copy is never touched and never dropped.

use std::mem::ManuallyDrop;

use once_cell::race::OnceBox;

use super::owner::Owner;

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
