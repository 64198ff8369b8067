//! Ctrl-C and SIGTERM: the import ends at the next record and commits what it has gathered.
//!
//! Where it cannot, because it waits for input or for an answer, the command ends after a moment all the
//! same. An import survives that like any death of its process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::progress;
use crate::failure::{Failure, STOPPED};
use crate::output::print_error;
use crate::signals::OnSignal;

/// How long the command has to end by itself.
const PATIENCE: Duration = Duration::from_secs(1);

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Whether the operator wants the command to end.
pub fn is_requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}

/// Takes over the two signals. It starts a thread, so call this when root is given up.
pub fn watch() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::from(format!("cannot handle signals: {e}")))?;
    let signals = OnSignal {
        first: || REQUESTED.store(true, Ordering::Relaxed),
        patience: Some(PATIENCE),
        last: || {
            progress::end_line();
            print_error(
                "meditopia: interrupted; what is queued stays queued; run the same command again: it goes on there",
            );
            STOPPED
        },
    };
    signals.watch(runtime)
}
