//! `meditopia pending`: the events that wait to be sent.

use std::process::ExitCode;

use meditopia::client::PendingFilter;

use crate::failure::Failure;
use crate::output::OutputOptions;
use crate::rows::{Detail, RowPrinter};
use crate::spool_options::SpoolOptions;
use crate::times::Zone;

/// What `--help` says at its end.
pub const EXAMPLES: &str = "Examples:
  meditopia pending list /var/spool/shop --limit 20
  meditopia pending list /var/spool/shop --user u-17 --since 2026-11-20 --json";

/// What is done with waiting events.
#[derive(clap::Subcommand)]
pub enum Pending {
    /// List them, a line each: those of the store, then those that no sender has taken over yet
    List(ListOptions),
}

/// The arguments of list.
#[derive(clap::Args)]
pub struct ListOptions {
    #[command(flatten)]
    spool: SpoolOptions,
    /// Of this partner_user_id
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Enqueued at this time or later: 2026-11-20, 2026-11-20T14:00:00Z, '2h ago'
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Enqueued before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// At most so many
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    #[command(flatten)]
    output: OutputOptions,
}

/// Does it.
pub fn run(command: &Pending) -> Result<ExitCode, Failure> {
    let Pending::List(options) = command;
    let zone = Zone::of(options.output.utc);
    let filter = PendingFilter {
        user: options.user.clone(),
        from_ms: zone.parse_if("--since", options.since.as_deref())?,
        until_ms: zone.parse_if("--until", options.until.as_deref())?,
        after_id: 0,
    };
    let client = options.spool.look()?;
    let mut out = options.output.open();
    let mut printer = RowPrinter::new(&options.output, Detail::Line);
    let limit = options.limit.unwrap_or(u64::MAX);
    printer.print_all(&mut client.pending(&filter)?, limit, &mut out)?;
    if printer.printed() == 0 && !options.output.json {
        out.line("nothing waits that matches")?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
