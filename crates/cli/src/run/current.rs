//! The client that sends now, and the statistics of its spool.
//!
//! A reload may put another client in its place. The statistics are read from the disk, which may hang:
//! so one thread reads at a time, whoever else asks waits for the same answer, and not for ever.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use meditopia::Client;
use meditopia::Stats;
use meditopia::internals::client::{Retry, Vitals};
use meditopia::internals::config::Settings;
use meditopia::{ErrorKind, Result};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long an answer stands for those who ask after it.
const FRESH: Duration = Duration::from_millis(500);
/// How long one waits for the disk.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was read of the spool.
pub struct Look {
    pub stats: Stats,
    /// What all that waits is waiting for after failures.
    pub retry: Option<Retry>,
    /// What counts against `max_spool_bytes`.
    pub waiting_bytes: u64,
}

/// The client that sends now.
pub struct Current {
    client: RwLock<Arc<Client>>,
    /// `max_spool_bytes`; 0: no limit.
    limit_bytes: AtomicU64,
    reading: Mutex<Reading>,
}

#[derive(Default)]
struct Reading {
    last: Option<(Instant, Arc<Look>)>,
    /// One that outlasted the patience of whoever began it.
    under_way: Option<JoinHandle<Result<Look>>>,
}

impl Current {
    pub fn new(client: Client, settings: &Settings) -> Self {
        Self {
            client: RwLock::new(Arc::new(client)),
            limit_bytes: AtomicU64::new(limit_of(settings)),
            reading: Mutex::default(),
        }
    }

    pub fn client(&self) -> Arc<Client> {
        self.client
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Puts another client in place.
    pub fn replace(&self, client: Client, settings: &Settings) {
        self.limit_bytes
            .store(limit_of(settings), Ordering::Relaxed);
        *self.client.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(client);
    }

    /// The value of `max_spool_bytes`.
    pub fn limit_bytes(&self) -> u64 {
        self.limit_bytes.load(Ordering::Relaxed)
    }

    /// Of this process's sender. Errors: the client was closed.
    pub fn vitals(&self) -> Result<Vitals> {
        self.client().vitals()
    }

    /// Of the spool, at most half a second old.
    ///
    /// Errors: what is wrong, in words; also that the disk does not answer.
    pub async fn look(&self) -> std::result::Result<Arc<Look>, String> {
        timeout(PATIENCE, self.read())
            .await
            .map_err(|_| format!("the spool's disk did not answer within {PATIENCE:?}"))?
    }

    async fn read(&self) -> std::result::Result<Arc<Look>, String> {
        let mut reading = self.reading.lock().await;
        if let Some((at, look)) = &reading.last
            && at.elapsed() < FRESH
        {
            return Ok(look.clone());
        }
        loop {
            let under_way = reading.under_way.get_or_insert_with(|| {
                let client = self.client();
                tokio::task::spawn_blocking(move || {
                    Ok(Look {
                        stats: client.stats()?,
                        retry: client.retry()?,
                        waiting_bytes: client.waiting_bytes()?,
                    })
                })
            });
            let read = under_way.await;
            reading.under_way = None;
            match read {
                Ok(Ok(look)) => {
                    let look = Arc::new(look);
                    reading.last = Some((Instant::now(), look.clone()));
                    return Ok(look);
                }
                // Of a client that a reload has replaced meanwhile.
                Ok(Err(e)) if e.kind() == ErrorKind::Closed && self.vitals().is_ok() => {}
                Ok(Err(e)) => return Err(e.to_string()),
                Err(e) => return Err(e.to_string()),
            }
        }
    }
}

fn limit_of(settings: &Settings) -> u64 {
    settings.max_spool_bytes.map_or(0, |bytes| bytes.get())
}
