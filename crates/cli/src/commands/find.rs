//! `meditopia find`: what became of one user's events: delivered when, rejected why, pending since
//! when.

use std::process::ExitCode;

use meditopia::{PendingFilter, ReceiptFilter, RejectedFilter};
use meditopia_fleet::look::Look;
use meditopia_fleet::members;
use serde_json::json;

use crate::commands::receipts;
use crate::failure::{Failure, NOTHING_FOUND};
use crate::options::source::SourceOptions;
use crate::output::event_rows::{Detail, RowPrinter};
use crate::output::{Output, OutputOptions, byte_size, sanitize};
use crate::source::Source;
use crate::times::{Period, Zone};

/// The last part of `--help`.
pub const EXAMPLES: &str =
    "With --store it looks in a whole fleet, and names the hosts that have not handed everything in.

Exit status: 0 found, 1 failed, 5 the spool or the fleet knows no event of that user.

Examples:
  meditopia find /var/spool/shop --user u-17
  meditopia find /var/spool/shop --user u-17 --since '2 days ago'
  meditopia find --user u-17 --store-file /etc/meditopia/store";

/// The arguments of `meditopia find`.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    source: SourceOptions,
    /// The partner_user_id
    #[arg(long, value_name = "USER")]
    user: String,
    #[command(flatten)]
    period: Period,
    #[command(flatten)]
    output: OutputOptions,
}

/// Prints everything that the spool or the fleet knows about the user's events.
pub fn run(options: &Options) -> Result<ExitCode, Failure> {
    let zone = Zone::new(options.output.utc);
    let user = Some(options.user.clone());
    let (from_ms, until_ms) = options.period.read(&zone)?;
    let mut source = options.source.open_to_read()?;
    let mut out = options.output.open();
    let delivered = ReceiptFilter {
        user: user.clone(),
        from_ms,
        until_ms,
        ..ReceiptFilter::default()
    };
    let receipts =
        receipts::print_all(&mut source, &delivered, u64::MAX, &options.output, &mut out)?;
    let mut printer = RowPrinter::new(&options.output, Detail::Line);
    let rejected = RejectedFilter {
        user: user.clone(),
        from_ms,
        until_ms,
        ..RejectedFilter::default()
    };
    printer.print_all(source.rejected_matching(&rejected)?, u64::MAX, &mut out)?;
    let pending = PendingFilter {
        user,
        from_ms,
        until_ms,
        after_id: 0,
    };
    printer.print_all(source.pending(&pending)?, u64::MAX, &mut out)?;
    let is_found = receipts + printer.printed() > 0;
    if !is_found && !options.output.json {
        out.line(
            "no event of that user is pending or rejected, or was delivered within receipts_days",
        )?;
    }
    if let Source::Store(look) = &mut source {
        print_hosts_behind(look, &options.output, &zone, &mut out)?;
    }
    out.flush()?;
    Ok(match is_found {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(NOTHING_FOUND),
    })
}

/// A host that has not handed everything in may still have events of anybody.
fn print_hosts_behind(
    look: &mut Look,
    options: &OutputOptions,
    zone: &Zone,
    out: &mut Output,
) -> Result<(), Failure> {
    let hosts = members::hosts(&mut look.connection)?;
    for host in hosts.iter().filter(|host| host.behind_bytes > 0) {
        let since = host.behind_since_ms.unwrap_or(host.seen_ms);
        out.line(match options.json {
            true => json!({
                "reason": "host_behind", "host": host.name, "spool": host.spool, "behind_bytes": host.behind_bytes,
                "behind_since_ms": since, "seen_ms": host.seen_ms,
            })
            .to_string(),
            false => format!(
                "host {} may have more: {} were not handed in when it was seen at {}, the oldest from {}",
                sanitize(&host.name),
                byte_size(host.behind_bytes.unsigned_abs()),
                zone.show(host.seen_ms),
                zone.show(since),
            ),
        })?;
    }
    Ok(())
}
