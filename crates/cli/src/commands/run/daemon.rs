//! The process of `meditopia run`: it opens the spool, sends, handles signals, and shuts down cleanly.
//!
//! It feeds the watchdog of the service manager only while the threads of the sender report in
//! time. A process whose sender is stuck is therefore restarted even if its own timers still run.
//!
//! If another directory takes the place of the spool, or none is there any more, the process ends, for its
//! supervisor to start it anew. It could open the new one itself, but a start does more than that: root gives
//! its rights to the owner of the new directory, the configuration is read, a spool is made or refused.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use meditopia::internals::client::Standing;
use meditopia::{ErrorKind, Report, Result as Outcome};
use rustix::time::{ClockId, clock_gettime};
use tokio::signal::unix::SignalKind;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::current_client::CurrentClient;
use super::endpoint::SenderAnswers;
use super::health::Health;
use super::service_manager::ServiceManager;
use super::{EXTEND_BY, EXTEND_EVERY, Options, TOLERANCE, announce, reload};
use crate::failure::{EVENTS_LEFT, Failure};
use crate::options::sender_config::SenderConfig;
use crate::output::figures;
use crate::output::log::Log;
use crate::signals::{EndSignals, install_handler};

/// How often the service checks that its spool is still at its path, and how long it may be missing there:
/// a script that replaces it takes a moment.
const SPOOL_CHECK_EVERY: Duration = Duration::from_millis(500);
const SPOOL_MISSING_FOR: Duration = Duration::from_secs(3);
/// The sender counts as stuck if it needs this much longer than its deadline to end.
const END_GRACE: Duration = Duration::from_secs(5);

/// What the parts of the process share.
struct Daemon<'a> {
    options: &'a Options,
    log: Log,
    manager: Arc<ServiceManager>,
    health: Arc<Health>,
    spool: Arc<str>,
}

/// Runs until a signal ends the process.
pub async fn run(
    options: &Options,
    mut config: SenderConfig,
    log: Log,
) -> Result<ExitCode, Failure> {
    // Installed first, so that an early signal cannot kill the process while the spool is open.
    let (mut end_signals, mut hang_up) = (
        EndSignals::install()?,
        install_handler(SignalKind::hangup())?,
    );
    let manager = Arc::new(ServiceManager::from_environment()?);
    let endpoint = options.endpoint.open().await?;
    let spool: Arc<str> = config.spool_name().into();
    let client = reload::start_client(&config, &log)?;
    let current = Arc::new(CurrentClient::new(client, &config.settings));
    let tolerance = manager
        .watchdog()
        .map_or(TOLERANCE, |watchdog| watchdog / 2);
    let health = Arc::new(Health::new(current.clone(), tolerance));
    let daemon = Daemon {
        options,
        log: log.clone(),
        manager: manager.clone(),
        health: health.clone(),
        spool: spool.clone(),
    };

    if let Some(endpoint) = endpoint {
        log.info(endpoint.describe());
        let answers = SenderAnswers {
            health: health.clone(),
            spool: spool.clone(),
        };
        tokio::spawn(endpoint.serve(answers));
    }
    tokio::spawn(announce::announce_changes(
        health,
        manager.clone(),
        log.clone(),
        spool,
    ));
    tokio::spawn(feed_watchdog(daemon.health.clone(), manager.clone()));
    manager.send("READY=1");

    let signal = loop {
        tokio::select! {
            signal = end_signals.next() => break signal,
            _ = hang_up.recv() => config = daemon.reload(config)?,
            () = spool_is_gone(&current) => return Err(daemon.end_without_spool().await),
        }
    };
    daemon.end(signal, &mut end_signals).await
}

