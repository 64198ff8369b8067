//! Locking a mutex whose holder may have panicked.
//!
//! Every state behind a mutex of this crate is either rebuilt from disk or changed in one step, so
//! a panic in another thread does not make it unusable. The panic itself is reported where it
//! happened.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

/// How often a wait with a deadline tries a mutex that another thread holds.
const TRY_EVERY: Duration = Duration::from_micros(500);

/// Locks `mutex`, even if another holder has panicked.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks `mutex`; `None` if another thread holds it until `deadline`.
pub(crate) fn lock_until<T: ?Sized>(
    mutex: &Mutex<T>,
    deadline: Instant,
) -> Option<MutexGuard<'_, T>> {
    loop {
        match mutex.try_lock() {
            Ok(guard) => return Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => return None,
            Err(TryLockError::WouldBlock) => std::thread::sleep(TRY_EVERY),
        }
    }
}

/// Waits for `condvar`, at most `timeout`.
pub(crate) fn wait<'a, T>(
    condvar: &Condvar,
    guard: MutexGuard<'a, T>,
    timeout: Duration,
) -> MutexGuard<'a, T> {
    condvar
        .wait_timeout(guard, timeout)
        .unwrap_or_else(PoisonError::into_inner)
        .0
}
