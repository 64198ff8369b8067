//! `meditopia flush`: one delivery, for cron and timers and for the end of a script.
//!
//! It sends by itself unless another process does; then it waits for that one.

use std::process::ExitCode;
use std::time::Duration;

use meditopia::LogLevel as Level;
use meditopia::internals::config::Role;
use meditopia::{Client, Report};
use meditopia::{Error, ErrorKind};

use crate::failure::{FAILED, Failure, LEFT, PAUSED, USAGE};
use crate::output::say;
use crate::run::configured::Configured;
use crate::run::output::{Format, Output};
use crate::spool_options::SpoolOptions;

/// What `--help` says at its end.
pub const EXIT_CODES: &str = "Exit status:
  0  all that was enqueued before is delivered, or rejected by the API: the line says how many
  1  it did not work: see the message
  2  the command line or the configuration is wrong
  6  the time is over; what is left waits for the next sender
  7  delivery is paused, and somebody has to look at the reason; all is kept";

/// The arguments of `meditopia flush`.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    spool: SpoolOptions,
    /// How long it may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u32,
    /// Print one JSON object
    #[arg(long, conflicts_with = "quiet")]
    json: bool,
    /// Print nothing when all is delivered and nothing was rejected, as cron likes it
    #[arg(long, short)]
    quiet: bool,
    /// How warnings are written to standard error; journal if that is the systemd journal, else text
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<Format>,
}

/// Delivers once, and prints what came of it.
pub fn run(options: &Options) -> Result<ExitCode, Failure> {
    let configured = Configured::read(&options.spool, Role::Enqueue)?;
    let format = options.log_format.unwrap_or_else(Format::of_standard_error);
    let level = configured.settings.log_level.min(Some(Level::Warn));
    let (output, writing) =
        Output::start(format, level).map_err(|e| Failure::from(format!("cannot start: {e}")))?;
    output.warnings_of(&configured.config);
    let client = Client::open(&configured.config)?;
    client.set_log_callback(Some(output.callback()))?;
    let (report, outcome) = client.flush(Duration::from_secs(options.timeout.into()));
    drop(client);
    drop(output);
    writing.finish();

    let wrong = outcome.err();
    let status = status(wrong.as_ref());
    let line = if options.json {
        json(&report, wrong.as_ref(), status)
    } else {
        words(&report, wrong.as_ref())
    };
    if !(options.quiet && status == 0 && report.rejected == 0) {
        say(line)?;
    }
    Ok(ExitCode::from(status))
}

fn status(wrong: Option<&Error>) -> u8 {
    match wrong.map(Error::kind) {
        None => 0,
        Some(ErrorKind::Timeout) => LEFT,
        Some(ErrorKind::Paused) => PAUSED,
        Some(ErrorKind::Config) => USAGE,
        Some(_) => FAILED,
    }
}

fn words(report: &Report, wrong: Option<&Error>) -> String {
    let mut line = format!(
        "{} delivered, {} rejected",
        report.delivered, report.rejected
    );
    if report.expired > 0 {
        line.push_str(&format!(", {} expired", report.expired));
    }
    match (report.pending, report.in_doubt) {
        (0, _) => line.push_str("; nothing waits"),
        (pending, 0) => line.push_str(&format!("; {pending} wait")),
        (pending, in_doubt) => {
            line.push_str(&format!("; {pending} wait, {in_doubt} of them in doubt"));
        }
    }
    if let Some(wrong) = wrong {
        line.push_str(&format!(": {wrong}"));
    }
    line
}

fn json(report: &Report, wrong: Option<&Error>, status: u8) -> String {
    let outcome = match status {
        0 => "delivered",
        LEFT => "left",
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
        "message": wrong.map(Error::message),
    })
    .to_string()
}
