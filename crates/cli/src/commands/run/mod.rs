//! `meditopia run`: the sender of one spool, or a relay of a fleet, as a service.
//!
//! Usually a background thread of an application sends. Where that is not possible (PHP, scripts,
//! applications that must not use the network), this process sends. It enqueues nothing and does
//! not talk to applications: all that it shares with them is the spool.
//!
//! - `daemon`: the course of the process, its signals and its end
//! - `current_client`: the client that sends, and the state of its spool
//! - `reload`: a new configuration after SIGHUP
//! - `health`, `announce`, `service_manager`: whether delivery works, for the log and for systemd
//! - `endpoint`, `gauges`: the same over HTTP, for Prometheus and probes
//! - `relay`: with a store in the place of a spool, a relay

mod announce;
mod current_client;
mod daemon;
mod endpoint;
mod gauges;
mod health;
mod relay;
mod reload;
mod service_manager;

use std::process::ExitCode;
use std::time::Duration;

use meditopia::LogLevel as Level;
use meditopia::internals::config::Role;

use self::relay::RelayConfig;
use crate::endpoint::EndpointOptions;
use crate::failure::Failure;
use crate::options::sender_config::SenderConfig;
use crate::options::spool::SpoolOptions;
use crate::options::store::StoreNames;
use crate::output::log::{Log, LogFormat};

/// How much a thread may be overdue if there is no watchdog.
const TOLERANCE: Duration = Duration::from_secs(30);
/// The interval of requests to the manager for more time to end, and the time that each asks for.
const EXTEND_EVERY: Duration = Duration::from_secs(1);
const EXTEND_BY: Duration = Duration::from_secs(15);

/// The last part of `--help`.
pub const NOTES: &str = "Signals:
  SIGTERM, SIGINT  deliver what is pending within --drain-timeout, log what is left, and end;
                   a second signal ends the process at once
  SIGHUP           read the configuration and the token again; an option that cannot change while
                   the process runs (endpoint, account, spool) is named in the log

The endpoint (--listen):
  /metrics  all counters of the spool, for Prometheus
  /healthz  503 when a thread of the sender is stuck
  /readyz   503 with the reason while delivery is paused or hindered, no process sends, or the API
            is unavailable: all pending events wait 5 s or longer for a retry, or there were 3
            server errors in a row; of a relay, also while the database is away

With a store (--store, --store-file, MEDITOPIA_STORE or `store` in the configuration) in the place of a spool
this is a relay: it delivers what hosts have handed to the database of a fleet, together with other relays.
SIGTERM and SIGINT then end it when requests in flight are answered. It has two more options, in the
configuration or the environment:
  relay_name         what lists, logs and metrics call it (the name of the host)
  store_connections  connections to the database at once, at most (4)

If another process already sends from the spool, this one stands by and replaces it when it ends.
Under systemd: LoadCredential=bearer-token:FILE is used if nothing else configures a bearer token.

Exit status:
  0  a signal ended it; the next sender delivers what is left, if anything
  1  it could not start or continue, for instance because its spool was replaced: see the message
  2  the command line or the configuration is wrong
  6  it ended at once, by a second signal or because it was stuck; pending events are kept

Examples:
  meditopia run --config /etc/meditopia/shop.toml
  meditopia run --config /etc/meditopia/shop.toml --listen 127.0.0.1:9464
  meditopia run --config /etc/meditopia/relay.toml";

/// The arguments of `meditopia run`.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    spool: SpoolOptions,
    #[command(flatten)]
    store: StoreNames,
    #[command(flatten)]
    endpoint: EndpointOptions,
    /// How long SIGTERM and SIGINT wait for the delivery of pending events
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    drain_timeout: u32,
    /// The format of the log on standard error; by default journal under systemd, otherwise text
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

/// Sends until a signal ends the process.
pub fn run(options: &Options) -> Result<ExitCode, Failure> {
    // Each gives up root, which has to happen before there is a second thread.
    if let Some(config) = RelayConfig::read(&options.spool, &options.store)? {
        let log_level = config.sender.settings.log_level;
        return serve(options.log_format, log_level, |log| {
            relay::run(options, config, log)
        });
    }
    let config = SenderConfig::read(&options.spool, Role::Both)?;
    let log_level = config.settings.log_level;
    serve(options.log_format, log_level, |log| {
        daemon::run(options, config, log)
    })
}

/// Carries out a service, whose log says why it fails.
fn serve<F: Future<Output = Result<ExitCode, Failure>>>(
    format: Option<LogFormat>,
    log_level: Option<Level>,
    service: impl FnOnce(Log) -> F,
) -> Result<ExitCode, Failure> {
    let format = format.unwrap_or_else(LogFormat::of_standard_error);
    let failed = |e: std::io::Error| Failure::from(format!("cannot start: {e}"));
    let (log, log_thread) = Log::start(format, log_level).map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let outcome = runtime.block_on(service(log.clone()));
    // A thread that hangs on the disk must not keep the process alive.
    runtime.shutdown_background();
    let code = outcome.unwrap_or_else(|failure| {
        if log_level.is_none() {
            return failure.report();
        }
        log.error(&failure);
        failure.exit_code()
    });
    drop(log);
    log_thread.finish();
    Ok(code)
}
