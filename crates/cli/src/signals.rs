//! The signals that ask a command to end: SIGTERM and SIGINT. The first one is a request, the second one ends
//! the process at once.

use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

use crate::failure::Failure;

/// Both signals.
pub struct EndSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl EndSignals {
    /// From here on neither signal kills the process. Call this within a runtime.
    pub fn install() -> Result<Self, Failure> {
        Ok(Self {
            terminate: install_handler(SignalKind::terminate())?,
            interrupt: install_handler(SignalKind::interrupt())?,
        })
    }

    /// Waits for either, and says which one came.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Takes over a signal. Call this within a runtime.
pub fn install_handler(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(failed)
}

/// What a command does that has no loop of its own to wait for signals in.
pub struct OnSignal<F, L> {
    /// Asks the command to end.
    pub first: F,
    /// How long the command has then to end by itself; `None`: until a second signal.
    pub patience: Option<Duration>,
    /// Says that the process ends at once, and returns its exit status.
    pub last: L,
}

impl<F, L> OnSignal<F, L>
where
    F: FnOnce() + Send + 'static,
    L: FnOnce() -> u8 + Send + 'static,
{
    /// Waits on a thread of its own, which drives `runtime` until the process ends. So call this when root is
    /// given up.
    pub fn watch(self, runtime: Runtime) -> Result<(), Failure> {
        let mut signals = {
            let _entered = runtime.enter();
            EndSignals::install()?
        };
        let wait = move || {
            runtime.block_on(async {
                signals.next().await;
                (self.first)();
                match self.patience {
                    Some(patience) => {
                        let _ = timeout(patience, signals.next()).await;
                    }
                    None => {
                        signals.next().await;
                    }
                }
            });
            std::process::exit((self.last)().into());
        };
        let thread = std::thread::Builder::new().name("signals".to_owned());
        thread.spawn(wait).map_err(failed)?;
        Ok(())
    }
}

fn failed(cause: std::io::Error) -> Failure {
    Failure::from(format!("cannot handle signals: {cause}"))
}
