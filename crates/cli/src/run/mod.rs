//! `meditopia run`: the sender of one spool as a service.
//!
//! The library sends from a background thread of whoever enqueues. Where that cannot be - PHP, scripts,
//! hosts that must not use the network - this is the process that does. It enqueues nothing and listens to
//! no host: all that it shares with them is the spool (`current` is the client on it). Around that: a
//! configuration that is read again by SIGHUP (`configured`, `reload`), signs of life (`health`, `watch`,
//! `notify`), an endpoint to ask (`endpoint`, `listener`), and an end in order (`daemon`).

pub mod configured;
mod current;
mod daemon;
mod endpoint;
mod health;
mod listener;
mod notify;
pub mod output;
mod reload;
mod watch;

use std::net::SocketAddr;
use std::process::ExitCode;

use meditopia::internals::config::Role;

use self::configured::Configured;
use self::output::{Format, Output};
use crate::failure::Failure;
use crate::spool_options::SpoolOptions;

/// What `--help` says at its end.
pub const NOTES: &str = "Signals:
  SIGTERM, SIGINT  deliver what waits, within --drain-timeout, say what is left, and end;
                   a second one ends at once
  SIGHUP           read configuration and token again; what cannot change in a process that runs
                   (endpoint, account, spool) is told by name

The endpoint (--listen):
  /metrics  all counters of the spool, for Prometheus
  /healthz  503 when a thread of the sender is stuck
  /readyz   503 with the reason while delivery is paused or hindered, nobody sends, or the API is away:
            all that waits rests for 5 s or more after failures, or after 3 server errors in a row

Where another process sends from the spool already, this one stands by and follows it.
Under systemd: LoadCredential=bearer-token:FILE is used as the bearer token that nothing else names.

Exit status:
  0  it was told to end; what is left, if anything, waits for the next sender
  1  it could not start or go on: see the message
  2  the command line or the configuration is wrong
  6  it ended at once: by a second signal, or because it was stuck; what waits is kept";

/// The arguments of `meditopia run`.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    spool: SpoolOptions,
    /// Serve /metrics, /healthz and /readyz here: 127.0.0.1:PORT; port 0 lets the kernel choose
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Let --listen take an address that other hosts can reach; it asks for no password
    #[arg(long, requires = "listen")]
    listen_anywhere: bool,
    /// How long SIGTERM and SIGINT wait for what can be delivered
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    drain_timeout: u32,
    /// How the log is written to standard error; journal if that is the systemd journal, else text
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<Format>,
}

/// Sends until it is told to end.
pub fn run(options: &Options) -> Result<ExitCode, Failure> {
    // Gives root up, so before there is a second thread.
    let configured = Configured::read(&options.spool, Role::Both)?;
    let format = options.log_format.unwrap_or_else(Format::of_standard_error);
    let quiet = configured.settings.log_level.is_none();
    let failed = |e: std::io::Error| Failure::from(format!("cannot start: {e}"));
    let (output, writing) = Output::start(format, configured.settings.log_level).map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let ended = runtime.block_on(daemon::run(options, configured, output.clone()));
    // A thread that hangs on the disk must not keep the process.
    runtime.shutdown_background();
    let code = ended.unwrap_or_else(|failure| {
        if quiet {
            return failure.tell();
        }
        output.error(&failure);
        failure.code()
    });
    drop(output);
    writing.finish();
    Ok(code)
}
