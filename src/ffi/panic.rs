//! Catches panics, so that none crosses into the application.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[cfg(panic = "abort")]
compile_error!(
    "libmeditopia promises the application that no panic ends its process; build it with panic = \"unwind\""
);

/// Runs the body of an export that cannot fail; after a panic it returns `fallback`.
pub(super) fn guard_or<T>(fallback: T, work: impl FnOnce() -> T) -> T {
    catch_panic(work).unwrap_or(fallback)
}

/// Runs `work`. If it panics, the error is the message of the panic.
pub(super) fn catch_panic<T>(work: impl FnOnce() -> T) -> std::result::Result<T, String> {
    // A panic may leave a value that `work` was changing half changed. Every value that outlives
    // the call is behind a lock of the client, and the client decides what a poisoned lock means.
    catch_unwind(AssertUnwindSafe(|| {
        #[cfg(test)]
        super::tests::panics::panic_if_armed();
        work()
    }))
    .map_err(panic_message)
}

fn panic_message(payload: Box<dyn Any + Send>) -> String {
    if let Some(message) = payload.downcast_ref::<&str>() {
        return (*message).to_owned();
    }
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(unknown) => {
            // The destructor is unknown code and might panic again, this time outside the guard.
            std::mem::forget(unknown);
            "a panic without a message".to_owned()
        }
    }
}