impl Daemon<'_> {
    /// Reads the configuration again and returns the one that is now in effect. A wrong one changes
    /// nothing.
    fn reload(&self, old: SenderConfig) -> Result<SenderConfig, Failure> {
        let now = clock_gettime(ClockId::Monotonic);
        let usec = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
        self.manager
            .send(&format!("RELOADING=1\nMONOTONIC_USEC={usec}"));
        let in_effect = match SenderConfig::read(&self.options.spool, old.settings.role) {
            Ok(new) => reload::apply(&self.health.client, old, new, &self.log)?,
            Err(why) => {
                self.log
                    .error(format_args!("reload: {why}; nothing was changed"));
                old
            }
        };
        self.manager.send("READY=1");
        Ok(in_effect)
    }

    /// Delivers what is pending within `--drain-timeout`, and logs what is left.
    async fn end(&self, signal: &str, end_signals: &mut EndSignals) -> Result<ExitCode, Failure> {
        self.health.set_ending();
        let standing = self.health.client.vitals().map(|vitals| vitals.standing);
        // Pending events are left to the process that is elected.
        let is_stand_by = standing == Ok(Standing::StandBy);
        let timeout = if is_stand_by {
            Duration::ZERO
        } else {
            Duration::from_secs(self.options.drain_timeout.into())
        };
        self.manager
            .send(&format!("STOPPING=1\nSTATUS={signal}: draining"));
        self.log.info(format_args!(
            "{}: {signal}: ending within {} s; a second signal ends it at once",
            self.spool,
            timeout.as_secs()
        ));
        let client = self.health.client.get();
        let mut closing = tokio::task::spawn_blocking(move || client.close_with_report(timeout));
        let end_by = Instant::now() + timeout + END_GRACE;
        loop {
            let left = end_by.saturating_duration_since(Instant::now());
            tokio::select! {
                closed = &mut closing => {
                    let (report, outcome) = closed.map_err(|e| Failure::from(e.to_string()))?;
                    self.report_end(signal, &report, outcome, is_stand_by);
                    return Ok(ExitCode::SUCCESS);
                }
                signal = end_signals.next() => {
                    return Err(self.end_at_once(&format!("received {signal} as a second signal")));
                }
                () = sleep(EXTEND_EVERY.min(left)) => {
                    if left.is_zero() {
                        return Err(self.end_at_once("the sender is stuck"));
                    }
                    let extend = EXTEND_BY.as_micros();
                    self.manager.send(&format!("EXTEND_TIMEOUT_USEC={extend}"));
                }
            }
        }
    }

    /// Leaves the spool, which is no longer at its path. The request in flight may still be answered.
    async fn end_without_spool(&self) -> Failure {
        self.health.set_ending();
        self.manager
            .send("STOPPING=1\nSTATUS=the spool was replaced");
        let client = self.health.client.get();
        let closing = tokio::task::spawn_blocking(move || client.close(END_GRACE));
        // Whatever it says, the next service begins with the new directory.
        let _ = timeout(2 * END_GRACE, closing).await;
        Failure::from(format!(
            "{}: was removed, or another directory is in its place; this service ends, to be started anew on what is there now; events that are left in the old directory, if it exists, are not sent from there: flush it by the path that it has now",
            self.spool
        ))
    }

    fn report_end(&self, signal: &str, report: &Report, outcome: Outcome<()>, is_stand_by: bool) {
        let spool = &self.spool;
        let done = format!(
            "{} delivered, {} rejected since {signal}",
            report.delivered, report.rejected
        );
        let left = figures::left(report);
        let line = match outcome {
            _ if is_stand_by => format!("{left}; another process sends them"),
            Ok(()) => format!("{done}; {left}"),
            Err(error) => {
                let cause = if error.kind() == ErrorKind::Timeout {
                    format!("the drain timeout passed: {error}")
                } else {
                    error.to_string()
                };
                format!("{done}; {left}, for the next sender ({cause})")
            }
        };
        self.manager.send_status(&format!("ended: {line}"));
        if report.pending > 0 && !is_stand_by {
            self.log.warn(format_args!("{spool}: ended: {line}"));
        } else {
            self.log.info(format_args!("{spool}: ended: {line}"));
        }
    }

    fn end_at_once(&self, why: &str) -> Failure {
        let line = format!(
            "{}: ended at once: {why}; pending events are kept, and a request that was in flight is in doubt",
            self.spool
        );
        self.manager.send_status(&line);
        Failure::new(EVENTS_LEFT, line)
    }
}

/// Returns once the spool has not been at its path for a while.
async fn spool_is_gone(current: &CurrentClient) {
    let mut ticks = interval(SPOOL_CHECK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut missing_since = None;
    loop {
        ticks.tick().await;
        let client = current.get();
        // The disk may hang.
        let checked = tokio::task::spawn_blocking(move || client.is_spool_at_path()).await;
        let is_missing = matches!(checked, Ok(Ok(false)));
        match (is_missing, missing_since) {
            (false, _) => missing_since = None,
            (true, None) => missing_since = Some(Instant::now()),
            (true, Some(since)) if since.elapsed() >= SPOOL_MISSING_FOR => return,
            (true, Some(_)) => {}
        }
    }
}

/// Reports to the manager twice per watchdog interval that this process is alive, as long as it is.
async fn feed_watchdog(health: Arc<Health>, manager: Arc<ServiceManager>) {
    let Some(watchdog) = manager.watchdog() else {
        return;
    };
    let mut ticks = interval(watchdog / 2);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if health.check_alive().is_ok() {
            manager.send("WATCHDOG=1");
        }
    }
}
