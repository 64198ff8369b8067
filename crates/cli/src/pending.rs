//! `meditopia pending`: the events that wait to be sent.

use std::process::ExitCode;

use meditopia::PendingFilter;

use crate::failure::Failure;
use crate::list_options::ListOptions;
use crate::rows::{Detail, RowPrinter};

/// What `--help` says at its end.
pub const EXAMPLES: &str = "Examples:
  meditopia pending list /var/spool/shop --limit 20
  meditopia pending list /var/spool/shop --user u-17 --since 2026-11-20 --json";

/// What is done with waiting events.
#[derive(clap::Subcommand)]
pub enum Pending {
    /// List them, a line each, by the time of their enqueue: those of the store, then those that no sender has taken over yet
    List(ListOptions),
}

/// Does it.
pub fn run(command: &Pending) -> Result<ExitCode, Failure> {
    let Pending::List(options) = command;
    let (from_ms, until_ms) = options.period()?;
    let filter = PendingFilter {
        user: options.user.clone(),
        from_ms,
        until_ms,
        after_id: 0,
    };
    let client = options.spool.look()?;
    let mut out = options.output.open();
    let mut printer = RowPrinter::new(&options.output, Detail::Line);
    printer.print_all(&mut client.pending(&filter)?, options.limit(), &mut out)?;
    if printer.printed() == 0 && !options.output.json {
        out.line("nothing waits that matches")?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
