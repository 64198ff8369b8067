//! `meditopia status`: what waits, what went, who sends, and why nothing goes.
//!
//! It only looks, by a few short reads: the sender and the programs that enqueue do not notice. So it
//! also works on a spool that nobody sends from, that has no store yet or a damaged one, and on a disk that
//! cannot be written to.

mod check;
mod snapshot;
mod table;

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use meditopia::Client;

use self::check::{Grade, Thresholds};
use self::snapshot::{Snapshot, with_rate};
use crate::failure::Failure;
use crate::output::{Output, OutputOptions, say};
use crate::spool_options::SpoolOptions;
use crate::times::Zone;

/// What `--help` says at its end.
pub const EXAMPLES: &str = "Exit status: 0, or 1 if it cannot be looked at. With --check as Nagios wants it: 0 OK, 1 WARNING,
2 CRITICAL, 3 UNKNOWN; a pause is critical, one that an operator asked for a warning, and so is an API
that is away: all that waits rests for 5 s or more after failures, or after 3 server errors in a row.

Examples:
  meditopia status /var/spool/shop
  meditopia status /var/spool/shop --watch 5            again every 5 seconds, until Ctrl-C
  meditopia status /var/spool/shop --json | jq .pending
  meditopia status /var/spool/shop --check --warn-age 10m --crit-age 30m --warn-rejected 1";

/// The exit status of a check that could not be made.
pub const UNKNOWN: u8 = Grade::Unknown as u8;

/// The arguments of `meditopia status`.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    spool: SpoolOptions,
    #[command(flatten)]
    output: OutputOptions,
    /// Look again every so many seconds: drawn anew on a terminal, a line each elsewhere
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = seconds)]
    watch: Option<Duration>,
    /// Say in one line, and by the exit status, whether all is well, for a monitoring system
    #[arg(long, conflicts_with_all = ["watch", "json"])]
    check: bool,
    #[command(flatten)]
    thresholds: Thresholds,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is no number of seconds from 0.1 to 86400");
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    match seconds {
        0.1..=86_400.0 => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(wrong()),
    }
}

/// Looks, and prints what is there.
pub fn run(options: &Options) -> Result<ExitCode, Failure> {
    if options.check {
        return Ok(graded(options));
    }
    let dir = options.spool.own_dir()?;
    let client = options.spool.look()?;
    let mut out = options.output.open();
    match options.watch {
        None => {
            let seen = with_rate(&client, &dir)?;
            print(&seen, &dir, options, &mut out)?;
            out.flush()?;
            Ok(ExitCode::SUCCESS)
        }
        Some(every) => watch(&client, &dir, every, options, &mut out),
    }
}

fn print(seen: &Snapshot, dir: &Path, options: &Options, out: &mut Output) -> Result<(), Failure> {
    if options.output.json {
        return out.line(seen.to_json(dir).to_string());
    }
    for line in table::lines(seen, dir, &Zone::of(options.output.utc), out) {
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
    let zone = Zone::of(options.output.utc);
    let redraws = std::io::stdout().is_terminal() && !options.output.json;
    if redraws {
        out.line(format!("{HOME}{CLEAR_BELOW}"))?;
    }
    let mut before: Option<Snapshot> = None;
    loop {
        let seen = Snapshot::take(client, dir)?;
        let seen = match &before {
            Some(before) => seen.since(before),
            None => seen,
        };
        if redraws {
            let lines = table::lines(&seen, dir, &zone, out);
            let drawn = lines.join(&format!("{CLEAR_LINE}\n"));
            let now = zone.show(seen.now_ms);
            out.line(format!(
                "{HOME}{drawn}{CLEAR_LINE}\n{CLEAR_LINE}\n{now}; Ctrl-C ends{CLEAR_LINE}{CLEAR_BELOW}"
            ))?;
        } else if options.output.json {
            out.line(seen.to_json(dir).to_string())?;
        } else {
            out.line(table::line(&seen, &zone))?;
        }
        out.flush()?;
        before = Some(seen);
        std::thread::sleep(every);
    }
}

/// A monitoring system reads one line of standard output, also where nothing could be looked at.
fn graded(options: &Options) -> ExitCode {
    let looked = || -> Result<(Grade, String), Failure> {
        options.thresholds.check()?;
        let dir = options.spool.own_dir()?;
        let client = options.spool.look()?;
        let seen = Snapshot::take(&client, &dir)?;
        Ok(check::check(&seen, &options.thresholds))
    };
    let (grade, line) = looked().unwrap_or_else(|failure| {
        let grade = Grade::Unknown;
        (grade, format!("MEDITOPIA {} - {failure}", grade.name()))
    });
    match say(line) {
        Ok(()) => ExitCode::from(grade as u8),
        Err(failure) => {
            failure.tell();
            ExitCode::from(UNKNOWN)
        }
    }
}
