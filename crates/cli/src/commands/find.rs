//! `meditopia find`: what became of one user's events: delivered when, rejected why, pending since
//! when.

use std::process::ExitCode;

use meditopia::{PendingFilter, ReceiptFilter, RejectedFilter};

use crate::commands::receipts;
use crate::failure::{Failure, NOTHING_FOUND};
use crate::options::spool::SpoolOptions;
use crate::output::OutputOptions;
use crate::output::event_rows::{Detail, RowPrinter};
use crate::times::{Period, Zone};

/// The last part of `--help`.
pub const EXAMPLES: &str =
    "Exit status: 0 found, 1 failed, 5 the spool knows no event of that user.

Examples:
  meditopia find /var/spool/shop --user u-17
  meditopia find /var/spool/shop --user u-17 --since '2 days ago'";

/// The arguments of `meditopia find`.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    spool: SpoolOptions,
    /// The partner_user_id
    #[arg(long, value_name = "USER")]
    user: String,
    #[command(flatten)]
    period: Period,
    #[command(flatten)]
    output: OutputOptions,
}

/// Prints everything that the spool knows about the user's events.
pub fn run(options: &Options) -> Result<ExitCode, Failure> {
    let zone = Zone::new(options.output.utc);
    let user = Some(options.user.clone());
    let (from_ms, until_ms) = options.period.read(&zone)?;
    let client = options.spool.open_to_read()?;
    let mut out = options.output.open();
    let delivered = ReceiptFilter {
        user: user.clone(),
        from_ms,
        until_ms,
        ..ReceiptFilter::default()
    };
    let receipts = receipts::print_all(&client, &delivered, u64::MAX, &options.output, &mut out)?;
    let mut printer = RowPrinter::new(&options.output, Detail::Line);
    let rejected = RejectedFilter {
        user: user.clone(),
        from_ms,
        until_ms,
        ..RejectedFilter::default()
    };
    printer.print_all(
        &mut client.rejected_matching(&rejected)?,
        u64::MAX,
        &mut out,
    )?;
    let pending = PendingFilter {
        user,
        from_ms,
        until_ms,
        after_id: 0,
    };
    printer.print_all(&mut client.pending(&pending)?, u64::MAX, &mut out)?;
    if receipts + printer.printed() > 0 {
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    if !options.output.json {
        out.line(
            "no event of that user is pending or rejected, or was delivered within receipts_days",
        )?;
    }
    out.flush()?;
    Ok(ExitCode::from(NOTHING_FOUND))
}
