//! What all handles of a process on one spool share: a writer, a sender and a log.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::watch::Watch;
use crate::config::{Durability, Settings};
use crate::delivery::Policy;
use crate::error::Result;
use crate::event::Rules;
use crate::journal::writer::{RecordDurability, Writer};
use crate::log::Log;
use crate::mutex::lock;
use crate::process::spawn_with_signals_blocked;
use crate::sender::{Orders, Report, Sender, Token};
use crate::spool::{self, Destination, NetworkFileSystem, Spool};
use crate::stats::histogram::{ENQUEUE_BOUNDS_US, SharedHistogram};
use crate::store::CommitSafety;
use crate::transport;

/// One single enqueue of so many is measured.
const MEASURED_OF: u64 = 64;

pub(super) struct Core {
    pub(super) settings: Settings,
    pub(super) spool: Arc<Spool>,
    pub(super) writer: Writer,
    pub(super) sender: Sender,
    pub(super) log: Arc<Log>,
    pub(super) rules: Rules,
    /// Handles that are open in this process.
    pub(super) handles: AtomicUsize,
    pub(super) enqueued: AtomicU64,
    /// How long single enqueues took, of one in [`MEASURED_OF`].
    pub(super) enqueue_took: SharedHistogram,
    watch: Watch,
    background: Mutex<Background>,
    /// Set once `background` has left `Off`, so that an enqueue need not lock.
    settled_background: AtomicBool,
    /// Removed with the last handle: `durability = memory`.
    temporary: Option<PathBuf>,
}

/// Whether this process sends in the background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Background {
    /// Not until something is enqueued.
    Off,
    /// The sender is wanted.
    On,
    /// Not any more: the last handle was closed.
    Shut,
}

/// How requests go out with these settings.
pub fn connection(settings: &Settings) -> transport::Options {
    transport::Options {
        connect_timeout: settings.connect_timeout,
        request_timeout: settings.request_timeout,
        proxy: settings
            .proxy
            .as_ref()
            .map(|proxy| proxy.expose().to_owned()),
        ca_file: settings.ca_file.clone(),
        spawn: spawn_with_signals_blocked,
        ..transport::Options::new(settings.endpoint.as_str())
    }
}

impl Core {
    pub(super) fn open(settings: Settings) -> Result<Self> {
        let (dir, temporary) = match (settings.durability, &settings.spool) {
            (Durability::Process | Durability::Power, Some(dir)) => (dir.clone(), None),
            _ => {
                let dir = spool::temporary_dir();
                (dir.clone(), Some(dir))
            }
        };
        let destination = Destination {
            endpoint: settings.endpoint.as_str(),
            account: &settings.account,
        };
        let network = if settings.allow_network_spool {
            NetworkFileSystem::Allow
        } else {
            NetworkFileSystem::Refuse
        };
        let spool = Arc::new(Spool::open(&dir, destination, network)?);
        Ok(Self::on(settings, spool, temporary))
    }

    /// A core on a spool that is open.
    pub(super) fn on(settings: Settings, spool: Arc<Spool>, temporary: Option<PathBuf>) -> Self {
        let token = Token::from_source(&settings.bearer_token);
        Self::assemble(settings, spool, token, temporary)
    }

    /// A core for a forked child. Takes no lock of the parent's and does no I/O.
    pub(super) fn for_child(parent: &Self) -> Self {
        Self::assemble(
            parent.settings.clone(),
            parent.spool.clone(),
            parent.sender.token().for_child(),
            // It is the parent's to remove.
            None,
        )
    }

    fn assemble(
        settings: Settings,
        spool: Arc<Spool>,
        token: Token,
        temporary: Option<PathBuf>,
    ) -> Self {
        let log = Arc::new(Log::new(settings.log_level));
        let (safety, commits) = match settings.durability {
            Durability::Power => (RecordDurability::Power, CommitSafety::Power),
            Durability::Process | Durability::Memory => {
                (RecordDurability::Process, CommitSafety::Process)
            }
        };
        let limit = settings.max_spool_bytes.map_or(0, |bytes| bytes.get());
        let orders = Orders {
            policy: Policy {
                batch_max: settings.batch_max,
                flush_interval: settings.flush_interval,
                lanes: usize::from(settings.lanes),
                brake_users: settings.brake_users.map_or(0, |users| users.get()),
                max_requests_per_s: settings.max_requests_per_s,
            },
            safety: commits,
            event_ttl: settings.event_ttl,
            receipts_kept: settings.receipts_kept,
        };
        Self {
            watch: Watch::new(settings.flush_interval),
            writer: Writer::new(spool.clone(), safety, limit),
            sender: Sender::new(
                spool.clone(),
                log.clone(),
                orders,
                connection(&settings),
                token,
                settings.flush_interval,
            ),
            rules: settings.rules(),
            log,
            spool,
            settings,
            handles: AtomicUsize::new(0),
            enqueued: AtomicU64::new(0),
            enqueue_took: SharedHistogram::default(),
            background: Mutex::new(Background::Off),
            settled_background: AtomicBool::new(false),
            temporary,
        }
    }

