//! A lock that gets more stripes where threads contend for it.
//!
//! A write under a lock puts the other threads to sleep, and waking one costs more than the write
//! itself: two threads achieved less than one. So a thread that finds a stripe held tries the next
//! one. The value of a stripe is set up by the first thread that locks it, and the second stripe is
//! not used before threads have contended often: a process whose threads seldom do keeps to the
//! first.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use crate::mutex::lock;

/// More would not help: the stripes share the file system.
const MAX_STRIPES: usize = 4;
/// How often all stripes in use were found held before one more is used.
const CONTENTIONS_TO_WIDEN: usize = 64;

/// Values of one kind, of which a thread locks one that is free.
#[derive(Debug, Default)]
pub(super) struct StripedLock<T> {
    stripes: [Mutex<T>; MAX_STRIPES],
    contentions: AtomicUsize,
}

impl<T> StripedLock<T> {
    /// Locks a free stripe, or waits for one, of the first `max`.
    pub(super) fn lock_one_of(&self, max: usize) -> MutexGuard<'_, T> {
        let width = (1 + self.contentions.load(Ordering::Relaxed) / CONTENTIONS_TO_WIDEN)
            .min(max)
            .min(MAX_STRIPES);
        let in_use = &self.stripes[..width];
        for stripe in in_use {
            match stripe.try_lock() {
                Ok(guard) => return guard,
                Err(TryLockError::Poisoned(poisoned)) => return PoisonError::into_inner(poisoned),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        let contentions = if width < max.min(MAX_STRIPES) {
            self.contentions.fetch_add(1, Ordering::Relaxed)
        } else {
            0
        };
        lock(&in_use[contentions % width])
    }

    /// Locks each stripe in turn.
    pub(super) fn lock_each(&self) -> impl Iterator<Item = MutexGuard<'_, T>> {
        self.stripes.iter().map(lock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which stripe a thread locks (1), while another one holds the first `held` stripes.
    fn locked(contentions: usize, max: usize, held: usize) -> [u8; MAX_STRIPES] {
        let striped = StripedLock::<u8>::default();
        striped.contentions.store(contentions, Ordering::Relaxed);
        {
            let _held: Vec<_> = striped.stripes[..held].iter().map(lock).collect();
            *striped.lock_one_of(max) = 1;
        }
        let mut values = striped.lock_each().map(|value| *value);
        std::array::from_fn(|_| values.next().unwrap())
    }

    #[test]
    fn a_thread_locks_the_first_free_stripe_of_those_that_contentions_and_its_caller_allow() {
        assert_eq!(locked(0, MAX_STRIPES, 0), [1, 0, 0, 0]);
        assert_eq!(
            locked(100 * CONTENTIONS_TO_WIDEN, MAX_STRIPES, 0),
            [1, 0, 0, 0]
        );
        assert_eq!(locked(CONTENTIONS_TO_WIDEN, MAX_STRIPES, 1), [0, 1, 0, 0]);
        assert_eq!(
            locked(100 * CONTENTIONS_TO_WIDEN, MAX_STRIPES, 3),
            [0, 0, 0, 1]
        );
        assert_eq!(locked(100 * CONTENTIONS_TO_WIDEN, 3, 2), [0, 0, 1, 0]);
    }

    #[test]
    fn threads_that_contend_often_get_another_stripe() {
        let striped = StripedLock::<u64>::default();
        std::thread::scope(|threads| {
            for _ in 0..2 {
                threads.spawn(|| {
                    while *lock(&striped.stripes[1]) == 0 {
                        let mut locked = striped.lock_one_of(2);
                        std::thread::yield_now();
                        *locked += 1;
                    }
                });
            }
        });
    }

    #[test]
    fn threads_wait_for_a_stripe_where_only_one_is_allowed() {
        let striped = StripedLock::<u64>::default();
        striped
            .contentions
            .store(100 * CONTENTIONS_TO_WIDEN, Ordering::Relaxed);
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    for _ in 0..100 {
                        let mut locked = striped.lock_one_of(1);
                        let before = *locked;
                        std::thread::yield_now();
                        *locked = before + 1;
                    }
                });
            }
        });
        assert_eq!(*lock(&striped.stripes[0]), 400);
    }
}
