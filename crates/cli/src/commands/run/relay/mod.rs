//! `meditopia run` with a store: a relay, which delivers what is in the database of a fleet.
//!
//! What a relay does is in the crate of the fleet, on threads that block. This is the process around it: its
//! configuration, its signals, the service manager and the endpoint.

mod endpoint;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use meditopia_fleet::address::Address;
use meditopia_fleet::members;
use meditopia_fleet::relay::{self, Ended, Relay};
use tokio::signal::unix::SignalKind;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

use self::endpoint::RelayAnswers;
use super::service_manager::ServiceManager;
use super::{EXTEND_BY, EXTEND_EVERY, Options, TOLERANCE};
use crate::failure::{EVENTS_LEFT, FAILED, Failure, USAGE};
use crate::options::sender_config::SenderConfig;
use crate::options::spool::SpoolOptions;
use crate::options::store::StoreNames;
use crate::output::log::Log;
use crate::signals::{EndSignals, install_handler};

/// What `systemctl status` shows is renewed this often.
const STATUS_EVERY: Duration = Duration::from_secs(5);
/// How much longer than its deadline a relay may take to end.
const END_GRACE: Duration = Duration::from_secs(20);

/// The configuration of a relay.
pub struct RelayConfig {
    pub sender: SenderConfig,
    address: Address,
    settings: relay::Settings,
}

impl RelayConfig {
    /// Reads the file, the environment and the command line; `None` if they name no store.
    pub fn read(spool: &SpoolOptions, store: &StoreNames) -> Result<Option<Self>, Failure> {
        let file = spool.config_file();
        spool.check_config_file()?;
        let Some(address) = store.address_if_named(file)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            sender: SenderConfig::read_for_relay(spool)?,
            address,
            settings: relay::Settings::read(file)?,
        }))
    }

    fn options(self, log: &Log) -> relay::Options {
        relay::Options {
            address: self.address,
            name: self.settings.name.unwrap_or_else(members::this_host),
            connections: self.settings.connections,
            settings: self.sender.settings,
            log: log.callback(),
        }
    }
}

/// Delivers until a signal ends the process.
pub async fn run(options: &Options, config: RelayConfig, log: Log) -> Result<ExitCode, Failure> {
    let (mut end_signals, mut hang_up) = (
        EndSignals::install()?,
        install_handler(SignalKind::hangup())?,
    );
    let manager = Arc::new(ServiceManager::from_environment()?);
    let endpoint = options.endpoint.open().await?;
    log.warn_about(&config.sender.config);
    let relay = Arc::new(Relay::new(config.options(&log))?);
    if let Some(endpoint) = endpoint {
        log.info(endpoint.describe());
        tokio::spawn(endpoint.serve(RelayAnswers {
            relay: relay.clone(),
        }));
    }
    let mut running = tokio::task::spawn_blocking({
        let relay = relay.clone();
        move || relay.run()
    });
    tokio::spawn(report_to(manager.clone(), relay.clone(), log.clone()));
    manager.send("READY=1");
    let signal = loop {
        tokio::select! {
            signal = end_signals.next() => break signal,
            _ = hang_up.recv() => log.warn(
                "reload: a relay reads a replaced bearer_token_file by itself, and everything else at its start: restart it, which costs nothing; nothing was changed",
            ),
            ended = &mut running => return Err(why_it_ended(ended)),
        }
    };
    let timeout = Duration::from_secs(options.drain_timeout.into());
    manager.send(&format!("STOPPING=1\nSTATUS={signal}: ending"));
    log.info(format_args!(
        "{signal}: no lane is taken any more, and requests in flight have {} s; a second signal ends this process at once",
        timeout.as_secs()
    ));
    relay.stop(timeout);
    wait_for_end(running, &mut end_signals, &manager, timeout).await
}

/// Waits until the relay has given its lanes up.
async fn wait_for_end(
    mut running: JoinHandle<relay::Result<Ended>>,
    end_signals: &mut EndSignals,
    manager: &ServiceManager,
    timeout: Duration,
) -> Result<ExitCode, Failure> {
    let end_by = Instant::now() + timeout + END_GRACE;
    let at_once = |why: &str| {
        let line = format!(
            "ended at once: {why}; other relays take its lanes when their leases end, and repeat requests that were in flight"
        );
        manager.send_status(&line);
        Failure::new(EVENTS_LEFT, line)
    };
    loop {
        let left = end_by.saturating_duration_since(Instant::now());
        tokio::select! {
            ended = &mut running => return match ended {
                Ok(Ok(_)) => Ok(ExitCode::SUCCESS),
                other => Err(why_it_ended(other)),
            },
            signal = end_signals.next() => {
                return Err(at_once(&format!("received {signal} as a second signal")));
            }
            () = sleep(EXTEND_EVERY.min(left)) => {
                if left.is_zero() {
                    return Err(at_once("a thread is stuck"));
                }
                manager.send(&format!("EXTEND_TIMEOUT_USEC={}", EXTEND_BY.as_micros()));
            }
        }
    }
}

/// A relay that was not stopped ends only if the configuration is wrong.
fn why_it_ended(ended: Result<relay::Result<Ended>, tokio::task::JoinError>) -> Failure {
    match ended {
        Ok(Ok(_)) => Failure::new(FAILED, "the relay has ended by itself"),
        Ok(Err(failure)) => Failure::new(USAGE, failure.message()),
        Err(panicked) => Failure::from(panicked.to_string()),
    }
}

/// Feeds the watchdog while no thread is stuck, and keeps the line of status.
async fn report_to(manager: Arc<ServiceManager>, relay: Arc<Relay>, log: Log) {
    let watchdog = manager.watchdog();
    let tolerance = watchdog.map_or(TOLERANCE, |watchdog| watchdog / 2);
    let every = watchdog.map_or(STATUS_EVERY, |watchdog| (watchdog / 2).min(STATUS_EVERY));
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_stuck = false;
    loop {
        ticks.tick().await;
        let alive = endpoint::check_alive(&relay, tolerance);
        match (&alive, was_stuck) {
            (Err(why), false) => log.error(why),
            (Ok(()), true) => log.info("no thread is stuck any more"),
            _ => {}
        }
        was_stuck = alive.is_err();
        if !was_stuck {
            manager.send("WATCHDOG=1");
        }
        let status = alive.and_then(|()| endpoint::check_ready(&relay));
        manager.send_status(&status.unwrap_or_else(|why| why));
    }
}
