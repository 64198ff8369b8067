//! `meditopia recover`: builds a new store from what can be read of a damaged one.
//!
//! Without `--yes` the command only reports what it would do, because it cannot be undone: events
//! that cannot be read are lost, and others may be delivered twice.

use std::process::ExitCode;

use meditopia::internals::client::{Repair, Salvage, recover};

use crate::failure::{EVENTS_LOST, Failure, NEEDS_YES};
use crate::options::spool::SpoolOptions;
use crate::output::print_line;

/// The last part of `--help`.
pub const EXIT_CODES: &str = "Exit status:
  0  the store is sound, or was recovered with every event
  1  the store could not be examined: see the message
  3  the store is damaged; without --yes nothing was done
  4  the store was recovered, and some events are lost

Examples:
  meditopia recover /var/spool/shop          # changes nothing
  meditopia recover /var/spool/shop --yes";

/// The arguments of `meditopia recover`.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    spool: SpoolOptions,
    /// Recover the store; without this, only report what can be read and what is at risk
    #[arg(long)]
    yes: bool,
}

/// Examines the store, recovers it if `--yes` is given, and prints the result.
pub fn run(options: &Options) -> Result<ExitCode, Failure> {
    let repair = if options.yes {
        Repair::Replace
    } else {
        Repair::Look
    };
    let dir = options.spool.dir_as_owner()?;
    let salvage = recover(&dir, repair)?;
    let Some(damage) = &salvage.damage else {
        print_line("the store is sound; there is nothing to recover")?;
        return Ok(ExitCode::SUCCESS);
    };
    print_line(format_args!("damage: {damage}"))?;
    print_salvage(&salvage)?;
    match &salvage.kept {
        Some(kept) => {
            print_line(format_args!(
                "recovered; what was damaged is kept in {}",
                kept.display()
            ))?;
            let code = if salvage.loses_events() {
                EVENTS_LOST
            } else {
                0
            };
            Ok(ExitCode::from(code))
        }
        None => {
            let again = options.spool.typed(&dir).command("recover");
            print_line(format_args!("nothing was done; to recover: {again} --yes"))?;
            Ok(ExitCode::from(NEEDS_YES))
        }
    }
}

fn print_salvage(salvage: &Salvage) -> Result<(), Failure> {
    print_line(format_args!(
        "readable: {} pending events in {} runs, {} rejected events",
        salvage.pending, salvage.runs, salvage.rejected
    ))?;
    match salvage.lost_pending {
        Some(0) => print_line("lost pending events: 0")?,
        Some(lost) => print_line(format_args!("lost pending events: at most {lost}"))?,
        None => print_line("lost pending events: unknown, because their number cannot be read")?,
    }
    print_line(format_args!(
        "lost rejected events: at most {}",
        salvage.lost_rejected
    ))?;
    print_line(format_args!(
        "segments to be read again: {}; events of them that had been taken over may be delivered twice",
        salvage.read_again.len()
    ))?;
    for name in &salvage.read_again {
        print_line(format_args!("  {name}"))?;
    }
    for item in &salvage.forgotten {
        print_line(format_args!("forgotten: {item}"))?;
    }
    Ok(())
}
