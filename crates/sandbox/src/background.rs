//! A sandbox on a thread of its own, for tests and programs that have no runtime.

use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::{Options, Server};

/// A running sandbox that ends when this value is dropped.
///
/// Dropping cuts every connection at once, as the end of a process would; no request is finished
/// first.
pub struct Background {
    endpoint: String,
    control: String,
    token: String,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Starts a thread that serves a sandbox; returns when the sandbox listens.
    ///
    /// Errors: as [`Server::bind`]; the thread or its runtime cannot be started.
    pub fn start(options: &Options) -> Result<Self, String> {
        let options = options.clone();
        let (listens, listening) = mpsc::sync_channel(1);
        let (end, ended) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new()
            .name("sandbox".into())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                let runtime = match runtime {
                    Ok(runtime) => runtime,
                    Err(cause) => return send(&listens, Err(format!("cannot start: {cause}"))),
                };
                runtime.block_on(async {
                    let server = match Server::bind(&options).await {
                        Ok(server) => server,
                        Err(cause) => return send(&listens, Err(cause)),
                    };
                    send(
                        &listens,
                        Ok((
                            server.endpoint(),
                            server.control(),
                            server.token().to_owned(),
                        )),
                    );
                    tokio::select! {
                        // A listener that failed refuses connections, which is what a test then sees.
                        _ = server.serve() => {}
                        _ = ended => {}
                    }
                });
            })
            .map_err(|cause| format!("cannot start a thread: {cause}"))?;
        let (endpoint, control, token) = listening
            .recv()
            .map_err(|_| "the sandbox's thread ended before it listened".to_owned())??;
        Ok(Self {
            endpoint,
            control,
            token,
            end: Some(end),
            thread: Some(thread),
        })
    }

    /// The full URL that events are posted to.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The URL that all routes of the control API begin with.
    pub fn control(&self) -> &str {
        &self.control
    }

    /// The bearer token that is good at the start.
    pub fn token(&self) -> &str {
        &self.token
    }
}

/// The receiver waits for exactly one message, so a failed send has nobody to tell.
fn send<T>(to: &mpsc::SyncSender<T>, message: T) {
    let _ = to.send(message);
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed where it happened.
            let _ = thread.join();
        }
    }
}
