//! `meditopia flush`: a single delivery, for cron, timers and the end of a script.
//!
//! The command sends by itself, unless another process is elected; then it waits for that one.

use std::process::ExitCode;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use meditopia::internals::config::Role;
use meditopia::{Client, Error, ErrorKind, LogLevel as Level, Report};

use crate::commands::status::sender_state::SenderState;
use crate::failure::{EVENTS_LEFT, FAILED, Failure, PAUSED, USAGE};
use crate::options::sender_config::SenderConfig;
use crate::options::spool::SpoolOptions;
use crate::output::log::{Log, LogFormat};
use crate::output::{figures, print_line};

/// The last part of `--help`.
pub const EXIT_CODES: &str = "Exit status:
  0  every event enqueued before is delivered or rejected; the output says how many
  1  it failed: see the message
  2  the command line or the configuration is wrong
  6  the timeout passed; the next sender delivers the rest
  7  delivery is paused and an operator has to look at the reason; every event is kept

If delivery is paused, the command tries again first: by one request, at most every 30 s, and not
during a hold.

Examples:
  meditopia flush --config /etc/meditopia/shop.toml
  meditopia flush --config /etc/meditopia/shop.toml --timeout 240 --quiet";

/// How often the process that is elected is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The arguments of `meditopia flush`.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    spool: SpoolOptions,
    /// How long the delivery may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u32,
    /// Print one JSON object
    #[arg(long, conflicts_with = "quiet")]
    json: bool,
    /// Print nothing unless it fails; for cron. A rejected event is no failure of the flush
    #[arg(long, short)]
    quiet: bool,
    /// The format of warnings on standard error; by default journal under systemd, otherwise text
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

/// Delivers once and prints the result.
pub fn run(options: &Options) -> Result<ExitCode, Failure> {
    let sender = SenderConfig::read(&options.spool, Role::Enqueue)?;
    let format = options
        .log_format
        .unwrap_or_else(LogFormat::of_standard_error);
    // What only has to be known is not said; why the command fails, its result says.
    let most = match options.quiet {
        true => Level::Error,
        false => Level::Warn,
    };
    let level = sender.settings.log_level.min(Some(most));
    let (log, log_thread) =
        Log::start(format, level).map_err(|e| Failure::from(format!("cannot start: {e}")))?;
    // An open client logs them itself.
    let client = Client::open(&sender.config).inspect_err(|_| log.warn_about(&sender.config))?;
    client.set_log_callback(Some(log.callback()))?;
    let (report, outcome) = warn_of_silence(&client, &log, || {
        client.flush(Duration::from_secs(options.timeout.into()))
    });
    drop(client);
    drop(log);
    log_thread.finish();

    let error = outcome.err();
    let status = status(error.as_ref());
    let line = if options.json {
        json(&report, error.as_ref(), status).to_string()
    } else {
        sentence(&report, error.as_ref())
    };
    if !(options.quiet && status == 0) {
        print_line(line)?;
    }
    Ok(ExitCode::from(status))
}

/// Carries `flush` out, and warns once if the elected process is silent meanwhile: a timeout may be long.
fn warn_of_silence<T>(client: &Client, log: &Log, flush: impl FnOnce() -> T) -> T {
    let (ended, end) = channel::<()>();
    std::thread::scope(|scope| {
        // Without this thread only the warning is missing.
        let _ = std::thread::Builder::new()
            .name("silence".to_owned())
            .spawn_scoped(scope, move || {
                while end.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                    if let Some(silence) = SenderState::silence(client) {
                        log.warn(silence);
                        return;
                    }
                }
            });
        let result = flush();
        drop(ended);
        result
    })
}

/// What a flush returns.
pub type Delivered = (Report, Result<(), Error>);

/// The exit status of a delivery.
pub fn status_of((_, outcome): &Delivered) -> u8 {
    status(outcome.as_ref().err())
}

/// The sentence about a delivery.
pub fn sentence_of((report, outcome): &Delivered) -> String {
    sentence(report, outcome.as_ref().err())
}

/// The JSON of a delivery.
pub fn json_of(delivered: &Delivered) -> serde_json::Value {
    let (report, outcome) = delivered;
    json(report, outcome.as_ref().err(), status_of(delivered))
}

fn status(error: Option<&Error>) -> u8 {
    match error.map(Error::kind) {
        None => 0,
        Some(ErrorKind::Timeout) => EVENTS_LEFT,
        Some(ErrorKind::Paused) => PAUSED,
        Some(ErrorKind::Config) => USAGE,
        Some(_) => FAILED,
    }
}

fn sentence(report: &Report, error: Option<&Error>) -> String {
    let mut line = format!(
        "{} delivered, {} rejected",
        report.delivered, report.rejected
    );
    if report.expired > 0 {
        line.push_str(&format!(", {} expired", report.expired));
    }
    line.push_str(&format!("; {}", figures::left(report)));
    if let Some(error) = error {
        line.push_str(&format!(": {error}"));
    }
    line
}

fn json(report: &Report, error: Option<&Error>, status: u8) -> serde_json::Value {
    let outcome = match status {
        0 => "delivered",
        EVENTS_LEFT => "left",
        PAUSED => "paused",
        _ => "failed",
    };
    serde_json::json!({
        "outcome": outcome,
        "delivered": report.delivered,
        "rejected": report.rejected,
        "expired": report.expired,
        "pending": report.pending,
        "in_doubt": report.in_doubt,
        "paused": report.pause.map(|reason| reason.name()),
        "paused_since_ms": report.paused_since_ms,
        "next_probe_ms": report.next_probe_ms,
        "message": error.map(Error::message),
    })
}
