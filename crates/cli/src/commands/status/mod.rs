//! `meditopia status`: what is pending, what was delivered, which process sends, and what stops
//! delivery.
//!
//! The command only does a few short reads, which disturb neither the sender nor the applications.
//! So it also works on a spool without a sender, without a store or with a damaged one, and on a
//! read-only disk.

mod check;
pub mod fleet;
pub mod sender_state;
pub mod snapshot;
mod table;

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use meditopia::Client;
use meditopia_fleet::look::Look;

use self::check::{Checked, Thresholds};
use self::fleet::snapshot::FleetSnapshot;
use self::snapshot::Snapshot;
use crate::alarms::Grade;
use crate::failure::Failure;
use crate::options::source::SourceOptions;
use crate::options::typed::Typed;
use crate::output::{Output, OutputOptions, print_line, shown_json};
use crate::times::Zone;

/// The last part of `--help`.
pub const EXAMPLES: &str =
    "Exit status: 0, or 1 if the spool or the store cannot be read. With --check as Nagios defines it: 0 OK,
1 WARNING, 2 CRITICAL, 3 UNKNOWN. Without any limit --check finds:
  CRITICAL  a pause; a copy; a sender that is elected and does not send; a disk that is full;
            events that wait for 20 min without a sender, or for an hour
  WARNING   a hold; an API that is away, that is, all pending events wait 5 s or longer for a retry,
            or there were 3 server errors in a row; events that wait for 5 min without a sender, or
            for 15 min; damaged records; lost events; a disk with less than 5 % of its bytes free
            (at least 20 MiB or half of it, at most 1 GiB) or of its inodes (at least 100, at most 1,000)
and of a fleet (--store):
  CRITICAL  no relay alive for 5 min while events wait; the addresses of all relays refused
  WARNING   no relay for 1 min; some relays refused; a batch in doubt, or a host behind, for 15 min;
            a session or replication slot that keeps the server from cleaning up for 15 min
--json prints the same as one object, with a name and the remedy for each finding.

Examples:
  meditopia status /var/spool/shop
  meditopia status --store-file /etc/meditopia/store    # of a whole fleet
  meditopia status /var/spool/shop --json | jq .pending
  meditopia status /var/spool/shop --check --warn-age 10m --warn-rejected 1";

/// The exit status of `--check` if the spool could not be checked.
pub const UNKNOWN: u8 = Grade::Unknown as u8;

/// The arguments of `meditopia status`.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    source: SourceOptions,
    #[command(flatten)]
    output: OutputOptions,
    /// Repeat every N seconds: redrawn on a terminal, otherwise one line each time
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = seconds)]
    watch: Option<Duration>,
    /// Say in one line and by the exit status whether all is well, for a monitoring system
    #[arg(long, conflicts_with = "watch")]
    check: bool,
    #[command(flatten)]
    thresholds: Thresholds,
}

impl Options {
    /// Whether `--watch` draws one table over the other.
    fn redraws(&self) -> bool {
        std::io::stdout().is_terminal() && !self.output.json
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let invalid = || format!("\"{text}\" is not a number of seconds from 0.1 to 86400");
    let seconds: f64 = text.parse().map_err(|_| invalid())?;
    match seconds {
        0.1..=86_400.0 => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(invalid()),
    }
}

/// Prints the state of the spool or the fleet.
pub fn run(options: &Options) -> Result<ExitCode, Failure> {
    if options.check {
        return Ok(run_check(options));
    }
    if let Some((address, typed)) = options.source.store()? {
        return fleet::run(&address, &typed, options);
    }
    let (client, dir, typed) = options.source.open_spool()?;
    let mut out = options.output.open();
    match options.watch {
        None => {
            let snapshot = Snapshot::with_rate(&client, &dir)?;
            print(&snapshot, &dir, &typed, options, &mut out)?;
            out.flush()?;
            Ok(ExitCode::SUCCESS)
        }
        Some(every) => watch(&client, &dir, &typed, every, options, &mut out),
    }
}

fn print(
    snapshot: &Snapshot,
    dir: &Path,
    typed: &Typed,
    options: &Options,
    out: &mut Output,
) -> Result<(), Failure> {
    if options.output.json {
        return out.line(snapshot.to_json(dir).to_string());
    }
    for line in table::lines(snapshot, dir, typed, &Zone::new(options.output.utc), out) {
        out.line(line)?;
    }
    Ok(())
}

fn watch(
    client: &Client,
    dir: &Path,
    typed: &Typed,
    every: Duration,
    options: &Options,
    out: &mut Output,
) -> Result<ExitCode, Failure> {
    let zone = Zone::new(options.output.utc);
    let redraws = options.redraws();
    let mut before: Option<Snapshot> = None;
    loop {
        let snapshot = Snapshot::take(client, dir)?;
        let snapshot = match &before {
            Some(before) => snapshot.with_rate_since(before),
            None => snapshot,
        };
        if redraws {
            let lines = table::lines(&snapshot, dir, typed, &zone, out);
            redraw(&lines, snapshot.now_ms, &zone, out)?;
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

/// Draws the lines over those before.
fn redraw(lines: &[String], now_ms: i64, zone: &Zone, out: &mut Output) -> Result<(), Failure> {
    const HOME: &str = "\x1b[H";
    const CLEAR_LINE: &str = "\x1b[K";
    const CLEAR_BELOW: &str = "\x1b[J";
    let drawn = lines.join(&format!("{CLEAR_LINE}\n"));
    let now = zone.show(now_ms);
    out.draw(&format!(
        "{HOME}{drawn}{CLEAR_LINE}\n{CLEAR_LINE}\n{now}; Ctrl-C to end{CLEAR_LINE}{CLEAR_BELOW}"
    ))
}

/// Prints the line of `--check`. A monitoring system reads it from standard output, even if the
/// spool cannot be read.
fn run_check(options: &Options) -> ExitCode {
    let check = || -> Result<Checked, Failure> {
        options.thresholds.validate()?;
        if let Some((address, typed)) = options.source.store()? {
            options.thresholds.validate_for_fleet()?;
            let snapshot = FleetSnapshot::take(&mut Look::open(&address)?, address.shown())?;
            return Ok(check::check_fleet(&snapshot, &options.thresholds, &typed));
        }
        let (client, dir, typed) = options.source.open_spool()?;
        let snapshot = Snapshot::take(&client, &dir)?;
        Ok(check::check(&snapshot, &options.thresholds, &typed))
    };
    let checked = check().unwrap_or_else(|failure| Checked::unknown(&failure));
    let line = match options.output.json {
        true => shown_json(&checked.to_json().to_string()),
        false => checked.line(),
    };
    match print_line(line) {
        Ok(()) => ExitCode::from(checked.grade as u8),
        Err(failure) => {
            failure.report();
            ExitCode::from(UNKNOWN)
        }
    }
}
