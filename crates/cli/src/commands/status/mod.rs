//! `meditopia status`: what is pending, what was delivered, which process sends, and what stops
//! delivery.
//!
//! The command only does a few short reads, which disturb neither the sender nor the applications.
//! So it also works on a spool without a sender, without a store or with a damaged one, and on a
//! read-only disk.

mod check;
mod snapshot;
mod table;

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use meditopia::Client;
use meditopia::internals::client::Purpose;

use self::check::{Grade, Thresholds};
use self::snapshot::Snapshot;
use crate::failure::Failure;
use crate::options::spool::SpoolOptions;
use crate::output::{Output, OutputOptions, print_line};
use crate::times::Zone;

/// The last part of `--help`.
pub const EXAMPLES: &str =
    "Exit status: 0, or 1 if the spool cannot be read. With --check as Nagios defines it: 0 OK,
1 WARNING, 2 CRITICAL, 3 UNKNOWN. A pause is critical, but a hold is a warning. So is an
unavailable API, that is, if all pending events wait 5 s or longer for a retry, or after 3 server
errors in a row.

Examples:
  meditopia status /var/spool/shop
  meditopia status /var/spool/shop --watch 5            again every 5 seconds, until Ctrl-C
  meditopia status /var/spool/shop --json | jq .pending
  meditopia status /var/spool/shop --check --warn-age 10m --crit-age 30m --warn-rejected 1";

/// The exit status of `--check` if the spool could not be checked.
pub const UNKNOWN: u8 = Grade::Unknown as u8;

/// The arguments of `meditopia status`.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    spool: SpoolOptions,
    #[command(flatten)]
    output: OutputOptions,
    /// Repeat every N seconds: redrawn on a terminal, otherwise one line each time
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = seconds)]
    watch: Option<Duration>,
    /// Say in one line and by the exit status whether all is well, for a monitoring system
    #[arg(long, conflicts_with_all = ["watch", "json"])]
    check: bool,
    #[command(flatten)]
    thresholds: Thresholds,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let invalid = || format!("\"{text}\" is not a number of seconds from 0.1 to 86400");
    let seconds: f64 = text.parse().map_err(|_| invalid())?;
    match seconds {
        0.1..=86_400.0 => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(invalid()),
    }
}

/// Prints the state of the spool.
pub fn run(options: &Options) -> Result<ExitCode, Failure> {
    if options.check {
        return Ok(run_check(options));
    }
    let dir = options.spool.dir_as_owner()?;
    let client = Client::open_existing(&dir, Purpose::Read)?;
    let mut out = options.output.open();
    match options.watch {
        None => {
            let snapshot = Snapshot::with_rate(&client, &dir)?;
            print(&snapshot, &dir, options, &mut out)?;
            out.flush()?;
            Ok(ExitCode::SUCCESS)
        }
        Some(every) => watch(&client, &dir, every, options, &mut out),
    }
}

fn print(
    snapshot: &Snapshot,
    dir: &Path,
    options: &Options,
    out: &mut Output,
) -> Result<(), Failure> {
    if options.output.json {
        return out.line(snapshot.to_json(dir).to_string());
    }
    for line in table::lines(snapshot, dir, &Zone::new(options.output.utc), out) {
        out.line(line)?;
    }
    Ok(())
}

fn watch(
    client: &Client,
    dir: &Path,
    every: Duration,
    options: &Options,
    out: &mut Output,
) -> Result<ExitCode, Failure> {
    const HOME: &str = "\x1b[H";
    const CLEAR_LINE: &str = "\x1b[K";
    const CLEAR_BELOW: &str = "\x1b[J";
    let zone = Zone::new(options.output.utc);
    let redraws = std::io::stdout().is_terminal() && !options.output.json;
    if redraws {
        out.draw(&format!("{HOME}{CLEAR_BELOW}"))?;
    }
    let mut before: Option<Snapshot> = None;
    loop {
        let snapshot = Snapshot::take(client, dir)?;
        let snapshot = match &before {
            Some(before) => snapshot.with_rate_since(before),
            None => snapshot,
        };
        if redraws {
            let lines = table::lines(&snapshot, dir, &zone, out);
            let drawn = lines.join(&format!("{CLEAR_LINE}\n"));
            let now = zone.show(snapshot.now_ms);
            out.draw(&format!(
                "{HOME}{drawn}{CLEAR_LINE}\n{CLEAR_LINE}\n{now}; Ctrl-C to end{CLEAR_LINE}{CLEAR_BELOW}"
            ))?;
        } else if options.output.json {
            out.line(snapshot.to_json(dir).to_string())?;
        } else {
            out.line(table::line(&snapshot, &zone))?;
        }
        out.flush()?;
        before = Some(snapshot);
        std::thread::sleep(every);
    }
}

/// Prints the line of `--check`. A monitoring system reads it from standard output, even if the
/// spool cannot be read.
fn run_check(options: &Options) -> ExitCode {
    let check = || -> Result<(Grade, String), Failure> {
        options.thresholds.validate()?;
        let dir = options.spool.dir_as_owner()?;
        let client = Client::open_existing(&dir, Purpose::Read)?;
        let snapshot = Snapshot::take(&client, &dir)?;
        Ok(check::grade(&snapshot, &options.thresholds))
    };
    let (grade, line) = check().unwrap_or_else(|failure| {
        let grade = Grade::Unknown;
        (grade, format!("MEDITOPIA {} - {failure}", grade.name()))
    });
    match print_line(line) {
        Ok(()) => ExitCode::from(grade as u8),
        Err(failure) => {
            failure.report();
            ExitCode::from(UNKNOWN)
        }
    }
}
