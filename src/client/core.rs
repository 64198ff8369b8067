//! What all clients of a process on one spool share: a writer, a sender and a log.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::connection::connection;
use super::watchdog::Watchdog;
use crate::config::{CurrentToken, Durability, Endpoint, Role, Settings, TokenSource};
use crate::dispatch::{self, OnPause};
use crate::error::{ErrorKind, Result};
use crate::event::Rules;
use crate::journal::writer::{ChangedSegment, RecordDurability, Writer};
use crate::log::Log;
use crate::mutex::lock;
use crate::sender::{Report, Sender, SenderOptions, Wanted};
use crate::spool::{self, Destination, GroupTrust, NetworkFileSystem, Spool};
use crate::stats::histogram::{ENQUEUE_BOUNDS_US, SharedHistogram};
use crate::store::CommitSafety;

/// One call of enqueue in this many is measured.
const SAMPLED_ONE_IN: u64 = 64;

/// How long an enqueue does not try again to start a thread.
const THREAD_EVERY_NS: u64 = 1_000_000_000;

pub(super) struct Core {
    pub(super) settings: Settings,
    pub(super) spool: Arc<Spool>,
    pub(super) writer: Writer,
    pub(super) sender: Sender,
    pub(super) log: Arc<Log>,
    pub(super) rules: Rules,
    /// Clients of this core that are open.
    pub(super) clients: AtomicUsize,
    /// Events that were acknowledged.
    pub(super) enqueued: AtomicU64,
    /// How long the measured calls of enqueue took.
    pub(super) enqueue_durations: SharedHistogram,
    watchdog: Watchdog,
    background: Mutex<Background>,
    /// Set once `background` is no longer `Off`, so that an enqueue need not lock it.
    background_decided: AtomicBool,
    /// When a thread could not be started last; 0: that has not happened.
    no_thread_ns: AtomicU64,
    /// The spool of `durability = memory`, removed with the last client.
    temporary: Option<PathBuf>,
}

/// Whether this process sends in the background.
enum Background {
    /// Nothing was enqueued yet.
    Off,
    /// The sender is wanted.
    On(Wanted),
    /// The last client was closed.
    Stopped,
}

/// The endpoint of the spool, for a configuration that names none. The token would go where the spool says, so
/// that counts only where nobody but this user can have written it: not where a group is trusted.
fn endpoint_of_spool(settings: &Settings, dir: &Path) -> Option<Endpoint> {
    if settings.names_endpoint || settings.trust_group {
        return None;
    }
    let known = spool::describe(dir).ok()?;
    Endpoint::parse(&known.endpoint).ok()
}

impl Core {
    pub(super) fn open(mut settings: Settings) -> Result<Self> {
        let (dir, temporary) = match (settings.durability, &settings.spool) {
            (Durability::Process | Durability::Power, Some(dir)) => (dir.clone(), None),
            _ => {
                let dir = spool::temporary_dir();
                (dir.clone(), Some(dir))
            }
        };
        let network = if settings.allow_network_spool {
            NetworkFileSystem::Allow
        } else {
            NetworkFileSystem::Refuse
        };
        // A temporary spool is this process's alone.
        let trust = GroupTrust::from_setting(settings.trust_group && temporary.is_none());
        let open = |settings: &Settings| {
            let destination = Destination {
                endpoint: settings.endpoint.as_str(),
                account: &settings.account,
            };
            Spool::open_trusting(&dir, destination, network, trust)
        };
        let spool = match open(&settings) {
            Err(e) if e.kind() == ErrorKind::SpoolMismatch => {
                match endpoint_of_spool(&settings, &dir) {
                    Some(endpoint) => {
                        settings.endpoint = endpoint;
                        open(&settings)?
                    }
                    None => return Err(e),
                }
            }
            opened => opened?,
        };
        Ok(Self::with_spool(settings, Arc::new(spool), temporary))
    }

    /// A core on a spool that is open already.
    pub(super) fn with_spool(
        mut settings: Settings,
        spool: Arc<Spool>,
        temporary: Option<PathBuf>,
    ) -> Self {
        let token = CurrentToken::from_source(&settings.bearer_token);
        // It would stay in memory after it was replaced.
        if settings.bearer_token.file().is_none() {
            settings.bearer_token = TokenSource::Absent;
        }
        Self::assemble(settings, spool, token, temporary)
    }

    /// A core for a forked child. Takes no lock of the parent's and does no I/O.
    pub(super) fn for_child(parent: &Self) -> Self {
        Self::assemble(
            parent.settings.clone(),
            parent.spool.clone(),
            parent.sender.token().for_child(),
            // The parent removes a temporary spool.
            None,
        )
    }

    fn assemble(
        settings: Settings,
        spool: Arc<Spool>,
        token: CurrentToken,
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
        let options = SenderOptions {
            dispatch: dispatch::Options::of(&settings),
            safety: commits,
        };
        Self {
            watchdog: Watchdog::new(settings.flush_interval),
            writer: Writer::new(spool.clone(), safety, limit),
            sender: Sender::new(
                spool.clone(),
                log.clone(),
                options,
                connection(&settings),
                token,
                settings.flush_interval,
            ),
            rules: settings.rules(),
            log,
            spool,
            settings,
            clients: AtomicUsize::new(0),
            enqueued: AtomicU64::new(0),
            enqueue_durations: SharedHistogram::default(),
            background: Mutex::new(Background::Off),
            background_decided: AtomicBool::new(false),
            no_thread_ns: AtomicU64::new(0),
            temporary,
        }
    }

