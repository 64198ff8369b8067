//! A sandbox on a thread of its own, for tests and for programs without a tokio runtime.

use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::{Handle, Options, Server};

/// A sandbox that runs on a thread of its own and ends when this value is dropped.
///
/// Dropping it closes every connection at once, as the death of a process would. A request that is
/// being answered is cut off.
pub struct Background {
    handle: Handle,
    /// Dropped to end the thread.
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Starts the thread, and returns once the sandbox listens.
    ///
    /// Errors: those of [`Server::bind`], or the thread or its runtime cannot be started.
    pub fn start(options: &Options) -> Result<Self, String> {
        let options = options.clone();
        let (started, start) = mpsc::sync_channel(1);
        let (end, ended) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new()
            .name("sandbox".into())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                let runtime = match runtime {
                    Ok(runtime) => runtime,
                    Err(cause) => return send(&started, Err(format!("cannot start: {cause}"))),
                };
                runtime.block_on(async {
                    let server = match Server::bind(&options).await {
                        Ok(server) => server,
                        Err(cause) => return send(&started, Err(cause)),
                    };
                    send(&started, Ok(server.handle()));
                    tokio::select! {
                        // If the listener fails, clients are refused, which a test will notice.
                        _ = server.serve() => {}
                        _ = ended => {}
                    }
                });
            })
            .map_err(|cause| format!("cannot start a thread: {cause}"))?;
        let handle = start
            .recv()
            .map_err(|_| "the sandbox's thread ended before it listened".to_owned())??;
        Ok(Self {
            handle,
            end: Some(end),
            thread: Some(thread),
        })
    }

    /// The sandbox's handle. A clone of it outlives the thread, and still reads the ledger.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

/// `start` waits for exactly one message, so sending that one cannot fail.
fn send<T>(to: &mpsc::SyncSender<T>, message: T) {
    let _ = to.send(message);
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed where it happened.
            let _ = thread.join();
        }
    }
}
