//! The client that sends, and the state of its spool.
//!
//! A reload may replace the client. The state is read from the disk, which may hang: so only one
//! thread reads at a time, and all callers wait for the same result, with a deadline.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use meditopia::internals::client::{FailedRequest, Retry, Standing, Vitals};
use meditopia::internals::clock::wall_ms;
use meditopia::internals::config::Settings;
use meditopia::internals::spool::DiskSpace;
use meditopia::{Client, ErrorKind, PauseReason, Result, Stats};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::commands::status::sender_state::SenderState;

/// How long a result is reused.
const FRESH: Duration = Duration::from_millis(500);
/// How long a caller waits for the disk.
const DISK_TIMEOUT: Duration = Duration::from_secs(5);

/// What was read from the spool.
pub struct SpoolState {
    pub stats: Stats,
    /// The retry that all pending events wait for after failures.
    pub retry: Option<Retry>,
    /// The last request that came to nothing.
    pub last_failure: Option<FailedRequest>,
    /// The bytes that count against `max_spool_bytes`.
    pub waiting_bytes: u64,
    /// The rejected events that are kept; `None`: the store cannot be read.
    pub rejected_kept: Option<u64>,
    pub disk: DiskSpace,
    /// What keeps the process that is elected from sending, if anything does.
    pub sender_problem: Option<String>,
}

fn rejected_kept(client: &Client) -> Result<Option<u64>> {
    match client.rejected_by_code() {
        Ok(counts) => Ok(Some(counts.iter().map(|count| count.events).sum())),
        Err(e) if e.pause_reason() == Some(PauseReason::StoreDamaged) => Ok(None),
        Err(e) => Err(e),
    }
}

/// What keeps another process that is elected from sending. This process knows its own threads better.
fn sender_problem(client: &Client, stats: &Stats) -> Result<Option<String>> {
    if client.vitals()?.standing != Standing::StandBy {
        return Ok(None);
    }
    let now_ms = wall_ms();
    let sender = SenderState::look(client, client.elected()?, stats, false, now_ms)?;
    Ok(sender.problem(stats, now_ms))
}

/// The client that sends.
pub struct CurrentClient {
    client: RwLock<Arc<Client>>,
    /// `max_spool_bytes`; 0 means no limit.
    limit_bytes: AtomicU64,
    reading: Mutex<Reading>,
}

#[derive(Default)]
struct Reading {
    last: Option<(Instant, Arc<SpoolState>)>,
    /// A reading that did not end before the deadline of the caller that began it.
    under_way: Option<JoinHandle<Result<SpoolState>>>,
}

impl CurrentClient {
    pub fn new(client: Client, settings: &Settings) -> Self {
        Self {
            client: RwLock::new(Arc::new(client)),
            limit_bytes: AtomicU64::new(limit_of(settings)),
            reading: Mutex::default(),
        }
    }

    /// The client.
    pub fn get(&self) -> Arc<Client> {
        self.client
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Replaces the client.
    pub fn replace(&self, client: Client, settings: &Settings) {
        self.limit_bytes
            .store(limit_of(settings), Ordering::Relaxed);
        *self.client.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(client);
    }

    /// The value of `max_spool_bytes`; 0 means no limit.
    pub fn limit_bytes(&self) -> u64 {
        self.limit_bytes.load(Ordering::Relaxed)
    }

    /// The vitals of this process's sender. Errors: the client was closed.
    pub fn vitals(&self) -> Result<Vitals> {
        self.get().vitals()
    }

    /// The state of the spool, at most half a second old.
    ///
    /// Errors: a message about what failed, for instance that the disk does not answer.
    pub async fn spool_state(&self) -> std::result::Result<Arc<SpoolState>, String> {
        timeout(DISK_TIMEOUT, self.read())
            .await
            .map_err(|_| format!("the spool's disk did not answer within {DISK_TIMEOUT:?}"))?
    }

    async fn read(&self) -> std::result::Result<Arc<SpoolState>, String> {
        let mut reading = self.reading.lock().await;
        if let Some((at, state)) = &reading.last
            && at.elapsed() < FRESH
        {
            return Ok(state.clone());
        }
        loop {
            let under_way = reading.under_way.get_or_insert_with(|| {
                let client = self.get();
                tokio::task::spawn_blocking(move || {
                    let stats = client.stats()?;
                    Ok(SpoolState {
                        retry: client.retry()?,
                        last_failure: client.last_failure()?,
                        waiting_bytes: client.waiting_bytes()?,
                        rejected_kept: rejected_kept(&client)?,
                        disk: client.disk()?,
                        sender_problem: sender_problem(&client, &stats)?,
                        stats,
                    })
                })
            });
            let read = under_way.await;
            reading.under_way = None;
            match read {
                Ok(Ok(state)) => {
                    let state = Arc::new(state);
                    reading.last = Some((Instant::now(), state.clone()));
                    return Ok(state);
                }
                // A reload has replaced the client meanwhile: read from the new one.
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
