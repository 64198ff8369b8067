//! `meditopia pending`: the events that are still to be sent.

use std::process::ExitCode;

use meditopia::PendingFilter;

use crate::failure::Failure;
use crate::options::list::ListOptions;
use crate::output::event_rows::{Detail, RowPrinter};

/// The last part of `--help`.
pub const EXAMPLES: &str = "Examples:
  meditopia pending list /var/spool/shop --limit 20
  meditopia pending list /var/spool/shop --user u-17 --since '2h ago' --json
  meditopia pending list --store-file /etc/meditopia/store --limit 20";

/// The subcommands.
#[derive(clap::Subcommand)]
pub enum Pending {
    /// List them, one per line, by the time of their enqueue: first those in the store, then those
    /// that no sender has taken over yet
    #[command(after_help = EXAMPLES)]
    List(ListOptions),
}

/// Carries out the subcommand.
pub fn run(command: &Pending) -> Result<ExitCode, Failure> {
    let Pending::List(options) = command;
    let (from_ms, until_ms) = options.period()?;
    let filter = PendingFilter {
        user: options.user.clone(),
        from_ms,
        until_ms,
        after_id: 0,
    };
    let mut source = options.source.open_to_read()?;
    let mut out = options.output.open();
    let mut printer = RowPrinter::new(&options.output, Detail::Line);
    printer.print_all(source.pending(&filter)?, options.limit(), &mut out)?;
    if printer.printed() == 0 && !options.output.json {
        out.line("no pending event matches")?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