    /// Begins to measure an enqueue if it is one of those that are measured; the others do not read
    /// the clock.
    pub(super) fn begin_sample(&self) -> Option<Instant> {
        let is_sampled = self
            .enqueued
            .load(Ordering::Relaxed)
            .is_multiple_of(SAMPLED_ONE_IN);
        is_sampled.then(Instant::now)
    }

    /// Counts the duration of an enqueue whose measurement [began](Self::begin_sample) at `begun`.
    pub(super) fn end_sample(&self, begun: Instant) {
        self.enqueue_durations
            .add(&ENQUEUE_BOUNDS_US, begun.elapsed());
    }

    /// Logs that another program has changed a segment. What was appended since is in a new one.
    pub(super) fn report_changed(&self, changed: Option<ChangedSegment>) {
        let Some(ChangedSegment { name, events }) = changed else {
            return;
        };
        let spool = self.spool.name();
        self.log.error(format_args!(
            "{spool}: another program has removed, moved, cut or replaced journal/{name}; of its {events} events, those that no sender had taken over are lost; keep other programs out of the spool"
        ));
    }

    /// Counts events that were acknowledged, and wakes the sender if this process has that role.
    /// `now_ns` is the time since boot.
    pub(super) fn after_enqueue(&self, events: usize, now_ns: u64) -> Result<()> {
        self.enqueued.fetch_add(events as u64, Ordering::Relaxed);
        if self.settings.role.sends() {
            if !self.background_decided.load(Ordering::Acquire) {
                self.try_to_send(now_ns);
            }
            self.sender.enqueued(events);
        } else if self.watchdog.is_due(now_ns) {
            self.watchdog.check(&self.spool, &self.log, now_ns);
        }
        Ok(())
    }

    /// Starts sending in the background. The events are acknowledged, so a thread that cannot be started is
    /// no error of an enqueue; it is tried again after a while, and said once.
    #[cold]
    fn try_to_send(&self, now_ns: u64) {
        let failed_ns = self.no_thread_ns.load(Ordering::Relaxed);
        if failed_ns != 0 && now_ns.saturating_sub(failed_ns) < THREAD_EVERY_NS {
            return;
        }
        if let Err(e) = self.send_in_background()
            && self.no_thread_ns.swap(now_ns.max(1), Ordering::Relaxed) == 0
        {
            self.log.error(format_args!("{e}"));
        }
    }

    /// Starts sending in the background if this process has that role.
    pub(super) fn start(&self) -> Result<()> {
        if self.settings.role.sends() {
            self.send_in_background()?;
        }
        Ok(())
    }

    /// Starts sending in the background unless that was done before, or the core was stopped.
    fn send_in_background(&self) -> Result<()> {
        if self.background_decided.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut background = lock(&self.background);
        if matches!(*background, Background::Off) {
            *background = Background::On(self.sender.want()?);
        }
        self.background_decided.store(true, Ordering::Release);
        Ok(())
    }

    pub(super) fn flush(&self, deadline: Instant) -> (Report, Result<()>) {
        let before = self.totals(deadline);
        let sends = self.settings.role.sends();
        let ready = if sends {
            self.send_in_background()
        } else {
            Ok(())
        };
        let wanted = match ready.and_then(|()| self.sender.want()) {
            Ok(wanted) => wanted,
            Err(e) => {
                let outcome = Err(e);
                return (self.report(before, deadline, &outcome), outcome);
            }
        };
        let outcome = self.sender.flush(OnPause::Probe, deadline);
        let report = self.report(before, deadline, &outcome);
        drop(wanted);
        if !sends {
            // When this call returns, another process can be elected.
            self.sender.wait_ended(deadline);
        }
        (report, outcome)
    }

    /// Flushes and stops the sender, after the last client was closed. Does nothing with
    /// `role = enqueue`.
    pub(super) fn flush_and_stop(&self, deadline: Instant) -> Result<()> {
        let mut outcome = Ok(());
        if self.settings.role.sends() {
            // An enqueue that runs at the same time is still acknowledged, but no longer starts a
            // thread.
            let before = std::mem::replace(&mut *lock(&self.background), Background::Stopped);
            let wanted = match before {
                Background::On(wanted) => Ok(Some(wanted)),
                // No thread could be started so far. It is not OK unless what was enqueued is delivered.
                Background::Off if self.enqueued.load(Ordering::Relaxed) > 0 => {
                    self.sender.want().map(Some)
                }
                // A process that has enqueued nothing has no thread, and a close does not start one.
                _ => Ok(None),
            };
            if let Ok(Some(_)) = &wanted {
                outcome = self.sender.flush(OnPause::End, deadline);
            }
            self.writer.close();
            match wanted {
                Ok(None) => return outcome,
                Err(e) => return Err(e),
                Ok(wanted) => drop(wanted),
            }
            self.sender.wait_ended(deadline);
        }
        outcome
    }

    /// Removes the spool of `durability = memory`. Call it after the report, which reads that
    /// spool.
    pub(super) fn remove_temporary(&self) {
        if let Some(dir) = &self.temporary {
            self.writer.close();
            let _ = fs::remove_dir_all(dir);
        }
    }

    /// Whether the core stays open after its last client, so that a process that only enqueues
    /// opens the spool once.
    pub(super) fn outlives_clients(&self) -> bool {
        !self.settings.role.sends() && self.temporary.is_none()
    }
}

impl Role {
    /// Whether a process of this role sends in the background.
    fn sends(self) -> bool {
        match self {
            Self::Both => true,
            Self::Enqueue => false,
        }
    }
}
