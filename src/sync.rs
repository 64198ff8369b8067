//! Taking a lock whose holder may have panicked.
//!
//! Every state behind a lock here is either rebuilt from disk or changed in one step, so a panic in
//! another thread does not make it unusable; the panic itself is reported where it happened.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

/// How often a wait with a deadline tries a lock that somebody holds.
const TRY_EVERY: Duration = Duration::from_micros(500);

/// Locks `mutex`, also after a panic of another holder.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks `mutex` unless that takes until `deadline`.
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
