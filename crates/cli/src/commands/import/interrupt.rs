//! Ctrl-C and SIGTERM: the import ends at the next record and commits what it has gathered.
//!
//! Where it cannot, because it waits for input or for an answer, the command ends after a moment all the
//! same. An import survives that like any death of its process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::progress;
use crate::failure::{Failure, STOPPED};
use crate::output::print_error;

/// How long the command has to end by itself.
const PATIENCE: Duration = Duration::from_secs(1);

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Whether the operator wants the command to end.
pub fn is_requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}

/// Takes over the two signals. It starts a thread, so call this when root is given up.
pub fn watch() -> Result<(), Failure> {
    let failed = |e| Failure::from(format!("cannot handle signals: {e}"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let entered = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    drop(entered);
    let wait = move || {
        runtime.block_on(async {
            let mut next = async || {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            };
            next().await;
            REQUESTED.store(true, Ordering::Relaxed);
            // A second signal ends it at once.
            let _ = tokio::time::timeout(PATIENCE, next()).await;
        });
        progress::end_line();
        print_error(
            "meditopia: interrupted; what is queued stays queued; run the same command again: it goes on there",
        );
        std::process::exit(STOPPED.into());
    };
    let thread = std::thread::Builder::new().name("signals".to_owned());
    thread.spawn(wait).map_err(failed)?;
    Ok(())
}
