//! No panic crosses into the application.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[cfg(panic = "abort")]
compile_error!(
    "libmeditopia promises its host that no panic ends the process; build it with panic = \"unwind\""
);

/// Runs the body of an export that cannot fail; after a panic it returns `fallback`.
pub(super) fn guard_or<T>(fallback: T, work: impl FnOnce() -> T) -> T {
    catch_panic(work).unwrap_or(fallback)
}

/// Runs `work`; the message of its panic, if it panics.
pub(super) fn catch_panic<T>(work: impl FnOnce() -> T) -> std::result::Result<T, String> {
    // A panic may leave what `work` touched half changed. What outlives the call is behind the
    // client's own locks, and those decide what a poisoned one means.
    catch_unwind(AssertUnwindSafe(|| {
        #[cfg(test)]
        super::tests::panics::strike();
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
            // Its destructor is foreign code and might panic again, now outside of any guard.
            std::mem::forget(unknown);
            "a panic without a message".to_owned()
        }
    }
}
