//! The life of `meditopia run`: it opens, sends, is told things by signals, and ends in order.
//!
//! The watchdog of the service manager is fed from here, and only while the sender's threads come by as
//! they said they would: a process whose sender is stuck is restarted, however well its timers run.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use meditopia::Report;
use meditopia::internals::client::Standing;
use meditopia::{ErrorKind, Result as Outcome};
use rustix::time::{ClockId, clock_gettime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::configured::Configured;
use super::current::Current;
use super::endpoint::{self, Reach, Told};
use super::health::Health;
use super::notify::Notify;
use super::output::Output;
use super::{Options, reload, watch};
use crate::failure::{Failure, LEFT};

/// How much the sender may be overdue where no watchdog says it.
const TOLERANCE: Duration = Duration::from_secs(30);
/// Between two tells to the manager that the end is still coming, and what each asks for.
const EXTEND_EVERY: Duration = Duration::from_secs(1);
const EXTEND_BY: Duration = Duration::from_secs(15);
/// How much longer than its deadline an end may take before it is taken for stuck.
const END_GRACE: Duration = Duration::from_secs(5);

/// The signals that tell a process to end.
struct Ends {
    terminate: Signal,
    interrupt: Signal,
}

impl Ends {
    fn heard() -> Result<Self, Failure> {
        Ok(Self {
            terminate: hear(SignalKind::terminate())?,
            interrupt: hear(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

fn hear(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|e| Failure::from(format!("signals: {e}")))
}

/// A daemon that sends.
struct Daemon<'a> {
    options: &'a Options,
    output: Output,
    notify: Arc<Notify>,
    health: Arc<Health>,
    spool: Arc<str>,
}

/// Runs until it is told to end.
pub async fn run(
    options: &Options,
    mut configured: Configured,
    output: Output,
) -> Result<ExitCode, Failure> {
    // First, so that an early signal is not the end of an open spool.
    let (mut ends, mut hang_up) = (Ends::heard()?, hear(SignalKind::hangup())?);
    let notify = Arc::new(Notify::from_environment()?);
    let listener = match options.listen {
        Some(address) => {
            let reach = if options.listen_anywhere {
                Reach::Anybody
            } else {
                Reach::ThisHost
            };
            Some(endpoint::listen(address, reach).await?)
        }
        None => None,
    };
    let spool: Arc<str> = configured.spool_name().into();
    let client = reload::sending(&configured, &output)?;
    let current = Arc::new(Current::new(client, &configured.settings));
    let tolerance = notify.watchdog().map_or(TOLERANCE, |watchdog| watchdog / 2);
    let health = Arc::new(Health::new(current.clone(), tolerance));
    let daemon = Daemon {
        options,
        output: output.clone(),
        notify: notify.clone(),
        health: health.clone(),
        spool: spool.clone(),
    };

    if let Some(tcp) = listener {
        let here = tcp.local_addr().map_err(|e| Failure::from(e.to_string()))?;
        output.info(format_args!("listening on http://{here}"));
        let told = Told {
            health: health.clone(),
            spool: spool.clone(),
        };
        tokio::spawn(endpoint::serve(tcp, told));
    }
    tokio::spawn(watch::watch(health, notify.clone(), output.clone(), spool));
    tokio::spawn(feed_watchdog(daemon.health.clone(), notify.clone()));
    notify.tell("READY=1");

    let word = loop {
        tokio::select! {
            word = ends.next() => break word,
            _ = hang_up.recv() => configured = daemon.reload(configured)?,
        }
    };
    daemon.end(word, &mut ends).await
}

impl Daemon<'_> {
    /// Reads the configuration again; one that is wrong changes nothing.
    fn reload(&self, old: Configured) -> Result<Configured, Failure> {
        let now = clock_gettime(ClockId::Monotonic);
        let usec = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
        self.notify
            .tell(&format!("RELOADING=1\nMONOTONIC_USEC={usec}"));
        let in_force = match Configured::read(&self.options.spool, old.settings.role) {
            Ok(new) => reload::apply(&self.health.current, old, new, &self.output)?,
            Err(why) => {
                self.output
                    .error(format_args!("reload: {why}; nothing was changed"));
                old
            }
        };
        self.notify.tell("READY=1");
        Ok(in_force)
    }

    /// Delivers what waits, within its time, and says what is left.
    async fn end(&self, word: &str, ends: &mut Ends) -> Result<ExitCode, Failure> {
        self.health.ends();
        let standing = self.health.current.vitals().map(|vitals| vitals.standing);
        // What waits is the business of the one that sends.
        let is_stand_by = standing == Ok(Standing::StandBy);
        let time = if is_stand_by {
            Duration::ZERO
        } else {
            Duration::from_secs(self.options.drain_timeout.into())
        };
        self.notify
            .tell(&format!("STOPPING=1\nSTATUS={word}: draining"));
        self.output.info(format_args!(
            "{}: {word}: ending within {} s; a second signal ends it at once",
            self.spool,
            time.as_secs()
        ));
        let client = self.health.current.client();
        let mut closing = tokio::task::spawn_blocking(move || client.close_with_report(time));
        let ends_by = Instant::now() + time + END_GRACE;
        loop {
            let left = ends_by.saturating_duration_since(Instant::now());
            tokio::select! {
                closed = &mut closing => {
                    let (report, outcome) = closed.map_err(|e| Failure::from(e.to_string()))?;
                    self.tell_end(word, &report, outcome, is_stand_by);
                    return Ok(ExitCode::SUCCESS);
                }
                word = ends.next() => {
                    return Err(self.at_once(&format!("{word} came as a second signal")));
                }
                () = sleep(EXTEND_EVERY.min(left)) => {
                    if left.is_zero() {
                        return Err(self.at_once("the sender is stuck"));
                    }
                    let extend = EXTEND_BY.as_micros();
                    self.notify.tell(&format!("EXTEND_TIMEOUT_USEC={extend}"));
                }
            }
        }
    }

    fn tell_end(&self, word: &str, report: &Report, outcome: Outcome<()>, is_stand_by: bool) {
        let spool = &self.spool;
        let done = format!(
            "{} delivered, {} rejected since {word}",
            report.delivered, report.rejected
        );
        let line = match (report.pending, outcome) {
            (waiting, _) if is_stand_by => {
                format!("{waiting} events wait, and another process sends")
            }
            (0, Ok(())) => format!("{done}; nothing waits"),
            (waiting, Ok(())) => format!("{done}; {waiting} events wait for the next sender"),
            (waiting, Err(why)) => {
                let doubt = match report.in_doubt {
                    0 => String::new(),
                    in_doubt => format!(", {in_doubt} of them in doubt"),
                };
                let why = if why.kind() == ErrorKind::Timeout {
                    format!("the time is over: {why}")
                } else {
                    why.to_string()
                };
                format!("{done}; {waiting} events wait for the next sender{doubt} ({why})")
            }
        };
        self.notify.status(&format!("ended: {line}"));
        if report.pending > 0 && !is_stand_by {
            self.output.warn(format_args!("{spool}: ended: {line}"));
        } else {
            self.output.info(format_args!("{spool}: ended: {line}"));
        }
    }

    fn at_once(&self, why: &str) -> Failure {
        let line = format!(
            "{}: ended at once: {why}; what waits is kept, and a request that was on its way is in doubt",
            self.spool
        );
        self.notify.status(&line);
        Failure::new(LEFT, line)
    }
}

/// Tells the manager twice in its time that this process is alive, if it is.
async fn feed_watchdog(health: Arc<Health>, notify: Arc<Notify>) {
    let Some(watchdog) = notify.watchdog() else {
        return;
    };
    let mut ticks = interval(watchdog / 2);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if health.alive().is_ok() {
            notify.tell("WATCHDOG=1");
        }
    }
}
