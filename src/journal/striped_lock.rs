//! One lock that becomes several where threads keep meeting at it.
//!
//! A write under a lock puts the other threads to sleep, and to wake one costs more than the write
//! itself: two threads got less through than one. So a thread that finds a stripe held takes the next
//! one. What a stripe holds is only made when it is taken first, and the second is not taken before
//! threads have met often: a process whose threads seldom do keeps to the first.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use crate::sync::lock;

/// More would not help: what is behind them, the file system, is shared.
const MOST: usize = 4;
/// How often all stripes were found held before there is one more.
const MEETINGS_TO_WIDEN: usize = 64;

/// Values of one kind, of which a thread takes whichever is free.
#[derive(Debug, Default)]
pub(super) struct Stripes<T> {
    stripes: [Mutex<T>; MOST],
    meetings: AtomicUsize,
}

impl<T> Stripes<T> {
    /// A stripe that nobody holds, or one of at most `most` after waiting for it.
    pub(super) fn take(&self, most: usize) -> MutexGuard<'_, T> {
        let width = (1 + self.meetings.load(Ordering::Relaxed) / MEETINGS_TO_WIDEN)
            .min(most)
            .min(MOST);
        let in_use = &self.stripes[..width];
        for stripe in in_use {
            match stripe.try_lock() {
                Ok(guard) => return guard,
                Err(TryLockError::Poisoned(poisoned)) => return PoisonError::into_inner(poisoned),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        let meetings = if width < most.min(MOST) {
            self.meetings.fetch_add(1, Ordering::Relaxed)
        } else {
            0
        };
        lock(&in_use[meetings % width])
    }

    /// Each stripe in turn, after waiting for it.
    pub(super) fn each(&self) -> impl Iterator<Item = MutexGuard<'_, T>> {
        self.stripes.iter().map(lock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands in the stripes after they were taken, the first `held` of them being held meanwhile.
    fn taken(meetings: usize, most: usize, held: usize) -> [u8; MOST] {
        let stripes = Stripes::<u8>::default();
        stripes.meetings.store(meetings, Ordering::Relaxed);
        {
            let _held: Vec<_> = stripes.stripes[..held].iter().map(lock).collect();
            *stripes.take(most) = 1;
        }
        let mut values = stripes.each().map(|value| *value);
        std::array::from_fn(|_| values.next().unwrap())
    }

    #[test]
    fn the_first_free_stripe_is_taken_and_no_more_are_in_use_than_meetings_and_caller_allow() {
        assert_eq!(taken(0, MOST, 0), [1, 0, 0, 0]);
        assert_eq!(taken(100 * MEETINGS_TO_WIDEN, MOST, 0), [1, 0, 0, 0]);
        assert_eq!(taken(MEETINGS_TO_WIDEN, MOST, 1), [0, 1, 0, 0]);
        assert_eq!(taken(100 * MEETINGS_TO_WIDEN, MOST, 3), [0, 0, 0, 1]);
        assert_eq!(taken(100 * MEETINGS_TO_WIDEN, 3, 2), [0, 0, 1, 0]);
    }

    #[test]
    fn threads_that_meet_often_get_another_stripe() {
        let stripes = Stripes::<u64>::default();
        std::thread::scope(|threads| {
            for _ in 0..2 {
                threads.spawn(|| {
                    while *lock(&stripes.stripes[1]) == 0 {
                        let mut taken = stripes.take(2);
                        std::thread::yield_now();
                        *taken += 1;
                    }
                });
            }
        });
    }

    #[test]
    fn where_there_is_to_be_one_stripe_threads_wait_for_it() {
        let stripes = Stripes::<u64>::default();
        stripes
            .meetings
            .store(100 * MEETINGS_TO_WIDEN, Ordering::Relaxed);
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    for _ in 0..100 {
                        let mut taken = stripes.take(1);
                        let before = *taken;
                        std::thread::yield_now();
                        *taken = before + 1;
                    }
                });
            }
        });
        assert_eq!(*lock(&stripes.stripes[0]), 400);
    }
}