    /// Begins to measure a single enqueue, if its turn has come: the clock is not read for each.
    pub(super) fn measure_enqueue(&self) -> Option<Instant> {
        let turn = self
            .enqueued
            .load(Ordering::Relaxed)
            .is_multiple_of(MEASURED_OF);
        turn.then(Instant::now)
    }

    /// An enqueue that was [measured](Self::measure_enqueue) is acknowledged.
    pub(super) fn enqueue_took(&self, begun: Instant) {
        self.enqueue_took.add(&ENQUEUE_BOUNDS_US, begun.elapsed());
    }

    /// Events were acknowledged: counts them and has them sent, if that is this process's role. `now_ns`
    /// is the time since boot.
    pub(super) fn enqueued(&self, events: usize, now_ns: u64) -> Result<()> {
        self.enqueued.fetch_add(events as u64, Ordering::Relaxed);
        if self.settings.role.sends() {
            // An event is acknowledged whether or not a thread can be started now.
            if let Err(e) = self.send_in_background() {
                self.log.error(format_args!("{e}"));
            }
            self.sender.enqueued(events);
        } else if self.watch.is_due(now_ns) {
            self.watch.look(&self.spool, &self.log, now_ns);
        }
        Ok(())
    }

    /// Has this process send in the background, if that is its role.
    pub(super) fn start(&self) -> Result<()> {
        if self.settings.role.sends() {
            self.send_in_background()?;
        }
        Ok(())
    }

    /// Has this process send in the background, if it does not and the core is not shut.
    fn send_in_background(&self) -> Result<()> {
        if self.settled_background.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut background = lock(&self.background);
        if *background == Background::Off {
            self.sender.want()?;
            *background = Background::On;
        }
        self.settled_background.store(true, Ordering::Release);
        Ok(())
    }

    pub(super) fn flush(&self, deadline: Instant) -> (Report, Result<()>) {
        let since = self.sums(deadline);
        if self.settings.role.sends()
            && let Err(e) = self.send_in_background()
        {
            return (self.report(since, deadline), Err(e));
        }
        if let Err(e) = self.sender.want() {
            return (self.report(since, deadline), Err(e));
        }
        let outcome = self.sender.flush(deadline);
        let report = self.report(since, deadline);
        self.sender.release();
        if !self.settings.role.sends() {
            // The election is free again when this returns.
            self.sender.wait_ended(deadline);
        }
        (report, outcome)
    }

    /// The last handle is closed: with `role = both`, flush and stop.
    pub(super) fn shut(&self, deadline: Instant) -> Result<()> {
        let mut outcome = Ok(());
        if self.settings.role.sends() {
            // An enqueue that is on its way still is acknowledged, but starts no thread any more.
            let before = std::mem::replace(&mut *lock(&self.background), Background::Shut);
            // A process that has enqueued nothing has no thread, and a close starts none.
            if before == Background::On {
                outcome = self.sender.flush(deadline);
            }
            self.writer.close();
            if before == Background::On {
                self.sender.release();
                self.sender.wait_ended(deadline);
            }
        }
        outcome
    }

    /// Removes the spool of `durability = memory`. After the report, which is read from there.
    pub(super) fn remove_temporary(&self) {
        if let Some(dir) = &self.temporary {
            self.writer.close();
            let _ = fs::remove_dir_all(dir);
        }
    }

    /// Whether it stays for the next handle: an enqueuing process pays for opening a spool once.
    pub(super) fn outlives_handles(&self) -> bool {
        !self.settings.role.sends() && self.temporary.is_none()
    }
}
